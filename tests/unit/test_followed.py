"""Runs that go on as they should are seen to by the look at the factory alone; and what a process remembers of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.controls import Pause
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


# --- what a sceptical reader found ------------------------------------------------------------------------------------


def a_day_of_sweeps(world: World) -> None:
    """Whatever is due is looked at within five minutes, and no wake-up ever arrives."""
    for _ in range(26 * 12):
        sweep(world, minutes=5)
        world.factory.end_all()


def test_a_late_look_that_takes_over_the_row_of_another_process_reads_what_that_one_was_granted() -> None:
    first = World()
    second = beside(first)
    first.deliver(landed("in/b1/a.csv"))
    look_at_factory(first)
    look_at_factory(first)  # it remembers the permits, and the row that it has written
    look_at_factory(second)
    first.factory.end_all()
    look_at_factory(second)
    assert (first.states(), FACTORY in first.due.rows) == (["succeeded"], False)
    first.clock.advance(4 * MINUTE)
    second.deliver(landed("in/b2/a.csv"))
    look_at_factory(first)  # in time by the row as it is, late by the one that is remembered
    a_day_of_sweeps(first)
    assert first.states() == ["succeeded"] * 2


def test_permits_are_believed_only_with_the_row_they_were_written_with() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    for _ in range(60):
        look_at_factory(world)  # a minute apart at last
    beside(world).deliver(landed("in/b2/a.csv"))
    look_at_factory(world)
    world.factory.end(world.factory.started[0].run.id)
    for _ in range(5):
        if FACTORY in world.due.rows:
            look_at_factory(world)
    a_day_of_sweeps(world)
    assert world.states() == ["succeeded"] * 2


@pytest.mark.parametrize("limit", ["factory: {concurrency: 1}\n", ""])
def test_what_waits_behind_a_run_whose_permit_somebody_else_frees_is_looked_at(limit: str) -> None:
    world = World(rules=limit + RULES)
    world.deliver(landed("in/b1/a.csv"))
    world.deliver(landed("in/b1/b.csv"))
    world.factory.end_all()
    dies_looking_at_factory(world, lambda what: what == "read lane" and world.states() == ["succeeded"])
    world.deliver(landed("in/b2/a.csv"))  # wants the permit before anybody looks at the factory
    a_day_of_sweeps(world)
    assert world.lanes.read(LANE).pending == ()
    assert world.states() == ["succeeded"] * 3


@pytest.mark.parametrize("limit", ["factory: {concurrency: 1}\n", ""])
def test_an_attempt_whose_permit_somebody_else_frees_is_made(limit: str) -> None:
    world = World(rules=limit + RULES + "    retry: {attempts: 2, backoff: 1m}\n")
    world.deliver(landed("in/b1/a.csv"))
    for _ in range(60):
        look_at_factory(world)
    world.factory.end_all(RunStatus.FAILED)
    dies_looking_at_factory(world, lambda what: what == "read lane" and world.reactions()[0].attempt == 2)
    world.deliver(landed("in/b2/a.csv"))
    a_day_of_sweeps(world)
    assert world.states() == ["succeeded"] * 2


def test_an_event_that_comes_before_its_lanes_row_is_written_anew_is_looked_at() -> None:
    world = World(rules=RULES.replace('{by: "{batch}"}', '{by: "{batch}", quiet: 10m, max-wait: 2h}'))
    world.deliver(landed("in/b1/a.csv"))
    while not world.reactions():
        world.look_when_due()
    world.factory.end_all(RunStatus.FAILED)  # which is to be told: the lane has something to do
    other, came = beside(world), iter([True])

    def comes(_number: int, what: str) -> None:
        if what == "set due" and next(came, False):
            other.deliver(landed("in/b1/b.csv"))

    world.storage.before_call = comes
    look_at_factory(world)
    world.nothing_breaks()
    a_day_of_sweeps(world)
    assert world.lanes.read(LANE).pending == ()


def test_a_look_before_its_time_leaves_the_row_that_an_event_relies_on() -> None:
    world = World(rules=RULES.replace('{by: "{batch}"}', '{by: "{batch}", quiet: 30s, max-wait: 10m}'))
    world.deliver(landed("in/b1/a.csv"))
    world.clock.advance(30 * SECOND)
    world.engine.look(lane_key(LANE))
    world.factory.end_all()
    look_at_factory(world)
    world.clock.advance(10 * MINUTE)
    world.deliver(landed("in/b1/a.csv"))  # too late: nothing will come of it
    world.clock.advance(5 * SECOND)
    came = iter([True])

    def comes(_number: int, what: str) -> None:
        if what == "remove due" and next(came, False):
            world.deliver(landed("in/b1/b.csv"))  # a wake-up of this process is under way: it writes no row

    world.storage.before_call = comes
    beside(world).engine.look(lane_key(LANE))
    world.nothing_breaks()
    if next(came, False):
        world.deliver(landed("in/b1/b.csv"))
    a_day_of_sweeps(world)
    assert world.lanes.read(LANE).pending == ()


@pytest.mark.parametrize("remembered", [True, False])
def test_a_rule_that_was_stopped_meanwhile_makes_no_further_attempt(remembered: bool) -> None:
    world = World(rules=RULES + "    retry: {attempts: 2, backoff: 1s}\n")
    world.deliver(landed("in/b1/a.csv"))
    world.factory.end_all(RunStatus.FAILED)
    world.controls.pause("score", Pause(by="anna", reason="stop", at=T0))
    if not remembered:
        world.restart()

    def takes_its_time(_number: int, what: str) -> None:
        if what == "commit":
            world.clock.advance(2 * SECOND)  # longer than the back-off

    world.storage.before_call = takes_its_time
    look_at_factory(world)
    assert len(world.factory.started) == 1


def test_the_permits_of_the_next_attempt_stay_where_the_last_one_is_let_go_late() -> None:
    world = World(rules=RULES + "    retry: {attempts: 2, backoff: 1m}\n    limits: {concurrency: 1}\n")
    world.deliver(landed("in/b1/a.csv"))
    world.factory.end_all(RunStatus.FAILED)
    other, goes_on = beside(world), iter([True])

    def waits(_number: int, what: str) -> None:
        if what == "read permits" and world.reactions()[0].attempt == 2 and next(goes_on, False):
            world.clock.advance(90 * SECOND)
            other.engine.look_at_lane(LANE)

    world.storage.before_call = waits
    look_at_factory(world)
    [reaction] = world.reactions()
    assert list(world.permits.held[FACTORY]) == [reaction.id] == list(world.permits.held["rule:score"])
