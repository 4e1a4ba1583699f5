"""A monitor trips, and training starts once: through the real entry points, whatever Event Grid delivers how often."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from local.progress import AfterPolls
from local.service import workspace_id
from tests.scenarios.serving import breaches
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.cloud
DECLARED = ("reaction_id", "attempt", "batch", "reason", "run")
TRAIN = {
    "name": "train",
    "properties": {
        "parameters": {name: {"type": "String"} for name in DECLARED},
        "activities": [{"name": "Rest", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 1}}],
    },
}


def rules(when: str = "", more: str = "") -> str:
    return f"""\
version: 1
reactions:
  retrain:
    when: {{drift-detected: {{monitor: "diabetes-{{batch}}", signals: [data_drift]{when}}}}}
    collect: {{by: "{{batch}}"}}
    run-pipeline: train
    with: {{batch: "{{batch}}", reason: "{{signal}}", run: "{{run_id}}"}}
{more}"""


@pytest.fixture
def trained(stage_with: Callable[..., Stage]) -> Callable[..., Stage]:
    def make(text: str) -> Stage:
        stage = stage_with(rules=text, pipelines=(TRAIN,))
        stage.factory.progress.set(AfterPolls(2), "train")  # looks go by faster than a second
        return stage

    return make


@pytest.mark.parametrize("schema", ["EventGridSchema", "CloudEventSchemaV1_0"])
@pytest.mark.parametrize("times", [1, 5], ids=["once", "seen_five_times"])
def test_a_breach_starts_one_training(trained: Callable[..., Stage], times: int, schema: Any) -> None:
    stage = trained(rules())
    events = breaches("diabetes-clinic", "run-1", stage.clock.now(), schema=schema)
    stage.deliver(*(events * 5)[: max(times, 1)])
    stage.settle(stage.all_final)
    stage.deliver(*events)
    stage.settle()
    [start] = stage.starts()
    sent = start["parameters"]
    assert (sent["batch"], sent["reason"], sent["run"]) == ("clinic", "data_drift", "run-1")
    [reaction] = stage.reactions()
    told = stage.get(f"reactions/{reaction['id']}")[1]
    assert reaction["state"] == "succeeded"
    [monitored] = told["lineage"]["monitor_runs"]
    assert (monitored["monitor"], monitored["monitor_run"]) == ("diabetes-clinic", "run-1")
    assert monitored["breaches"] == [
        {"feature": "Age", "metric": "JensenShannonDistance", "value": 0.42, "threshold": 0.1}
    ]


def test_breaches_below_times_start_nothing_and_are_skipped_with_the_reason(trained: Callable[..., Stage]) -> None:
    stage = trained(rules(", times: 2, within: 2m"))
    stage.deliver(*breaches("diabetes-clinic", "run-1", stage.clock.now()))
    stage.settle()
    stage.clock.advance(timedelta(minutes=3))
    # Two breaches, and never two within two minutes.
    stage.deliver(*breaches("diabetes-clinic", "run-2", stage.clock.now()))
    stage.settle()
    assert stage.reactions() == []
    assert stage.starts() == []
    assert list(stage.due.due(stage.clock.now() + timedelta(hours=1))) == []


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_as_many_breaches_as_the_rule_wants_start_one_training(trained: Callable[..., Stage], copies: int) -> None:
    stage = trained(rules(", times: 2, within: 3d"))
    for run in ("run-1", "run-2"):
        events = breaches("diabetes-clinic", run, stage.clock.now())
        stage.deliver(*events * copies)
        stage.clock.advance(timedelta(minutes=1))
    stage.settle(stage.all_final)
    [start] = stage.starts()
    assert start["parameters"]["run"] == "run-1, run-2"
    assert [r["event_count"] for r in stage.reactions()] == [2]


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_after_a_recovery_it_takes_as_many_breaches_again(trained: Callable[..., Stage], copies: int) -> None:
    stage = trained(rules(", times: 2, within: 1m"))
    stage.deliver(*breaches("diabetes-clinic", "run-1", stage.clock.now()) * copies)
    stage.settle()  # no other comes within the minute
    for run in ("run-2", "run-3"):
        assert stage.starts() == []
        stage.clock.advance(timedelta(seconds=20))
        stage.deliver(*breaches("diabetes-clinic", run, stage.clock.now()) * copies)
    stage.settle(stage.all_final)
    [start] = stage.starts()
    assert start["parameters"]["run"] == "run-2, run-3"
    assert [r["event_count"] for r in stage.reactions()] == [2]


def test_one_breach_announced_three_times_is_not_three(trained: Callable[..., Stage]) -> None:
    stage = trained(rules(", times: 2, within: 3d"))
    stage.deliver(*breaches("diabetes-clinic", "run-1", stage.clock.now()) * 2)
    stage.settle()
    assert stage.starts() == []


def test_each_monitor_has_a_lane_of_its_own(trained: Callable[..., Stage]) -> None:
    stage = trained(rules())
    for batch in ("clinic", "ward"):
        stage.deliver(*breaches(f"diabetes-{batch}", f"run-{batch}", stage.clock.now()))
    stage.settle(stage.all_final)
    assert sorted(start["parameters"]["batch"] for start in stage.starts()) == ["clinic", "ward"]


def test_another_monitor_or_signal_is_recorded_as_unmatched(trained: Callable[..., Stage]) -> None:
    stage = trained(rules())
    stage.deliver(breaches("churn-clinic", "run-1", stage.clock.now())[0])
    stage.deliver(breaches("diabetes-clinic", "run-2", stage.clock.now(), signal="data_quality")[0])
    assert stage.refused() == {"unmatched": 2}
    assert stage.starts() == []


def test_the_signal_may_be_quoted_with_the_monitors_name(trained: Callable[..., Stage]) -> None:
    stage = trained(rules())
    stage.deliver(*breaches("diabetes-clinic", "run-1", stage.clock.now(), signal="diabetes-clinic_data_drift"))
    stage.settle(stage.all_final)
    assert [start["parameters"]["reason"] for start in stage.starts()] == ["data_drift"]


def test_the_retired_dataset_monitors_event_is_understood(trained: Callable[..., Stage]) -> None:
    stage = trained(rules().replace(", signals: [data_drift]", ""))
    event = json.dumps(
        {
            "topic": workspace_id(),
            "subject": "datadrift/7d5c0f3e/run/7d5c0f3e_1783209600123",
            "eventType": "Microsoft.MachineLearningServices.DatasetDriftDetected",
            "eventTime": stage.clock.now().isoformat(),
            "id": "legacy-1",
            "data": {
                "DataDriftId": "7d5c0f3e",
                "DataDriftName": "diabetes-clinic",
                "RunId": "7d5c0f3e_1783209600123",
                "DriftCoefficient": 0.73,
            },
            "dataVersion": "2",
            "metadataVersion": "1",
        }
    )
    stage.deliver(event, event)
    stage.settle(stage.all_final)
    [start] = stage.starts()
    assert (start["parameters"]["batch"], start["parameters"]["run"]) == ("clinic", "7d5c0f3e_1783209600123")


def test_a_breach_while_training_runs_is_skipped_where_the_rule_says_so(trained: Callable[..., Stage]) -> None:
    stage = trained(rules(more="    limits: {while-running: skip}\n"))
    stage.deliver(breaches("diabetes-clinic", "run-1", stage.clock.now())[0])
    stage.clock.advance(timedelta(seconds=1))
    stage.deliver(breaches("diabetes-clinic", "run-2", stage.clock.now())[0])
    stage.settle(stage.all_final)
    stage.settle()
    assert [r["event_count"] for r in stage.reactions()] == [1]


def test_a_model_is_seen_from_the_reaction_whose_run_registered_it(trained: Callable[..., Stage]) -> None:
    stage = trained(
        rules()
        + """\
  note:
    when: {model-registered: {model: "*"}}
    run-pipeline: train
    with: {batch: "{model}", reason: "{version}", run: "x"}
"""
    )
    stage.deliver(breaches("diabetes-clinic", "run-1", stage.clock.now())[0])
    [training] = stage.reactions()
    event = json.dumps(
        {
            "topic": workspace_id(),
            "subject": "models/clf:7",
            "eventType": "Microsoft.MachineLearningServices.ModelRegistered",
            "eventTime": stage.clock.now().isoformat(),
            "id": "model-1",
            "data": {
                "modelName": "clf",
                "modelVersion": 7,
                "modelTags": {"relearn_reaction": training["id"], "relearn_attempt": "1"},
            },
            "dataVersion": "2",
            "metadataVersion": "1",
        }
    )
    stage.deliver(event, event)
    told = stage.get(f"reactions/{training['id']}")[1]
    assert told["lineage"]["models_registered"] == [{"name": "clf", "version": "7", "href": "/api/models/clf/7"}]
    assert [entry["what"] for entry in told["history"]].count("model-registered") == 1
