"""What is old is removed, and nothing that is still needed; what was removed is not acted on again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shared import retention
from shared.errors import StorageUnavailable
from shared.lanes import Claim, Expected, SkipReason, lane_id
from shared.memory import LEAST_RETENTION
from shared.ports import LaneChange, OldRows, RowKind, RunStatus, Saved
from shared.reactions import State, reaction_id
from tests.fakes import T0, FakeLanes, landed
from tests.world import RULES, Died, World

DAY = timedelta(days=1)
LANE = lane_id("score", "b1")
WINDOW = RULES.replace('{by: "{batch}"}', '{by: "{batch}", quiet: 30s, max-wait: 10m}')


def finish(world: World) -> None:
    """Lets everything come to its end."""
    for _ in range(100):
        world.factory.end_all()
        if not world.look_when_due(within=timedelta(hours=2)):
            return
    raise AssertionError("it does not come to an end")


def one_pass(world: World) -> Counter[str]:
    """All parts of a pass. Gives how many rows each part removed, by when it ran."""
    before = Counter(kinds(world))
    for _ in range(1000):
        again = world.forgetting()
        assert again is not None
        assert again > world.clock.now()
        if again - world.clock.now() > timedelta(hours=1):
            return before - Counter(kinds(world))
        world.clock.advance_to(again)
    raise AssertionError("the pass does not end")


def kinds(world: World) -> list[RowKind]:
    return [row.kind for row in world.archive._rows()]


def ended(world: World, count: int = 1, batch: str = "b1") -> None:
    for n in range(count):
        now = world.clock.now()
        world.deliver(landed(f"in/{batch}/{n:04}.csv", etag=now.isoformat(), time=now))
        finish(world)


def test_what_has_ended_goes_when_it_is_old(world: World) -> None:
    ended(world, 2)
    world.clock.advance(32 * DAY)
    removed = one_pass(world)
    assert removed == {RowKind.IDENTITY: 2, RowKind.REACTION: 2, RowKind.HISTORY: 8}
    assert (world.manifests.written, world.recent.listed) == ({}, {})
    assert kinds(world) == [RowKind.HEAD]


def test_nothing_goes_before_its_time(world: World) -> None:
    ended(world)
    world.clock.advance(30 * DAY)
    assert one_pass(world) == {}
    assert len(world.manifests.written) == 1


def test_a_pass_is_made_once_a_day(world: World) -> None:
    ended(world)
    one_pass(world)
    calls = world.storage.calls
    assert world.forgetting() == T0 + timedelta(seconds=5) + DAY
    assert world.storage.calls - calls == 1


def test_what_is_under_way_stays_however_old(world: World) -> None:
    world.restart(WINDOW.replace("quiet: 30s, max-wait: 10m", "all-of: [a.csv, b.csv], give-up-after: 360d"))
    world.deliver(landed("in/b1/a.csv"))
    world.restart(RULES)
    world.deliver(landed("in/b2/a.csv"))
    before = kinds(world)
    world.clock.advance(60 * DAY)
    assert one_pass(world) == {}
    world.clock.advance(DAY)
    assert one_pass(world) == {}
    assert kinds(world) == before
    assert len(world.lanes.read(LANE).pending) == 1


def test_what_a_delivery_left_begun_is_found_though_it_came_again_to_another_lane(world: World) -> None:
    """The process dies after the claim, and the rules change before the event comes again."""
    event = landed("in/b1/a.csv")
    commits = 0

    def die(_number: int, what: str) -> None:
        nonlocal commits
        commits += what == "commit"
        if commits and what != "commit":
            raise Died

    world.storage.before_call = die
    with pytest.raises(Died):
        world.deliver(event)
    world.nothing_breaks()
    world.restart(
        RULES.replace('collect: {by: "{batch}"}', "collect: {}").replace('with: {batch: "{batch}"}', "with: {}")
    )
    world.deliver(event)
    finish(world)
    assert world.states() == ["pending", "succeeded"]
    one_pass(world)
    finish(world)
    assert world.states() == ["succeeded"] * 2


def test_an_empty_lane_goes_a_pass_later_and_its_numbers_do_not_come_again(world: World) -> None:
    ended(world, 3)
    world.clock.advance(32 * DAY)
    one_pass(world)
    assert kinds(world) == [RowKind.HEAD], "its number has only now become known"
    world.clock.advance(DAY)
    one_pass(world)
    assert kinds(world) == []
    ended(world)
    assert world.lanes.reaction(reaction_id(LANE, 3)) is None
    assert world.lanes.reaction(reaction_id(LANE, 4)) is not None


def test_a_lane_that_came_back_meanwhile_keeps_its_head(world: World) -> None:
    ended(world)
    world.clock.advance(32 * DAY)
    one_pass(world)
    ended(world)
    for _ in range(3):
        world.clock.advance(DAY)
        one_pass(world)
    assert Counter(kinds(world))[RowKind.HEAD] == 1
    assert [r.seq for r in world.reactions()] == [2]


def test_a_head_stays_while_its_cooldown_lasts(world: World) -> None:
    world.restart(RULES + "    limits: {cooldown: 60d}\n")
    ended(world)
    world.clock.advance(34 * DAY)
    for _ in range(3):
        one_pass(world)
        world.clock.advance(DAY)
    assert kinds(world) == [RowKind.HEAD]
    world.clock.advance(30 * DAY)
    for _ in range(2):
        one_pass(world)
        world.clock.advance(DAY)
    assert kinds(world) == []


def test_a_head_stays_while_its_rule_waits_for_a_file(world: World) -> None:
    expecting = RULES.replace(
        'file-landed: {path: "lake/in/{batch}/*.csv"}',
        'file-overdue: {path: "lake/in/{batch}/*.csv", expect: every 24h}',
    )
    ended(world)
    head = world.lanes.partitions[LANE].head
    assert head is not None
    world.lanes.partitions[LANE].head = replace(head, expected=Expected(since=T0))
    world.restart(expecting)
    world.clock.advance(32 * DAY)
    for _ in range(3):
        one_pass(world)
        world.clock.advance(DAY)
    assert kinds(world) == [RowKind.HEAD]
    world.restart(RULES)
    for _ in range(2):
        one_pass(world)
        world.clock.advance(DAY)
    assert kinds(world) == []


def test_another_process_that_learnt_of_no_number_yet_gives_none_twice(world: World) -> None:
    """A process goes by what it read for an hour; a head goes two hours after its number was made known, or later."""
    ended(world, 3)
    world.clock.advance(32 * DAY)
    one_pass(world)
    world.engine._remembered.numbers()
    while kinds(world):
        again = world.forgetting()
        assert again is not None
        world.clock.advance_to(again)
        numbers = world.engine._remembered.numbers()
    assert numbers >= 3


def test_a_delivery_that_still_waits_keeps_its_identity(world: World) -> None:
    event = landed("in/b1/0000.csv", time=T0)
    world.deliver(event)
    finish(world)
    world.inline = False
    world.restart(WINDOW)
    world.clock.advance(29 * DAY + timedelta(hours=12))
    world.deliver(event)  # young enough, and nobody has looked at it yet
    world.clock.advance(3 * DAY)
    one_pass(world)
    assert len(world.lanes.partitions[LANE].taken) == 1
    finish(world)
    assert len(world.factory.started) == 1


def superseded(world: World, *numbers: int, **head: Any) -> None:
    """Reactions that ended as superseded, as a rule leaves them whose events replace the run that goes on."""
    found = world.lanes.partitions[LANE]
    for number in numbers:
        found.reactions[number] = replace(found.reactions[number], state=State.SUPERSEDED)
    assert found.head is not None
    found.head = replace(found.head, **head)


@pytest.mark.parametrize("head", [{"running": 3}, {"inherits": 3}, {"claim": Claim(seq=3)}], ids=str)
def test_what_a_coming_reaction_takes_over_stays_with_its_events(world: World, head: Any) -> None:
    ended(world, 3)
    superseded(world, 1, 2, 3, **head)
    world.clock.advance(32 * DAY)
    assert one_pass(world) == {}
    superseded(world, inherits=None, running=None, claim=None)
    for left in (kinds(world), [RowKind.HEAD]):
        assert kinds(world) == left
        world.clock.advance(DAY)
        one_pass(world)


def test_a_superseded_reaction_stays_until_the_next_one_goes(world: World) -> None:
    ended(world)
    world.clock.advance(20 * DAY)
    ended(world)
    superseded(world, 1)
    world.clock.advance(12 * DAY)
    assert one_pass(world) == {}
    world.clock.advance(20 * DAY)
    one_pass(world)
    assert world.reactions() == []


def test_a_longer_retention_does_not_bring_back_what_is_gone(world: World) -> None:
    world.retention = LEAST_RETENTION
    world.restart()
    event = landed("in/b1/0000.csv", time=T0)
    world.deliver(event)
    finish(world)
    world.clock.advance(10 * DAY)
    for _ in range(3):
        one_pass(world)
        world.clock.advance(DAY)
    assert kinds(world) == []
    world.retention = 30 * DAY
    world.restart()
    world.deliver(event)
    finish(world)
    assert len(world.factory.started) == 1
    [skipped] = world.lanes.partitions[LANE].taken.values()
    assert skipped.skipped is SkipReason.TOO_OLD


def test_only_an_event_that_is_old_asks_what_was_removed(world: World) -> None:
    ended(world)
    asked: list[str] = []
    world.storage.before_call = lambda _number, what: asked.append(what)
    world.deliver(landed("in/b1/1.csv", time=world.clock.now()))
    assert "read removal" not in asked
    world.deliver(landed("in/b1/2.csv", time=world.clock.now() - 8 * DAY))
    world.factory.end_all()
    finish(world)
    assert "read removal" in asked


def in_between(world: World, call: str, happens: Callable[[], None]) -> None:
    """Something happens once, after this call of the archive has been answered and before its answer is used."""
    real, left = getattr(world.archive, call), [happens]

    def answered(*asked: Any) -> Any:
        answer = real(*asked)
        if left:
            left.pop()()
        return answer

    setattr(world.archive, call, answered)


@pytest.mark.parametrize("call", ["page", "pending", "nothing_left"])
def test_an_old_event_that_comes_while_its_identity_goes_is_too_old(world: World, call: str) -> None:
    event = landed("in/b1/0000.csv", time=T0)
    world.deliver(event)
    finish(world)
    world.clock.advance(32 * DAY)
    in_between(world, call, lambda: world.deliver(event))
    one_pass(world)
    finish(world)
    assert len(world.factory.started) == 1
    assert world.lanes.read(LANE).pending == ()


@pytest.mark.parametrize("call", ["page", "nothing_left", "remove"])
def test_a_lane_that_wakes_while_it_is_emptied_keeps_what_it_needs(world: World, call: str) -> None:
    ended(world)
    world.clock.advance(32 * DAY)
    one_pass(world)
    world.clock.advance(DAY)
    in_between(world, call, lambda: world.deliver(landed("in/b1/new.csv", time=world.clock.now())))
    one_pass(world)
    finish(world)
    assert [str(r.state) for r in world.reactions()] == ["succeeded"]
    assert len(world.factory.started) == 2
    assert len({run.run.parameters["reaction_id"] for run in world.factory.started}) == 2


@pytest.mark.parametrize("call", ["removal", "save", "page", "pending", "remove"])
def test_of_two_passes_at_once_neither_removes_what_the_other_would_keep(world: World, call: str) -> None:
    ended(world, 2)
    world.clock.advance(31 * DAY)
    ended(world, batch="b2")
    world.clock.advance(DAY)
    in_between(world, call, lambda: ignoring(one_pass(world)))
    one_pass(world)
    assert Counter(kinds(world)) == {
        RowKind.HEAD: 2,
        RowKind.REACTION: 1,
        RowKind.HISTORY: 4,
        RowKind.IDENTITY: 1,
    }
    assert [r.key for r in world.reactions()] == ["b2"]


def test_what_is_to_go_is_said_before_anything_goes(world: World) -> None:
    """By then whoever decides about an event of before takes it for unknown."""
    ended(world)
    world.clock.advance(32 * DAY)
    said: list[datetime | None] = []
    in_between(world, "page", lambda: said.append(world.archive.saved.cutoff))
    one_pass(world)
    assert said == [retention.cutoff_of(world.clock.now(), 30 * DAY)]


def test_a_pass_that_does_not_get_on_begins_again(world: World) -> None:
    ended(world)
    world.clock.advance(32 * DAY)
    world.archive.page, page = _refusing, world.archive.page  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            world.forgetting()
        world.archive.saved = replace(world.archive.saved, place="no good")
        world.clock.advance(DAY)
    world.archive.page = page  # type: ignore[method-assign]
    one_pass(world)
    assert kinds(world) == [RowKind.HEAD]


def _refusing(*_asked: Any) -> OldRows:
    raise StorageUnavailable("400 InvalidInput")


def ignoring(_: object) -> None:
    return None


@pytest.mark.parametrize("die", [True, False], ids=["dies", "storage fails"])
def test_whatever_breaks_a_part_is_done_again(die: bool) -> None:
    calls = _calls_of_a_pass(None, die=die)
    assert calls > 6
    for k in range(1, calls + 1):
        _calls_of_a_pass(k, die=die)


def _calls_of_a_pass(broken: int | None, *, die: bool) -> int:
    world = World(rules=WINDOW)
    ended(world, 3)
    world.clock.advance(31 * DAY)
    world.deliver(landed("in/b1/9.csv", time=world.clock.now()))
    world.clock.advance(DAY)
    before = world.storage.calls
    if broken is not None:
        world.break_call(broken, die=die)
    world.survive(lambda: one_pass(world))
    after = world.storage.calls - before
    world.clock.advance(DAY)
    one_pass(world)
    finish(world)
    assert [r.state for r in world.reactions()] == ["succeeded"], f"broken at call {broken}"
    assert len(world.lanes.partitions[LANE].taken) == 1
    assert list(world.manifests.written) == [] or len(world.manifests.written) == 1
    return after


@pytest.mark.parametrize("events", [200, 2000])
def test_a_part_is_bounded_and_goes_on_where_it_ended(events: int) -> None:
    world = World(rules=WINDOW)
    for n in range(events):
        world.deliver(landed(f"in/b{n % 7}/{n:05}.csv", time=T0))
    finish(world)
    world.clock.advance(32 * DAY)
    parts, before, looked = [], len(kinds(world)), Counter[int]()
    page = world.archive.page

    def counting(*asked: Any) -> OldRows:
        found = page(*asked)
        looked[len(parts)] += len(found.rows)
        return found

    world.archive.page = counting  # type: ignore[method-assign]
    while True:
        calls = world.storage.calls
        again = world.forgetting()
        assert again is not None
        parts.append((before - (before := len(kinds(world))), world.storage.calls - calls))
        if again - world.clock.now() > timedelta(hours=1):
            break
        world.clock.advance_to(again)
    assert before == 7, "the heads"
    assert max(removed for removed, _ in parts) <= retention.REMOVALS + retention.PAGE
    assert max(looked.values()) <= 1000
    assert len(parts) >= events / (retention.REMOVALS + retention.PAGE)
    print(
        f"{events} events: {len(parts)} part(s), {sum(c for _, c in parts)} calls, at most {max(c for _, c in parts)}"
    )


class Remembering(RuleBasedStateMachine):
    """Deliveries old and new, again and again, while weeks go by and passes come and go, and the setting changes."""

    @initialize(rules=st.sampled_from([RULES, WINDOW]), days=st.sampled_from([7, 30]))
    def start(self, rules: str, days: int) -> None:
        self.world = World(rules=rules)
        self.world.retention = days * DAY
        self.world.restart()
        self.sent: list[Any] = []
        self.acted: dict[str, set[str]] = defaultdict(set)
        self.ids: dict[str, datetime] = {}
        commit = self.world.lanes.commit

        def noting(lane: str, change: LaneChange) -> Saved:
            saved = commit(lane, change)
            if change.taken_by is not None:
                made = f"{lane}-{change.taken_by}"
                for event in change.take:
                    self.acted[f"{lane}/{event.id}"].add(f"{made} at {change.at}")
            if change.reaction is not None:
                created = self.ids.setdefault(change.reaction.id, change.reaction.created)
                assert created == change.reaction.created, f"{change.reaction.id} came again"
            return saved

        self.world.lanes.commit = noting  # type: ignore[method-assign]

    @rule(batch=st.sampled_from(["b1", "b2"]), age=st.sampled_from([0, 1, 6, 8, 20, 29, 31, 100, -1]))
    def deliver(self, batch: str, age: int) -> None:
        event = landed(f"in/{batch}/{len(self.sent)}.csv", time=self.world.clock.now() - age * DAY)
        self.sent.append(event)
        self.world.survive(lambda: self.world.deliver(event))

    @rule(which=st.integers(0, 30))
    def deliver_again(self, which: int) -> None:
        if self.sent:
            event = self.sent[which % len(self.sent)]
            self.world.survive(lambda: self.world.deliver(event))

    @rule(hours=st.sampled_from([1, 13, 24, 8 * 24, 29 * 24, 31 * 24]))
    def time_passes(self, hours: int) -> None:
        self.world.clock.advance(timedelta(hours=hours))

    @rule(parts=st.integers(1, 5))
    def rows_are_removed(self, parts: int) -> None:
        for _ in range(parts):
            again: list[datetime | None] = []
            self.world.survive(lambda found=again: found.append(self.world.forgetting()))  # type: ignore[misc]
            if again[-1] is None or again[-1] - self.world.clock.now() > timedelta(hours=3):
                break
            self.world.clock.advance_to(again[-1])

    @rule(calls=st.integers(1, 12), die=st.booleans())
    def next_call_breaks(self, calls: int, die: bool) -> None:
        self.world.break_call(calls, die=die)

    @rule(status=st.sampled_from([RunStatus.SUCCEEDED, RunStatus.FAILED]))
    def runs_end(self, status: RunStatus) -> None:
        self.world.nothing_breaks()
        self.world.factory.end_all(status)
        for _ in range(20):
            if not self.world.look_when_due(within=timedelta(hours=1)):
                break

    @rule(days=st.sampled_from([7, 30, 60]))
    def another_setting(self, days: int) -> None:
        self.world.nothing_breaks()
        self.world.retention = days * DAY
        self.world.restart()

    @invariant()
    def nothing_is_acted_on_twice(self) -> None:
        twice = {event: sorted(made) for event, made in getattr(self, "acted", {}).items() if len(made) > 1}
        assert not twice


TestRemembering = Remembering.TestCase
TestRemembering.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture
def world() -> World:
    world = World(rules=RULES.replace('{batch: "{batch}"}', '{batch: "{batch}", files: "{manifest}"}'))
    assert isinstance(world.lanes, FakeLanes)
    return world
