"""How fast events are taken, beside inserts of the same rows by nobody in particular, on the same storage.

The function `receive_event` is called in one process, the benchmark's child (benchmarks/intake_load.py). Both sides
talk to Azurite itself: the gateway is an instrument, and would slow down whoever calls it more often.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

from benchmarks.scale import Scale
from benchmarks.site import ROOT, Site, pipeline

FEW_THREADS: Final = 16
MANY_THREADS: Final = 64
SEGMENTS: Final = 5  # of the many lanes: a part of them, then as many bare inserts
LONGEST_SECONDS: Final = 600

Work = dict[str, Any]
"""What the child is asked to do, as JSON."""

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
    per_round = [_round(site, scale, number) for number in range(scale.rounds)]
    lanes = _lanes(site, scale)
    told = iter(_loaded(site, [*itertools.chain(*per_round), *itertools.chain(*lanes)]))
    rounds, segments = ([_together(told, len(works)) for works in parts] for parts in (per_round, lanes))
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


def _round(site: Site, scale: Scale, number: int) -> list[Work]:
    """Each in a ledger that is empty, every second time in the opposite order."""
    works = [
        {**_somewhere(site), "kind": kind, "threads": threads, "events": scale.events, "lanes": 1, "first": 0}
        for kind, threads in (("bare", FEW_THREADS), ("intake", FEW_THREADS), ("intake", MANY_THREADS))
    ]
    return works if number % 2 == 0 else works[::-1]


def _lanes(site: Site, scale: Scale) -> list[list[Work]]:
    """All in one ledger, which fills."""
    size, somewhere = max(1, scale.lanes // SEGMENTS), _somewhere(site)
    pairs: list[list[Work]] = []
    for number in range(SEGMENTS):
        common = {**somewhere, "threads": FEW_THREADS, "events": size, "lanes": size, "first": number * size}
        pair = [{"kind": "bare", **common}, {"kind": "intake", **common}]
        pairs.append(pair if number % 2 == 0 else pair[::-1])
    return pairs


def _somewhere(site: Site) -> Work:
    place = site.place(RULES, pipeline("score", "batch", "files"), direct=True)
    return {"settings": place.settings(), "lake": place.lake.name}


def _together(told: Iterator[dict[str, float]], count: int) -> dict[str, float]:
    return {name: rate for one in itertools.islice(told, count) for name, rate in one.items()}


def _loaded(site: Site, plan: list[Work]) -> list[dict[str, float]]:
    """What the child has measured, in the plan's order."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.intake_load"],
        input=json.dumps(plan),
        env={**site.cloud.child_environment(), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the load ended with {done.returncode}: {done.stderr[-2000:]}")
    told: list[dict[str, float]] = json.loads(done.stdout)
    return told


def _ratio(pairs: list[tuple[float, float]]) -> float:
    return round(statistics.median(one / other for one, other in pairs), 3)


def _middle(values: list[float]) -> float:
    return round(statistics.median(values), 1)
