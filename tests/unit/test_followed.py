"""Runs that go on as they should are seen to by the look at the factory alone; and what a process remembers of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.kept import Kept
from shared.lanes import lane_id
from shared.looks import lane_key
from shared.ports import RunStatus
from tests.fakes import T0, busy, landed
from tests.world import RULES, Died, World

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
FACTORY = "factory:adf"
LANE = lane_id("score", "b1")


def beside(world: World) -> World:
    """Another process of the same app: the same tables and factory, and nothing in memory."""
    other = copy.copy(world)
    other.restart()
    return other


def calls_of(world: World, act: Callable[[], object]) -> list[str]:
    made: list[str] = []
    world.storage.before_call = lambda _number, what: made.append(what)
    act()
    world.nothing_breaks()
    return made


def look_at_factory(world: World) -> None:
    world.clock.advance_to(world.due.rows[FACTORY].at)
    world.engine.look(FACTORY)


def dies_looking_at_factory(world: World, at: Callable[[str], bool]) -> None:
    """The process that looks dies before the first such call; another one is there then."""

    def die(_number: int, what: str) -> None:
        if at(what):
            raise Died

    world.storage.before_call = die
    with pytest.raises(Died):
        look_at_factory(world)
    world.nothing_breaks()
    world.restart()


def test_a_run_that_goes_on_as_it_should_needs_no_row_of_its_lane() -> None:
    world = World(rules=RULES + "    timeout: 2h\n")
    world.deliver(landed("in/b1/a.csv"))
    assert list(world.due.rows) == [FACTORY]
    [permit] = world.permits.held[FACTORY].values()
    assert permit.until == T0 + timedelta(hours=2)


def test_the_end_of_its_time_is_seen_in_time() -> None:
    world = World(rules=RULES + "    timeout: 90s\n")
    world.deliver(landed("in/b1/a.csv"))
    while world.states() == ["running"]:
        look_at_factory(world)
    assert (world.states(), world.clock.now()) == (["timed-out"], T0 + 90 * SECOND)


def test_a_permit_of_the_release_before_says_nothing_of_its_time_and_the_reaction_does() -> None:
    world = World(rules=RULES + "    timeout: 90s\n")
    world.deliver(landed("in/b1/a.csv"))
    held = world.permits.held[FACTORY]
    held.update({name: replace(permit, until=None) for name, permit in held.items()})
    while world.states() == ["running"]:
        look_at_factory(world)
    assert (world.states(), world.clock.now() < T0 + 3 * MINUTE) == (["timed-out"], True)


def test_the_process_that_started_it_reads_the_lane_once_after_its_end() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    world.factory.end_all()
    assert calls_of(world, lambda: look_at_factory(world)).count("read lane") == 1
    assert (world.states(), world.due.rows, world.permits.held[FACTORY]) == (["succeeded"], {}, {})


def test_what_is_remembered_of_a_reaction_is_not_believed_when_somebody_has_changed_it() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    [reaction] = world.reactions()
    kept = world.lanes._of(reaction.lane).reactions
    kept[1] = replace(reaction, cancel="anna: not today", etag=world.storage.etag())
    world.factory.end_all(RunStatus.CANCELLED)
    look_at_factory(world)
    [ended] = world.reactions()
    assert (str(ended.state), ended.cancel) == ("cancelled", "anna: not today")


def test_a_further_look_reads_no_permits_and_finds_the_start_of_another_process() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    look_at_factory(world)
    assert "read permits" not in calls_of(world, lambda: look_at_factory(world))
    other = beside(world)
    other.deliver(landed("in/b2/a.csv"))
    world.factory.end(world.factory.running[0].id)
    look_at_factory(world)  # the first run has ended, and as far as this process knows it was the only one
    assert FACTORY in world.due.rows
    world.factory.end_all()
    look_at_factory(world)
    assert (world.states(), world.due.rows) == (["succeeded"] * 2, {})


def test_a_look_that_is_late_is_made_by_one_process_however_many_are_woken() -> None:
    world = World()
    for n in range(5):
        world.deliver(landed(f"in/b{n}/a.csv"))
    other = beside(world)
    world.factory.end_all()
    world.clock.advance(MINUTE)

    def wake_the_other(_number: int, what: str) -> None:
        if what == "query runs":
            world.storage.before_call = lambda _number, what: made.append(what)
            other.engine.look(FACTORY)
            world.nothing_breaks()

    made: list[str] = []
    world.storage.before_call = wake_the_other
    world.engine.look(FACTORY)
    assert made == ["get due"]
    assert (world.states(), world.due.rows) == (["succeeded"] * 5, {})


def test_a_process_that_dies_in_a_late_look_has_it_made_by_another() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    world.factory.end_all()
    world.clock.advance(MINUTE)
    dies_looking_at_factory(world, lambda what: what == "query runs")
    look_at_factory(world)
    assert (world.states(), world.due.rows) == (["succeeded"], {})


@pytest.mark.parametrize("late", [0, 60], ids=["in time", "late"])
def test_a_look_that_lets_many_lanes_go_on_is_followed_by_one_look(late: int) -> None:
    """Each lane's next start makes sure of a look at the factory. Were there one for each, they would breed."""
    world = World()
    for copy_ in "ab":
        for n in range(10):
            world.deliver(landed(f"in/b{n}/{copy_}.csv"))
    world.factory.end_all()
    world.clock.advance_to(world.due.rows[FACTORY].at + late * SECOND)
    before = len(world.wake_ups.sent)
    world.engine.look(FACTORY)
    assert sorted(world.states()) == ["running"] * 10 + ["succeeded"] * 10
    assert [key for key, _ in world.wake_ups.sent[before:]] == [FACTORY]
    assert FACTORY in world.due.rows


