"""The score step: arguments, files in and out; `score.py` has the rest."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when mlflow is imported

import pandas as pd
import score


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bronze", type=Path, required=True, help="folder the prep step wrote")
    parser.add_argument("--model", type=Path, required=True, help="model folder in MLflow's format")
    parser.add_argument("--reaction-id", required=True)
    parser.add_argument("--attempt", required=True)
    parser.add_argument("--silver", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    bronze = args.bronze / "diabetes.csv"
    try:
        model = score.load(args.model)
        scored = score.score(model, score.read(bronze), str(bronze))
        lineage = {
            "reaction_id": args.reaction_id,
            "attempt": args.attempt,
            "model": {"uuid": model.metadata.model_uuid, "saved": model.metadata.utc_time_created},
            "rows": len(scored),
            "positive": int(scored[score.PREDICTION].sum()),
        }
        write(args.silver, scored, lineage)
    except (OSError, score.DataError) as error:
        print(f"score: {error}", file=sys.stderr)
        return 1
    print(f"score: {len(scored)} rows, {lineage['positive']} positive, to {args.silver}")
    return 0


def write(silver: Path, scored: pd.DataFrame, lineage: dict[str, object]) -> None:
    silver.mkdir(parents=True, exist_ok=True)
    scored.to_csv(silver / "diabetes.csv", index=False, lineterminator="\n")
    (silver / "_lineage.json").write_text(json.dumps(lineage, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
