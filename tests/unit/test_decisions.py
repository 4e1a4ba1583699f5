"""The decision about a lane: what it says for every kind of collecting and limit."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.decisions import decide
from shared.events import event_key
from shared.lanes import Decision, Head, Lane, PendingEvent, Skip, SkipReason, Start, Wait, lane_id
from shared.rules import Revision, Rule
from tests.fakes import T0, landed
from tests.world import rules_of

LANE = lane_id("score", "b1")
REVISION = Revision(hash="b" * 12, modified=T0)
HEAD = Head(rule="score", key="b1", revision=REVISION, seq=1)
MINUTE = timedelta(minutes=1)


def rule(collect: str = "", limits: str = "") -> Rule:
    text = f"""\
version: 1
reactions:
  score:
    when: {{file-landed: {{path: "lake/in/{{batch}}/*.csv"}}}}
    collect: {{by: "{{batch}}"{collect}}}
    run-pipeline: score
    with: {{batch: "{{batch}}"}}
    limits: {{{limits}}}
"""
    return rules_of(text.replace("    limits: {}\n", "")).rules["score"]


def pending(name: str, at: timedelta = timedelta(), **changes: object) -> PendingEvent:
    file = landed(f"in/b1/{name}", etag=f"{name}{at}", time=T0 + at)
    event = PendingEvent(id=event_key(file), rule="score", key="b1", event=file, accepted=T0 + at, revision=REVISION)
    return replace(event, **changes)


def decided(
    rule: Rule | None, *events: PendingEvent, head: Head | None = None, at: timedelta = timedelta()
) -> Decision:
    return decide(rule, Lane(id=LANE, head=head, pending=events), REVISION, T0 + at)


def names(decision: Decision) -> list[str]:
    assert isinstance(decision, Start | Skip)
    return [e.event.path.rpartition("/")[2] for e in decision.events]


def test_without_a_window_everything_pending_starts_at_once() -> None:
    decision = decided(rule(), pending("b.csv", MINUTE), pending("a.csv"))
    assert isinstance(decision, Start)
    assert names(decision) == ["a.csv", "b.csv"]


def test_nothing_pending_is_nothing_to_do() -> None:
    assert decided(rule(), head=HEAD) == Wait(until=None, reason="no pending events")


@pytest.mark.parametrize(
    ("at", "expected"),
    [(0, 30), (29, 30), (30, None)],
)
def test_quiet_waits_from_the_last_event(at: int, expected: int | None) -> None:
    decision = decided(rule(", quiet: 30s, max-wait: 10m"), pending("a.csv"), at=timedelta(seconds=at))
    until = decision.until if isinstance(decision, Wait) else None
    assert until == (None if expected is None else T0 + timedelta(seconds=expected))


def test_quiet_is_prolonged_by_every_event_up_to_max_wait_from_the_first() -> None:
    window = rule(", quiet: 30s, max-wait: 60s")
    at = [timedelta(seconds=s) for s in (0, 25, 50)]
    two = [pending("a.csv", at[0]), pending("b.csv", at[1])]
    assert decided(window, *two, at=at[1]) == Wait(
        until=T0 + timedelta(seconds=55), reason=f"collecting: 2 event(s), quiet since {(T0 + at[1]).isoformat()}"
    )
    three = [*two, pending("c.csv", at[2])]
    waits = decided(window, *three, at=at[2])
    assert isinstance(waits, Wait)
    assert waits.until == T0 + timedelta(seconds=60)
    assert names(decided(window, *three, at=timedelta(seconds=60))) == ["a.csv", "b.csv", "c.csv"]


def test_all_of_waits_until_every_name_is_there() -> None:
    both = rule(", all-of: [age.csv, levels.csv]")
    day = timedelta(hours=24)  # what is waited for at most, where the rule does not say
    assert decided(both, pending("age.csv")) == Wait(until=T0 + day, reason="waiting for levels.csv")
    assert names(decided(both, pending("age.csv"), pending("levels.csv", MINUTE))) == ["age.csv", "levels.csv"]


def test_all_of_is_not_completed_by_the_same_file_twice() -> None:
    both = rule(", all-of: [age.csv, levels.csv]")
    twice = decided(both, pending("age.csv"), pending("age.csv", MINUTE))
    assert isinstance(twice, Wait)


def test_an_incomplete_batch_is_given_up_on_time() -> None:
    both = rule(", all-of: [age.csv, levels.csv], give-up-after: 24h")
    day = timedelta(hours=24)
    assert decided(both, pending("age.csv"), at=day - MINUTE) == Wait(until=T0 + day, reason="waiting for levels.csv")
    given_up = decided(both, pending("age.csv"), at=day)
    assert isinstance(given_up, Skip)
    assert given_up.reason is SkipReason.INCOMPLETE
    complete = decided(both, pending("age.csv"), pending("levels.csv", MINUTE), at=day)
    assert isinstance(complete, Start)  # complete is complete, however late it is looked at


def test_max_events_splits_and_does_not_wait_for_quiet() -> None:
    split = rule(", quiet: 30s, max-wait: 10m, max-events: 2")
    events = [pending(f"{n}.csv", timedelta(seconds=n)) for n in range(3)]
    assert names(decided(split, *events, at=timedelta(seconds=3))) == ["0.csv", "1.csv"]
    assert isinstance(decided(split, events[2], at=timedelta(seconds=3)), Wait)


def test_max_events_never_leaves_out_what_makes_the_batch_complete() -> None:
    split = rule(", all-of: [age.csv, levels.csv], max-events: 3")
    extra = [pending(f"x{n}.csv", timedelta(seconds=n)) for n in range(4)]
    events = [*extra, pending("age.csv", MINUTE), pending("levels.csv", MINUTE)]
    assert names(decided(split, *events, at=2 * MINUTE)) == ["age.csv", "levels.csv", "x0.csv"]


def test_while_a_reaction_runs_events_are_kept_for_the_next() -> None:
    running = replace(HEAD, running=1, claimed=T0)
    assert decided(rule(), pending("a.csv", MINUTE), head=running) == Wait(
        until=None, reason="reaction 1 of this lane is running"
    )


@pytest.mark.parametrize(
    ("accepted", "skipped"),
    [(-1, False), (0, True), (5, True), (9, True), (10, False)],
)
def test_skip_judges_by_when_an_event_was_accepted_not_by_when_somebody_looks(accepted: int, skipped: bool) -> None:
    ran = replace(HEAD, claimed=T0, ended=T0 + 10 * MINUTE)
    event = pending("a.csv", accepted * MINUTE)
    decision = decided(rule(limits="while-running: skip"), event, head=ran, at=60 * MINUTE)
    assert isinstance(decision, Skip if skipped else Start)


def test_skip_while_it_still_runs() -> None:
    running = replace(HEAD, running=1, claimed=T0)
    decision = decided(rule(limits="while-running: skip"), pending("a.csv", MINUTE), head=running, at=MINUTE)
    assert isinstance(decision, Skip)
    assert decision.reason is SkipReason.WHILE_RUNNING


def test_cooldown_counts_from_the_end_of_the_last_reaction() -> None:
    ended = replace(HEAD, claimed=T0, ended=T0 + MINUTE)
    cool = rule(limits="cooldown: 6h")
    until = T0 + MINUTE + timedelta(hours=6)
    waits = decided(cool, pending("a.csv", 2 * MINUTE), head=ended, at=2 * MINUTE)
    assert isinstance(waits, Wait)
    assert waits.until == until
    assert isinstance(decided(cool, pending("a.csv", 2 * MINUTE), head=ended, at=until - T0), Start)
    assert isinstance(decided(cool, pending("a.csv"), head=None), Start)  # the first is free


def test_events_of_a_removed_rule_are_skipped() -> None:
    decision = decided(None, pending("a.csv"))
    assert isinstance(decision, Skip)
    assert decision.reason is SkipReason.RULE_REMOVED


def test_events_that_a_changed_rule_no_longer_groups_here_are_skipped() -> None:
    decision = decided(rule(), pending("a.csv", key="another-lane"), pending("b.csv"))
    assert isinstance(decision, Skip)
    assert (decision.reason, names(decision)) == (SkipReason.RULE_CHANGED, ["a.csv"])


@pytest.mark.parametrize(("days", "skipped"), [(30, False), (31, True)])
def test_events_older_than_the_identities_are_never_taken_as_new(days: int, skipped: bool) -> None:
    event = pending("a.csv", accepted=T0 + timedelta(days=days))
    decision = decided(rule(), event, at=timedelta(days=days))
    assert isinstance(decision, Skip if skipped else Start)


def test_a_worker_with_older_rules_does_not_decide() -> None:
    newer = replace(HEAD, revision=Revision(hash="c" * 12, modified=T0 + MINUTE))
    decision = decided(rule(), pending("a.csv"), head=newer, at=MINUTE)
    assert isinstance(decision, Wait)
    assert "older" in decision.reason
    older = replace(HEAD, revision=Revision(hash="a" * 12, modified=T0 - MINUTE))
    assert isinstance(decided(rule(), pending("a.csv"), head=older), Start)
    same_rules_elsewhere = replace(HEAD, revision=replace(REVISION, modified=T0 + MINUTE))
    assert isinstance(decided(rule(), pending("a.csv"), head=same_rules_elsewhere), Start)


def test_a_worker_does_not_judge_events_that_newer_rules_accepted() -> None:
    newer = Revision(hash="c" * 12, modified=T0 + MINUTE)
    for known in (rule(), None):  # a rule that is changed or new there: it must not be skipped here
        decision = decided(known, pending("a.csv", revision=newer, key="another"), at=MINUTE)
        assert isinstance(decision, Wait)
        assert decision.until is not None


NAMES = ["age.csv", "levels.csv", "x.csv", "y.csv"]
COLLECTS = [
    "",
    ", quiet: 30s, max-wait: 10m",
    ", quiet: 30s, max-wait: 10m, max-events: 2",
    ", all-of: [age.csv, levels.csv], give-up-after: 1h",
    ", all-of: [age.csv, levels.csv], give-up-after: 1h, quiet: 30s, max-wait: 5m, max-events: 3",
]
LIMITS = ["", "cooldown: 10m", "while-running: skip", "cooldown: 10m, while-running: skip"]
RULES = [rule(collect, limits) for collect in COLLECTS for limits in LIMITS]
OFFSETS = st.integers(-4000, 4000).map(lambda s: timedelta(seconds=s))
PENDING = st.lists(st.builds(pending, st.sampled_from(NAMES), OFFSETS), max_size=8, unique_by=lambda e: e.id)
HEADS = st.none() | st.builds(
    lambda running, claimed, ran: replace(
        HEAD, running=1 if running else None, claimed=T0 + claimed, ended=None if running else T0 + claimed + abs(ran)
    ),
    st.booleans(),
    OFFSETS,
    OFFSETS,
)


@given(known=st.sampled_from(RULES) | st.none(), head=HEADS, events=PENDING, at=OFFSETS, order=st.randoms())
def test_whatever_is_pending_the_decision_keeps_its_promises(
    known: Rule | None, head: Head | None, events: list[PendingEvent], at: timedelta, order: random.Random
) -> None:
    decision = decided(known, *events, head=head, at=at)
    shuffled = list(events)
    order.shuffle(shuffled)
    again = decided(known, *shuffled, head=head, at=at)
    if isinstance(decision, Wait):
        assert decision == again
        assert decision.until is None or decision.until > T0 + at
        return
    chosen = {e.id for e in decision.events}
    assert type(again) is type(decision)
    assert {e.id for e in again.events} == chosen  # type: ignore[union-attr]
    assert chosen
    assert chosen <= {e.id for e in events}
    assert len(chosen) == len(decision.events)
    if isinstance(decision, Start):
        assert known is not None
        assert head is None or head.running is None
        if head is not None and head.ended is not None:
            assert T0 + at >= head.ended + known.limits.cooldown
        assert len(chosen) <= (known.collect.max_events or len(chosen))
        assert set(known.collect.all_of) <= set(names(decision))
        if known.collect.max_events is None:
            assert chosen == {e.id for e in events}


def test_a_lane_of_another_rule_or_key_is_another_partition() -> None:
    ids = {lane_id("a", "b"), lane_id("a", "c"), lane_id("ab", ""), lane_id("a", "b\0c"), lane_id("a\0b", "c")}
    assert len(ids) >= 4
    assert all(len(i) == 24 for i in ids)
