"""The product in several processes on one ledger, with a factory, a workspace and a queue, in a time of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from shared.acts import Request
from shared.cancelling import Cancelling
from shared.controls import Pause
from shared.engine import Engine
from shared.errors import NotPossible, NotThere, RelearnError, Stale, StorageUnavailable
from shared.events import FileLanded, event_key
from shared.intake import Intake
from shared.lanes import lane_id
from shared.looks import Scheduler
from shared.memory import DEFAULT_RETENTION, Remembered
from shared.models import ATTEMPT_TAG, REACTION_TAG
from shared.ports import Component, Due, RunStatus
from shared.reactions import Reaction, reaction_id
from shared.retention import Retention
from shared.rules import Rules
from shared.upkeep import Upkeep
from tests.fakes import T0, FakeClock, FakeFactory, FakeLake, FakeNotifier, FakeWorkspace, delivery
from tests.promises.calls import Calls, Died, Process, Turns, Watched
from tests.promises.ledgers import Ledger
from tests.promises.rules import RulesText
from tests.world import rules_of

SWEEP: Final = timedelta(minutes=5)
HIDDEN: Final = timedelta(seconds=30)
"""After a failed look its message can be seen again: the visibility timeout of host.json."""
DEQUEUES: Final = 5
"""So often the host tries a message: maxDequeueCount of host.json."""
_TRAIN: Final = Component(
    id="/workspaces/mlw/components/train/versions/1",
    pipeline=True,
    inputs={"batch": "string", "files": "uri_file", "reaction_id": "string", "attempt": "string"},
    required=frozenset({"batch", "reaction_id"}),
)


@dataclass
class Message:
    """A wake-up on its way."""

    key: str
    visible: datetime
    dequeued: int = 0


@dataclass(frozen=True)
class Started:
    """A start that arrived at a target, and what the ledger said at that moment."""

    target: str
    stamp: tuple[str, str]
    at: datetime
    saved: Reaction | None
    running: int
    """Runs of the same reaction that were going on."""


@dataclass
class SkewedClock:
    """The clock of one process."""

    true: FakeClock
    ahead: timedelta

    def now(self) -> datetime:
        return self.true.now() + self.ahead


class Worker:
    """One process of the app: what it keeps in memory, and the ports as it has them."""

    def __init__(self, world: World, process: Process, ahead: timedelta) -> None:
        self.process, self.rules = process, world.rules
        ledger = world.ledger
        ports: dict[str, Any] = {
            name: Watched(port, name, world.calls, process)
            for name, port in {
                "lanes": ledger.lanes,
                "due": ledger.due,
                "wake_ups": world.queue,
                "permits": ledger.permits,
                "controls": ledger.controls,
                "recent": ledger.recent,
                "manifests": ledger.manifests,
                "archive": ledger.archive,
                "factory": world.factory,
                "workspace": world.workspace,
                "notifier": world.notifier,
            }.items()
        }
        self.controls = ports["controls"]
        clock = SkewedClock(world.clock, ahead)
        self.scheduler = Scheduler(ports["due"], ports["wake_ups"], clock)
        self.upkeep = Upkeep(scheduler=self.scheduler, clock=clock)
        self.engine = Engine(
            rules=self.rules,
            lanes=ports["lanes"],
            recent=ports["recent"],
            manifests=ports["manifests"],
            permits=ports["permits"],
            factory=ports["factory"],
            workspace=ports["workspace"],
            lake=world.lake,
            notifier=ports["notifier"],
            clock=clock,
            scheduler=self.scheduler,
            upkeep=self.upkeep,
            controls=self.controls,
            remembered=Remembered(archive=ports["archive"], clock=clock),
        )
        forgetting = Retention(
            archive=ports["archive"],
            manifests=ports["manifests"],
            recent=ports["recent"],
            rules=self.rules,
            clock=clock,
            retention=DEFAULT_RETENTION,
            look_soon=self.engine.look_soon,
        )
        self.upkeep.add("retention", forgetting)
        self.intake = Intake(
            rules=self.rules,
            accounts=frozenset({"acc"}),
            workspace_id=None,
            lanes=ports["lanes"],
            recent=ports["recent"],
            lake=world.lake,
            clock=clock,
            scheduler=self.scheduler,
            look_now=self._look_now,
        )
        self.cancelling = Cancelling(lanes=ports["lanes"], scheduler=self.scheduler, clock=clock)

    def _look_now(self, lane: str) -> bool:
        """As InlineLooks: whatever goes wrong in the look, the delivery goes on."""
        try:
            self.engine.look_at_lane(lane)
        except (RelearnError, OSError):
            return False
        return True

    def sweep(self) -> None:
        """As functions.progress."""
        self.upkeep.make_sure()
        self.scheduler.sweep()


class SlowToShow(FakeFactory):
    """A factory that lists a run a while after it has begun."""

    lag = timedelta(0)

    def force(self, pipeline: str, parameters: dict[str, str], hidden_until: datetime = T0) -> str:
        return super().force(pipeline, parameters, max(hidden_until, self.clock.now() + self.lag))


class Queue:
    """The wake-ups' queue as the host reads it, in the time of the test. They are also really sent."""

    def __init__(self, ledger: Ledger, clock: FakeClock) -> None:
        self._ledger, self._clock = ledger, clock
        self.messages: list[Message] = []
        self.poisoned = 0

    def send(self, key: str, delay_seconds: float = 0.0) -> None:
        self._ledger.wake_ups.send(key, delay_seconds)
        self.messages.append(Message(key=key, visible=self._clock.now() + timedelta(seconds=delay_seconds)))

    def drain_poisoned(self, revive: Callable[[str], None]) -> list[str]:
        drained: list[str] = self._ledger.wake_ups.drain_poisoned(revive)
        return drained

    def visible(self) -> list[Message]:
        return [message for message in self.messages if message.visible <= self._clock.now()]

    def settle(self, message: Message, *, done: bool) -> None:
        """The look ended well; or the message comes again, until the host gives it up."""
        if done:
            self.messages.remove(message)
            return
        message.dequeued += 1
        message.visible = self._clock.now() + HIDDEN
        if message.dequeued >= DEQUEUES:
            self.give_up(message)

    def give_up(self, message: Message) -> None:
        self.messages.remove(message)
        self._ledger.poison(message.key)
        self.poisoned += 1


