"""What the soak does: how many files, into which lanes, how much goes wrong meanwhile."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.processes.fleet import pipeline

PERMITS: Final = 3
_RULES: Final = f"""\
version: 1
resources: {{pool: {PERMITS}}}
reactions:
  gathered:
    when: {{file-landed: {{path: "lake/gathered/{{batch}}/*.csv"}}}}
    collect: {{by: "{{batch}}", quiet: QUIETs, max-wait: LONGESTs}}
    run-pipeline: gathered
    with: {{batch: "{{batch}}", files: "{{manifest}}"}}
    limits: {{start-rate: unlimited}}
  audit:
    when: {{file-landed: {{path: "lake/gathered/{{batch}}/*.csv"}}}}
    collect: {{quiet: QUIETs, max-wait: LONGESTs}}
    run-pipeline: audit
    with: {{batch: all, files: "{{manifest}}"}}
    limits: {{start-rate: unlimited}}
  prompt:
    when: {{file-landed: {{path: "lake/prompt/{{batch}}/*.csv"}}}}
    collect: {{by: "{{batch}}"}}
    run-pipeline: prompt
    with: {{batch: "{{batch}}", files: "{{manifest}}"}}
    limits: {{start-rate: unlimited}}
  pool:
    when: {{file-landed: {{path: "lake/pool/{{batch}}/*.csv"}}}}
    collect: {{by: "{{batch}}"}}
    run-pipeline: pool
    with: {{batch: "{{batch}}", files: "{{manifest}}"}}
    limits: {{start-rate: unlimited, resources: [pool]}}
  skipping:
    when: {{file-landed: {{path: "lake/skipping/{{batch}}/*.csv"}}}}
    collect: {{by: "{{batch}}"}}
    run-pipeline: skipping
    with: {{batch: "{{batch}}", files: "{{manifest}}"}}
    limits: {{start-rate: unlimited, while-running: skip}}
"""
FOLDERS: Final = {
    "gathered": ("gathered", "audit"),
    "prompt": ("prompt",),
    "pool": ("pool",),
    "skipping": ("skipping",),
}
"""Which rules match the files below a folder of the lake."""
SKIPPING: Final = "skipping"
"""The one rule that skips what comes while it runs."""
SHARES: Final = {"gathered": 0.75, "prompt": 0.10, "pool": 0.10, "skipping": 0.05}
MANY_LANES: Final = {"gathered": 6, "prompt": 4, "pool": 6, "skipping": 2}
"""Batch folders below each of them."""
FEW_LANES: Final = {"gathered": 2, "prompt": 2, "pool": 5, "skipping": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One soak.

    Attributes:
        files: written into the lake in all, in so many `bursts`.
        lanes: how many batch folders there are below each folder of the lake.
        processes: app processes at a time.
        duplicates: the share of the events that are delivered once more, though they were acknowledged.
        lost_answers: the share of deliveries whose acknowledgement never arrives.
        kill_every, sweep_every, fault_every: seconds between two of them.
        healthy_starts: so many have to be accepted between two faults of the factory; after one that is not accepted
            the app leaves it alone for 30 s.
        kills: so many there are at least, and `kills_at_most` where that is given.
        quiet: seconds without a further file after which a batch is closed. Each process wakes a lane about that often.
        outage, outage_every: seconds for which the tables answer 503 to everything, and from one such time to the next.
        hangs: whether a fault may be a call that is never answered: it costs the app ten seconds.
        speed, head_start: of the app's clock (tests/processes/app_process.py).
        deadline: seconds in all; what is not done by then is reported as missing.
        say_every: seconds between two lines of progress.
    """

    files: int
    bursts: int
    lanes: Mapping[str, int]
    seed: int
    processes: int
    kill_every: float
    kills: int
    fault_every: float
    healthy_starts: int
    sweep_every: float
    quiet: float
    deadline: float
    kills_at_most: int | None = None
    outage: float = 4.0
    outage_every: float = 30.0
    hangs: bool = True
    speed: float = 1.0
    head_start: float = 0.0
    duplicates: float = 0.2
    lost_answers: float = 0.01
    say_every: float = 5.0

    @property
    def rules(self) -> str:
        """The rules file; its windows are as long on the machine's clock as `quiet` says, and three times as long."""
        quiet, longest = round(self.quiet * self.speed), round(3 * self.quiet * self.speed)
        return _RULES.replace("QUIET", str(quiet)).replace("LONGEST", str(longest))

    def paths(self, dice: random.Random) -> list[list[str]]:
        """The files of each burst, in the order in which they are written."""
        kinds = dice.choices(list(SHARES), list(SHARES.values()), k=self.files)
        paths = [f"{kind}/b{dice.randrange(self.lanes[kind])}/{number:05}.csv" for number, kind in enumerate(kinds)]
        size = -(-self.files // self.bursts)
        return [paths[begin : begin + size] for begin in range(0, self.files, size)]


def full(seed: int, files: int = 10_000) -> Plan:
    """`make test-soak`: in real time. The sweep, every five minutes in Azure, comes every fifteen seconds."""
    return Plan(
        files=files,
        bursts=10,
        lanes=MANY_LANES,
        seed=seed,
        processes=4,
        kill_every=5.0,
        kills=20,
        fault_every=0.5,
        healthy_starts=15,
        sweep_every=15.0,
        quiet=20.0,
        deadline=2400.0,
    )


def small(seed: int) -> Plan:
    """For `make test`: the waits after a kill (30 s until an intent may be doubted, 120 s until a start is sent once
    more) pass four times as fast."""
    return Plan(
        files=200,
        bursts=2,
        lanes=FEW_LANES,
        seed=seed,
        processes=2,
        kill_every=2.0,
        kills=2,
        kills_at_most=2,
        fault_every=0.5,
        healthy_starts=8,
        sweep_every=4.0,
        outage=3.0,
        outage_every=7.0,
        quiet=4.0,
        deadline=180.0,
        hangs=False,
        speed=4.0,
        head_start=280.0,
    )


def pipelines() -> list[dict[str, Any]]:
    return [pipeline(rule) for matching in FOLDERS.values() for rule in matching]


def rules_of(path: str) -> tuple[str, ...]:
    """The rules that match a file."""
    return FOLDERS[path.partition("/")[0]]
