"""The product on fakes: events go in at the door, and time is the test's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from shared.engine import Engine
from shared.errors import StorageUnavailable
from shared.events import DriftDetected, FileLanded, ModelRegistered
from shared.intake import Intake
from shared.looks import Scheduler
from shared.memory import DEFAULT_RETENTION, Remembered
from shared.queries import Queries
from shared.reactions import Reaction
from shared.retention import Retention
from shared.rules import Rules
from shared.rules import file as rules_file
from shared.upkeep import Upkeep
from tests.fakes import (
    T0,
    WORKSPACE,
    FakeArchive,
    FakeClock,
    FakeControls,
    FakeDueTable,
    FakeFactory,
    FakeLake,
    FakeLanes,
    FakeManifests,
    FakeNotifier,
    FakePermits,
    FakeRecent,
    FakeWakeUps,
    FakeWorkspace,
    Storage,
    delivery,
)

ROOT = Path(__file__).resolve().parents[1]
RULES = """\
version: 1
reactions:
  score:
    when: {file-landed: {path: "lake/in/{batch}/*.csv"}}
    collect: {by: "{batch}"}
    run-pipeline: score
    with: {batch: "{batch}"}
"""
DECLARED = frozenset({"reaction_id", "attempt", "batch", "files"})


def rules_of(text: str, modified: datetime = T0) -> Rules:
    return rules_file.load(text, file="reactions.yaml", settings={}, modified=modified, folder=ROOT)


class Died(BaseException):
    """The process is gone: nothing after this call happens in it."""


@dataclass
class World:
    rules: str = RULES
    clock: FakeClock = field(default_factory=FakeClock)
    storage: Storage = field(default_factory=Storage)
    inline: bool = True
    topic: bool = True
    retention: timedelta = DEFAULT_RETENTION

    def __post_init__(self) -> None:
        self.lanes = FakeLanes(self.storage)
        self.due = FakeDueTable(self.storage)
        self.wake_ups = FakeWakeUps(self.storage)
        self.permits = FakePermits(self.storage)
        self.controls = FakeControls(self.storage)
        self.recent = FakeRecent(self.storage)
        self.manifests = FakeManifests(self.storage)
        self.archive = FakeArchive(self.lanes)
        self.lake = FakeLake()
        self.factory = FakeFactory(self.clock, self.storage)
        self.factory.pipelines["score"] = DECLARED
        self.workspace = FakeWorkspace(self.clock, self.storage)
        self.notifier = FakeNotifier(self.storage)
        self.modified = T0
        self.restart()

    def restart(self, rules: str | None = None, modified: datetime | None = None) -> None:
        """A new process: everything in memory is gone, the tables and the factory are as they were."""
        self.rules, self.modified = rules or self.rules, modified or self.modified
        loaded = rules_of(self.rules, self.modified)
        self.scheduler = Scheduler(self.due, self.wake_ups, self.clock)
        self.upkeep = Upkeep(scheduler=self.scheduler, clock=self.clock)
        self.forgetting = Retention(
            archive=self.archive,
            manifests=self.manifests,
            recent=self.recent,
            rules=loaded,
            clock=self.clock,
            retention=self.retention,
            look_soon=self._look_soon,
        )
        self.engine = Engine(
            rules=loaded,
            lanes=self.lanes,
            permits=self.permits,
            recent=self.recent,
            manifests=self.manifests,
            factory=self.factory,
            workspace=self.workspace,
            lake=self.lake,
            notifier=self.notifier if self.topic else None,
            clock=self.clock,
            scheduler=self.scheduler,
            upkeep=self.upkeep,
            controls=self.controls,
            remembered=Remembered(archive=self.archive, clock=self.clock, retention=self.retention),
        )
        self.intake = Intake(
            rules=loaded,
            accounts=frozenset({"acc"}),
            workspace_id=None,
            lanes=self.lanes,
            recent=self.recent,
            lake=self.lake,
            clock=self.clock,
            scheduler=self.scheduler,
            look_now=self._look_now if self.inline else lambda _lane: False,
        )
        self.queries = Queries(
            lanes=self.lanes,
            recent=self.recent,
            workspace=self.workspace,
            rules=loaded,
            factory_id="/factories/adf",
            workspace_id=WORKSPACE,
        )

    def _look_soon(self, lane: str) -> None:
        self.engine.look_soon(lane)

    def _look_now(self, lane: str) -> bool:
        self.engine.look_at_lane(lane)
        return True

    def deliver(self, *events: FileLanded | ModelRegistered | DriftDetected) -> None:
        for event in events:
            self.intake.receive(delivery(event))

    def look_when_due(self, within: timedelta = timedelta(days=2)) -> bool:
        """Performs the earliest due look, at its time. False if nothing is due in that time."""
        rows = sorted((d for d in self.due.rows.values() if d.at <= self.clock.now() + within), key=lambda d: d.at)
        if not rows:
            return False
        self.clock.advance_to(rows[0].at)
        self.engine.look(rows[0].key)
        return True

    def break_call(self, calls: int, *, die: bool) -> None:
        """So many calls of the storage from now, the process dies, or the storage cannot be had."""
        at = self.storage.calls + calls

        def broken(number: int, _what: str) -> None:
            if number == at:
                raise Died if die else StorageUnavailable("down for a moment")

        self.storage.before_call = broken

    def nothing_breaks(self) -> None:
        self.storage.before_call = lambda _number, _what: None

    def survive(self, act: Callable[[], object], tries: int = 5) -> None:
        """A delivery that is not acknowledged comes again; a look that failed is made again."""
        for _ in range(tries):
            try:
                act()
            except Died:
                self.nothing_breaks()
                self.restart()
            except StorageUnavailable:
                self.nothing_breaks()
            else:
                return
        raise AssertionError("nothing was broken any more, and still it failed")

    def settle(self, looks: int = 200, within: timedelta = timedelta(days=2)) -> None:
        """Lets time pass, from one due look to the next, until nothing is due."""
        for _ in range(looks):
            if not self.look_when_due(within):
                return
        raise AssertionError(f"still busy after {looks} looks: {self.due.rows}")

    def reactions(self) -> list[Reaction]:
        found = [r for p in self.lanes.partitions.values() for r in p.reactions.values()]
        return sorted(found, key=lambda r: (r.created, r.id))

    def states(self) -> list[str]:
        return [str(r.state) for r in self.reactions()]

    def story(self, reaction: Reaction) -> list[str]:
        return [e.what for e in self.lanes.history(reaction.id)]
