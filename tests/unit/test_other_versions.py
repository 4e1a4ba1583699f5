"""Rows that a later version wrote: their lane waits for that version's workers, and nothing else does."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.engine import UNREADABLE_WAIT
from shared.errors import UnreadableRow
from shared.lanes import lane_id
from shared.looks import lane_key
from shared.reactions import reaction_id
from tests.fakes import landed, registered
from tests.world import RULES, World

LANE, OTHER = lane_id("score", "b1"), lane_id("score", "b2")
MODELS = '  note:\n    when: {model-registered: {model: clf}}\n    run-pipeline: score\n    with: {batch: "{model}"}\n'


@pytest.fixture
def world() -> World:
    made = World(rules=RULES + MODELS)
    made.deliver(landed("in/b1/a.csv"), landed("in/b2/a.csv"))
    assert made.states() == ["running", "running"]
    made.lanes.unreadable.add(LANE)
    return made


def test_the_lane_waits_and_says_why(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.deliver(landed("in/b1/b.csv"))
    due = world.due.rows[lane_key(LANE)]
    assert due.at == world.clock.now() + UNREADABLE_WAIT
    [told] = [r.getMessage() for r in caplog.records if r.getMessage().startswith("lane_not_readable")]
    assert f'"lane":"{LANE}"' in told
    assert "a later one wrote it" in told


def test_the_other_lanes_go_on(world: World) -> None:
    world.factory.end_all()
    for _ in range(6):
        world.look_when_due(within=timedelta(minutes=1))
    assert [str(r.state) for r in world.reactions() if r.lane == OTHER] == ["succeeded"]
    assert set(world.permits.held["factory:adf"]) == {reaction_id(LANE, 1)}, "its permit is not taken for a leak"


def test_it_goes_on_once_somebody_can_read_it(world: World) -> None:
    world.factory.end_all()
    for _ in range(12):
        world.look_when_due(within=timedelta(minutes=1))
    world.lanes.unreadable.clear()
    world.settle()
    assert world.states() == ["succeeded", "succeeded"]
    assert len(world.factory.started) == 2
    assert world.permits.held["factory:adf"] == {}


def test_a_run_of_it_that_is_seen_twice_is_left_to_those_who_can_read_it(world: World) -> None:
    first = next(s.run for s in world.factory.started if s.run.parameters["batch"] == "b1")
    world.factory.force("score", dict(first.parameters))
    for _ in range(4):
        world.look_when_due(within=timedelta(minutes=1))
    assert world.factory.cancelled == []


def test_a_model_that_its_run_registered_is_taken_in_all_the_same(world: World) -> None:
    world.deliver(registered("clf", "1", tags={"relearn_reaction": reaction_id(LANE, 1)}))
    assert [r.rule for r in world.reactions()].count("note") == 1
    assert any(line.what == "model-registered" for line in world.lanes.history(reaction_id(LANE, 1)))


def test_lists_show_the_others(world: World) -> None:
    [shown] = world.queries.reactions(now=world.clock.now()).reactions
    assert shown["id"] == reaction_id(OTHER, 1)
    with pytest.raises(UnreadableRow):
        world.queries.reaction(reaction_id(LANE, 1))
