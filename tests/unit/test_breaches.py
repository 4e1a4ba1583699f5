"""Drift that repeats: how many breaches within which time start a training, and what becomes of too few."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.decisions import decide
from shared.events import event_key
from shared.lanes import Head, Lane, PendingEvent, Skip, SkipReason, Start, Wait, lane_id
from shared.rules import Revision
from tests.fakes import T0, breached
from tests.world import World, rules_of

HOUR = timedelta(hours=1)
RULES = """\
version: 1
reactions:
  retrain:
    when: {drift-detected: {monitor: "diabetes-{batch}", times: 3, within: 24h}}
    collect: {by: "{batch}"}
    run-pipeline: score
    with: {batch: "{batch}", files: "{signal} {run_id}"}
"""
RULE = rules_of(RULES).rules["retrain"]
REVISION = Revision(hash="b" * 12, modified=T0)


def pending(hours: float, late: float = 0) -> PendingEvent:
    happened = T0 + hours * HOUR
    event = breached("diabetes-clinic", f"run-{hours}", time=happened)
    return PendingEvent(
        id=event_key(event),
        rule="retrain",
        key="clinic",
        event=event,
        accepted=happened + late * HOUR,
        revision=REVISION,
    )


def decided(at: float, *events: PendingEvent) -> Start | Skip | Wait:
    lane = Lane(id=lane_id("retrain", "clinic"), head=None, pending=events)
    decision = decide(RULE, lane, REVISION, T0 + at * HOUR)
    assert isinstance(decision, Start | Skip | Wait)
    return decision


def test_as_many_as_the_rule_wants_start_it_with_all_of_them() -> None:
    events = pending(0), pending(5), pending(24)
    decision = decided(24, *events)
    assert isinstance(decision, Start)
    assert set(decision.events) == set(events)


def test_too_few_are_waited_for_until_the_first_counts_no_more() -> None:
    decision = decided(5, pending(0), pending(5))
    assert isinstance(decision, Wait)
    assert (decision.until, decision.reason) == (T0 + 24 * HOUR, "2 of 3 breaches within 1 day, 0:00:00")


def test_what_counts_no_more_is_skipped_and_the_rest_goes_on_counting() -> None:
    decision = decided(24.5, pending(0), pending(5))
    assert isinstance(decision, Skip)
    assert (decision.reason, [e.event.run_id for e in decision.events]) == (SkipReason.BELOW_TIMES, ["run-0"])


def test_three_that_never_lie_within_the_time_do_not_start_it() -> None:
    assert isinstance(decided(48, pending(24.5), pending(48)), Wait)
    assert isinstance(decided(49, pending(0), pending(24.5), pending(48.9)), Skip)


def test_breaches_count_by_when_they_happened_not_by_when_they_came() -> None:
    decision = decided(30, pending(0, late=30), pending(1, late=29), pending(2, late=28))
    assert isinstance(decision, Start)


def test_one_that_came_late_still_has_its_time() -> None:
    decision = decided(31, pending(0, late=30))
    assert isinstance(decision, Wait)
    assert decision.until == T0 + 54 * HOUR


@given(st.lists(st.integers(0, 200), unique=True, max_size=8), st.integers(0, 300))
def test_it_starts_exactly_if_three_lie_within_the_time(hours: list[int], at: int) -> None:
    events = [pending(h) for h in hours if h <= at]
    happened = sorted(h for h in hours if h <= at)
    enough = any(c - a <= 24 for a, c in zip(happened, happened[2:], strict=False))
    decision = decided(at, *events)
    assert isinstance(decision, Start) is enough
    if isinstance(decision, Wait):
        assert decision.until is None or decision.until > T0 + at * HOUR


def test_a_running_training_waits_with_what_comes() -> None:
    head = Head(rule="retrain", key="clinic", revision=REVISION, seq=1, running=1, claimed=T0)
    lane = Lane(id=lane_id("retrain", "clinic"), head=head, pending=(pending(1), pending(2), pending(3)))
    assert isinstance(decide(RULE, lane, REVISION, T0 + 4 * HOUR), Wait)


@pytest.mark.parametrize("copies", [1, 3])
def test_the_events_of_one_breach_are_one(copies: int) -> None:
    world = World(rules=RULES.replace("times: 3, within: 24h", "times: 2, within: 24h"))
    for n in range(copies):
        world.deliver(breached("diabetes-clinic", "run-1", event_id=f"status-{n}"))
    world.settle(within=timedelta(minutes=5))
    assert world.reactions() == []
    world.clock.advance(HOUR)
    world.deliver(breached("diabetes-clinic", "run-2", signal="data_quality"))
    world.factory.end_all()
    world.settle()
    [start] = world.factory.started
    assert start.run.parameters["files"] == "data_drift, data_quality run-1, run-2"


def test_the_live_model_is_waited_for_and_then_fixed() -> None:
    world = World(rules=RULES.replace("times: 3, within: 24h", "").replace('"{signal} {run_id}"', '"{live:ep1}"'))
    world.workspace.endpoints["ep1"] = {}
    world.deliver(breached("diabetes-clinic", "run-1"))
    for _ in range(3):
        world.look_when_due()
    [reaction] = world.reactions()
    assert (world.states(), reaction.reason) == (["pending"], "no model is live on endpoint ep1 yet")
    assert world.story(reaction) == ["pending", "pending"], "said once, however often it is asked"
    model = world.workspace.register("clf", "1")
    world.workspace.serve("ep1", "blue", model.ref)
    world.look_when_due()
    world.workspace.serve("ep1", "green", world.workspace.register("clf", "2").ref)
    world.factory.end_all()
    world.settle()
    [start] = world.factory.started
    assert start.run.parameters["files"] == model.asset
    assert world.states() == ["succeeded"]


def test_an_endpoint_that_is_not_there_fails_the_reaction_with_the_reason() -> None:
    world = World(rules=RULES.replace("times: 3, within: 24h", "").replace('"{signal} {run_id}"', '"{live:ep1}"'))
    world.deliver(breached("diabetes-clinic", "run-1"))
    world.settle()
    [reaction] = world.reactions()
    assert (str(reaction.state), world.factory.started) == ("failed", [])
    assert "there is no online endpoint ep1" in reaction.reason
