"""The promises of docs/reliability.md as functions of a world: each returns, or fails with what was broken.

What must hold at every moment is in ALWAYS; what must hold once all has calmed down, in THE_END. They read the ledger,
the targets and the notes of the world; nothing of what the product thinks about itself is believed without them.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from shared import chains
from shared.lanes import PendingEvent, SkipReason, TakenEvent
from shared.limits import interval
from shared.ports import RunStatus
from shared.reactions import JobAction, PipelineAction, Reaction, State
from tests.promises.rules import POOLS
from tests.promises.world import World

_SKEW: Final = timedelta(seconds=5)
"""Clocks of two processes may be so far apart."""
_GRANT: Final = timedelta(minutes=1)
"""So long after it was granted may a start be intended."""
_INSERT: Final = timedelta(minutes=3)
"""So much later than it was accepted may an event be in its lane."""
_FACTORY_LIMITS: Final = {"concurrency: 2}": 2, "concurrency: 3,": 3}


@dataclass
class Memory:
    """What was seen earlier: what became of events and how reactions ended. Neither may ever change."""

    places: dict[tuple[str, str], tuple[int | None, SkipReason | None]] = field(default_factory=dict)
    ends: dict[str, tuple[State, str, datetime | None]] = field(default_factory=dict)


Promise = Callable[[World, Memory], None]


# --- at every moment --------------------------------------------------------------------------------------------------


def nothing_accepted_is_lost(world: World, memory: Memory) -> None:
    """Promise 1: what was answered with success is in the ledger: it waits, or it has become something for good."""
    for (lane, key), event in world.accepted.items():
        found = world.ledger.lanes.find_event(lane, key)
        assert found is not None, f"{event.path} {event.etag} was accepted, and lane {lane} does not know it"
        if isinstance(found, PendingEvent):
            assert (lane, key) not in memory.places, f"{event.path} was taken, and waits again"
            continue
        place = found.reaction, found.skipped
        assert (place[0] is None) != (place[1] is None), f"{event.path}: {place}"
        assert memory.places.setdefault((lane, key), place) == place, f"{event.path} changed its place to {place}"


def final_states_never_change(world: World, memory: Memory) -> None:
    for reaction in world.reactions():
        if reaction.final:
            end = reaction.state, reaction.reason, reaction.ended
            assert memory.ends.setdefault(reaction.id, end) == end, f"{reaction.id} ended once more: {end}"
        else:
            assert reaction.id not in memory.ends, f"{reaction.id} has ended, and is {reaction.state}"


def started_once_per_attempt(world: World, _memory: Memory) -> None:
    """Promise 3: one run per stamp, and its intent was saved before it was sent."""
    runs = Counter(started.run.stamp for started in world.factory.started)
    assert all(number == 1 for number in runs.values()), f"started more than once: {runs.most_common(3)}"
    for started in world.started:
        saved, what = started.saved, f"{started.target} {started.stamp}"
        assert saved is not None, f"{what}: nothing is known of this reaction"
        assert saved.state is State.STARTING, f"{what}: sent while it was {saved.state}"
        assert saved.intent is not None, f"{what}: without a saved intent"
        assert str(saved.attempt) == started.stamp[1], f"{what}: sent while attempt {saved.attempt} was going on"
        assert started.at < saved.intent.deadline + _SKEW, f"{what}: sent after its deadline"
        assert started.running == 0 or started.target == "workspace.start_job", f"{what}: an earlier run is going on"


def limits_hold(world: World, _memory: Memory) -> None:
    """Promise 4, as the targets see it: what runs at this moment."""
    running = [found for stamp in world.running() if (found := world.ledger.lanes.reaction(stamp[0])) is not None]
    lanes, rules = Counter(reaction.lane for reaction in running), defaultdict(list)
    assert all(number == 1 for number in lanes.values()), f"a lane runs two at once: {lanes}"
    pools: Counter[str] = Counter()
    for reaction in running:
        rules[reaction.rule].append(reaction.action.limits.concurrency)
        pools.update(reaction.action.limits.resources)
    for rule, limits in rules.items():
        known = [limit for limit in limits if limit is not None]
        # One that was started by earlier rules keeps to theirs.
        assert len(known) < len(limits) or len(limits) <= max(known), f"rule {rule} runs {len(limits)} of {known}"
    assert all(number <= POOLS[pool] for pool, number in pools.items()), f"resources are in use: {pools}"
    if len({text.factory for text in world.texts}) == 1:
        most = next((n for text, n in _FACTORY_LIMITS.items() if text in world.text.factory), None)
        assert most is None or len(world.factory.running) <= most, f"the factory runs {len(world.factory.running)}"


ALWAYS: Final[Sequence[Promise]] = (
    nothing_accepted_is_lost,
    final_states_never_change,
    started_once_per_attempt,
    limits_hold,
)


# --- in the end -------------------------------------------------------------------------------------------------------


def nothing_sticks(world: World, _memory: Memory) -> None:
    """Promise 5: nobody waits, nothing is held, nothing is due, nothing goes on outside."""
    going_on = [reaction for reaction in world.reactions() if not reaction.final and _is_relied_on(world, reaction)]
    assert not going_on, f"not at an end: {[(r.id, str(r.state), r.reason, r.next_look) for r in going_on]}"
    unfinished = {reaction.lane for reaction in world.reactions() if not reaction.final}
    for lane in world.lanes:
        read = world.ledger.lanes.read(lane)
        taken = world.ledger.lanes.taken(lane, [event.id for event in read.pending])  # they came once more, too late
        accepted = [event for event in read.pending if (lane, event.id) in world.accepted and event.id not in taken]
        accepted = accepted if len(world.texts) > 1 else list(read.pending)
        assert not accepted, f"lane {lane}: {accepted} wait for ever, head {read.head}"
        if lane not in unfinished:
            assert not read.outbox or not _relied_on(world, lane), f"lane {lane} has something to tell"
            assert read.head is None or (read.head.claim, read.head.running) == (None, None), f"{read.head}"
    assert not world.running(), f"runs go on that nobody follows: {world.running()}"
    for resource in _resources(world):
        read = world.ledger.permits.read(resource)
        # What a dead process left behind is found by whoever wants it next: nobody does. But none is of one that lives.
        left = [permit.reaction_id for permit in read.permits] + [waiter.name for waiter in read.waiters]
        known = {reaction.id for reaction in world.reactions()}
        assert set(left) <= known, f"{resource} is held by what is not there: {left}"
    held = world.ledger.permits.read("factory:adf").permits
    assert not held, f"permits of the factory are never given back: {held}"


def _relied_on(world: World, lane: str) -> bool:
    """Whether somebody was promised something about a lane."""
    return len(world.texts) == 1 or any(accepted == lane for accepted, _ in world.accepted)


def _is_relied_on(world: World, reaction: Reaction) -> bool:
    """Whether one of its events was accepted.

    A delivery that failed half way comes again, and goes on there; but by other rules it may come to another lane, and
    what it had begun in the first is then looked at by the next retention pass only (tests/unit/test_retention.py).
    """
    events = (taken.pending.id for taken in world.ledger.lanes.events_of(reaction.id))
    return len(world.texts) == 1 or any((reaction.lane, event) in world.accepted for event in events)


def _resources(world: World) -> list[str]:
    names = {f"rule:{rule.name}" for text in world.texts for rule in text.rules}
    return sorted(names | {f"resource:{pool}" for pool in POOLS})


def every_event_has_one_place(world: World, memory: Memory) -> None:
    """Promises 1 and 2: each accepted event is in one reaction that ended, or was skipped for a reason that applies."""
    nothing_accepted_is_lost(world, memory)
    ended = {(reaction.lane, reaction.seq) for reaction in world.reactions() if reaction.final}
    for (lane, key), event in world.accepted.items():
        found = world.ledger.lanes.find_event(lane, key)
        assert isinstance(found, TakenEvent), f"{event.path} was accepted, and nothing became of it"
        if found.skipped is not None:
            assert _may_be_skipped(world, found.skipped), f"{event.path}: skipped {found.skipped}"
        else:
            assert (lane, found.reaction) in ended, f"{event.path}: reaction {found.reaction} never ended"


def _may_be_skipped(world: World, why: SkipReason) -> bool:
    texts = {
        SkipReason.WHILE_RUNNING: "while-running: skip",
        SkipReason.COOLDOWN: "during-cooldown: skip",
        SkipReason.INCOMPLETE: "give-up-after",
    }
    if why in (SkipReason.RULE_CHANGED, SkipReason.RULE_REMOVED):
        return len(world.texts) > 1
    return why in texts and any(text.says(texts[why]) for text in world.texts)


def twice_is_once(world: World, _memory: Memory) -> None:
    """Promise 2: a file is once in what its reaction says it has, in its count and in its manifest."""
    by_lane = defaultdict(list)
    for reaction in world.reactions():
        own = [taken.pending.id for taken in world.ledger.lanes.events_of(reaction.id)]
        assert len(own) == reaction.events, f"{reaction.id} says {reaction.events} event(s), and has {len(own)}"
        by_lane[reaction.lane] += own
        whole = chains.events_of(world.ledger.lanes, reaction)
        assert isinstance(reaction.action, PipelineAction | JobAction)
        assert reaction.action.parameters["batch"] == str(len(whole)), f"{reaction.id}: {reaction.action.parameters}"
        files = Counter((taken.pending.event.path, taken.pending.event.etag) for taken in whole)
        assert all(number == 1 for number in files.values()), f"{reaction.id} has a file twice: {files}"
        manifest = world.ledger.manifest(reaction.id)
        assert manifest == (files if reaction.manifest_written else manifest), f"manifest of {reaction.id}: {manifest}"
        assert manifest in (None, files), f"manifest of {reaction.id}: {manifest}, and it has {files}"
    for lane, keys in by_lane.items():
        assert len(keys) == len(set(keys)), f"lane {lane} acted on an event more than once"


def who_gave_way_has_one_successor(world: World, _memory: Memory) -> None:
    """Promise 1 where reactions take each other's place: none of them, and none of their events, is left out.

    A rule that has been removed starts nothing: then the last one that gave way has none.
    """
    there = {rule.name for rule in world.text.rules}
    for lane, rule in world.lanes.items():
        of_lane = [reaction for reaction in world.reactions() if reaction.lane == lane]
        followed = sorted(reaction.replaces for reaction in of_lane if reaction.replaces is not None)
        gave_way = sorted(reaction.seq for reaction in of_lane if reaction.state is State.SUPERSEDED)
        gave_way = gave_way if rule in there else gave_way[: max(len(followed), len(gave_way) - 1)]
        assert followed == gave_way, f"lane {lane}: {gave_way} gave way, and {followed} have a successor"


def queues_keep_their_order(world: World, _memory: Memory) -> None:
    """Promise 1 where batches may not be merged: they are neither that, nor overtaken by later ones.

    Told by when events were accepted, in so far as that is certain: clocks differ, and inserts take their time.
    """
    queues = {rule.name: rule for rule in world.text.rules if "queue" in rule.policy and "all-of" not in rule.batches}
    latest: dict[str, datetime] = {}
    for reaction in world.reactions() if len(world.texts) == 1 else ():
        if reaction.rule not in queues:
            continue
        own = [taken.pending.accepted for taken in world.ledger.lanes.events_of(reaction.id)]
        before = latest.get(reaction.lane, min(own))
        assert before <= min(own) + _INSERT, f"{reaction.id} was overtaken: {before}, {own}"
        latest[reaction.lane] = max(before, *own)
        assert queues[reaction.rule].batches or len(own) == 1, f"{reaction.id} has batches that were to stay apart"


def rates_hold(world: World, _memory: Memory) -> None:
    """Promise 4: in any span of time a rule starts no more than its bucket holds and what flows in meanwhile."""
    granted: dict[str, list[datetime]] = defaultdict(list)
    rates = {}
    seen = set()
    for started in world.started:
        reaction = started.saved
        if reaction is None or reaction.intent is None or started.stamp in seen:
            continue
        seen.add(started.stamp)
        rates[reaction.rule] = reaction.action.limits.rate
        granted[reaction.rule].append(reaction.intent.since)
    if len(world.texts) > 1:
        return
    for rule, times in granted.items():
        rate = rates[rule]
        for first in range(len(times) if rate is not None else 0):
            for last in range(first, len(times)):
                span = abs(times[last] - times[first]) + _GRANT + _SKEW
                assert rate is not None
                most = rate.count + math.ceil(span / interval(rate))
                assert last - first + 1 <= most, f"rule {rule}: {last - first + 1} starts in {span}"


def everything_is_explained(world: World, _memory: Memory) -> None:
    """Promise 6: each reaction says how it came to its end, each run is known by its reaction, each failure is told."""
    told = {notification.data["reaction"] for notification in world.notifier.published.values()}
    lines = {}
    for reaction in world.reactions():
        listed = world.ledger.recent.reactions(reaction.created).count(reaction.id)
        assert listed == 1 or not _is_relied_on(world, reaction), f"{reaction.id} is {listed} times on its day's list"
        history = lines[reaction.id] = world.ledger.lanes.history(reaction.id)
        states = [entry.what for entry in history]
        assert states.count("pending") >= 1, f"{reaction.id}: nothing says why it was made"
        assert states.count(str(reaction.state)) >= 1, f"{reaction.id}: nothing says that it is {reaction.state}"
        assert all(entry.reason for entry in history), f"{reaction.id}: {history}"
        if reaction.state in (State.FAILED, State.TIMED_OUT):
            assert reaction.id in told, f"{reaction.id} is {reaction.state}, and nobody was told"
        if reaction.state is State.SUCCEEDED:
            assert _has_succeeded(world, reaction), f"{reaction.id} says it succeeded: {reaction.run_id}"
    for stamp, run in _runs(world):
        assert stamp[0] in lines, f"{run} was started by a reaction that nobody knows: {stamp}"
        assert any(entry.run_id == run for entry in lines[stamp[0]]), f"{stamp} says nothing of {run}"


def _has_succeeded(world: World, reaction: Reaction) -> bool:
    ended = {started.run.id: started.run.status for started in world.factory.started}
    ended |= {name: job.status for name, job in world.workspace.jobs.items()}
    return ended.get(reaction.run_id or "") is RunStatus.SUCCEEDED


def _runs(world: World) -> list[tuple[tuple[str, str], str]]:
    jobs = [((job.wanted.tags["relearn_reaction"], ""), name) for name, job in world.workspace.jobs.items()]
    return [(started.run.stamp, started.run.id) for started in world.factory.started] + jobs


THE_END: Final[Sequence[Promise]] = (
    nothing_sticks,
    every_event_has_one_place,
    twice_is_once,
    who_gave_way_has_one_successor,
    queues_keep_their_order,
    final_states_never_change,
    started_once_per_attempt,
    limits_hold,
    rates_hold,
    everything_is_explained,
)
