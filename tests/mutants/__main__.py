"""`python -m tests.mutants [word …]`: plants each fault in a copy of the tree; the tests must notice every one.

With words: only those whose name has all of them. The exit code is 1 if a fault survives, or does not fit any more.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.mutants.table import MUTANTS, ROOT, Mutant

REPORT: Final = ROOT / ".relearn" / "mutants.json"
ALL_UNIT_TESTS: Final = ("tests/unit", "--ignore=tests/unit/test_mutants.py")
"""Without the one that says that a fault does not fit, once it is planted."""
LONGEST: Final = 600.0
"""Seconds for the tests of one fault. One that makes them hang is not noticed by them."""
AT_ONCE: Final = 2
_NOTICED: Final = re.compile(r"^FAILED (\S+)", re.MULTILINE)
_LEFT_OUT: Final = shutil.ignore_patterns(".relearn", ".git", "__pycache__", "node_modules", ".hypothesis", ".*_cache")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`caught_by`: the first test that failed; None where none did. `expected`: it is in one of the files named."""

    name: str
    breaks: int
    file: str
    caught_by: str | None
    expected: bool
    seconds: float
    told: str = ""

    def line(self) -> str:
        if self.caught_by is None:
            return f"SURVIVED  {self.name} ({self.file}, {self.seconds:.0f} s) {self.told}"
        beside = "" if self.expected else ", by none of the tests named"
        return f"caught    {self.name}: {self.caught_by} ({self.seconds:.0f} s{beside})"


def main(words: Sequence[str]) -> int:
    chosen = [mutant for mutant in MUTANTS if all(word in mutant.name for word in words)]
    misfits = [misfit for mutant in chosen if (misfit := mutant.misfit()) is not None]
    if misfits or not chosen:
        print("\n".join(misfits or ["no fault has such a name"]))
        return 1
    named = sorted({test for mutant in chosen for test in mutant.tests})
    print(f"{len(chosen)} faults; first without any: {' '.join(named)}", flush=True)
    with _copy() as folder:
        found = _tests(Path(folder), named)
    if found.returncode:
        print(f"{found.stdout[-3000:]}\nThe tests fail without a fault.")
        return 1
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = []
        for tried in as_completed([pool.submit(_try, mutant) for mutant in chosen]):
            outcomes.append(tried.result())
            print(outcomes[-1].line(), flush=True)
    survived = [outcome.name for outcome in outcomes if outcome.caught_by is None]
    if not words:
        report = {"mutants": len(outcomes), "survived": survived, "outcomes": [asdict(each) for each in outcomes]}
        REPORT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"{len(outcomes) - len(survived)} of {len(outcomes)} faults were caught")
    return 1 if survived else 0


def _try(mutant: Mutant) -> Outcome:
    began = time.monotonic()
    with _copy() as folder:
        mutant.plant(Path(folder))
        for tests in (mutant.tests, ALL_UNIT_TESTS):
            try:
                found = _tests(Path(folder), tests)
            except subprocess.TimeoutExpired:
                return _outcome(mutant, None, began, told=f"the tests took longer than {LONGEST:.0f} s")
            noticed = _NOTICED.search(found.stdout)
            if noticed is not None:
                return _outcome(mutant, noticed[1], began, expected=tests is mutant.tests)
            if found.returncode:  # it was not even read: that is no test's merit
                return _outcome(mutant, None, began, told=found.stdout[-1000:])
    return _outcome(mutant, None, began)


def _outcome(mutant: Mutant, caught_by: str | None, began: float, *, expected: bool = False, told: str = "") -> Outcome:
    return Outcome(
        name=mutant.name,
        breaks=mutant.breaks,
        file=mutant.file,
        caught_by=caught_by,
        expected=expected,
        seconds=round(time.monotonic() - began, 1),
        told=told,
    )


def _copy() -> tempfile.TemporaryDirectory[str]:
    """The tree as it is, in a folder of its own, with the tools that are installed."""
    folder = tempfile.TemporaryDirectory(prefix="relearn-mutant-")
    shutil.copytree(ROOT, folder.name, ignore=_LEFT_OUT, dirs_exist_ok=True)
    (Path(folder.name) / ".relearn").symlink_to((ROOT / ".relearn").resolve())
    return folder


def _tests(folder: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "--show-capture=no", *tests]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PROMISES_SHRINK": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONGEST,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
