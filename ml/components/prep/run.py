"""The prep step: arguments, files in and out; `prep.py` has the rest."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pandas as pd
import prep


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", type=Path, required=True, help="the batch's raw folder")
    parser.add_argument("--manifest", type=Path, required=True, help="the reaction's manifest, JSON")
    parser.add_argument("--reaction-id", required=True)
    parser.add_argument("--attempt", required=True)
    parser.add_argument("--bronze", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    try:
        manifest = read_manifest(args.manifest)
        prepared = prep.read(args.raw, manifest)
        lineage = {
            "reaction_id": args.reaction_id,
            "attempt": args.attempt,
            "manifest": {key: manifest.get(key) for key in ("reaction_id", "rule", "key", "count")},
            "rows": len(prepared),
        }
        write(args.bronze, prepared, lineage)
    except (OSError, prep.DataError) as error:
        print(f"prep: {error}", file=sys.stderr)
        return 1
    print(f"prep: {len(prepared)} rows to {args.bronze}")
    return 0


def read_manifest(file: Path) -> dict[str, object]:
    try:
        manifest = json.loads(file.read_bytes())
    except ValueError as error:
        raise prep.DataError(f"manifest: not JSON ({error}). Hand over the manifest of the reaction.") from error
    if not isinstance(manifest, dict):
        raise prep.DataError("manifest: not a JSON object. Hand over the manifest of the reaction.")
    return manifest


def write(bronze: Path, prepared: pd.DataFrame, lineage: dict[str, object]) -> None:
    bronze.mkdir(parents=True, exist_ok=True)
    prepared.to_csv(bronze / "diabetes.csv", index=False, lineterminator="\n")
    if "PatientID" in prepared.columns:
        prep.highest_bmi(prepared).to_csv(bronze / "diabetes_sql_example.csv", index=False, lineterminator="\n")
    (bronze / "_lineage.json").write_text(json.dumps(lineage, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
