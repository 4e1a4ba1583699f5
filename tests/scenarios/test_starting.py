"""createRun goes wrong in every way it can: one run in the end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from local.faults import AcceptThen, Drop, Hang, Status, Truncate
from local.progress import ByHand, Outcome
from tests.scenarios.stage import PIPELINE, RULES, Stage

pytestmark = pytest.mark.cloud


def fault(stage: Stage, action: Any, times: int = 1) -> None:
    path = f"*/factories/{stage.factory_name}/pipelines/*/createrun"
    stage.cloud.data_factory.faults.add(method="POST", path=path, action=action, times=times)


@pytest.mark.parametrize(
    "action",
    [
        pytest.param(Status(500), id="500"),
        pytest.param(Status(503), id="503"),
        pytest.param(Status(503, headers={"Retry-After": "1"}), id="503 with Retry-After"),
        pytest.param(Status(429, headers={"Retry-After": "7"}), id="429 with Retry-After"),
        pytest.param(Status(429), id="429"),
        pytest.param(Drop(), id="reset"),
        pytest.param(AcceptThen(Status(500)), id="accepted, then 500"),
        pytest.param(AcceptThen(Status(504, headers={"Retry-After": "1"})), id="accepted, then 504 with Retry-After"),
        pytest.param(AcceptThen(Drop()), id="accepted, then reset"),
        pytest.param(AcceptThen(Truncate()), id="accepted, then cut off"),
        pytest.param(AcceptThen(Hang(20)), id="accepted, then timed out"),
    ],
)
def test_one_run_whatever_the_start_is_answered(stage: Stage, action: Any) -> None:
    fault(stage, action)
    stage.deliver(stage.land("in/b1/a.csv"))
    stage.settle(stage.all_final)
    assert stage.states() == ["succeeded"]
    assert len(stage.starts()) == 1
    assert len(stage.posts()) == (1 if isinstance(action, AcceptThen) else 2)
    assert len(stage.factory.runs("score")) == 1


def test_a_busy_factory_is_asked_again_after_what_it_advises(stage: Stage) -> None:
    fault(stage, Status(429, headers={"Retry-After": "7"}))
    before = stage.clock.now()
    stage.deliver(stage.land("in/b1/a.csv"))
    assert stage.states() == ["pending"]
    stage.settle(lambda: stage.states() != ["pending"])
    assert timedelta(seconds=7) <= stage.clock.now() - before < timedelta(seconds=7 * 1.2)


def test_a_full_queue_delays_and_fails_nothing(stage: Stage) -> None:
    stage.factory.queue_full(times=2)
    stage.deliver(stage.land("in/b1/a.csv"))
    stage.settle(stage.all_final)
    [reaction] = stage.reactions()
    assert (reaction["state"], reaction["attempt"]) == ("succeeded", 1)
    assert (len(stage.posts()), len(stage.starts())) == (3, 1)


@pytest.mark.parametrize("polls", [1, 2, 3])
def test_a_run_that_queries_do_not_show_yet_is_adopted_all_the_same(stage: Stage, polls: int) -> None:
    stage.factory.hide(polls=polls)
    fault(stage, AcceptThen(Drop()))
    stage.deliver(stage.land("in/b1/a.csv"))
    stage.settle(stage.all_final)
    assert stage.states() == ["succeeded"]
    assert len(stage.posts()) == 1


def test_a_second_run_with_our_stamp_is_cancelled_and_recorded(stage: Stage) -> None:
    stage.factory.progress.set(ByHand(), "score")
    stage.deliver(stage.land("in/b1/a.csv"))
    [first] = stage.factory.runs("score")
    second = stage.factory.start("score", first.parameters)
    stage.settle(lambda: second.is_final)
    assert str(second.status.value) == "Cancelled"
    assert not first.is_final
    stage.factory.finish(first.id)
    stage.settle(stage.all_final)
    [reaction] = stage.reactions()
    assert stage.story(reaction["id"]).count("duplicate-start") == 1
    assert (reaction["state"], reaction["run_id"]) == ("succeeded", first.id)


def test_a_missing_pipeline_fails_with_the_factorys_own_message(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(rules=RULES.replace("run-pipeline: score", "run-pipeline: no-such"))
    stage.deliver(stage.land("in/b1/a.csv"))
    [reaction] = stage.reactions()
    assert reaction["state"] == "failed"
    assert "The pipeline 'no-such' was not found" in reaction["reason"]
    assert stage.starts() == []


def test_a_pipeline_that_does_not_declare_its_stamps_is_not_started(stage_with: Callable[..., Stage]) -> None:
    bare = {"name": "score", "properties": {**PIPELINE["properties"], "parameters": {"batch": {"type": "String"}}}}
    stage = stage_with(pipelines=(bare,))
    stage.deliver(stage.land("in/b1/a.csv"))
    [reaction] = stage.reactions()
    assert reaction["state"] == "failed"
    assert "does not declare the parameter(s) attempt, files, reaction_id" in reaction["reason"]
    assert stage.starts() == []


def test_a_mended_pipeline_is_seen_at_the_next_start(stage_with: Callable[..., Stage]) -> None:
    bare = {"name": "score", "properties": {**PIPELINE["properties"], "parameters": {"batch": {"type": "String"}}}}
    stage = stage_with(pipelines=(bare,))
    stage.deliver(stage.land("in/b1/a.csv"))
    stage.factory.publish(PIPELINE)
    stage.deliver(stage.land("in/b1/b.csv"), stage.land("in/b2/b.csv"))
    stage.settle(stage.all_final)
    assert sorted(stage.states()) == ["failed", "succeeded", "succeeded"]


def test_a_failed_run_is_tried_again_and_its_message_is_kept(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(rules=RULES + "    retry: {attempts: 2, backoff: 10s}\n")
    stage.factory.progress.set(ByHand(), "score")
    stage.deliver(stage.land("in/b1/a.csv"))
    [first] = stage.factory.runs("score")
    stage.factory.fail(first.id, "the prep job failed")
    stage.settle(lambda: len(stage.factory.runs("score")) == 2)
    stage.factory.finish(stage.running()[0].id, Outcome.SUCCEEDED)
    stage.settle(stage.all_final)
    [reaction] = stage.reactions()
    assert (reaction["state"], reaction["attempt"]) == ("succeeded", 2)
    history = stage.get(f"reactions/{reaction['id']}")[1]["history"]
    assert any("the prep job failed" in entry["reason"] for entry in history)


def test_a_run_that_takes_too_long_is_cancelled_in_the_factory(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(rules=RULES + "    timeout: 3m\n")
    stage.factory.progress.set(ByHand(), "score")
    stage.deliver(stage.land("in/b1/a.csv"))
    [run] = stage.factory.runs("score")
    stage.settle(stage.all_final)
    assert stage.states() == ["timed-out"]
    assert str(run.status.value) == "Cancelled"


def test_a_run_cancelled_by_hand_cancels_the_reaction(stage: Stage) -> None:
    stage.factory.progress.set(ByHand(), "score")
    stage.deliver(stage.land("in/b1/a.csv"))
    stage.factory.finish(stage.running()[0].id, Outcome.CANCELLED)
    stage.settle(stage.all_final)
    assert stage.states() == ["cancelled"]
