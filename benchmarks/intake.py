"""How fast events are taken, beside inserts of the same rows by nobody in particular, on the same storage.

The function `receive_event` is called in one process, the benchmark's child (benchmarks/intake_load.py). Both sides
talk to Azurite itself: the gateway is an instrument, and would slow down whoever calls it more often.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any, Final

from benchmarks.scale import Scale
from benchmarks.site import ROOT, Place, Site, pipeline

FEW_THREADS: Final = 16
MANY_THREADS: Final = 64
SEGMENTS: Final = 5  # of the many lanes: a part of them, then as many bare inserts
LONGEST_SECONDS: Final = 600

RULES: Final = """\
version: 1
reactions:
  score:
    when: {file-landed: {path: "lake/in/{batch}/*.csv"}}
    collect: {by: "{batch}", quiet: 5m, max-wait: 1h}
    run-pipeline: score
    with: {batch: "{batch}", files: "{manifest}"}
    limits: {start-rate: unlimited}
"""


def measure(site: Site, scale: Scale) -> dict[str, Any]:
    """Calls a second of each side, and how the one compares with the other: the median of all rounds."""
    rounds = [_round(site, scale, number) for number in range(scale.rounds)]
    segments = _loaded(_place(site), _lanes_plan(scale))
    return {
        "intake_vs_bare_insert": _ratio([(one["intake_16"], one["bare_16"]) for one in rounds]),
        "intake_vs_bare_insert_group_commit": _ratio([(one["intake_64"], one["bare_16"]) for one in rounds]),
        "intake_10000_lanes_vs_bare_insert": _ratio([(one["intake_lanes"], one["bare_16"]) for one in segments]),
        "intake": {
            "calls_per_second": {name: _middle([one[name] for one in rounds]) for name in sorted(rounds[0])},
            "lanes_per_second": _middle([one["intake_lanes"] for one in segments]),
            "rounds": rounds,
            "lanes": scale.lanes,
            "segments": segments,
        },
    }


def _place(site: Site) -> Place:
    return site.place(RULES, pipeline("score", "batch", "files"), direct=True)


def _round(site: Site, scale: Scale, number: int) -> dict[str, float]:
    """Each in a ledger that was empty, every second time in the opposite order."""
    works = [("bare", FEW_THREADS), ("intake", FEW_THREADS), ("intake", MANY_THREADS)]
    found: dict[str, float] = {}
    for kind, threads in works if number % 2 == 0 else reversed(works):
        plan = [{"kind": kind, "threads": threads, "events": scale.events, "lanes": 1, "first": 0}]
        [told] = _loaded(_place(site), plan)
        found |= told
    return found


def _lanes_plan(scale: Scale) -> list[dict[str, Any]]:
    size = max(1, scale.lanes // SEGMENTS)
    plan: list[dict[str, Any]] = []
    for number in range(SEGMENTS):
        common = {"threads": FEW_THREADS, "events": size, "lanes": size, "first": number * size}
        pair = [{"kind": "bare", **common}, {"kind": "intake", **common}]
        plan += pair if number % 2 == 0 else pair[::-1]
    return plan


def _loaded(place: Place, plan: list[dict[str, Any]]) -> list[dict[str, float]]:
    """What the child has measured: one entry for each of the plan's, or for each pair of them."""
    command = [sys.executable, "-m", "benchmarks.intake_load"]
    done = subprocess.run(
        command,
        input=json.dumps({"lake": place.lake.name, "plan": plan}),
        env=place.environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the load ended with {done.returncode}: {done.stderr[-2000:]}")
    told: list[dict[str, float]] = json.loads(done.stdout)
    return told if len(plan) == 1 else [one | other for one, other in zip(told[::2], told[1::2], strict=True)]


def _ratio(pairs: list[tuple[float, float]]) -> float:
    return round(statistics.median(one / other for one, other in pairs), 3)


def _middle(values: list[float]) -> float:
    return round(statistics.median(values), 1)
