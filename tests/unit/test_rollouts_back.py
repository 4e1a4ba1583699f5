"""Rollouts that go back: production stays as it was; and those that a busy or silent workspace only delays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import InDoubt, TargetBusy, TargetRefused, TargetUnavailable
from shared.models import ModelRef
from shared.rollouts.smoke import Answer
from tests.endpoint import (
    D1,
    D2,
    ENDPOINT,
    MINUTE,
    RULES,
    V1,
    V2,
    V3,
    answer,
    candidate,
    failing,
    in_phase,
    standing,
    with_live,
    world,
)
from tests.fakes import T0, registered
from tests.world import World

# --- what happens while it waits for its endpoint ---------------------------------------------------------------------


def archive(made: World) -> None:
    made.workspace.models[V2] = replace(made.workspace.models[V2], archived=True)


def delete(made: World) -> None:
    del made.workspace.models[V2]


def put_live(model: ModelRef | None) -> Callable[[World], None]:
    def act(made: World) -> None:
        made.workspace.register("clf", "3", made.clock.now() + MINUTE)
        made.workspace.traffic[ENDPOINT] = {}
        made.workspace.serve(ENDPOINT, "by-hand", model)

    return act


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (archive, "clf:2 is no longer registered"),
        (delete, "clf:2 is no longer registered"),
        (put_live(V2), "clf:2 is live already, as by-hand"),
        (put_live(V3), "clf:2 is older than clf:3, which is live"),
        (put_live(None), "by-hand is live and serves no model of this workspace"),
    ],
    ids=["archived", "deleted", "live already", "newer is live", "another thing is live"],
)
def test_what_happens_while_a_model_waits_for_its_endpoint_counts(happens: Callable[[World], None], said: str) -> None:
    made = with_live()
    made.workspace.updating_until[ENDPOINT] = made.clock.now() + 2 * MINUTE
    candidate(made)
    assert made.states() == ["succeeded", "pending"]
    happens(made)
    made.settle()
    assert (made.states()[-1], made.workspace.writes) == ("refused", [])
    assert said in made.reactions()[-1].reason


# --- and back ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([answer(500, "the model raised")], "answered 500: the model raised"),
        ([answer(400, "no such column")], "answered 400"),
        ([answer(424, "the model raised")], "answered 424: the model raised"),
        ([answer(body="not json")], 'the answer is not {"result"'),
        ([answer(body='{"result": [1]}')], "3 result(s) were expected"),
        ([answer(body='{"result": [1, null, 0]}')], "a result is null"),
        ([answer(body='{"prediction": [1, 0, 1]}')], 'the answer is not {"result"'),
        ([answer(deployment="blue")], "was answered by deployment blue"),
        ([TargetUnavailable("no answer within 15 s")] * 3, "tried 3 times: no answer within 15 s"),
        ([answer(503, "starting")] * 3, "tried 3 times: answered 503"),
        ([TargetRefused("401 the key is wrong", status=401)], "401 the key is wrong"),
    ],
)
def test_a_failed_smoke_test_leaves_production_untouched(answers: list[Answer | Exception], said: str) -> None:
    made = with_live()
    made.workspace.answers = list(answers)
    candidate(made)
    made.settle()
    reaction = made.reactions()[-1]
    assert (str(reaction.state), standing(made)) == ("rolled-back", ([D1], {D1: 100}))
    assert said in reaction.reason
    assert made.workspace.writes == [f"create {D2}", f"delete {D2}"]
    assert made.notifier.kinds == ["ModelRolledBack"]


def test_a_smoke_test_without_a_clear_answer_is_tried_again() -> None:
    made = with_live()
    made.workspace.answers = [TargetUnavailable("cold"), answer(502), answer()]
    candidate(made)
    made.settle()
    assert standing(made) == ([D2], {D2: 100})


def test_a_deployment_that_cannot_be_made_fails_with_amls_error_and_is_removed() -> None:
    made = with_live()
    made.workspace.fails[D2] = "OutOfQuota: not enough cores"
    candidate(made)
    made.settle()
    reaction = made.reactions()[-1]
    assert (str(reaction.state), standing(made)) == ("failed", ([D1], {D1: 100}))
    assert "OutOfQuota: not enough cores" in reaction.reason
    assert made.notifier.kinds == ["ReactionFailed"]


def test_making_a_deployment_is_tried_again_where_the_rule_says_so() -> None:
    made = with_live(RULES + "    retry: {attempts: 2, backoff: 1m}\n")
    made.workspace.fails[D2] = "OutOfQuota"
    made.workspace.after["delete deployment"] = made.workspace.fails.clear
    candidate(made)
    while made.reactions()[-1].attempt == 1:
        assert made.look_when_due()
    assert made.permits.held["endpoint:ep1"] == {}, "none is held while waiting"
    made.settle()
    reaction = made.reactions()[-1]
    assert (str(reaction.state), reaction.attempt, standing(made)) == ("succeeded", 2, ([D2], {D2: 100}))


def test_a_deployment_that_never_gets_ready_is_removed_after_the_timeout() -> None:
    made = with_live(RULES + "    timeout: 30m\n")
    made.workspace.creation = timedelta(days=9)
    candidate(made)
    made.settle()
    assert (made.states()[-1], standing(made)) == ("timed-out", ([D1], {D1: 100}))
    assert made.notifier.kinds == ["ReactionFailed"]


def test_an_endpoint_in_a_failed_state_is_said_to_be_so() -> None:
    made = with_live()
    made.workspace.broken.add(ENDPOINT)
    candidate(made)
    made.settle()
    assert (made.states()[-1], made.workspace.writes) == ("failed", [])
    assert made.reactions()[-1].reason == "endpoint ep1 is in a failed state"


def test_without_the_endpoint_it_fails_and_says_what_to_do() -> None:
    made = World(rules=RULES)
    made.workspace.register("clf", "1")
    made.deliver(registered("clf", "1"))
    made.settle()
    [reaction] = made.reactions()
    assert str(reaction.state) == "failed"
    assert "there is no online endpoint ep1: make it" in reaction.reason


def test_a_deployment_of_that_name_that_is_not_ours_is_left_alone() -> None:
    made = with_live()
    made.workspace.serve(ENDPOINT, D2, V3, share=0)
    candidate(made)
    made.settle()
    assert (made.states()[-1], made.workspace.writes) == ("failed", [])
    assert "that Relearn did not make" in made.reactions()[-1].reason


def test_what_an_earlier_rollout_left_behind_is_cleared_first() -> None:
    made = with_live()
    made.workspace.serve(ENDPOINT, D2, V2, share=0, tags="ffffffffffffffffffffffff-1")
    candidate(made)
    made.settle()
    assert made.workspace.writes[:2] == [f"delete {D2}", f"create {D2}"]
    assert standing(made) == ([D2], {D2: 100})


def test_what_an_earlier_rollout_left_behind_with_some_traffic_is_not_touched() -> None:
    made = with_live()
    made.workspace.serve(ENDPOINT, D2, V2, share=10, tags="ffffffffffffffffffffffff-1")
    made.workspace.traffic[ENDPOINT][D1] = 90
    candidate(made)
    made.settle()
    assert (made.states()[-1], made.workspace.writes) == ("failed", [])
    assert "has traffic" in made.reactions()[-1].reason


def test_a_live_deployment_that_is_not_ours_stays_without_traffic() -> None:
    made = world()
    made.workspace.register("clf", "1", T0 - MINUTE)
    made.workspace.serve(ENDPOINT, "blue", V1)
    candidate(made)
    made.settle()
    assert standing(made) == (sorted(["blue", D2]), {D2: 100})
    assert "was not made by Relearn" in made.reactions()[-1].reason


def test_somebody_who_moves_the_traffic_meanwhile_is_not_overruled() -> None:
    made = with_live()
    made.workspace.serve(ENDPOINT, "hotfix", V3, share=0)
    made.workspace.hooks["score"] = lambda: made.workspace.traffic.update({ENDPOINT: {"hotfix": 100}})
    candidate(made)
    made.settle()
    assert made.states()[-1] == "refused"
    assert standing(made) == (sorted(["hotfix", D1]), {"hotfix": 100})


# --- patience ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["create deployment", "set traffic", "delete deployment", "get endpoint", "get model"])
@pytest.mark.parametrize(
    "error",
    [
        TargetBusy("409 another update is under way"),
        TargetBusy("429", retry_after=timedelta(minutes=2)),
        TargetUnavailable("500"),
        InDoubt("reset"),
    ],
    ids=["409", "429", "500", "reset"],
)
def test_a_busy_or_silent_workspace_delays_and_fails_nothing(call: str, error: Exception) -> None:
    if call.startswith("get") and isinstance(error, InDoubt):
        return
    if not call.startswith("get") and isinstance(error, TargetUnavailable):
        return
    made = with_live()
    candidate_due = failing(2, error)
    made.workspace.hooks[call] = candidate_due
    candidate(made)
    made.settle()
    made.workspace.hooks.clear()
    assert (made.states(), standing(made)) == (["succeeded", "succeeded"], ([D2], {D2: 100}))
    assert made.workspace.writes.count(f"create {D2}") == 1


@pytest.mark.parametrize("call", ["create deployment", "set traffic", "delete deployment"])
def test_an_answer_that_is_lost_after_the_effect_changes_nothing(call: str) -> None:
    made = with_live()
    made.workspace.after[call] = failing(1, InDoubt("the connection was reset after the request"))
    candidate(made)
    made.settle()
    assert (made.states()[-1], standing(made)) == ("succeeded", ([D2], {D2: 100}))
    assert made.workspace.writes.count(f"create {D2}") == 1


def test_traffic_that_cannot_be_moved_in_time_stays_and_the_candidate_goes() -> None:
    made = with_live(RULES + "    timeout: 30m\n")
    made.workspace.hooks["set traffic"] = failing(1000, TargetBusy("409"))
    candidate(made)
    made.settle()
    assert (made.states()[-1], standing(made)) == ("timed-out", ([D1], {D1: 100}))


def test_a_workspace_is_left_alone_as_long_as_it_asks_for() -> None:
    made = with_live()
    made.workspace.hooks["set traffic"] = failing(1, TargetBusy("429", retry_after=timedelta(minutes=20)))
    candidate(made)
    while not in_phase(made, "traffic"):
        assert made.look_when_due()
    asked = made.clock.now()
    made.settle()
    assert (made.states()[-1], made.clock.now() >= asked + timedelta(minutes=20)) == ("succeeded", True)


def test_a_refused_traffic_change_removes_the_candidate() -> None:
    made = with_live()
    made.workspace.hooks["set traffic"] = failing(9, TargetRefused("400 traffic", status=400))
    candidate(made)
    made.settle()
    assert (made.states()[-1], standing(made)) == ("failed", ([D1], {D1: 100}))
