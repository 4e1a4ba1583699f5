"""A rule's `require`: the drift report in the lake decides whether a training begins, through the real entry points."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from azure.storage.blob import BlobServiceClient

from local.progress import AfterPolls
from tests.scenarios.serving import breaches
from tests.scenarios.stage import Stage
from tests.scenarios.test_drift import TRAIN, rules

pytestmark = pytest.mark.cloud
REQUIRE = (
    '    require: {report: "lake/monitoring/diabetes-{batch}/report.json", min-rows: 500, max-missing: 5%}\n'
    "    limits: {while-running: skip}\n"
)
TIMES = pytest.mark.parametrize("times", [1, 2], ids=["once", "delivered_twice"])


@pytest.fixture
def choosy(stage_with: Callable[..., Stage]) -> Stage:
    stage = stage_with(rules=rules(more=REQUIRE), pipelines=(TRAIN,))
    stage.factory.progress.set(AfterPolls(2), "train")
    return stage


def leave_report(stage: Stage, rows: int, missing_share: float) -> None:
    """As the monitor's component does: over the one before."""
    report = json.dumps({"rows": rows, "missing_share": missing_share, "features": []})
    with BlobServiceClient(stage.lake.blob, credential=stage.credential) as service:
        service.get_blob_client("lake", "monitoring/diabetes-clinic/report.json").upload_blob(report, overwrite=True)


def reasons(stage: Stage, number: int = 0) -> list[str]:
    reaction = stage.reactions()[number]
    return [entry["reason"] for entry in stage.get(f"reactions/{reaction['id']}")[1]["history"]]


@TIMES
def test_data_that_are_fit_are_trained_on(choosy: Stage, times: int) -> None:
    leave_report(choosy, rows=500, missing_share=0.05)
    choosy.deliver(*breaches("diabetes-clinic", "run-1", choosy.clock.now()) * times)
    choosy.settle(choosy.all_final)

    assert choosy.states() == ["succeeded"]
    assert len(choosy.starts()) == 1
    assert any("500 new rows, at least 500 are required" in reason for reason in reasons(choosy))


@TIMES
@pytest.mark.parametrize(
    ("rows", "missing_share", "told"),
    [(499, 0.0, "499 new rows, at least 500 are required"), (9_000, 0.051, "5.1 % of the values are missing")],
)
def test_too_few_rows_or_too_many_missing_values_are_refused(
    choosy: Stage, times: int, rows: int, missing_share: float, told: str
) -> None:
    leave_report(choosy, rows, missing_share)
    choosy.deliver(*breaches("diabetes-clinic", "run-1", choosy.clock.now()) * times)
    choosy.settle()

    assert choosy.states() == ["refused"]
    assert told in reasons(choosy)[-1]
    assert choosy.posts() == []
    # Better data come, and the monitor trips again.
    leave_report(choosy, 9_000, 0.0)
    choosy.clock.advance(timedelta(seconds=1))
    choosy.deliver(*breaches("diabetes-clinic", "run-2", choosy.clock.now()) * times)
    choosy.settle(choosy.all_final)
    assert choosy.states() == ["refused", "succeeded"]
    assert len(choosy.starts()) == 1


@TIMES
def test_a_report_that_is_late_is_waited_for(choosy: Stage, times: int) -> None:
    choosy.deliver(*breaches("diabetes-clinic", "run-1", choosy.clock.now()) * times)
    choosy.next_look()
    assert choosy.states() == ["pending"]
    leave_report(choosy, 500, 0.0)
    choosy.restart()
    choosy.settle(choosy.all_final)

    assert choosy.states() == ["succeeded"]
    assert len(choosy.starts()) == 1


@TIMES
def test_a_report_that_never_comes_is_told_as_a_failure(choosy: Stage, times: int) -> None:
    choosy.deliver(*breaches("diabetes-clinic", "run-1", choosy.clock.now()) * times)
    choosy.settle()

    assert choosy.states() == ["failed"]
    assert (
        "after 10 minutes there is no drift report lake/monitoring/diabetes-clinic/report.json" in reasons(choosy)[-1]
    )
    assert choosy.posts() == []