def test_a_start_between_the_read_of_the_permits_and_the_end_of_the_look_is_followed() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    world.factory.end_all()
    other, once = beside(world), iter([None])

    def started_meanwhile(_number: int, what: str) -> None:
        if what == "query runs" and next(once, True) is None:
            other.deliver(landed("in/b2/a.csv"))

    world.storage.before_call = started_meanwhile
    look_at_factory(world)
    world.nothing_breaks()
    world.factory.end_all()
    for each in (world, other):
        if FACTORY in world.due.rows:
            look_at_factory(each)
    assert (world.states(), world.due.rows) == (["succeeded"] * 2, {})


def test_after_an_attempt_that_failed_the_factory_is_not_asked_until_the_next() -> None:
    world = World(rules=RULES + "    retry: {attempts: 2, backoff: 1h}\n")
    world.deliver(landed("in/b1/a.csv"))
    world.factory.end_all(RunStatus.FAILED)
    for _ in range(5):
        if FACTORY in world.due.rows:
            look_at_factory(world)
    [reaction] = world.reactions()
    assert (list(world.due.rows), reaction.attempt) == ([lane_key(reaction.lane)], 2)
    world.look_when_due()
    assert len(world.factory.started) == 2


@pytest.mark.parametrize("call", ["read lane", "set due", "take back permit", "move due"])
def test_a_death_after_an_attempt_that_failed_leaves_the_next_one_due(call: str) -> None:
    world = World(rules=RULES + "    retry: {attempts: 2, backoff: 1m}\n")
    world.deliver(landed("in/b1/a.csv"))
    world.factory.end_all(RunStatus.FAILED)

    dies_looking_at_factory(world, lambda what: what == call and world.reactions()[0].attempt == 2)
    sweep(world, minutes=3)
    assert len(world.factory.started) == 2


def test_one_that_was_put_off_while_another_process_looked_is_not_followed_for_ever() -> None:
    world = World()
    other = beside(world)

    def busy_after_a_look(accept: Callable[[], str]) -> str:
        world.clock.advance(6 * SECOND)
        other.engine.look(FACTORY)
        return busy(accept)

    world.factory.on_start = busy_after_a_look
    world.deliver(landed("in/b1/a.csv"))
    look_at_factory(other)
    assert FACTORY not in world.due.rows


def test_a_second_run_is_judged_by_what_is_saved() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    first = world.factory.started[0].run
    world.clock.advance(SECOND)
    world.factory.force("score", first.parameters)
    world.factory.end(first.id)
    calls = calls_of(world, lambda: look_at_factory(world))
    assert (world.states(), calls.count("read reaction") > 0) == (["succeeded"], True)


