"""Rollouts whose process dies, or meets another, at every call: one deployment and one split in the end."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import StorageUnavailable
from shared.looks import lane_key
from tests.endpoint import D1, D2, D3, GOOD, answer, candidate, standing, with_live
from tests.fakes import registered
from tests.world import Died, World

# --- crashes ----------------------------------------------------------------------------------------------------------


def story(made: World) -> None:
    candidate(made)
    made.settle()


def calls_of(kind: str) -> int:
    made = prepared(kind)
    before = made.storage.calls
    story(made)
    return made.storage.calls - before


def prepared(kind: str) -> World:
    made = with_live()
    made.workspace.creation = timedelta(seconds=10)  # fewer polls: each call is a case
    if kind == "bad answer":
        made.workspace.answers = [answer(500, "raised")]
    if kind == "cannot be made":
        made.workspace.fails[D2] = "OutOfQuota"
    return made


ENDS = {
    "goes live": ("succeeded", [D2], {D2: 100}, ["ModelPromoted"]),
    "bad answer": ("rolled-back", [D1], {D1: 100}, ["ModelRolledBack"]),
    "cannot be made": ("failed", [D1], {D1: 100}, ["ReactionFailed"]),
}


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("dies", [True, False], ids=["process dies", "storage fails"])
def test_death_before_every_call_leaves_one_rollout_and_a_defined_split(kind: str, dies: bool) -> None:
    total = calls_of(kind)
    assert total > 40, "the story makes calls"
    for k in range(1, total + 1):
        made = prepared(kind)
        first = made.storage.calls

        def before_call(number: int, what: str, k: int = k, first: int = first, made: World = made) -> None:
            if number == first + k:
                raise Died if dies else StorageUnavailable(what)

        made.storage.before_call = before_call
        try:
            story(made)
        except (Died, StorageUnavailable):
            made.nothing_breaks()
            made.restart()
            if made.workspace.answers == [] and kind == "bad answer":
                made.workspace.answers = [answer(500, "raised")]  # the model raises whenever it is asked
            made.deliver(registered("clf", "2", time=made.clock.now()))
        made.settle()
        state, deployments, traffic, told = ENDS[kind]
        where = f"at call {k} of {total}"
        assert (made.states(), standing(made)) == (["succeeded", state], (deployments, traffic)), where
        assert made.notifier.kinds == told, where
        assert made.due.rows == {}, where
        if not made.permits.held["endpoint:ep1"]:
            continue
        # A death after the end has left the permit behind: whoever wants the endpoint next sees that it is free.
        made.workspace.fails.clear()
        made.workspace.answers.clear()
        candidate(made, "3", **{**GOOD, "Accuracy": "0.9", "live__version": "2" if D2 in traffic else "1"})
        made.settle()
        assert (made.states()[-1], standing(made)) == ("succeeded", ([D3], {D3: 100})), where


# --- two at once ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["goes live", "bad answer"])
def test_another_process_that_looks_before_every_call_changes_nothing(kind: str) -> None:
    total = calls_of(kind)
    for k in range(1, total + 1):
        made = prepared(kind)
        made.workspace.answers *= 5  # both may ask
        first = made.storage.calls

        def before_call(number: int, _what: str, k: int = k, first: int = first, made: World = made) -> None:
            if number == first + k:
                made.nothing_breaks()
                for _ in range(3):
                    for lane in list(made.lanes.partitions):
                        made.engine.look_at_lane(lane, made.due.rows.get(lane_key(lane)))
                    made.clock.advance(timedelta(seconds=2))

        made.storage.before_call = before_call
        story(made)
        state, deployments, traffic, told = ENDS[kind]
        where = f"at call {k} of {total}"
        assert (made.states(), standing(made)) == (["succeeded", state], (deployments, traffic)), where
        assert (made.notifier.kinds, made.due.rows, made.permits.held["endpoint:ep1"]) == (told, {}, {}), where
        assert made.workspace.writes.count(f"create {D2}") == 1, where
