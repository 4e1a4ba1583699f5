"""One story, played to its end whatever process dies at whichever moment of its calls.

A story is played once by a process that lives, which counts its N calls. Then it is played anew for each of the 2N
moments, before and after each call, by a process that dies at it and by another that goes on. Each time it begins on
empty ground (or where the story says that it begins), and in the end the ground, the factory and the workspace are
looked at.
"""

from __future__ import annotations

import itertools
import json
import queue
import re
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any, ClassVar

from local.data_factory.factory import Factory
from local.data_factory.request_log import duplicate_starts
from local.progress import Immediately
from shared.cloud import rows
from shared.reactions import Reaction, State
from tests.crashes.calls import Asked
from tests.crashes.ground import Ground, Rows
from tests.crashes.processes import Died, Keeper, Process
from tests.scenarios.stage import PIPELINE, Stage

LOOKS_AT_MOST = 200
TRIES = 3
"""How often a death is tried at the call that is meant. A look during a delivery has 5 s in the time that passes for
everybody; where the machine is so busy that it takes longer, the calls are in another order."""
SWEEP = "the sweep"
_NUMBERS = itertools.count()
_NAMES = re.compile(
    r"(app|lake)[0-9]{3,4}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{24}|-[0-9]{14}|-[0-9a-f]{4}$"
)
"""Accounts, and ids of runs, lanes and deployments, which are others each time."""


class AnotherStory(AssertionError):
    """The process did not make the calls of the dry run: it may have died, but not where it was to."""


class Lot:
    """Where cases are played, one after the other: an account of its own, and processes of its own."""

    def __init__(self, stage: Stage, keeper: Keeper) -> None:
        self.stage = stage
        self.keeper = keeper
        self.ground = Ground(stage, lambda: keeper.said)

    def process(self, case: Case, now: datetime, dies_at: int | None = None) -> Process:
        """A process of the app, at this time. `dies_at`: see `count_and_die`."""
        ours = {"RELEARN_DATA_FACTORY_ID": case.factory.id, "RELEARN_RULES": str(self.stage.folder / "reactions.yaml")}
        return self.keeper.process({**self.stage.settings, **ours, **case.settings}, self.stage.folder, now, dies_at)

    def close(self) -> None:
        self.keeper.close()
        self.ground.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A story that has not been played yet.

    Attributes:
        unique: part of every name that is the case's own.
        now: when it begins.
        events: what Event Grid has to deliver; SWEEP: the timer of the sweep, which comes again if it fails.
        rows: what is there when it begins.
        settings: beside those of the stage and the factory.
    """

    unique: str
    factory: Factory
    now: datetime
    events: Sequence[str]
    rows: Rows = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class World:
    """What a death does not change: the time, and what Event Grid has yet to deliver or saw acknowledged."""

    now: datetime
    left: deque[str]
    acknowledged: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """The calls of the process that lives. `delivering`: so many of them before everything was acknowledged."""

    calls: list[str]
    delivering: int

    def moments(self, first: int = 1) -> range:
        """Before and after each call, from one of them on."""
        return range(2 * first - 1, 2 * len(self.calls) + 1)

    def first(self, ending: str) -> int:
        """The number of the first call that ends so."""
        return next(number for number, call in enumerate(self.calls, 1) if call.endswith(ending))

    def changes(self) -> list[int]:
        """At the first call, and after each that is no GET.

        A GET changes nothing, so nobody can tell a death before it from one after it, nor from one after the call
        that came before: what lies between is memory. For stories that mostly ask.
        """
        return [1, *(2 * number for number, call in enumerate(self.calls, 1) if not call.startswith("GET "))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """At which call a process died, and whether that call had arrived."""

    call: str
    made: bool


class Story(ABC):
    """What happens, and how it must end."""

    name: ClassVar[str]
    rules: ClassVar[str]
    pipelines: ClassVar[tuple[Mapping[str, Any], ...]] = (PIPELINE,)
    settings: ClassVar[Mapping[str, str]] = {}
    alone: ClassVar[bool] = False
    """Its cases are played one after the other: what is there for all of them begins anew each time."""

    def open(self, lot: Lot) -> None:  # noqa: B027 - most have nothing to make ready
        """Once, before the first case."""

    @abstractmethod
    def begin(self, lot: Lot, unique: str) -> Case:
        """A case of its own."""

    @abstractmethod
    def check(self, lot: Lot, case: Case, death: Death | None) -> None:
        """How it ended, beside what holds in the end of every story (`assert_settled`)."""

    def next_event(self, lot: Lot, case: Case) -> str | None:  # noqa: B027
        """One more event that needs the permits that the story's events needed; None: they need none."""

    def check_death(self, lot: Lot, case: Case, death: Death) -> None:  # noqa: B027
        """How it is while nobody goes on."""

    def moments(self, dry: DryRun) -> Iterable[int]:
        """At which moments a process dies: all."""
        return dry.moments()


