"""Rollouts and time: what AML does not show at once, and what it takes too long for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.acts import Request
from shared.cancelling import Cancelling
from shared.controls import Pause
from shared.errors import InDoubt, TargetBusy, TargetRefused, TargetUnavailable
from shared.models import ModelRef, deployment_name
from tests.endpoint import (
    D1,
    D2,
    D3,
    ENDPOINT,
    GOOD,
    MINUTE,
    RULES,
    TWO_RULES,
    V2,
    answer,
    candidate,
    failing,
    standing,
    with_live,
)
from tests.fakes import T0, registered

# --- what is not seen at once -----------------------------------------------------------------------------------------


def test_a_deployment_that_is_listed_only_after_seconds_is_waited_for() -> None:
    made = with_live()
    made.workspace.lag = timedelta(seconds=8)
    candidate(made)
    made.settle()
    assert (made.states()[-1], standing(made)) == ("succeeded", ([D2], {D2: 100}))


def test_one_that_is_replaced_before_it_is_listed_is_removed_all_the_same() -> None:
    made = with_live()
    made.workspace.lag = timedelta(seconds=8)
    candidate(made, "2")
    made.clock.advance(timedelta(seconds=1) - MINUTE)  # `candidate` lets a minute pass
    candidate(made, "3", **{**GOOD, "Accuracy": "0.81"})
    made.settle()
    assert made.states() == ["succeeded", "superseded", "succeeded"]
    assert standing(made) == ([D3], {D3: 100})


def test_a_start_in_doubt_that_then_meets_a_409_is_not_forgotten() -> None:
    made = with_live(TWO_RULES)
    made.workspace.lag = timedelta(seconds=40)
    made.workspace.after["create deployment"] = failing(1, InDoubt("reset after the request"))
    candidate(made)
    made.look_when_due()
    # Where the endpoint were let go now, another model could go live, and what was made here would stay for ever.
    made.workspace.register("other", "1")
    made.deliver(registered("other", "1", time=made.clock.now()))
    made.settle()
    other = deployment_name(ModelRef(name="other", version="1"))
    assert (made.states(), standing(made)) == (["succeeded"] * 3, ([other], {other: 100}))


def test_a_start_in_doubt_is_not_sent_again_while_all_starts_are_stopped() -> None:
    made = with_live()
    made.workspace.hooks["create deployment"] = failing(1, InDoubt("reset"))
    candidate(made)
    made.controls.pause(None, Pause(by="ann", at=T0, reason="costs"))
    for _ in range(10):
        assert made.look_when_due()
    assert (made.states()[-1], made.workspace.writes) == ("starting", [])
    assert "all starts are stopped by ann" in made.reactions()[-1].reason
    made.controls.resume(None)
    made.settle()
    assert (made.states()[-1], made.workspace.writes.count(f"create {D2}")) == ("succeeded", 1)


def test_a_start_in_doubt_whose_end_is_wanted_is_not_sent_again() -> None:
    made = with_live()
    made.workspace.hooks["create deployment"] = failing(1, InDoubt("reset"))
    candidate(made)
    made.clock.advance(MINUTE)
    request = Request(id="r1", by="ann", reason="wrong model")
    Cancelling(lanes=made.lanes, scheduler=made.scheduler, clock=made.clock).cancel(made.reactions()[-1].id, request)
    made.settle()
    assert (made.states()[-1], made.workspace.writes) == ("cancelled", [])


# --- what takes too long ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [TargetRefused("403 the operation may not be read", status=403), TargetUnavailable("500"), TargetBusy("409")],
    ids=["403", "500", "409"],
)
def test_what_failed_is_removed_though_nobody_tells_why(error: Exception) -> None:
    made = with_live(RULES + "    timeout: 30m\n")
    made.workspace.fails[D2] = "OutOfQuota"
    made.workspace.hooks["failure"] = failing(1000, error)
    candidate(made)
    made.settle()
    assert (made.states()[-1], standing(made)) == ("failed", ([D1], {D1: 100}))
    assert str(error) in made.reactions()[-1].reason


@pytest.mark.parametrize("bad", [False, True], ids=["the one before", "what was made"])
def test_a_deployment_that_is_locked_keeps_the_endpoint_from_nobody(bad: bool) -> None:
    made = with_live()
    made.workspace.answers = [answer(500, "raised")] if bad else []
    made.workspace.hooks["delete deployment"] = failing(1000, TargetBusy("409 ScopeLocked"))
    candidate(made)
    made.settle(looks=500)
    assert made.states()[-1] == ("rolled-back" if bad else "succeeded")
    assert standing(made) == ([D1, D2], {D1: 100} if bad else {D2: 100})
    assert "could not be removed: 409 ScopeLocked, after 200 looks" in made.reactions()[-1].reason
    assert made.permits.held["endpoint:ep1"] == {}


def test_the_one_before_is_removed_after_a_lock_that_passes_however_long_it_was_kept() -> None:
    made = with_live(RULES.replace("keep-previous: 10s", "keep-previous: 3h"))
    made.workspace.hooks["delete deployment"] = failing(3, TargetBusy("409 ScopeLocked"))
    candidate(made)
    made.settle()
    assert (made.states()[-1], standing(made)) == ("succeeded", ([D2], {D2: 100}))


def test_a_removal_that_comes_late_and_meets_a_409_is_asked_for_again() -> None:
    made = with_live()
    made.workspace.answers = [answer(500, "raised")]

    def hours_later() -> None:
        del made.workspace.hooks["delete deployment"]
        made.clock.advance(timedelta(hours=3))
        raise TargetBusy("409")

    made.workspace.hooks["delete deployment"] = hours_later
    candidate(made)
    made.settle()
    assert (made.states()[-1], standing(made)) == ("rolled-back", ([D1], {D1: 100}))


def test_what_never_is_gone_keeps_the_endpoint_from_nobody() -> None:
    made = with_live()
    made.workspace.deletion = timedelta(days=9)
    candidate(made)
    made.settle(looks=5000)
    assert (made.states()[-1], standing(made)) == ("succeeded", ([D1, D2], {D2: 100}))


def test_what_an_earlier_rollout_left_behind_is_not_waited_for_for_ever() -> None:
    made = with_live(RULES + "    timeout: 10m\n")
    made.workspace.serve(ENDPOINT, D2, V2, share=0, tags="ffffffffffffffffffffffff-1")
    made.workspace.deletion = timedelta(days=9)
    candidate(made)
    made.settle(looks=500)
    assert (made.states()[-1], made.permits.held["endpoint:ep1"]) == ("failed", {})
    assert f"{D2} of reaction ffffffffffffffffffffffff-1 is still in the way" in made.reactions()[-1].reason


def test_a_workspace_that_is_too_busy_to_give_its_key_fails_no_model() -> None:
    made = with_live()
    made.workspace.hooks["score"] = failing(5, TargetBusy("429", retry_after=timedelta(minutes=1)))
    candidate(made)
    made.settle()
    assert (made.states()[-1], standing(made)) == ("succeeded", ([D2], {D2: 100}))


def test_what_has_been_seen_once_is_gone_when_it_is_not_listed() -> None:
    made = with_live()
    made.workspace.creation = made.workspace.deletion = timedelta(seconds=1)
    made.workspace.answers = [answer(500, "raised")]
    candidate(made)
    began = made.clock.now()
    made.settle()
    assert (made.states()[-1], standing(made)) == ("rolled-back", ([D1], {D1: 100}))
    assert made.clock.now() < began + timedelta(seconds=30)