@dataclass
class World:
    """`accepted`: every (lane, event key) that was answered with success. `lanes`: those any event may be in."""

    text: RulesText
    ledger: Ledger
    skews: Sequence[int] = (0, 0, 0)
    clock: FakeClock = field(default_factory=FakeClock)
    accepted: dict[tuple[str, str], FileLanded] = field(default_factory=dict)
    lanes: dict[str, str] = field(default_factory=dict)
    unanswered: list[FileLanded] = field(default_factory=list)
    delivered: list[FileLanded] = field(default_factory=list)
    started: list[Started] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    modified: datetime = T0
    story: list[str] = field(default_factory=list)
    """What the processes did, and how it ended: shown where a promise is broken."""

    def __post_init__(self) -> None:
        self.texts = [self.text]
        self.rules: Rules = rules_of(self.text.to_text(), self.modified)
        self.factory = SlowToShow(self.clock)
        self.factory.pipelines["score"] = frozenset({"reaction_id", "attempt", "batch", "files"})
        self.workspace = FakeWorkspace(self.clock)
        self.workspace.components["azureml:train:1"] = _TRAIN
        self.notifier, self.lake = FakeNotifier(), FakeLake()
        self.queue = Queue(self.ledger, self.clock)
        self.calls = Calls(
            let_pass=lambda seconds: self.clock.advance(timedelta(seconds=seconds)), on_start=self._note_start
        )
        self._processes = 0
        self.workers = [self._new_worker(ahead) for ahead in self.skews]

    def _new_worker(self, ahead: int) -> Worker:
        self._processes += 1
        return Worker(self, Process(f"process {self._processes}"), timedelta(seconds=ahead))

    def replace_worker(self, index: int, ahead: int = 0) -> None:
        """Another process takes its place, with the rules of today: all that the first had in memory is gone."""
        self.workers[index].process.alive = False
        self.workers[index] = self._new_worker(ahead)

    def deploy(self, text: RulesText) -> None:
        """The rules file is another; each process that begins from now on has it."""
        self.clock.advance(timedelta(seconds=1))
        self.text, self.modified = text, self.clock.now()
        self.texts.append(text)
        self.rules = rules_of(text.to_text(), self.modified)

    # --- what the targets see -----------------------------------------------------------------------------------------

    def _note_start(self, name: str, arguments: Sequence[Any]) -> None:
        """Called as the start arrives: what the ledger says of it at that moment."""
        if name == "factory.create_run":
            stamp = (arguments[1]["reaction_id"], arguments[1]["attempt"])
        else:
            stamp = (arguments[0].tags[REACTION_TAG], arguments[0].tags[ATTEMPT_TAG])
        going = sum(stamp[0] == running for running, _ in self.running())
        saved = self.ledger.lanes.reaction(stamp[0])
        self.started.append(Started(target=name, stamp=stamp, at=self.clock.now(), saved=saved, running=going))

    def show_after(self, lag: timedelta) -> None:
        """What is started from now on is not in the targets' lists for a while."""
        self.factory.lag = self.workspace.job_lag = lag

    def running(self) -> list[tuple[str, str]]:
        """The stamps of all that goes on outside."""
        jobs = [each.wanted.tags for each in self.workspace.jobs.values() if not each.status.final]
        return [run.stamp for run in self.factory.running] + [(j[REACTION_TAG], j[ATTEMPT_TAG]) for j in jobs]

    def end_runs(self, status: RunStatus, which: int | None = None) -> None:
        """All, or one of those that go on."""
        runs, jobs = [run.id for run in self.factory.running], self.workspace.running_jobs
        chosen = [*runs, *jobs] if which is None else [*runs, *jobs][which % max(len(runs) + len(jobs), 1) :][:1]
        for name in chosen:
            if name in runs:
                self.factory.end(name, status, "it broke" if status is RunStatus.FAILED else "")
            else:
                self.workspace.end_job(name, status)

    # --- what happens -------------------------------------------------------------------------------------------------

    def act(self, index: int, name: str, what: Callable[[Worker], object]) -> bool:
        """One process does something. False if it broke off: by its death, or because a port could not do its part."""
        worker, began = self.workers[index], f"{self.clock.now():%d. %H:%M:%S}"
        ended = "done"
        try:
            what(worker)
        except Died:
            ended = "died"
            self.replace_worker(index)
        except (StorageUnavailable, Stale) as error:
            ended = f"broken off: {error}"
            self.counts["broken off"] += 1
        self.story.append(f"{began} {worker.process.name}: {name}: {ended}")
        return ended == "done"

    def deliver(self, index: int, event: FileLanded) -> None:
        """Event Grid delivers; what is not answered with success comes again."""
        self.delivered.append(event)
        for rule, match in [pair for worker in self.workers for pair in worker.rules.match(event)]:
            self.lanes[lane_id(rule.name, match.key)] = rule.name
        rules = self.workers[index].rules
        if not self.act(
            index, f"takes {event.path} {event.etag}", lambda worker: worker.intake.receive(delivery(event))
        ):
            self.unanswered.append(event)
            return
        for rule, match in rules.match(event):
            self.accepted[lane_id(rule.name, match.key), event_key(event)] = event

    def look(self, index: int, message: Message, *, twice: bool = False) -> None:
        """The host hands over a message. `twice`: it will hand it over once more, although the look went well."""
        done = self.act(index, f"looks at {message.key}", lambda worker: worker.engine.look(message.key))
        if message in self.queue.messages and not (done and twice):
            self.queue.settle(message, done=done)

    def sweep(self, index: int) -> bool:
        return self.act(index, "sweeps", Worker.sweep)

    def pause(self, index: int, rule: str | None) -> None:
        pause = Pause(by="ann", at=self.clock.now(), reason="a while")
        self.act(index, f"stops {rule or 'all'}", lambda worker: worker.controls.pause(rule, pause))

    def resume(self, index: int, rule: str | None) -> bool:
        def resume(worker: Worker) -> None:
            worker.controls.resume(rule)
            worker.upkeep.make_due("resume")

        return self.act(index, f"lets {rule or 'all'} go on", resume)

    def cancel(self, index: int, reaction: str) -> None:
        def cancel(worker: Worker) -> None:
            try:
                worker.cancelling.cancel(reaction, Request(id=f"r{self.calls.number}", by="ann", reason="enough"))
            except (NotPossible, NotThere):
                self.counts["too late to cancel"] += 1

        self.act(index, f"cancels {reaction}", cancel)

    def at_once(self, acts: Sequence[tuple[int, Callable[[], None]]], order: Sequence[int]) -> None:
        """Several processes act, and which goes on next is decided before each of their calls."""
        turns = self.calls.turns = Turns(order)
        try:
            turns.run([(self.workers[index].process, act) for index, act in acts])
        finally:
            self.calls.turns = None
        self.counts["switches between processes"] += turns.switches

    # --- what can be seen ---------------------------------------------------------------------------------------------

    def reactions(self) -> list[Reaction]:
        found = []
        for lane in self.lanes:
            head = self.ledger.lanes.read(lane).head
            numbers = range(1, head.seq + 1) if head is not None else ()
            found += [self.ledger.lanes.reaction(reaction_id(lane, number)) for number in numbers]
        return [reaction for reaction in found if reaction is not None]

    def due(self) -> list[Due]:
        """What is to be looked at, without the chores, which never end."""
        rows = self.ledger.due.due(self.clock.now() + timedelta(days=40))
        return [row for row in rows if not row.key.startswith("upkeep:")]
