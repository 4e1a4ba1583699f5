"""A target that is full, throttles or is not well: it is left alone, nothing fails, nothing is dropped."""

from __future__ import annotations

import importlib
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from email.utils import formatdate
from typing import Any

import pytest

from local.faults import Status
from tests.scenarios.serving import RULES as SERVING_RULES
from tests.scenarios.serving import Serving
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.cloud

COPIES = pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
LANES = 4


def fault(stage: Stage, action: Any, times: int | None) -> None:
    path = f"*/factories/{stage.factory_name}/pipelines/*/createrun"
    stage.cloud.data_factory.faults.add(method="POST", path=path, action=action, times=times)


def land(stage: Stage, copies: int) -> None:
    for n in range(LANES):
        event = stage.land(f"in/b{n}/a.csv")
        for _ in range(copies):
            stage.deliver(event)


def until_settled(stage: Stage, looks: int = 80) -> list[datetime]:
    """When, by the app's clock, the factory was called to start something, from the first look on."""
    times: list[datetime] = []
    known = len(stage.posts())
    for _ in range(looks):
        if stage.all_final():
            return times
        assert stage.next_look()
        times += [stage.clock.now()] * (len(stage.posts()) - known)
        known = len(stage.posts())
    raise AssertionError(f"not settled: {stage.reactions()}")


def all_went_well(stage: Stage) -> None:
    assert [(r["state"], r["attempt"]) for r in stage.reactions()] == [("succeeded", 1)] * LANES
    assert len(stage.starts()) == LANES


@COPIES
@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        pytest.param(Status(429, headers={"Retry-After": "7"}), 7, id="429 with Retry-After"),
        pytest.param(Status(429), 30, id="429"),
    ],
)
def test_a_throttling_factory_is_called_once_until_its_time_is_over(
    stage: Stage, answer: Status, seconds: int, copies: int
) -> None:
    fault(stage, answer, times=1)
    before = stage.clock.now()
    land(stage, copies)
    assert len(stage.posts()) == 1, "the other lanes do not call"
    assert stage.states() == ["pending"] * LANES
    times = until_settled(stage)
    assert timedelta(seconds=seconds) <= times[0] - before < timedelta(seconds=seconds * 1.2)
    all_went_well(stage)


@COPIES
@pytest.mark.parametrize("advised", ["in a minute", "for years", "soon"])
def test_advice_of_any_kind_is_understood(stage: Stage, advised: str, copies: int) -> None:
    said = {"in a minute": formatdate(time.time() + 60, usegmt=True), "for years": "9" * 20, "soon": "soon"}[advised]
    fault(stage, Status(429, headers={"Retry-After": said}), times=1)
    before = stage.clock.now()
    event = stage.land("in/b1/a.csv")
    for _ in range(copies):
        stage.deliver(event)
    [due] = [each for each in stage.due.due(before + timedelta(days=3)) if each.key.startswith("lane:")]
    plain = {"in a minute": 60, "for years": 24 * 3600, "soon": 30}[advised]
    assert timedelta(seconds=plain - 5) <= due.at - before < timedelta(seconds=plain * 1.2 + 5)


@COPIES
def test_a_full_queue_delays_and_fails_nothing(stage: Stage, copies: int) -> None:
    stage.factory.queue_full(times=2)
    land(stage, copies)
    until_settled(stage)
    all_went_well(stage)
    assert len(stage.posts()) == LANES + 2


@COPIES
def test_a_factory_that_is_down_is_tried_by_one_start_after_longer_and_longer_waits(stage: Stage, copies: int) -> None:
    fault(stage, Status(503), times=3)
    before = stage.clock.now()
    land(stage, copies)
    assert len(stage.posts()) == 1
    times = until_settled(stage)
    all_went_well(stage)
    assert len(stage.posts()) == LANES + 3, "three that came to nothing, and one for each lane"
    waits = [(times[0] - before).total_seconds(), (times[1] - times[0]).total_seconds()]
    for wait, plain in zip(waits, (30, 60), strict=True):
        assert plain <= wait < plain * 1.2 + 1


