"""Rollouts on the fakes: a registered model goes live once, or production stays as it was, whatever happens between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import InDoubt, StorageUnavailable, TargetBusy, TargetRefused, TargetUnavailable
from shared.looks import lane_key
from shared.models import Endpoint, ModelRef, Provisioning, deployment_name
from shared.ports import LaneChange, Permit, Saved
from shared.rollouts.smoke import Answer
from tests.fakes import T0, registered
from tests.world import World

ENDPOINT = "ep1"
RULES = """\
version: 1
reactions:
  deploy:
    when: {model-registered: {model: clf, tags: {stage: candidate}}}
    deploy-model:
      endpoint: ep1
      gate: {metric: Accuracy, better-than: live, by: 0.002}
      smoke-test: ml/samples/diabetes-request.json
      serving: {code: "azureml:serving:1", environment: "azureml:env:1"}
      keep-previous: 10s
"""
V1, V2, V3 = (ModelRef(name="clf", version=str(n)) for n in (1, 2, 3))
D1, D2, D3 = (deployment_name(ref) for ref in (V1, V2, V3))
MINUTE = timedelta(minutes=1)
GOOD = {"Accuracy": "0.80", "live__Accuracy": "0.78", "live__version": "1", "live__name": "clf"}


def world(rules: str = RULES) -> World:
    made = World(rules=rules)
    made.workspace.endpoints[ENDPOINT] = {}
    return made


def with_live(rules: str = RULES) -> World:
    """A world in which version 1 went live through its own rollout."""
    made = world(rules)
    made.workspace.register("clf", "1", Accuracy="0.78")
    made.deliver(registered("clf", "1"))
    made.settle()
    assert made.states() == ["succeeded"]
    made.workspace.writes.clear()
    made.notifier.published.clear()
    return made


def candidate(made: World, version: str = "2", **properties: str) -> None:
    made.clock.advance(MINUTE)
    made.workspace.register("clf", version, **(properties or GOOD))
    made.deliver(registered("clf", version, time=made.clock.now()))


def standing(made: World) -> tuple[list[str], dict[str, int]]:
    """Which deployments there are, and the traffic."""
    made.workspace.endpoint(ENDPOINT)
    return sorted(made.workspace.endpoints[ENDPOINT]), made.workspace.traffic.get(ENDPOINT, {})


def skipped(made: World) -> list[str]:
    return [str(t.skipped) for p in made.lanes.partitions.values() for t in p.taken.values() if t.skipped]


class Died(Exception):
    pass


# --- live -------------------------------------------------------------------------------------------------------------


def test_the_first_model_goes_live_without_a_comparison() -> None:
    made = world()
    made.workspace.register("clf", "1", Accuracy="0.5")
    made.deliver(registered("clf", "1"))
    made.settle()
    [reaction] = made.reactions()
    reasons = [entry.reason for entry in made.lanes.history(reaction.id)]
    assert (str(reaction.state), standing(made)) == ("succeeded", ([D1], {D1: 100}))
    assert any("first-model" in reason for reason in reasons)
    assert made.notifier.kinds == ["ModelPromoted"]
    assert made.permits.held["endpoint:ep1"] == {}


def test_a_better_model_takes_all_traffic_and_the_one_before_is_removed() -> None:
    made = with_live()
    candidate(made)
    made.settle()
    assert made.states() == ["succeeded", "succeeded"]
    assert standing(made) == ([D2], {D2: 100})
    assert made.workspace.writes == [f"create {D2}", f"traffic {{'{D2}': 100}}", f"delete {D1}"]
    reaction = made.reactions()[-1]
    tags = made.workspace.endpoints[ENDPOINT][D2].deployment.tags
    assert (tags["relearn_reaction"], tags["model"], tags["version"]) == (reaction.id, "clf", "2")


def test_the_one_before_is_kept_as_long_as_the_rule_says() -> None:
    made = with_live(RULES.replace("keep-previous: 10s", "keep-previous: 7m"))
    candidate(made)
    while standing(made)[1] != {D2: 100}:
        assert made.look_when_due()
    promoted = made.clock.now()
    while D1 in standing(made)[0]:
        assert made.look_when_due()
    assert made.clock.now() >= promoted + timedelta(minutes=7)


def test_a_model_is_live_when_aml_has_done_with_its_endpoint() -> None:
    made = with_live()
    made.workspace.update = timedelta(minutes=10)
    candidate(made)
    while not in_phase(made, "traffic"):
        assert made.look_when_due()
    asked = made.clock.now()
    while not in_phase(made, "retiring"):
        assert made.look_when_due()
    assert made.clock.now() >= asked + timedelta(minutes=10)


def test_production_is_not_touched_before_the_smoke_test_has_passed() -> None:
    made = with_live()
    candidate(made)
    seen = []
    made.workspace.hooks["score"] = lambda: seen.append(dict(made.workspace.traffic[ENDPOINT]))
    made.settle()
    assert seen == [{D1: 100}]


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_a_model_registered_is_deployed_once(copies: int) -> None:
    made = with_live()
    for _ in range(copies):
        candidate_event = registered("clf", "2")
        made.workspace.register("clf", "2", made.clock.now() + MINUTE, **GOOD)
        made.deliver(candidate_event)
    made.settle()
    made.deliver(registered("clf", "2"))
    made.settle()
    assert made.workspace.writes.count(f"create {D2}") == 1


def test_the_event_of_another_model_or_tag_matches_no_rule() -> None:
    made = world()
    made.workspace.register("clf", "1")
    made.deliver(registered("clf", "1", tags={"stage": "archive"}), registered("clf2", "1"))
    made.settle()
    assert made.reactions() == []
    assert made.recent.counts == {"unmatched": 2}


# --- the gate ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({**GOOD, "Accuracy": "0.7819"}, "at least 0.002 is needed"),
        ({**GOOD, "Accuracy": "0.70"}, "-0.0800"),
        ({k: v for k, v in GOOD.items() if k != "Accuracy"}, "Accuracy: the candidate was registered with no such"),
        ({k: v for k, v in GOOD.items() if k != "live__Accuracy"}, "live.Accuracy: the candidate was registered with"),
        ({**GOOD, "Accuracy": "very good"}, "which is no number"),
        ({**GOOD, "Accuracy": "NaN"}, "which is no number"),
        ({k: v for k, v in GOOD.items() if k != "live__version"}, "was not compared with clf:1"),
        ({**GOOD, "live__version": "0"}, "stale comparison: the candidate was compared with clf:0"),
        ({**GOOD, "live__name": "other"}, "stale comparison"),
    ],
)
def test_the_gate_refuses_and_nothing_is_made(properties: dict[str, str], said: str) -> None:
    made = with_live()
    candidate(made, **properties)
    made.settle()
    reaction = made.reactions()[-1]
    assert (str(reaction.state), made.workspace.writes) == ("refused", [])
    assert said in reaction.reason
    assert made.notifier.kinds == ["ReactionRefused"]
    assert made.permits.held["endpoint:ep1"] == {}


def test_the_gate_reads_decimals_as_they_are_written() -> None:
    made = with_live()
    candidate(made, **{**GOOD, "Accuracy": "0.782", "live__Accuracy": "0.780"})  # as floats this is less than 0.002
    made.settle()
    assert made.states()[-1] == "succeeded"


def test_a_model_that_was_deleted_or_archived_meanwhile_is_skipped() -> None:
    made = world()
    made.deliver(registered("clf", "1"))
    made.settle()
    assert (made.reactions(), skipped(made)) == ([], ["model-gone"])


def test_a_version_that_is_live_already_is_skipped() -> None:
    made = world()
    made.workspace.serve(ENDPOINT, "blue", V1)
    made.workspace.register("clf", "1")
    made.deliver(registered("clf", "1"))
    made.settle()
    assert (made.reactions(), skipped(made)) == ([], ["already-live"])


# --- which version ----------------------------------------------------------------------------------------------------


def test_an_older_version_that_comes_late_is_skipped() -> None:
    made = with_live()
    made.workspace.register("clf", "9", T0 - MINUTE, **GOOD)  # by its text it would be the newest
    made.deliver(registered("clf", "9"))
    made.settle()
    assert (made.states(), skipped(made)) == (["succeeded"], ["older-than-live"])


def test_of_two_versions_within_seconds_the_newer_goes_live_and_the_older_never() -> None:
    made = with_live()
    made.inline = False
    made.restart()
    candidate(made, "10")
    made.clock.advance(timedelta(seconds=2))
    made.workspace.register("clf", "9", made.clock.now(), **GOOD)
    made.deliver(registered("clf", "9", time=made.clock.now()))
    made.settle()
    assert standing(made)[1] == {deployment_name(ModelRef(name="clf", version="9")): 100}
    assert (made.states(), skipped(made)) == (["succeeded", "succeeded"], ["older-than-live"])


def test_the_newest_is_the_one_that_was_registered_last_whatever_its_name_and_whenever_it_is_told() -> None:
    made = with_live()
    made.inline = False
    made.restart()
    made.clock.advance(MINUTE)
    began = made.clock.now()
    for version, seconds in (("10", 5), ("9", 3), ("b", 4)):  # told in this order
        made.workspace.register("clf", version, began + timedelta(seconds=seconds), **GOOD)
        made.deliver(registered("clf", version, time=made.clock.now()))
        made.clock.advance(timedelta(seconds=1))
    made.settle()
    assert standing(made)[1] == {deployment_name(ModelRef(name="clf", version="10")): 100}
    assert skipped(made) == ["older-than-live"] * 2


def test_a_newer_version_takes_the_place_of_one_that_is_being_made() -> None:
    made = with_live()
    candidate(made, "2")
    assert made.states()[-1] == "running"
    candidate(made, "3", **{**GOOD, "Accuracy": "0.81"})
    made.settle()
    assert made.states() == ["succeeded", "superseded", "succeeded"]
    assert standing(made) == ([D3], {D3: 100})
    assert f"traffic {{'{D2}': 100}}" not in made.workspace.writes


def test_a_newer_version_that_would_not_pass_replaces_nothing() -> None:
    made = with_live()
    candidate(made, "2")
    candidate(made, "3", **{**GOOD, "Accuracy": "0.5"})
    made.settle()
    assert made.states() == ["succeeded", "succeeded", "refused"]
    assert standing(made) == ([D2], {D2: 100})


def test_if_the_newer_of_two_is_refused_the_older_has_its_turn() -> None:
    made = with_live()
    made.inline = False
    made.restart()
    candidate(made, "2")
    candidate(made, "3", **{**GOOD, "Accuracy": "0.5"})
    made.settle()
    assert sorted(made.states()) == ["refused", "succeeded", "succeeded"]
    assert standing(made) == ([D2], {D2: 100})


def test_an_older_version_does_not_replace_a_newer_one_that_is_being_made() -> None:
    made = with_live()
    candidate(made, "2")
    made.workspace.register("clf", "3", made.clock.now() - timedelta(seconds=10), **{**GOOD, "Accuracy": "0.9"})
    made.deliver(registered("clf", "3", time=made.clock.now()))
    made.settle()
    assert (made.states(), skipped(made)) == (["succeeded", "succeeded"], ["older-than-live"])


def test_of_two_that_were_registered_at_one_time_the_one_that_came_first_stays() -> None:
    made = with_live()
    candidate(made, "2")
    running = made.workspace.models[V2]
    made.workspace.register("clf", "3", running.created, **{**GOOD, "Accuracy": "0.9"})
    made.deliver(registered("clf", "3", time=made.clock.now()))
    made.settle()
    assert (made.states(), skipped(made)) == (["succeeded", "succeeded"], ["older-than-live"])


def test_a_rollout_whose_start_may_be_out_is_not_replaced_before_that_is_known() -> None:
    made = with_live()
    made.workspace.lag = timedelta(seconds=40)
    made.workspace.after["create deployment"] = failing(1, InDoubt("reset after the request"))
    candidate(made, "2")
    made.clock.advance(timedelta(seconds=1) - MINUTE)  # `candidate` lets a minute pass
    candidate(made, "3", **{**GOOD, "Accuracy": "0.81"})
    assert made.states() == ["succeeded", "starting"]
    made.settle()
    assert (made.states(), standing(made)) == (["succeeded", "superseded", "succeeded"], ([D3], {D3: 100}))


@pytest.mark.parametrize(
    ("phase", "compared", "end"), [("traffic", "1", "refused"), ("retiring", "2", "succeeded")], ids=str
)
def test_nothing_is_replaced_once_traffic_is_moving(phase: str, compared: str, end: str) -> None:
    made = with_live()
    made.workspace.hooks["set traffic"] = failing(1, TargetBusy("409"))
    candidate(made, "2")
    while not in_phase(made, phase):
        assert made.look_when_due()
    made.clock.advance(timedelta(seconds=1) - MINUTE)  # `candidate` lets a minute pass
    candidate(made, "3", **{**GOOD, "Accuracy": "0.9", "live__version": compared})
    assert made.states() == ["succeeded", "running"]
    made.settle()
    assert made.states() == ["succeeded", "succeeded", end]


def test_a_newer_version_takes_the_place_of_one_that_is_being_tested() -> None:
    made = with_live()
    made.workspace.answers = [TargetUnavailable("cold")]
    candidate(made, "2")
    while not in_phase(made, "smoke-test"):
        assert made.look_when_due()
    made.clock.advance(timedelta(seconds=1) - MINUTE)
    candidate(made, "3", **{**GOOD, "Accuracy": "0.9"})
    made.settle()
    assert (made.states(), standing(made)) == (["succeeded", "superseded", "succeeded"], ([D3], {D3: 100}))


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


def answer(status: int = 200, body: str = '{"result": [0, 1, 0]}', deployment: str | None = None) -> Answer:
    return Answer(status=status, deployment=deployment, body=body, seconds=0.1)


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
    made.settle()
    reaction = made.reactions()[-1]
    assert (str(reaction.state), reaction.attempt, standing(made)) == ("succeeded", 2, ([D2], {D2: 100}))


def test_a_deployment_that_never_gets_ready_is_removed_after_the_timeout() -> None:
    made = with_live(RULES + "    timeout: 30m\n")
    made.workspace.creation = timedelta(days=9)
    candidate(made)
    made.settle()
    assert (made.states()[-1], standing(made)) == ("timed-out", ([D1], {D1: 100}))


def test_an_endpoint_in_a_failed_state_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    made = with_live()
    read = made.workspace.endpoint

    def failed(name: str) -> Endpoint | None:
        found = read(name)
        return replace(found, provisioning=Provisioning.FAILED) if found is not None else None

    monkeypatch.setattr(made.workspace, "endpoint", failed)
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


def failing(times: int, error: Exception) -> Callable[[], None]:
    left = [times]

    def fail() -> None:
        if left[0]:
            left[0] -= 1
            raise error

    return fail


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


def test_a_refused_traffic_change_removes_the_candidate() -> None:
    made = with_live()
    made.workspace.hooks["set traffic"] = failing(9, TargetRefused("400 traffic", status=400))
    candidate(made)
    made.settle()
    assert (made.states()[-1], standing(made)) == ("failed", ([D1], {D1: 100}))


# --- one writer per endpoint ------------------------------------------------------------------------------------------

TWO_RULES = RULES + RULES.split("reactions:\n", 1)[1].replace("  deploy:", "  deploy-other:").replace(
    "model: clf", "model: other"
).replace("      gate: {metric: Accuracy, better-than: live, by: 0.002}\n", "")


def test_two_rules_for_one_endpoint_take_turns() -> None:
    made = with_live(TWO_RULES)
    candidate(made)
    made.clock.advance(timedelta(seconds=1))
    made.workspace.register("other", "1")
    made.deliver(registered("other", "1", time=made.clock.now()))
    waiting = [r for r in made.reactions() if str(r.state) == "pending"]
    assert [r.rule for r in waiting] == ["deploy-other"]
    assert "is held by reaction" in waiting[0].reason
    at_once: list[int] = []
    while made.look_when_due():
        at_once.append(len([r for r in made.reactions() if str(r.state) in {"starting", "running"}]))
    assert max(at_once) == 1
    other = deployment_name(ModelRef(name="other", version="1"))
    assert (made.states(), standing(made)) == (["succeeded"] * 3, ([other], {other: 100}))


def test_a_permit_that_a_dead_process_left_behind_is_released() -> None:
    made = with_live()
    first = made.reactions()[0]
    made.permits.hold("endpoint:ep1", Permit(reaction_id=first.id, since=T0))
    candidate(made)
    assert list(made.permits.held["endpoint:ep1"]) == [made.reactions()[-1].id]
    made.settle()
    assert made.states() == ["succeeded", "succeeded"]


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
    assert "could not be removed within 1:00:00: 409 ScopeLocked" in made.reactions()[-1].reason
    assert made.permits.held["endpoint:ep1"] == {}


def test_the_one_before_is_removed_after_a_lock_that_passes_however_long_it_was_kept() -> None:
    made = with_live(RULES.replace("keep-previous: 10s", "keep-previous: 3h"))
    made.workspace.hooks["delete deployment"] = failing(3, TargetBusy("409 ScopeLocked"))
    candidate(made)
    made.settle()
    assert (made.states()[-1], standing(made)) == ("succeeded", ([D2], {D2: 100}))


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


# --- who is first, and who comes late ---------------------------------------------------------------------------------


def held_up(made: World, once: Callable[[], bool], meanwhile: Callable[[], None]) -> None:
    """This process reads the endpoint, and before it can act on that `meanwhile` happens elsewhere."""
    read = made.workspace.endpoint

    def endpoint(name: str) -> Endpoint | None:
        found = read(name)
        if once():
            made.workspace.endpoint = read  # type: ignore[method-assign]
            meanwhile()
        return found

    made.workspace.endpoint = endpoint  # type: ignore[method-assign]


def test_what_has_traffic_and_is_not_listed_is_not_taken_for_nothing() -> None:
    made = world()
    made.workspace.register("clf", "1", T0 - MINUTE)
    made.workspace.serve(ENDPOINT, "blue", V1)
    made.workspace.endpoints[ENDPOINT]["blue"].listed_at = T0 + timedelta(minutes=3)
    candidate(made, Accuracy="0.5")
    assert "traffic of ep1 goes to blue, which is not listed" in made.reactions()[0].reason
    made.settle()
    assert (made.states(), made.workspace.writes) == (["refused"], [])


def test_a_process_that_was_held_up_past_its_intent_does_not_ask_for_the_deployment() -> None:
    made = with_live()
    commit = made.lanes.commit

    def held_up_after_it(lane: str, change: LaneChange) -> Saved:
        saved = commit(lane, change)
        if change.reaction is not None and str(change.reaction.state) == "starting":
            made.lanes.commit = commit  # type: ignore[method-assign]
            made.clock.advance(timedelta(seconds=31))
            made.engine.look_at_lane(lane, None)  # another process goes on with it
        return saved

    made.lanes.commit = held_up_after_it  # type: ignore[method-assign]
    candidate(made)
    made.settle()
    assert (made.states()[-1], made.workspace.writes.count(f"create {D2}")) == ("succeeded", 1)


def test_a_process_that_was_held_up_does_not_move_the_traffic_back() -> None:
    made = with_live(RULES.replace("keep-previous: 10s", "keep-previous: 10m"))
    candidate(made, "2")

    def goes_on_elsewhere() -> None:
        made.settle()
        candidate(made, "3", **{**GOOD, "Accuracy": "0.9", "live__version": "2", "live__Accuracy": "0.80"})
        while standing(made)[1] != {D3: 100}:
            assert made.look_when_due()

    held_up(made, lambda: in_phase(made, "traffic"), goes_on_elsewhere)
    while standing(made)[1] != {D3: 100}:
        assert made.look_when_due()
    made.settle()
    assert standing(made) == ([D3], {D3: 100})
    assert made.workspace.writes.count(f"traffic {{'{D2}': 100}}") == 1


def test_a_process_that_was_held_up_does_not_remove_the_next_attempt() -> None:
    made = with_live(RULES + "    retry: {attempts: 2, backoff: 1m}\n")
    made.workspace.fails[D2] = "OutOfQuota"
    candidate(made, "2")

    def goes_on_elsewhere() -> None:
        while made.reactions()[-1].attempt == 1:
            assert made.look_when_due()
        made.workspace.fails.clear()
        made.look_when_due()
        assert in_phase(made, "creating")

    held_up(made, lambda: in_phase(made, "removing"), goes_on_elsewhere)
    made.settle()
    assert (made.states()[-1], standing(made)) == ("succeeded", ([D2], {D2: 100}))
    assert made.workspace.writes.count(f"delete {D2}") == 1


def in_phase(made: World, phase: str) -> bool:
    rollout = made.reactions()[-1].rollout
    return rollout is not None and rollout.phase == phase


def test_somebody_who_changes_what_the_live_deployment_serves_is_not_overruled() -> None:
    made = with_live()

    def in_place() -> None:
        there = made.workspace.endpoints[ENDPOINT][D1]
        there.deployment = replace(there.deployment, model=V3)

    made.workspace.hooks["score"] = in_place
    candidate(made)
    made.settle()
    assert (made.states()[-1], standing(made)) == ("refused", ([D1], {D1: 100}))
    assert "clf:3" in made.reactions()[-1].reason


def test_rules_that_spell_one_endpoint_differently_take_turns() -> None:
    first, second = TWO_RULES.split("  deploy-other:")
    made = with_live(f"{first}  deploy-other:{second.replace('ep1', 'EP1')}")
    made.workspace.endpoints["EP1"] = made.workspace.endpoints[ENDPOINT]
    candidate(made)
    made.workspace.register("other", "1")
    made.deliver(registered("other", "1", time=made.clock.now()))
    assert {r.rule: str(r.state) for r in made.reactions()} == {"deploy": "running", "deploy-other": "pending"}


def test_who_is_just_about_to_begin_holds_the_endpoint() -> None:
    made = with_live(TWO_RULES)
    made.workspace.updating_until[ENDPOINT] = made.clock.now() + MINUTE + timedelta(seconds=5)
    candidate(made)
    assert made.states() == ["succeeded", "pending"]

    def another_comes() -> None:
        del made.workspace.hooks["get model"]
        made.workspace.register("other", "1")
        made.deliver(registered("other", "1", time=made.clock.now()))

    made.workspace.hooks["get model"] = another_comes
    made.look_when_due()
    assert {r.rule: str(r.state) for r in made.reactions()} == {"deploy": "running", "deploy-other": "pending"}


def test_a_start_that_the_workspace_cannot_take_lets_the_endpoint_go_meanwhile() -> None:
    made = with_live()
    made.workspace.hooks["create deployment"] = failing(1, TargetBusy("409"))
    candidate(made)
    assert (made.states(), made.permits.held["endpoint:ep1"]) == (["succeeded", "pending"], {})


def test_a_start_that_stays_in_doubt_fails_after_the_timeout() -> None:
    made = with_live(RULES + "    timeout: 10m\n")
    made.workspace.hooks["create deployment"] = failing(1000, InDoubt("reset"))
    candidate(made)
    made.settle(looks=1000)
    assert (made.states()[-1], made.workspace.writes) == ("failed", [])
    assert "after 0:10:00 it is still unclear" in made.reactions()[-1].reason


@pytest.mark.parametrize(("refusals", "end"), [(2, "succeeded"), (1000, "failed")])
def test_a_start_in_doubt_outlasts_a_refusal_to_tell_but_not_its_timeout(refusals: int, end: str) -> None:
    made = with_live(RULES + "    timeout: 10m\n")
    made.workspace.after["create deployment"] = failing(1, InDoubt("reset after the request"))
    candidate(made)
    began = made.clock.now()
    made.workspace.hooks["get endpoint"] = failing(refusals, TargetRefused("403", status=403))
    made.settle()
    assert made.states()[-1] == end
    assert end == "succeeded" or made.clock.now() >= began + timedelta(minutes=10)


def test_what_was_in_doubt_for_longer_than_its_timeout_and_is_there_is_adopted() -> None:
    made = with_live(RULES + "    timeout: 10m\n")
    made.workspace.after["create deployment"] = failing(1, InDoubt("reset after the request"))
    candidate(made)
    out_until = made.clock.now() + timedelta(minutes=20)

    def out() -> None:
        if made.clock.now() < out_until:
            raise TargetUnavailable("503")

    made.workspace.hooks["get endpoint"] = out
    while made.clock.now() < out_until:
        assert made.look_when_due()
    made.settle()
    assert (made.states()[-1], made.workspace.writes.count(f"create {D2}")) == ("succeeded", 1)


def test_a_rollout_that_waits_for_its_next_attempt_and_died_before_it_let_go_holds_nothing() -> None:
    keeps = "      keep-previous: 10s\n"
    made = with_live(TWO_RULES.replace(keeps, f"{keeps}    retry: {{attempts: 2, backoff: 1h}}\n", 1))
    made.workspace.fails[D2] = "OutOfQuota"
    candidate(made)

    def dies(_number: int, what: str) -> None:
        if what == "release permit":
            raise Died

    made.storage.before_call = dies
    with pytest.raises(Died):
        made.settle()
    made.storage.before_call = lambda _number, _what: None
    made.restart()
    began = made.clock.now()
    made.workspace.register("other", "1")
    made.deliver(registered("other", "1", time=began))
    other = deployment_name(ModelRef(name="other", version="1"))
    while standing(made)[1] != {other: 100}:
        assert made.look_when_due()
    assert made.clock.now() < began + timedelta(minutes=30)


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
            made.storage.before_call = lambda _number, _what: None
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
                made.storage.before_call = lambda _number, _what: None
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
