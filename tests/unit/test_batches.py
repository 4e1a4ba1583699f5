"""Batches that do not depend on who looks when: those of a queue, and those that a time of the day closes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.lanes import Decision, Head, PendingEvent, Skip, SkipReason, Start, Wait
from shared.rules import Rule
from tests.fakes import T0
from tests.unit.test_decisions import HEAD, decided, names, pending, rule

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NIGHT = T0.replace(hour=2) + DAY
"""The first 02:00 after T0, which is a morning."""


def queue(collect: str = "") -> Rule:
    return rule(collect, "while-running: queue")


def at(*minutes: float) -> list[PendingEvent]:
    return [pending(f"{n}.csv", m * MINUTE) for n, m in enumerate(minutes)]


def batches(known: Rule, events: Sequence[PendingEvent], looks: Sequence[timedelta]) -> list[list[str]]:
    """What is started, by looks at these times; a start takes no time."""
    started: list[list[str]] = []
    waiting = sorted(events, key=lambda e: e.accepted)
    head: Head | None = None
    for look in looks:
        while True:
            there = [e for e in waiting if e.accepted <= T0 + look]
            decision = decided(known, *there, head=head, at=look)
            if isinstance(decision, Wait):
                break
            assert isinstance(decision, Start | Skip)
            started.append(sorted([*names(decision), *(["skipped"] if isinstance(decision, Skip) else [])]))
            waiting = [e for e in waiting if e not in decision.events]
            if isinstance(decision, Start):
                head = replace(HEAD, claimed=T0 + look, ended=T0 + look)
    assert waiting == []
    return started


# --- a queue ----------------------------------------------------------------------------------------------------------


def test_without_a_window_each_event_is_a_batch_of_its_own_in_order() -> None:
    assert batches(queue(), at(0, 1, 1, 5), [10 * MINUTE]) == [["0.csv"], ["1.csv"], ["2.csv"], ["3.csv"]]


def test_a_queue_waits_while_its_lane_runs() -> None:
    running = replace(HEAD, running=1, claimed=T0)
    assert decided(queue(), *at(1, 2), head=running, at=HOUR) == Wait(
        until=None, reason="reaction 1 of this lane is running"
    )


def test_a_pause_between_events_parts_the_batches_of_a_queue_however_late_somebody_looks() -> None:
    quiet = queue(", quiet: 10m, max-wait: 30m")
    assert batches(quiet, at(0, 5, 16, 17, 40), [DAY]) == [["0.csv", "1.csv"], ["2.csv", "3.csv"], ["4.csv"]]


def test_an_event_at_the_moment_of_closing_is_of_the_next_batch() -> None:
    quiet = queue(", quiet: 10m, max-wait: 30m")
    assert batches(quiet, at(0, 10), [DAY]) == [["0.csv"], ["1.csv"]]
    assert isinstance(decided(quiet, *at(0), at=10 * MINUTE), Start)
    assert decided(quiet, *at(0), at=9 * MINUTE) == Wait(
        until=T0 + 10 * MINUTE, reason=f"collecting: 1 event(s), quiet since {T0.isoformat()}"
    )


def test_max_wait_parts_them_although_events_keep_coming() -> None:
    quiet = queue(", quiet: 10m, max-wait: 25m")
    found = batches(quiet, at(0, 9, 18, 24, 26), [DAY])
    assert found == [["0.csv", "1.csv", "2.csv", "3.csv"], ["4.csv"]]


def test_max_events_parts_them() -> None:
    found = batches(queue(", quiet: 10m, max-wait: 30m, max-events: 2"), at(0, 1, 2, 3, 4), [DAY])
    assert found == [["0.csv", "1.csv"], ["2.csv", "3.csv"], ["4.csv"]]


def test_complete_batches_of_a_queue_stay_apart() -> None:
    both = queue(", all-of: [age.csv, levels.csv], give-up-after: 1h")
    events = [pending(name, m * MINUTE) for m, name in enumerate(["age.csv", "x.csv", "levels.csv"])]
    events += [pending(name, (10 + m) * MINUTE) for m, name in enumerate(["levels.csv", "age.csv"])]
    found = batches(both, events, [DAY])
    assert found == [["age.csv", "levels.csv", "x.csv"], ["age.csv", "levels.csv"]]


def test_an_incomplete_batch_of_a_queue_is_given_up_and_the_next_goes_on() -> None:
    both = queue(", all-of: [age.csv, levels.csv], give-up-after: 1h")
    events = [pending("age.csv"), pending("levels.csv", 61 * MINUTE), pending("age.csv", 62 * MINUTE)]
    assert batches(both, events, [DAY]) == [["age.csv", "skipped"], ["age.csv", "levels.csv"]]
    waits = decided(both, *events[:1], at=MINUTE)
    assert waits == Wait(until=T0 + HOUR, reason="waiting for levels.csv")


def test_max_events_of_a_queue_never_leaves_out_what_makes_the_batch_complete() -> None:
    both = queue(", all-of: [age.csv, levels.csv], max-events: 3")
    events = [*at(0, 1, 2, 3), pending("age.csv", 4 * MINUTE), pending("levels.csv", 5 * MINUTE)]
    decision = decided(both, *events, at=HOUR)
    assert names(decision) == ["age.csv", "levels.csv", "0.csv"]


def test_a_cooldown_holds_between_the_batches_of_a_queue() -> None:
    cool = rule(limits="while-running: queue, cooldown: 1h")
    ended = replace(HEAD, claimed=T0, ended=T0 + MINUTE)
    assert decided(cool, *at(2), head=ended, at=3 * MINUTE) == Wait(
        until=T0 + MINUTE + HOUR, reason="cooldown of 1:00:00"
    )


# --- until a time of the day ------------------------------------------------------------------------------------------

NIGHTLY = ', until: "0 2 * * *"'


def test_what_comes_through_the_day_is_one_batch_at_night() -> None:
    nightly = rule(NIGHTLY)
    events = at(*(n * 10 for n in range(100)))
    assert decided(nightly, *events, at=17 * HOUR) == Wait(until=NIGHT, reason="collecting: 100 event(s)")
    started = decided(nightly, *events, at=NIGHT - T0)
    assert isinstance(started, Start)
    assert started.reason == f"100 events, gathered until {NIGHT.isoformat()}"
    assert len(started.events) == 100


@pytest.mark.parametrize("late", [timedelta(0), HOUR, 3 * DAY])
def test_nights_are_parted_however_late_somebody_looks(late: timedelta) -> None:
    before, exactly, after = (pending(f"{n}.csv", NIGHT - T0 + s * MINUTE) for n, s in ((0, -1), (1, 0), (2, 1)))
    events = [pending("first.csv"), before, exactly, after]
    looks = [NIGHT - T0 + late, NIGHT - T0 + late + DAY]
    assert batches(rule(NIGHTLY), events, looks) == [["0.csv", "first.csv"], ["1.csv", "2.csv"]]


def test_what_several_nights_gathered_while_the_lane_ran_is_one_batch() -> None:
    nightly = rule(NIGHTLY)
    events = [pending("0.csv"), pending("1.csv", DAY), pending("2.csv", 2 * DAY)]
    ran = replace(HEAD, claimed=T0 - HOUR, ended=NIGHT + DAY + HOUR)
    assert names(decided(nightly, *events, head=ran, at=2 * DAY)) == ["0.csv", "1.csv"]
    assert names(decided(nightly, *events, head=ran, at=9 * DAY)) == ["0.csv", "1.csv"]  # not by who looks when
    each = rule(NIGHTLY, "while-running: queue")
    assert names(decided(each, *events, head=ran, at=9 * DAY)) == ["0.csv"]
    capped = rule(NIGHTLY + ", max-events: 1")
    assert names(decided(capped, *events, head=ran, at=9 * DAY)) == ["0.csv"]


def test_max_events_closes_a_batch_before_its_time() -> None:
    capped = rule(NIGHTLY + ", max-events: 2")
    assert names(decided(capped, *at(0, 1, 2), at=3 * MINUTE)) == ["0.csv", "1.csv"]
    assert decided(capped, *at(2), at=3 * MINUTE) == Wait(until=NIGHT, reason="collecting: 1 event(s)")


def test_a_batch_that_is_not_complete_at_its_time_goes_on_to_the_next_one() -> None:
    both = rule(', all-of: [age.csv, levels.csv], give-up-after: 3d, until: "0 2 * * *"')
    age, levels = pending("age.csv"), pending("levels.csv", DAY)
    assert decided(both, age, at=NIGHT - T0) == Wait(until=T0 + 3 * DAY, reason="waiting for levels.csv")
    assert decided(both, age, levels, at=DAY) == Wait(until=NIGHT + DAY, reason="collecting: 2 event(s)")
    assert names(decided(both, age, levels, at=NIGHT + DAY - T0)) == ["age.csv", "levels.csv"]


# --- cooldown, and replays --------------------------------------------------------------------------------------------

ENDED = replace(HEAD, claimed=T0, ended=T0 + HOUR)


@pytest.mark.parametrize(("minutes", "skipped"), [(59, False), (60, True), (119, True), (120, False)])
def test_what_comes_during_a_cooldown_is_skipped_by_when_it_was_accepted(minutes: int, skipped: bool) -> None:
    cool = rule(limits="cooldown: 1h, during-cooldown: skip")
    decision = decided(cool, pending("a.csv", minutes * MINUTE), head=ENDED, at=DAY)
    assert isinstance(decision, Skip if skipped else Start)
    if isinstance(decision, Skip):
        assert decision.reason is SkipReason.COOLDOWN


def test_what_came_before_the_cooldown_waits_for_its_end() -> None:
    cool = rule(limits="cooldown: 1h, during-cooldown: skip")
    waits = decided(cool, pending("a.csv", 59 * MINUTE), head=ENDED, at=61 * MINUTE)
    assert waits == Wait(until=T0 + 2 * HOUR, reason="cooldown of 1:00:00")


@pytest.mark.parametrize(
    ("limits", "head", "accepted"),
    [
        ("while-running: skip", replace(HEAD, claimed=T0, ended=T0 + HOUR), MINUTE),
        ("cooldown: 1h, during-cooldown: skip", ENDED, 61 * MINUTE),
        ("cooldown: 1h", ENDED, 61 * MINUTE),
        ("", None, 40 * DAY),
    ],
    ids=["while-running", "during-cooldown", "cooldown", "too-old"],
)
def test_a_replayed_event_is_acted_on_all_the_same(limits: str, head: Head | None, accepted: timedelta) -> None:
    event = replace(pending("a.csv"), accepted=T0 + accepted)
    assert not isinstance(decided(rule(limits=limits), event, head=head, at=accepted), Start)
    replayed = replace(event, replay="r1: ann: once more")
    assert isinstance(decided(rule(limits=limits), replayed, head=head, at=accepted), Start)


def test_a_replayed_event_waits_for_the_end_of_what_runs() -> None:
    running = replace(HEAD, running=1, claimed=T0)
    event = replace(pending("a.csv", MINUTE), replay="r1: ann: once more")
    assert isinstance(decided(rule(limits="while-running: skip"), event, head=running, at=HOUR), Wait)


# --- properties -------------------------------------------------------------------------------------------------------

STABLE = [
    queue(collect)
    for collect in (
        "",
        ", quiet: 10m, max-wait: 30m",
        ", quiet: 10m, max-wait: 30m, max-events: 2",
        ", max-events: 3, quiet: 1h",
        ", all-of: [age.csv, levels.csv], give-up-after: 2h",
        ", all-of: [age.csv, levels.csv], give-up-after: 2h, quiet: 10m, max-wait: 30m",
        ", all-of: [age.csv, levels.csv], give-up-after: 2h, max-events: 3",
        NIGHTLY,
        NIGHTLY + ", max-events: 3",
    )
]
MINUTES = st.integers(0, 3 * 24 * 60).map(lambda m: m * MINUTE)
COMING = st.lists(
    st.builds(pending, st.sampled_from(["age.csv", "levels.csv", "x.csv", "y.csv"]), MINUTES),
    max_size=12,
    unique_by=lambda e: e.id,
)


@given(known=st.sampled_from(STABLE), events=COMING, looks=st.lists(MINUTES, max_size=20))
def test_batches_are_the_same_whoever_looks_when(
    known: Rule, events: list[PendingEvent], looks: list[timedelta]
) -> None:
    last = 30 * DAY
    once = batches(known, events, [last])
    assert batches(known, events, [*sorted(looks), last]) == once
    every = [n * 10 * MINUTE for n in range(3 * 24 * 6)]
    assert batches(known, events, [*every, last]) == once
    assert sorted(n for batch in once for n in batch if n != "skipped") == sorted(n for e in events for n in [name(e)])


def name(event: PendingEvent) -> str:
    return str(event.event.path.rpartition("/")[2])  # type: ignore[union-attr]


@given(known=st.sampled_from(STABLE), events=COMING, order=st.randoms())
def test_batches_do_not_depend_on_the_order_in_which_events_are_read(
    known: Rule, events: list[PendingEvent], order: random.Random
) -> None:
    shuffled = list(events)
    order.shuffle(shuffled)
    assert chosen(decided(known, *shuffled, at=30 * DAY)) == chosen(decided(known, *events, at=30 * DAY))


def chosen(decision: Decision) -> tuple[type[Decision], frozenset[str]]:
    events = () if isinstance(decision, Wait) else decision.events
    return type(decision), frozenset(e.id for e in events)


@given(events=COMING, run=st.integers(0, 3000), looks=st.lists(MINUTES, max_size=10))
def test_nights_that_went_by_meanwhile_are_one_batch_whoever_looks_when(
    events: list[PendingEvent], run: int, looks: list[timedelta]
) -> None:
    nightly, ended = rule(NIGHTLY), T0 + run * MINUTE
    head = replace(HEAD, claimed=T0 - HOUR, ended=ended)

    def first_start(times: list[timedelta]) -> frozenset[str]:
        for look in sorted(t for t in times if T0 + t >= ended):
            there = [e for e in events if e.accepted <= T0 + look]
            decision = decided(nightly, *there, head=head, at=look)
            if isinstance(decision, Start):
                return frozenset(e.id for e in decision.events)
        return frozenset()

    last = 30 * DAY
    on_time = sorted({next_night(e.accepted) for e in events} | {ended})
    expected = first_start([t - T0 for t in on_time])
    assert first_start([*looks, last]) == expected


def next_night(after: datetime) -> datetime:
    night = after.replace(hour=2, minute=0)
    return night if night > after else night + DAY
