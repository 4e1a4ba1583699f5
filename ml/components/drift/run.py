"""The drift step: arguments, files in and out; `drift.py` has the rest."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import drift
from azure.core.exceptions import AzureError

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
    parser.add_argument("--newest-report", help="https address of a blob that gets the report, too")
    args = parser.parse_args(argv)
    try:
        names = drift.names(args.features)
        baseline, target = (drift.read(getattr(args, role), role, names) for role in ("baseline", "target"))
        features = [drift.compare(baseline.rows[name], target.rows[name], name, args.threshold) for name in names]
        write_signal(args.signal_metrics, features)
        report = {
            "rows": len(target.rows),
            "missing_share": target.missing_share,
            "baseline": baseline.facts(),
            "target": target.facts(),
            "threshold": args.threshold,
            "metric": drift.METRIC,
            "features": [feature.facts() for feature in features],
        }
        text = json.dumps(report, indent=2) + "\n"
        args.report.mkdir(parents=True, exist_ok=True)
        (args.report / "report.json").write_text(text, encoding="utf-8")
        if args.newest_report:
            upload(args.newest_report, text)
    except (OSError, ValueError, AzureError) as error:
        print(f"drift: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    print(f"drift: {len(target.rows)} new rows, {target.missing_share:.1%} of their monitored values missing")
    for feature in features:
        print(f"drift: {feature.name} {feature.value:.3f}" + (f", above {args.threshold}" if feature.breached else ""))
    return 0


def share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise ValueError(text)
    return number


def upload(address: str, text: str) -> None:
    """Over the report before, with the job's identity.

    A monitor's schedule has no say in where the outputs of its component go, so the place that others can name is
    written here. AML names that identity in DEFAULT_IDENTITY_CLIENT_ID, a variable
    azure-identity does not look at.
    """
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415 - not needed without an address
    from azure.storage.blob import BlobClient  # noqa: PLC0415 - comes with azure-ai-ml

    client_id = os.environ.get("DEFAULT_IDENTITY_CLIENT_ID") or os.environ.get("AZURE_CLIENT_ID")
    with (
        DefaultAzureCredential(managed_identity_client_id=client_id) as credential,
        BlobClient.from_blob_url(address, credential=credential) as blob,
    ):
        blob.upload_blob(text.encode(), overwrite=True)


def write_signal(folder: Path, features: Sequence[drift.Feature]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "signal.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["group", "metric_name", "metric_value", "threshold_value"])
        writer.writerows([feature.name, drift.METRIC, feature.value, feature.threshold] for feature in features)
    (folder / "MLTable").write_text(MLTABLE, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
