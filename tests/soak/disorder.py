"""What goes wrong during the soak: storage and the factory fail, processes are killed, events come twice.

Everything is drawn from seeded generators; when it happens is the machine's affair, so a seed gives the same kinds of
trouble, not the same run.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from local.event_grid import EventGrid
from local.faults import AcceptThen, Action, Asked, Drop, Hang, Status, Truncate
from local.host.client import FunctionHost
from tests.processes.evidence import Evidence
from tests.processes.fleet import Fleet, Ground
from tests.soak.plan import Plan

STORAGE_ROUTES: Final = (
    "/table/{account}/*",
    "/table/{account}/$batch*",
    "/table/{account}/lanes*",
    "/table/{account}/due*",
    "/table/{account}/permits*",
    "/queue/{account}/*",
    "/queue/{account}/wake-ups/messages*",
    "/blob/{account}/manifests/*",
)
STORAGE_FAULTS: Final[Sequence[Action]] = (
    Status(503),
    Status(503),
    Status(500),
    Drop(),
    Truncate(),
    AcceptThen(Status(503)),
    AcceptThen(Drop()),
    AcceptThen(Truncate()),
)
FACTORY_ROUTES: Final = (
    ("POST", "*/factories/{factory}/pipelines/*/createrun"),
    ("POST", "*/factories/{factory}/pipelines/*/createrun"),
    ("POST", "*/factories/{factory}/querypipelineruns"),
    ("GET", "*/factories/{factory}/pipelines/*"),
)
FACTORY_FAULTS: Final[Sequence[Action]] = (
    Status(429, headers={"Retry-After": "1"}),
    Status(429, headers={"Retry-After": "2"}),
    Status(500),
    AcceptThen(Drop()),
    AcceptThen(Drop()),
    AcceptThen(Status(500)),
)
HANGS: Final[Sequence[Action]] = (Hang(15), AcceptThen(Hang(15)))
HANG_SHARE: Final = 0.03
WAITING_FAULTS: Final = 4
FEW_WAKE_UPS: Final = 4


class Ticking:
    """Calls something every so many seconds on a thread of its own. What it raises ends it, and is kept."""

    def __init__(self, name: str, seconds: float, call: Callable[[], object]) -> None:
        self.failure: BaseException | None = None
        self._seconds = seconds
        self._call = call
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            try:
                self._call()
            except Exception as failure:  # noqa: BLE001 - whoever looks at it raises it
                self.failure = failure
                return


@dataclass
class Faulty:
    """Schedules one fault after the other, each for one request.

    Only a few wait at a time for a request that they fit, and the factory has none before some starts have gone well:
    the faults of a route that is seldom called would otherwise add up, and all its calls fail one after the other.
    """

    ground: Ground
    evidence: Evidence
    plan: Plan

    def __post_init__(self) -> None:
        self._dice = random.Random(self.plan.seed)
        self._storage = self.ground.cloud.storage.faults
        self._factory = self.ground.cloud.data_factory.faults
        self._scheduled: Counter[str] = Counter()
        self._next_at = self.plan.healthy_starts

    def __call__(self) -> None:
        if self._scheduled["storage"] - len(self._storage.fired) < WAITING_FAULTS:
            found = self._dice.choice(STORAGE_ROUTES).format(account=self.ground.account.name)
            self._storage.add(action=self._action(STORAGE_FAULTS), path=found)
            self._scheduled["storage"] += 1
        starts = len(self.evidence.starts())
        if starts >= self._next_at and self._scheduled["factory"] == len(self._factory.fired):
            self._next_at = starts + self.plan.healthy_starts
            method, path = self._dice.choice(FACTORY_ROUTES)
            found = path.format(factory=self.ground.factory_name)
            self._factory.add(action=self._action(FACTORY_FAULTS), method=method, path=found)
            self._scheduled["factory"] += 1

    def _action(self, usual: Sequence[Action]) -> Action:
        hangs = self.plan.hangs and self._dice.random() < HANG_SHARE
        return self._dice.choice(HANGS if hangs else usual)


@dataclass
class Outage:
    """For some seconds the tables answer nobody: longer than a client repeats a call, so that deliveries fail."""

    ground: Ground
    seconds: float

    def __post_init__(self) -> None:
        self._until = 0.0
        self._place = f"/table/{self.ground.account.name}/"

    def __call__(self) -> None:
        self._until = time.monotonic() + self.seconds

    def script(self, asked: Asked) -> Action | None:
        """As the gateway's faults follow it."""
        out = asked.path.startswith(self._place) and time.monotonic() < self._until
        return Status(503) if out else None


@dataclass
class Killer:
    """Kills one process after the other, by its id and without warning, and starts another in its place."""

    fleet: Fleet
    seed: int
    at_most: int | None
    pids: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    def __call__(self) -> None:
        if self.at_most is not None and len(self.pids) >= self.at_most:
            return
        host = self._dice.choice(self.fleet.hosts)
        self.pids.append(host.pid)
        host.kill()
        host.start()


@dataclass
class Repeater:
    """Delivers a share of the acknowledged events once more: half of them at once, half of them much later."""

    grid: EventGrid
    topic: str
    share: float
    seed: int

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._seen: set[str] = set()
        self._later: list[str] = []

    def __call__(self) -> None:
        for attempt in self.grid.deliveries:
            if attempt.topic.lower() == self.topic.lower() and attempt.status == 202:
                self._consider(attempt.event_id)

    def _consider(self, event_id: str) -> None:
        if event_id in self._seen:
            return
        self._seen.add(event_id)
        if self._dice.random() < self.share:
            if self._dice.random() < 0.5:
                self.grid.redeliver(event_id)
            else:
                self._later.append(event_id)

    def the_late_ones(self) -> None:
        late, self._later = self._later, []
        self._dice.shuffle(late)
        for event_id in late:
            self.grid.redeliver(event_id)


@dataclass
class Sweeper:
    """The timer of the sweep, quicker than in Azure; any process that is up may be the one.

    Not while wake-ups lie there: a sweep wakes all that is overdue once more, and every few seconds that would be more
    than a busy machine gets done.
    """

    fleet: Fleet
    evidence: Evidence
    seed: int

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    def __call__(self) -> None:
        if self.evidence.wake_ups() < FEW_WAKE_UPS:
            hosts: list[FunctionHost] = self._dice.sample(self.fleet.hosts, len(self.fleet.hosts))
            any(self.fleet.sweep(host) for host in hosts)
