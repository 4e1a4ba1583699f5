"""`python -m tests`: every test, in two processes, each with a local cloud of its own, on two cores.

Both are given the same arguments. The exit code is that of the first of them that failed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BESIDE = (
    "tests/benchmarks",
    "tests/crashes",
    "tests/end_to_end",
    "tests/faults",
    "tests/language",
    "tests/ml",
    "tests/processes",
    "tests/promises",
    "tests/soak",
    "tests/unit",
)
"""What takes as long as all the rest."""


def main(arguments: Sequence[str]) -> int:
    command = [sys.executable, "-m", "pytest", *arguments]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as told:
        with subprocess.Popen([*command, *BESIDE], cwd=ROOT, stdout=told, stderr=subprocess.STDOUT) as beside:
            left_out = [f"--ignore={each}" for each in BESIDE]
            first = subprocess.run([*command, *left_out], cwd=ROOT, check=False).returncode
            second = beside.wait()
        told.seek(0)
        print(f"\nand beside it {', '.join(BESIDE)}:\n{told.read()}", end="", flush=True)
    return first or second


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
