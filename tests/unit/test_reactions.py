"""The transition table: every pair of states, once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.reactions import TRANSITIONS, IllegalTransition, PipelineAction, Reaction, State, reaction_id
from tests.fakes import T0

# Written out by hand: this is the design's list of what may follow what, not the table's own.
ALLOWED = {
    "pending": {"pending", "starting", "succeeded", "observed", "failed", "cancelled", "refused", "superseded"},
    "starting": {
        "starting", "pending", "awaiting-approval", "running", "failed", "cancelled", "refused", "superseded",
    },
    "awaiting-approval": {"running", "failed", "cancelled", "refused", "superseded"},
    "running": {
        "running", "pending", "succeeded", "failed", "cancelled", "timed-out", "refused", "superseded", "rolled-back",
    },
}  # fmt: skip
FINAL = {"observed", "succeeded", "failed", "cancelled", "timed-out", "refused", "superseded", "rolled-back"}


def reaction(state: State) -> Reaction:
    action = PipelineAction(
        pipeline="p",
        parameters={},
        timeout=timedelta(hours=1),
        attempts=1,
        backoff=timedelta(minutes=1),
        needs_manifest=False,
    )
    return Reaction(
        id=reaction_id("a" * 24, 1),
        rule="r",
        key="k",
        revision="x",
        state=state,
        reason="",
        action=action,
        created=T0,
        changed=T0,
        events=1,
        next_look=T0,
    )


@pytest.mark.parametrize("after", list(State))
@pytest.mark.parametrize("before", list(State))
def test_every_pair_is_allowed_or_refused_as_designed(before: State, after: State) -> None:
    if after in ALLOWED.get(before, set()):
        assert reaction(before).moved_to(after, "why", T0).state is after
    else:
        with pytest.raises(IllegalTransition, match=f"is {before} and cannot become {after}"):
            reaction(before).moved_to(after, "why", T0)


def test_the_table_knows_every_state() -> None:
    assert set(TRANSITIONS) == set(State)


@pytest.mark.parametrize("state", list(State))
def test_final_states_are_those_nothing_follows(state: State) -> None:
    assert reaction(state).final is (state in FINAL)


def test_an_end_is_dated_and_waits_for_nothing() -> None:
    at = T0 + timedelta(minutes=3)
    ended = reaction(State.RUNNING).moved_to(State.SUCCEEDED, "run r1 succeeded", at)
    assert (ended.ended, ended.changed, ended.next_look, ended.reason) == (at, at, None, "run r1 succeeded")


def test_an_id_is_an_address() -> None:
    found = replace(reaction(State.PENDING), id=reaction_id("0123456789abcdef01234567", 42))
    assert (found.lane, found.seq) == ("0123456789abcdef01234567", 42)
