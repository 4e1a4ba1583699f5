"""The split step: arguments, files in and out; `split.py` has the rest."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pandas as pd
import split


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--baseline", type=Path, required=True, help="folder of labelled CSV files")
    parser.add_argument("--target", type=Path, help="folder of newer ones")
    parser.add_argument("--reaction-id", required=True)
    parser.add_argument("--attempt", required=True)
    parser.add_argument("--reason", default="", help="why a model is trained")
    parser.add_argument("--monitor-run", default="", help="the monitor's run that asked for it")
    parser.add_argument("--data", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    try:
        baseline = split.read(args.baseline, "baseline")
        target = split.read(args.target, "target") if args.target else None
        training, holdout = split.split(baseline, target)
        lineage = {
            "reaction_id": args.reaction_id,
            "attempt": args.attempt,
            "reason": args.reason or None,
            "monitor_run": args.monitor_run or None,
            "baseline": baseline.facts(),
            "target": target.facts() if target else None,
            "train_rows": len(training),
            "test_rows": len(holdout),
        }
        write(args.data, training, holdout, lineage)
    except (OSError, split.DataError) as error:
        print(f"split: {error}", file=sys.stderr)
        return 1
    print(f"split: {len(training)} rows to train on, {len(holdout)} to measure on, to {args.data}")
    return 0


def write(data: Path, training: pd.DataFrame, holdout: pd.DataFrame, lineage: dict[str, object]) -> None:
    data.mkdir(parents=True, exist_ok=True)
    training.to_csv(data / "train.csv", index=False, lineterminator="\n")
    holdout.to_csv(data / "holdout.csv", index=False, lineterminator="\n")
    (data / "_lineage.json").write_text(json.dumps(lineage, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
