"""`python -m tests`: every test, in three processes, each with a local cloud of its own: two cores, and a third that waits.

All are given the same arguments. The exit code is that of the first of them that failed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BESIDE = (
    ("tests/crashes", "tests/faults", "tests/language", "tests/soak", "tests/unit"),
    (
        "tests/benchmarks",
        "tests/end_to_end",
        "tests/infra",
        "tests/local",
        "tests/ml",
        "tests/processes",
        "tests/promises",
    ),
)
"""Each takes about as long as all the rest."""


def main(arguments: Sequence[str]) -> int:
    command = [sys.executable, "-m", "pytest", *arguments]
    left_out = [f"--ignore={each}" for part in BESIDE for each in part]
    with ExitStack() as stack:
        parts = []
        for part in BESIDE:
            told = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8"))
            process = subprocess.Popen([*command, *part], cwd=ROOT, stdout=told, stderr=subprocess.STDOUT)
            parts.append((part, stack.enter_context(process), told))
        codes = [subprocess.run([*command, *left_out], cwd=ROOT, check=False).returncode]
        for part, process, told in parts:
            codes.append(process.wait())
            told.seek(0)
            print(f"\nand beside it {', '.join(part)}:\n{told.read()}", end="", flush=True)
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
