"""The components' modules, importable only where pandas and scikit-learn are."""
# ruff: noqa: E402, F401

from __future__ import annotations

import importlib.util
import io
import os
import sys
from contextlib import redirect_stderr
from pathlib import Path

COMPONENTS = Path(__file__).resolve().parents[3] / "ml" / "components"
sys.path[:0] = [str(COMPONENTS / step) for step in ("prep", "train", "score")]
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import prep
import score
import train


def main(step: str, *arguments: str) -> tuple[int, str]:
    """Run a step's `run.py` in this process: its exit code, and what it wrote to standard error."""
    spec = importlib.util.spec_from_file_location(f"run_{step}", COMPONENTS / step / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with redirect_stderr(io.StringIO()) as stderr:
        try:
            code = module.main(list(arguments))
        except SystemExit as usage:
            code = usage.code
    return code, stderr.getvalue()
