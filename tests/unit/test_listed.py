"""What is listed is the event that is delivered: the same identity, the same match, whichever envelope brought it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, get_args

import pytest

from local.event_grid.envelopes import Published, Schema
from local.machine_learning.events import Run, model_registered
from local.service import workspace_id
from shared.backfill import _landed
from shared.events import BREACH_TAG, DriftDetected, Event, ModelRegistered, Refused, event_key, listed, parse
from shared.models import BreachedRun, ModelRef, ModelVersion
from shared.ports import LakeFile
from tests.fakes import T0, delivery, landed

TEXT = (
    "The signal '{signal}' has failed due to one or more features violating metric thresholds.\n"
    "The feature names and their corresponding computed metric values violating the threshold are \n"
    '[\'{{"metric_value": 0.42, "metric_name": "JensenShannonDistance", "threshold_value": 0.1, "group": "Age"}}\']\n'
)
SCHEMAS: list[Any] = list(get_args(Schema))


def delivered(event: Any, schema: Schema) -> Event:
    raw = json.dumps(Published(topic=workspace_id(), event=event).envelope(schema))
    found = parse(raw, accounts=frozenset(), workspace_id=workspace_id())
    assert not isinstance(found, Refused), found
    return found


def version(name: str, number: str, **tags: str) -> ModelVersion:
    return ModelVersion(
        ref=ModelRef(name=name, version=number), created=T0, asset="", tags=tags, properties={"Accuracy": "0.8"}
    )


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("number", ["7", "2026-11-26", "a:b"])
def test_a_listed_model_is_the_registered_one(schema: Any, number: str) -> None:
    model = version("clf", number, stage="candidate")
    told = model_registered(
        name="clf", version=number, tags=model.tags, properties=model.properties, time=T0 + timedelta(seconds=3)
    )
    brought = delivered(told, schema)
    found = listed.model_registered(workspace_id().upper(), model)
    assert isinstance(found, ModelRegistered)
    assert isinstance(brought, ModelRegistered)
    assert event_key(found) == event_key(brought)
    assert (found.name, found.version, found.tags, found.properties, found.subject) == (
        brought.name,
        brought.version,
        brought.tags,
        brought.properties,
        brought.subject,
    )
    assert found.time == T0


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("signal", ["data_drift", "diabetes-clinic_data_drift"])
def test_a_listed_breach_is_the_announced_one(schema: Any, signal: str) -> None:
    text, properties = TEXT.format(signal=signal), {"azureml.pipelinerunid": "root-1"}
    run = Run(
        id="run-1", experiment="diabetes-clinic", type="azureml.StepRun", tags={BREACH_TAG: text}, properties=properties
    )
    brought = delivered(run.status_changed("Finalizing", T0), schema)
    found = listed.breach(
        workspace_id(),
        BreachedRun(id="run-1", experiment="diabetes-clinic", ended=T0, text=text, properties=properties),
    )
    assert isinstance(found, DriftDetected)
    assert isinstance(brought, DriftDetected)
    assert event_key(found) == event_key(brought)
    assert (found.monitor, found.signal, found.breaches, found.text) == (
        brought.monitor,
        brought.signal,
        brought.breaches,
        brought.text,
    )
    assert (found.monitor, found.signal) == ("diabetes-clinic", "data_drift")


def test_a_run_without_an_experiment_is_named_by_the_run_of_the_whole_monitor() -> None:
    run = BreachedRun(
        id="r", experiment="", ended=T0, text=TEXT.format(signal="x"), properties={"azureml.rootpipelinerunid": "root"}
    )
    found = listed.breach(workspace_id(), run)
    assert isinstance(found, DriftDetected)
    assert found.monitor == "root"


def test_a_listed_file_is_the_landed_one() -> None:
    brought = parse(delivery(landed("in/b 1/ä.csv", etag="0x8DE1")), accounts={"acc"})
    file = LakeFile(path="in/b 1/ä.csv", etag="0x8DE1", size=10, modified=T0, url="u")
    assert not isinstance(brought, Refused)
    assert event_key(_landed("acc", "lake", file)) == event_key(brought)
