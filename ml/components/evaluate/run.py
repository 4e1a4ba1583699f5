"""The evaluate step: arguments, files in and out; `evaluate.py` has the rest."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when mlflow is imported

import evaluate
import pandas as pd


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder the split step wrote")
    parser.add_argument("--candidate", type=Path, required=True, help="model the train step saved")
    parser.add_argument("--live", type=Path, help="model that answers today")
    parser.add_argument("--live-name", default="", help="its name in the registry")
    parser.add_argument("--live-version", default="", help="its version there")
    parser.add_argument("--metrics", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    holdout = args.data / "holdout.csv"
    try:
        labelled = evaluate.read(holdout)
        metrics: dict[str, object] = dict(measure(args.candidate, labelled, "candidate", holdout))
        if args.live:
            live = measure(args.live, labelled, "live model", holdout)
            metrics |= {f"live.{name}": value for name, value in live.items()}
            known = {"live.name": args.live_name, "live.version": args.live_version}
            metrics |= {name: value for name, value in known.items() if value}
        args.metrics.mkdir(parents=True, exist_ok=True)
        (args.metrics / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    except (OSError, evaluate.DataError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    print(f"evaluate: {json.dumps(metrics)} on {len(labelled)} rows")
    return 0


def measure(folder: Path, labelled: pd.DataFrame, role: str, source: Path) -> dict[str, float]:
    metrics = evaluate.measure(evaluate.load(folder, role), labelled, role, str(source))
    if "AUC" not in metrics:
        print(f"evaluate: {role}: it has no predict_proba, so there is no AUC of it")
    return metrics


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
