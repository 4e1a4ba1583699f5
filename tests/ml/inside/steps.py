"""The components' modules, importable only where pandas and scikit-learn are."""
# ruff: noqa: E402, F401

from __future__ import annotations

import importlib.util
import io
import os
import sys
from contextlib import redirect_stderr
from pathlib import Path
from types import ModuleType

ML = Path(__file__).resolve().parents[3] / "ml"
COMPONENTS = ML / "components"
sys.path[:0] = [str(file.parent) for file in sorted(COMPONENTS.glob("*/run.py"))]
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import drift
import evaluate
import prep
import register
import score
import split
import train


def module(name: str, file: Path) -> ModuleType:
    """A module under a name of our own: every step's `run.py` has the same, and so have two scoring scripts."""
    spec = importlib.util.spec_from_file_location(name, file)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


serving = module("serving", ML / "serving" / "score.py")


def main(step: str, *arguments: str) -> tuple[int, str]:
    """Run a step's `run.py` in this process: its exit code, and what it wrote to standard error."""
    run = module(f"run_{step}", COMPONENTS / step / "run.py")
    with redirect_stderr(io.StringIO()) as stderr:
        try:
            code = run.main(list(arguments))
        except SystemExit as usage:
            code = usage.code
    return code, stderr.getvalue()
