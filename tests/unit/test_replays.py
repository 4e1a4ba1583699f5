"""Events once more: under the identity of the request, page by page, with those of what was replaced."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared import replays
from shared.acts import Request
from shared.errors import NotPossible
from shared.lanes import TakenEvent
from shared.ports import RunStatus
from shared.reactions import State
from shared.replays import Filter, Replays
from tests.fakes import landed
from tests.world import RULES, World, rules_of

WHO = Request(id="request-1", by="ada@example.com", reason="why")
HOUR = timedelta(hours=1)


def desk(world: World) -> Replays:
    parts = {"lanes": world.lanes, "recent": world.recent, "scheduler": world.scheduler, "clock": world.clock}
    return Replays(rules=rules_of(world.rules), **parts)  # type: ignore[arg-type]


def ended(count: int, *, rules: str = RULES, status: RunStatus = RunStatus.FAILED) -> World:
    """So many reactions of a file each, a minute apart."""
    world = World(rules=rules)
    for number in range(count):
        world.deliver(landed(f"in/b{number}/a.csv"))
        world.factory.end(f"run-{number + 1}", status)
        world.settle()
        world.clock.advance(timedelta(minutes=1))
    assert len(world.reactions()) == count
    return world


def run_down(world: World) -> None:
    """Whatever runs ends at once, until nothing is due."""
    for _ in range(500):
        for started in world.factory.started:
            world.factory.end(started.run.id)
        if not world.look_when_due():
            return
    raise AssertionError("still busy")


def everything(world: World, **more: object) -> Filter:
    return Filter(since=world.clock.now() - 20 * HOUR, until=world.clock.now(), **more)  # type: ignore[arg-type]


def test_pages_take_each_reaction_once_and_only_those_of_the_filter() -> None:
    world = ended(replays.PAGE + 7, rules=RULES + "    limits: {start-rate: unlimited}\n")
    wanted, after, pages = everything(world), None, []
    while True:
        pages.append(desk(world).page(wanted, after, WHO))
        after = pages[-1]["next"]
        world.clock.advance(timedelta(minutes=1))
        run_down(world)  # new reactions come into the list meanwhile, and are not the filter's
        if after is None:
            break
    assert [page["reactions"] for page in pages] == [replays.PAGE, 7]
    assert sum(page["new"] for page in pages) == replays.PAGE + 7
    assert len(world.factory.started) == 2 * (replays.PAGE + 7)


def test_over_midnight_and_back() -> None:
    world = ended(2)
    world.clock.advance(24 * HOUR)
    world.deliver(landed("in/b9/a.csv"))
    world.factory.end("run-3", RunStatus.FAILED)
    world.settle()
    world.clock.advance(HOUR)
    wanted = Filter(since=world.clock.now() - 30 * HOUR, until=world.clock.now())
    assert desk(world).page(wanted, None, None)["reactions"] == 3
    only_today = Filter(since=world.clock.now() - 2 * HOUR, until=world.clock.now())
    assert desk(world).page(only_today, None, None)["reactions"] == 1
    [first, *_] = sorted(world.reactions(), key=lambda r: r.created)
    place = f"{first.created.date().isoformat()}/{first.id}"
    assert desk(world).page(wanted, place, None)["reactions"] == 0


def test_what_has_not_ended_or_is_nobodys_any_more_is_counted_beside() -> None:
    world = ended(1)
    world.deliver(landed("in/b8/a.csv"))
    world.clock.advance(timedelta(minutes=1))
    told = desk(world).page(everything(world), None, WHO)
    assert (told["reactions"], told["left_out"]) == (1, {"has not ended": 1})
    world.restart(RULES.replace("  score:", "  other:"))
    told = desk(world).page(everything(world, state=State.FAILED), None, WHO)
    assert (told["reactions"], told["left_out"]) == (0, {"there is no rule score any more": 1})
    [reaction, _] = world.reactions()
    with pytest.raises(NotPossible, match="there is no rule score any more"):
        desk(world).reaction(reaction.id, WHO)


def test_another_request_is_another_event_and_the_same_the_same() -> None:
    world = ended(1)
    [reaction] = world.reactions()
    assert desk(world).reaction(reaction.id, WHO)["new"] == 1
    assert desk(world).reaction(reaction.id, WHO)["new"] == 0
    run_down(world)
    assert desk(world).reaction(reaction.id, WHO)["new"] == 0  # taken by then, and known all the same
    run_down(world)
    assert desk(world).reaction(reaction.id, replace(WHO, id="request-2"))["new"] == 1
    run_down(world)
    assert len(world.factory.started) == 3
    assert [e.reason for e in world.lanes.history(reaction.id) if e.what == "operator"] == [
        "ada@example.com: replayed: why",
        "ada@example.com: replayed: why",
    ]


def test_events_of_a_reaction_that_it_replaced_come_along() -> None:
    world = ended(1)
    [old] = world.reactions()
    lane = world.lanes.partitions[old.lane]
    [taken] = lane.taken.values()
    lane.reactions[2] = replace(old, id=f"{old.lane}-2", replaces=1)
    second = replace(taken.pending, id="f" * 32)
    lane.taken[second.id] = TakenEvent(pending=second, at=taken.at, reaction=2)
    assert desk(world).reaction(f"{old.lane}-2", WHO)["replayed"] == 2


@pytest.mark.parametrize("limits", ["cooldown: 6h", "while-running: skip"])
def test_neither_a_cooldown_nor_what_runs_keeps_a_replay_from_its_turn(limits: str) -> None:
    world = ended(1, rules=RULES + f"    limits: {{{limits}}}\n")
    [reaction] = world.reactions()
    desk(world).reaction(reaction.id, WHO)
    world.look_when_due()
    assert len(world.factory.started) == 2
    desk(world).event(reaction.lane, next(iter(world.lanes.partitions[reaction.lane].taken)), replace(WHO, id="second"))
    world.look_when_due()
    run_down(world)
    assert len(world.factory.started) == 3


def test_what_gave_way_is_not_replayed_while_another_acts_on_its_events() -> None:
    world = World(rules=RULES + "    limits: {while-running: replace}\n")
    world.deliver(landed("in/b/a.csv"))
    world.look_when_due(timedelta(minutes=1))
    world.deliver(landed("in/b/b.csv"))
    world.factory.end("run-1", RunStatus.CANCELLED)
    world.look_when_due()
    assert world.states() == ["superseded", "running"]
    old, new = world.reactions()
    world.clock.advance(timedelta(minutes=1))
    told = desk(world).page(everything(world), None, WHO)
    assert (told["new"], told["left_out"]) == (0, {"has not ended": 2})
    [event] = (taken.pending.id for taken in world.lanes.events_of(old.id))
    with pytest.raises(NotPossible, match=f"reaction {new.id} is running: its events are being acted on"):
        desk(world).reaction(old.id, WHO)
    with pytest.raises(NotPossible, match=f"reaction {new.id} is running"):
        desk(world).event(old.lane, event, WHO)
    world.factory.end("run-2", RunStatus.FAILED)
    world.settle()
    world.clock.advance(timedelta(minutes=1))
    assert desk(world).page(everything(world), None, WHO)["new"] == 2


def test_what_a_later_version_wrote_keeps_no_other() -> None:
    world = ended(3)
    world.lanes.unreadable.add(world.reactions()[1].lane)
    told = desk(world).page(everything(world), None, WHO)
    assert (told["new"], told["left_out"], told["next"]) == (2, {"a later version wrote it": 1}, None)
