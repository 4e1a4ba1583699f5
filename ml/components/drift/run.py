"""The drift step: arguments, files in and out; `drift.py` has the rest."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import drift

MLTABLE = """\
type: mltable
paths:
  - file: ./signal.csv
transformations:
  - read_delimited:
      delimiter: ","
      encoding: utf8
      header: all_files_same_headers
"""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--baseline", type=Path, required=True, help="folder of CSV files")
    parser.add_argument("--target", type=Path, required=True, help="folder of newer ones")
    parser.add_argument("--features", default="Pregnancies,Age,BMI", help="columns to compare, separated by commas")
    parser.add_argument("--threshold", type=share, default=0.1, help="a distance above it is drift")
    parser.add_argument("--signal-metrics", type=Path, required=True, help="folder to write, AML's part")
    parser.add_argument("--report", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    try:
        names = drift.names(args.features)
        baseline, target = (drift.read(getattr(args, role), role, names) for role in ("baseline", "target"))
        features = [drift.compare(baseline.rows[name], target.rows[name], name, args.threshold) for name in names]
        write_signal(args.signal_metrics, features)
        report = {
            "baseline": baseline.facts(),
            "target": target.facts(),
            "threshold": args.threshold,
            "metric": drift.METRIC,
            "features": [feature.facts() for feature in features],
        }
        args.report.mkdir(parents=True, exist_ok=True)
        (args.report / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    except (OSError, drift.DataError) as error:
        print(f"drift: {error}", file=sys.stderr)
        return 1
    for feature in features:
        print(f"drift: {feature.name} {feature.value:.3f}" + (f", above {args.threshold}" if feature.breached else ""))
    return 0


def share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise ValueError(text)
    return number


def write_signal(folder: Path, features: Sequence[drift.Feature]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "signal.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["group", "metric_name", "metric_value", "threshold_value"])
        writer.writerows([feature.name, drift.METRIC, feature.value, feature.threshold] for feature in features)
    (folder / "MLTable").write_text(MLTABLE, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
