"""`make bench`: measures everything, shows it beside the budgets, and writes .relearn/bench.json.

`python -m benchmarks --only intake --only starts` measures some groups and leaves the file's other figures as they
are; `--quick` measures less of everything, within a few minutes, which says whether it works and little else.
A figure over its budget is marked, and is no failure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from benchmarks import bursts, comparison, counted, growth, idle, imports, intake, starts, table
from benchmarks.scale import FULL, QUICK, Scale
from benchmarks.site import ROOT, Site, new_site
from local.bootstrap import AZURITE_VERSION

RESULT: Final = ROOT / ".relearn" / "bench.json"
GROUPS: Final[Mapping[str, Callable[[Site, Scale], dict[str, Any]]]] = {
    "idle": idle.measure,  # first, while nothing else has been done
    "imports": imports.measure,
    "intake": intake.measure,
    "starts": starts.measure,
    "calls": counted.measure,
    "bursts": bursts.measure,
    "growth": growth.measure,
    "comparison": comparison.measure,
}


class Sites(Protocol):
    def __call__(self, *, access_log: bool) -> AbstractContextManager[Site]: ...


def main(arguments: Sequence[str], sites: Sites = new_site) -> int:
    """`sites`: where local clouds come from."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=sorted(GROUPS), help="this group of figures; may be repeated"
    )
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--out", type=Path, default=RESULT, help="the file to write")
    asked = parser.parse_args(arguments)
    began = time.monotonic()
    found = _known(asked.out) if asked.only else {}
    for name in asked.only or GROUPS:
        found = merged(found, measured(name, QUICK if asked.quick else FULL, sites))
        found["machine"] = {**machine(), "quick": asked.quick, "took_s": round(time.monotonic() - began)}
        table.write(asked.out, found)  # each time: what was measured stays, should the next group fail
    print("", *table.lines(found), sep="\n")
    print(f"\nIt took {time.monotonic() - began:.0f} s. The figures: {asked.out}")
    return 0


def measured(name: str, scale: Scale, sites: Sites) -> dict[str, Any]:
    """The figures of a group, on a local cloud of its own: what one has left behind does not slow down another."""
    print(f"{datetime.now(UTC):%H:%M:%S} {name} …", flush=True)
    began = time.monotonic()
    with sites(access_log=name == "idle") as site:
        found = GROUPS[name](site, scale)
    print(f"{datetime.now(UTC):%H:%M:%S} {name}: {time.monotonic() - began:.0f} s", flush=True)
    return found


def machine() -> dict[str, Any]:
    """On what it was measured, and how busy that was at the end."""
    return {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "azurite": AZURITE_VERSION,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load": [round(each, 2) for each in os.getloadavg()],
    }


def _known(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def merged(found: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Two groups have something to tell about growth."""
    both = {**found, **more}
    if found.get("growth") and more.get("growth"):
        both["growth"] = {**found["growth"], **more["growth"]}
    return both


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