@COPIES
def test_a_factory_that_cannot_be_asked_about_a_pipeline_is_left_alone_too(stage: Stage, copies: int) -> None:
    path = f"*/factories/{stage.factory_name}/pipelines/score"
    stage.cloud.data_factory.faults.add(method="GET", path=path, action=Status(503), times=1)
    land(stage, copies)
    assert stage.posts() == []
    ours = f"/factories/{stage.factory_name}/pipelines/score"
    fired = stage.cloud.data_factory.faults.fired
    assert len([each for each in fired if each.path.lower().endswith(ours)]) == 1
    until_settled(stage)
    all_went_well(stage)


@COPIES
def test_what_is_known_of_a_busy_factory_outlives_the_process(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = stage_with()
    fault(stage, Status(429, headers={"Retry-After": "60"}), times=1)
    stage.deliver(stage.land("in/first/a.csv"))
    stage.restart()
    event = stage.land("in/second/a.csv")
    for _ in range(copies):
        stage.deliver(event)
    assert len(stage.posts()) == 1
    until_settled(stage)
    assert stage.states() == ["succeeded"] * 2


# --- the workspace ----------------------------------------------------------------------------------------------------

TWO_ENDPOINTS = SERVING_RULES + SERVING_RULES.split("reactions:\n", 1)[1].replace(
    "  deploy:", "  deploy-other:"
).replace("${MODEL}", "${OTHER}").replace("${ENDPOINT}", "${OTHER}")


@pytest.fixture
def endpoints(stage_with: Callable[..., Stage]) -> Iterator[tuple[Serving, Serving]]:
    """Two endpoints of one workspace, each with a rule and a model of its own."""
    importlib.import_module("azure.ai.ml")  # it takes seconds, in which a delivery would not wait for its look
    unique = uuid.uuid4().hex[:10]
    names = {"ENDPOINT": f"ep-{unique}", "MODEL": f"clf-{unique}", "OTHER": f"other-{unique}"}
    stage = stage_with(rules=TWO_ENDPOINTS, extra_settings=names)
    both = (
        Serving(stage, endpoint=names["ENDPOINT"], model=names["MODEL"]),
        Serving(stage, endpoint=names["OTHER"], model=names["OTHER"]),
    )
    for each in both:
        each.make_endpoint()
    yield both
    stage.cloud.machine_learning.reset()


@COPIES
@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        pytest.param(Status(429, headers={"Retry-After": "20"}), 20, id="429 with Retry-After"),
        pytest.param(Status(429), 30, id="429"),
    ],
)
def test_a_throttling_workspace_is_left_alone_by_every_rollout(
    endpoints: tuple[Serving, Serving], answer: Status, seconds: int, copies: int
) -> None:
    first, second = endpoints
    stage = first.stage
    path = "*/onlineendpoints/*/deployments/*"
    first.workspace.faults.add(method="PUT", path=path, action=answer, times=1)
    before = stage.clock.now()
    for each in endpoints:
        event = each.register("1")
        for _ in range(copies):
            stage.deliver(event)
    assert stage.states() == ["pending", "pending"]
    assert "workspace takes no starts now" in stage.reactions()[1]["reason"]
    assert (first.made("1"), second.made("1")) == (0, 0)
    stage.settle(lambda: first.made("1") + second.made("1") > 0)
    assert timedelta(seconds=seconds) <= stage.clock.now() - before < timedelta(seconds=seconds * 1.2 + 3)
    first.settle()
    assert [(r["state"], r["attempt"]) for r in stage.reactions()] == [("succeeded", 1)] * 2
    assert (first.standing(), second.standing()) == ((["1"], {"1": 100}), (["1"], {"1": 100}))
    assert (first.made("1"), second.made("1")) == (1, 1)
