"""Batch endpoints: pipeline components behind them, the jobs they start, the processes these are."""