class Matrix:
    """Plays the cases of one story."""

    def __init__(self, story: Story, lots: Sequence[Lot]) -> None:
        self._story = story
        self._lots = lots

    def dry_run(self) -> DryRun:
        """Counts the calls, here and on the other side."""
        lot = self._lots[0]
        self._story.open(lot)
        case = self._begin(lot)
        world = World(now=case.now, left=deque(case.events))
        asked = Asked(lot.stage, case.factory.name)
        process = lot.process(case, case.now)
        self._deliver(process, world)
        delivering = len(process.calls)
        self._look(lot, process, world)
        process.end()
        here, there = Counter(process.calls), asked.counts()
        assert here == there, f"{self._story.name}: counted {here - there} here only, {there - here} there only"
        self._check(lot, case, world.now)
        assert held(lot) == []
        return DryRun(calls=[_plain(call, case) for call in process.calls], delivering=delivering)

    def deaths(self, dry: DryRun, moments: Iterable[int], *, again: bool = False) -> int:
        """A process dies at each of these moments; gives how many did.

        Args:
            again: Event Grid delivers once more what was acknowledged, too.
        """
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        failures: dict[int, str] = {}
        died: list[int] = []
        for moment in moments:
            waiting.put(moment)
        count = waiting.qsize()

        def work(lot: Lot) -> None:
            while True:
                try:
                    moment = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    died.append(self._death(lot, dry, moment, again=again))
                except AssertionError as wrong:
                    failures[moment] = str(wrong)
                    return  # a process of this lot may still wait for commands

        lots = self._lots[:1] if self._story.alone else self._lots
        with ThreadPoolExecutor(len(lots)) as pool:
            list(pool.map(work, lots))
        assert not failures, _told(self._story.name, dry, failures)
        assert len(set(died)) == count
        return count

    # --- one case -----------------------------------------------------------------------------------------------------

    def _death(self, lot: Lot, dry: DryRun, moment: int, *, again: bool) -> int:
        """Gives the id of the process that died."""
        for _ in range(TRIES - 1):
            with suppress(AnotherStory):
                return self._one_death(lot, dry, moment, again=again)
        return self._one_death(lot, dry, moment, again=again)

    def _one_death(self, lot: Lot, dry: DryRun, moment: int, *, again: bool) -> int:
        case = self._begin(lot)
        world = World(now=case.now, left=deque(case.events))
        first = lot.process(case, case.now, moment)
        try:
            self._deliver(first, world)
            self._look(lot, first, world)
        except Died:
            made = [_plain(call, case) for call in first.calls]
            differ = [pair for pair in zip_longest(made, dry.calls[: moment // 2]) if pair[0] != pair[1]]
            if differ:
                raise AnotherStory(f"the calls before the death are not those of the dry run: {differ[:3]}") from None
        else:
            first.end()
            raise AssertionError(f"it was to die, and lived: {len(first.calls)} calls, {len(dry.calls)} in the dry run")
        death = Death(call=dry.calls[(moment + 1) // 2 - 1], made=moment % 2 == 0)
        self._story.check_death(lot, case, death)
        if again:
            world.left.extendleft(reversed(world.acknowledged))
        second = lot.process(case, world.now)
        assert second.pid != first.pid
        self._deliver(second, world)
        self._look(lot, second, world)
        second.end()
        self._check(lot, case, world.now, death)
        return first.pid

    def _begin(self, lot: Lot) -> Case:
        lot.stage.clock.time = datetime.now(UTC)
        case = self._story.begin(lot, f"case{next(_NUMBERS):05}")
        lot.ground.begin(case.rows)
        return case

    @staticmethod
    def _deliver(process: Process, world: World) -> None:
        while world.left:
            if world.left[0] is SWEEP:
                process.sweep(world.now)
            else:
                process.deliver(world.left[0], world.now)
            world.acknowledged.append(world.left.popleft())

    @staticmethod
    def _look(lot: Lot, process: Process, world: World) -> None:
        """Whatever is due is looked at at its time, as the sweep would have it at the latest."""
        for _ in range(LOOKS_AT_MOST):
            due = lot.ground.due()
            if not due:
                return
            world.now = max(world.now, due[0].at)
            process.look(due[0].key, world.now)
        raise AssertionError(f"not settled after {LOOKS_AT_MOST} looks; due: {lot.ground.due()}")

    def _check(self, lot: Lot, case: Case, now: datetime, death: Death | None = None) -> None:
        assert_settled(lot)
        assert_listed(lot)
        self._story.check(lot, case, death)
        left = held(lot)
        if left:
            self._another(lot, case, now, left)

    def _another(self, lot: Lot, case: Case, now: datetime, left: Sequence[str]) -> None:
        """A permit that was left behind holds up nobody: whoever is next in the queue takes it (decision 15).

        The factory's is no such permit: its own look frees it.
        """
        assert not [resource for resource in left if resource.startswith("factory:")], left
        event = self._story.next_event(lot, case)
        assert event is not None, left
        world = World(now=now, left=deque([event]))
        process = lot.process(case, now)
        self._deliver(process, world)
        assert State.PENDING not in {reaction.state for reaction in reactions(lot)}, f"held up by {left}"
        self._look(lot, process, world)
        process.end()
        assert_settled(lot)
        assert held(lot) == []


def new_factory(lot: Lot, unique: str, pipelines: Sequence[Mapping[str, Any]] = (PIPELINE,)) -> Factory:
    """A factory of the case's own, whose runs are over at once."""
    factory = lot.stage.cloud.data_factory.create(f"{lot.stage.factory_name}-{unique}")
    for pipeline in pipelines:
        factory.publish(pipeline)
    factory.progress.set(Immediately())
    return factory


# --- what holds in the end --------------------------------------------------------------------------------------------


def assert_settled(lot: Lot) -> None:
    """Nothing is due, pending, claimed, running, to be told or waited for."""
    ground = lot.ground
    assert ground.poisoned() == 0
    lanes = ground.rows("lanes")
    keys = [row["RowKey"] for row in lanes]
    assert [key for key in keys if key.startswith(("e!", "i!"))] == [], "pending, or still to be told"
    busy = [row for row in lanes if row["RowKey"] == "l" and (row.get("running") or row.get("claim"))]
    assert busy == [], "a lane's head says that something runs or is claimed"
    permits = ground.rows("permits")
    assert [row for row in permits if row["RowKey"].startswith("w!")] == [], "somebody still waits for a permit"
    assert ground.due() == [], "something is still due"


def held(lot: Lot) -> list[str]:
    """What permits are still held of."""
    return [row["PartitionKey"] for row in lot.ground.rows("permits") if row["RowKey"].startswith("p!")]


def reactions(lot: Lot) -> list[Reaction]:
    return [rows.reaction(row) for row in _of(lot, "r!")]


def assert_listed(lot: Lot) -> None:
    """All there are, each once in the list of its day."""
    found = reactions(lot)
    days = {each.created.date(): each.created for each in found}.values()
    listed = [each for day in days for each in lot.ground.recent.reactions(day)]
    assert sorted(listed) == sorted(each.id for each in found), f"in the day's list: {listed}"


def the_reaction(lot: Lot, state: State, events: int) -> Reaction:
    """The only one, which has taken all the events there were, each once."""
    [reaction] = reactions(lot)
    assert (reaction.state, reaction.events, reaction.seq) == (state, events, 1), reaction
    assert [row.get("reaction") for row in _of(lot, "d!")] == [1] * events
    return reaction


def started(lot: Lot, case: Case) -> list[Mapping[str, Any]]:
    """The starts that the factory accepted, as its own log has them, whether or not its answer was seen."""
    ours = f"/factories/{case.factory.name}/"
    entries = lot.stage.cloud.data_factory.requests.entries
    return [entry for entry in entries if ours in entry["path"] and entry.get("runId")]


def assert_started(lot: Lot, case: Case, reaction: Reaction, attempts: int = 1) -> None:
    """The factory accepted one run per attempt, as its own log says, and the last one is the reaction's."""
    accepted = started(lot, case)
    log = lot.stage.folder / f"{case.unique}.jsonl"
    log.write_text("".join(json.dumps(entry) + "\n" for entry in accepted))
    assert duplicate_starts(log) == 0
    stamps = [(e["parameters"]["reaction_id"], str(e["parameters"]["attempt"])) for e in accepted]
    assert stamps == [(reaction.id, str(number)) for number in range(1, attempts + 1)]
    assert (reaction.attempt, reaction.run_id) == (attempts, accepted[-1]["runId"])
    assert [run.id for run in case.factory.runs()] == [entry["runId"] for entry in accepted]


def the_manifest(lot: Lot, reaction: Reaction) -> list[dict[str, Any]]:
    """The events of the only manifest there is."""
    [(name, content)] = lot.ground.manifests().items()
    assert name == f"{reaction.id}.json"
    found: list[dict[str, Any]] = json.loads(content)["events"]
    return found


def _of(lot: Lot, prefix: str) -> list[dict[str, Any]]:
    return [row for row in lot.ground.rows("lanes") if row["RowKey"].startswith(prefix)]


def _plain(call: str, case: Case) -> str:
    return _NAMES.sub("*", call.replace(case.unique, "*"))


def _told(story: str, dry: DryRun, failures: Mapping[int, str]) -> str:
    lines = [f"{story}: {len(failures)} moments of {2 * len(dry.calls)}"]
    for moment in sorted(failures)[:8]:
        when = "before" if moment % 2 else "after"
        lines.append(f"  {moment}, {when} {dry.calls[(moment + 1) // 2 - 1]}: {failures[moment][:600]}")
    return "\n".join(lines)
