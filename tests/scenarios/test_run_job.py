"""A file lands, and a job of the workspace runs once: through the real entry points, whatever the start is answered."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from local.faults import AcceptThen, Drop, Hang, Status, Truncate
from local.progress import AfterPolls, ByHand, Immediately, Outcome
from tests.scenarios.stage import Stage
from tests.scenarios.workspace_jobs import RULES, Training

pytestmark = pytest.mark.cloud
RETRIED = RULES + "    retry: {attempts: 2, backoff: 10s}\n"
TWICE = pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])


@pytest.fixture
def training_with(stage_with: Callable[..., Stage]) -> Iterator[Callable[..., Training]]:
    made: list[Training] = []

    def make(rules: str = RULES) -> Training:
        settings = {"COMPONENT": f"train_{uuid.uuid4().hex}"}
        made.append(Training(stage_with(rules=rules, extra_settings=settings)))
        made[-1].workspace.progress.set(Immediately(), made[-1].component)
        return made[-1]

    yield make
    for each in made:
        each.workspace.reset()


@pytest.fixture
def training(training_with: Callable[..., Training]) -> Training:
    return training_with()


@TWICE
def test_a_file_starts_a_job_that_really_runs(training: Training, copies: int) -> None:
    training.workspace.progress.clear()
    event = training.deliver(copies=copies)
    [started] = training.jobs
    training.workspace.wait(started.name, 30)
    training.stage.settle(training.stage.all_final)
    training.stage.deliver(event)
    training.stage.settle()
    [job], told = training.jobs, training.last()
    assert (told["state"], told["run"]["kind"], told["run"]["name"]) == ("succeeded", "job", job.name)
    assert job.steps[0].stdout is not None
    assert job.steps[0].stdout.read_text().split() == ["b1", told["id"], "1"]
    assert (job.submission.experiment, job.submission.tags["relearn_reaction"]) == ("retrain", told["id"])
    assert told["lineage"]["job"]["name"] == job.name
    assert [call.status for call in training.puts()] == [201]


@TWICE
@pytest.mark.parametrize(
    "action",
    [
        pytest.param(Status(500), id="500"),
        pytest.param(Status(503, headers={"Retry-After": "1"}), id="503 with Retry-After"),
        pytest.param(Status(429, headers={"Retry-After": "7"}), id="429 with Retry-After"),
        pytest.param(Status(429), id="429"),
        pytest.param(Drop(), id="reset"),
        pytest.param(AcceptThen(Status(409)), id="accepted, then 409"),
        pytest.param(AcceptThen(Status(400)), id="accepted, then 400"),
        pytest.param(AcceptThen(Status(500)), id="accepted, then 500"),
        pytest.param(AcceptThen(Drop()), id="accepted, then reset"),
        pytest.param(AcceptThen(Truncate()), id="accepted, then cut off"),
    ],
)
def test_one_job_whatever_the_start_is_answered(training: Training, action: Any, copies: int) -> None:
    training.fault(action)
    training.deliver(copies=copies)
    training.stage.settle(training.stage.all_final)
    [job], told = training.jobs, training.last()
    assert (told["state"], told["attempt"], told["run"]["name"]) == ("succeeded", 1, job.name)
    assert len(training.puts()) == (1 if isinstance(action, AcceptThen) else 2)


def test_a_start_that_hangs_is_adopted(training: Training) -> None:
    training.fault(AcceptThen(Hang(20)))
    training.deliver()
    training.stage.settle(training.stage.all_final)
    assert (training.stage.states(), len(training.jobs), len(training.puts())) == (["succeeded"], 1, 1)
    assert any("adopted: it carries our tag" in entry["reason"] for entry in training.last()["history"])


@TWICE
def test_a_busy_workspace_is_asked_again_after_what_it_advises(training: Training, copies: int) -> None:
    training.fault(Status(429, headers={"Retry-After": "7"}), times=3)
    before = training.stage.clock.now()
    training.deliver(copies=copies)
    assert training.stage.states() == ["pending"]
    training.stage.settle(lambda: training.stage.states() != ["pending"])
    assert training.stage.clock.now() - before >= timedelta(seconds=21)
    training.stage.settle(training.stage.all_final)
    assert (training.stage.states(), training.last()["attempt"], len(training.jobs)) == (["succeeded"], 1, 1)


@TWICE
def test_a_failed_job_is_tried_again_under_a_new_name(training_with: Callable[..., Training], copies: int) -> None:
    training = training_with(RETRIED)
    training.workspace.progress.clear()
    training.workspace.progress.once(Immediately(Outcome.FAILED), training.component)
    training.workspace.progress.set(AfterPolls(1), training.component)
    training.deliver(copies=copies)
    training.stage.settle(training.stage.all_final)
    first, second = training.jobs
    told = training.last()
    assert (told["state"], told["attempt"], told["run"]["name"]) == ("succeeded", 2, second.name)
    assert first.name != second.name
    assert [job["name"] for job in told["run"]["jobs"]] == [first.name, second.name]


@TWICE
def test_a_job_cancelled_by_hand_cancels_the_reaction(training_with: Callable[..., Training], copies: int) -> None:
    training = training_with(RETRIED)
    training.workspace.progress.set(ByHand(), training.component)
    training.deliver(copies=copies)
    training.end(Outcome.CANCELLED)
    training.stage.settle(training.stage.all_final)
    assert (training.stage.states(), len(training.jobs)) == (["cancelled"], 1)


@TWICE
def test_a_job_that_takes_too_long_is_cancelled_in_the_workspace(
    training_with: Callable[..., Training], copies: int
) -> None:
    training = training_with(RULES + "    timeout: 3m\n")
    training.workspace.progress.set(ByHand(), training.component)
    training.deliver(copies=copies)
    training.stage.settle(training.stage.all_final)
    [job] = training.jobs
    assert (training.stage.states(), str(job.status)) == (["timed-out"], "Canceled")


@TWICE
def test_a_component_that_is_not_registered_fails_with_what_to_do(
    training_with: Callable[..., Training], copies: int
) -> None:
    training = training_with(RULES.replace(":1", ":2"))
    training.deliver(copies=copies)
    assert training.stage.states() == ["failed"]
    assert "register it, or correct the rule" in training.last()["reason"]
    assert training.puts() == []
