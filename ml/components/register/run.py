"""The register step: arguments, files in and out; `register.py` has the rest."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import register
from azure.core.exceptions import AzureError


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder the split step wrote")
    parser.add_argument("--metrics", type=Path, required=True, help="folder the evaluate step wrote")
    parser.add_argument("--model", type=Path, required=True, help="folder the train step wrote")
    parser.add_argument("--model-uri", required=True, help="where that folder is in a datastore")
    parser.add_argument("--model-name", required=True, help="its name in the registry")
    parser.add_argument("--algorithm", required=True)
    parser.add_argument("--regularisation", type=float, required=True)
    parser.add_argument("--report", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    try:
        register.require_model(args.model)
        lineage, metrics = read(args.data / "_lineage.json"), read(args.metrics / "metrics.json")
        job = register.setting(os.environ, register.JOB)
        version, new = register.register(
            register.connect(os.environ),
            name=args.model_name,
            uri=args.model_uri,
            tags=register.tags(lineage, job),
            properties=register.properties(lineage, metrics, args.algorithm, args.regularisation),
        )
        model = {"name": args.model_name, "version": version, "uri": args.model_uri}
        write(args.report, metrics, {**lineage, "job": job, "model": model})
    except (OSError, register.DataError, AzureError) as error:
        print(f"register: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    print(f"register: {args.model_name} {version}" + ("" if new else ", which this job had registered before"))
    return 0


def read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise register.DataError(f"{file}: not JSON ({error}). Run the step that writes it again.") from error
    return dict(content)


def write(report: Path, metrics: dict[str, Any], lineage: dict[str, Any]) -> None:
    report.mkdir(parents=True, exist_ok=True)
    for name, content in (("metrics.json", metrics), ("_lineage.json", lineage)):
        (report / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