def sweep(world: World, minutes: int) -> None:
    for _ in range(minutes):
        world.clock.advance(MINUTE)
        world.scheduler.sweep()
        for row in sorted(world.due.due(world.clock.now()), key=lambda due: due.at):
            world.engine.look(row.key)


@pytest.mark.parametrize("call", ["read lane", "set due", "release permit"])
def test_a_death_after_the_end_leaves_no_event_behind(call: str) -> None:
    """An event that came while it ran has had its look, which could only wait."""
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    world.deliver(landed("in/b1/b.csv"))
    world.factory.end_all()

    dies_looking_at_factory(world, lambda what: what == call and "succeeded" in world.states())
    sweep(world, minutes=3)
    assert [reaction.events for reaction in world.reactions()] == [1, 1]


def test_one_that_is_put_off_does_not_let_go_what_another_worker_was_granted() -> None:
    """Held up between the save of its wait and the release, it finds the permit of the next start."""
    world = World(rules=RULES + "    limits: {concurrency: 1}\n")
    world.factory.on_start = busy
    other, once = beside(world), iter([None])

    def next_start_first(_number: int, what: str) -> None:
        if what in {"take back permit", "release permit"} and next(once, True) is None:
            world.factory.on_start = lambda accept: accept()
            world.clock.advance(5 * MINUTE)
            other.engine.look_at_lane(world.reactions()[0].lane)

    world.storage.before_call = next_start_first
    world.deliver(landed("in/b1/a.csv"))
    world.nothing_breaks()
    [reaction] = world.reactions()
    assert str(reaction.state) == "running"
    assert list(world.permits.held["rule:score"]) == list(world.permits.held[FACTORY]) == [reaction.id]


def test_a_delivery_whose_look_fails_is_acknowledged_with_a_due_row() -> None:
    world = World(inline=False)  # as if every look had failed
    made = calls_of(world, lambda: world.deliver(landed("in/b1/a.csv")))
    assert made == ["insert event", "move due", "send wake-up"]
    world = World()
    assert "set due" not in calls_of(world, lambda: world.deliver(landed("in/b1/a.csv")))


def test_of_more_than_it_keeps_the_oldest_goes() -> None:
    kept: Kept[int] = Kept(at_most=2)
    for number in range(3):
        kept.put(str(number), number)
    assert ("0" in kept, kept.take("1"), kept.take("1"), kept.take("2")) == (False, 1, None, 2)


def test_a_reaction_is_listed_once_its_start_is_sent() -> None:
    world = World()
    listed_after: list[int] = []

    def note(_number: int, what: str) -> None:
        if what == "put recent":
            listed_after.append(len(world.factory.started))

    world.storage.before_call = note
    world.deliver(landed("in/b1/a.csv"))
    assert listed_after == [1]


@pytest.mark.parametrize("files", [1, 60])
def test_a_reaction_is_listed_whatever_call_up_to_its_end_the_process_dies_at(files: int) -> None:
    events = [landed(f"in/b1/{number:02}.csv") for number in range(files)]
    for call in range(1, 22):
        world = World(inline=False)
        world.deliver(*events)
        world.break_call(call, die=True)
        world.survive(lambda world=world: world.engine.look(lane_key(LANE)))  # type: ignore[misc]
        until = world.clock.now() + MINUTE  # whether it was started is asked after the deadline of its intent
        while world.clock.now() < until:
            world.look_when_due()
        assert list(world.recent.listed) == [r.id for r in world.reactions()], call


def test_what_the_look_at_the_factory_can_see_to_is_let_go_before_what_it_looks_for() -> None:
    world = World(rules="resources: {pool: 1}\n" + RULES + "    limits: {concurrency: 1, resources: [pool]}\n")
    world.deliver(landed("in/b1/a.csv"))
    world.factory.end_all()

    dies_looking_at_factory(world, lambda what: what == "release permit" and not all(world.permits.held.values()))
    assert world.permits.held[FACTORY]
    look_at_factory(world)
    assert not any(world.permits.held.values())
