"""The train step: arguments, files in and out; `train.py` has the rest."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when mlflow is imported

import train


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder the split step wrote")
    parser.add_argument("--algorithm", choices=sorted(train.ALGORITHMS), default="logistic")
    parser.add_argument("--regularisation", type=positive, default=0.1)
    parser.add_argument("--model", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    try:
        labelled = train.read(args.data / "train.csv")
        train.save(train.train(labelled, args.algorithm, args.regularisation), args.model)
    except (OSError, train.DataError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    print(f"train: {args.algorithm} on {len(labelled)} rows, to {args.model}")
    return 0


def positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(text)
    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
