"""Model monitors of the local workspace: definitions, runs, what Event Grid is told of a breach, schedules over ARM."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.accounts import Account
from local.cloud import LocalCloud
from local.event_grid import load_subscriptions
from local.event_grid.envelopes import Published
from local.machine_learning import MachineLearning, Metric, MonitorError, MonitorRun
from local.machine_learning.monitoring.definitions import Source
from local.machine_learning.monitoring.evaluation import BadSignal, read_signal
from local.progress import Immediately, Outcome
from local.service import Event, workspace_id
from shared.events import Breach, DriftDetected, Refused, RunEnded, parse
from tests.local.aml import ROOT, Lake, Listener, ManualClock, World, setup, wait_until

DRIFT = """
    import sys
    from pathlib import Path
    baseline, target, threshold, report, signal = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]
    def mean(folder):
        values = [float(line) for file in folder.glob("*.csv") for line in file.read_text().split()]
        return sum(values) / len(values)
    distance = abs(mean(target) - mean(baseline))
    (Path(report) / "report.json").write_text(f'{{"distance": {distance}}}')
    (Path(signal) / "MLTable").write_text("type: mltable")
    head = "group,metric_name,metric_value,threshold_value"
    rows = [head, f"Age,Distance,{distance},{threshold}", "BMI,Distance,,0.1"]
    (Path(signal) / "signal.csv").write_text("\\n".join(rows) + "\\n")
"""
HEAD = """
    inputs:
      baseline: {type: uri_folder}
      target: {type: uri_folder}
      Distance_threshold: {type: number, default: 0.5}
    outputs:
      signal_metrics: {type: mltable}
      report: {type: uri_folder}
    command: >-
      python run.py ${{inputs.baseline}} ${{inputs.target}} ${{inputs.Distance_threshold}}
      ${{outputs.report}} ${{outputs.signal_metrics}}
"""
AGE = Metric(group="Age", name="Distance", value=0.67, threshold=0.1)
BMI = Metric(group="BMI", name="Distance", value=0.05, threshold=0.1)


def definition(**signal: Any) -> dict[str, Any]:
    data = {
        name: {"input_data": {"type": "uri_folder", "path": f"azureml://{name}"}} for name in ("baseline", "target")
    }
    drift = {
        "type": "custom",
        "component_id": "file:./drift/component.yml",
        "input_data": data,
        "metric_thresholds": [{"metric_name": "Distance", "threshold": 0.1}],
    }
    return {
        "name": "diabetes-monday",
        "display_name": "Drift",
        "trigger": {"type": "recurrence", "frequency": "day", "interval": 1, "schedule": {"hours": 3, "minutes": 15}},
        "create_monitor": {
            "compute": {"instance_type": "standard_e4s_v3", "runtime_version": "3.4"},
            "monitoring_signals": {"data_drift": drift | signal},
        },
    }


@pytest.fixture
def monitored(world: World) -> World:
    add(world)
    return world


def add(world: World, **changes: Any) -> None:
    if not (world.folder / "drift").exists():
        world.component("drift", DRIFT, HEAD)
    world.service.add_monitor(definition(), component=world.folder / "drift" / "component.yml", **changes)


def delivered(event: Event) -> DriftDetected | RunEnded | Refused:
    """What the app makes of an event."""
    envelope = Published(topic=workspace_id(), event=event).envelope("EventGridSchema")
    found = parse(json.dumps([envelope]), accounts=frozenset(), workspace_id=workspace_id())
    assert isinstance(found, (DriftDetected, RunEnded, Refused))
    return found


def wanted(events: list[Event]) -> list[Event]:
    """What the subscription to drift lets through."""
    (drift,) = [each for each in load_subscriptions() if each.name == "workspace-drift"]
    return [event for event in events if drift.wants(Published(topic=workspace_id(), event=event))]


# --- what is told -----------------------------------------------------------------------------------------------------


def test_a_breach_is_told_as_statuses_of_the_evaluate_step(monitored: World) -> None:
    run = monitored.service.run_monitor("diabetes-monday", metrics=[AGE, BMI])

    assert run.breached
    steps = [event for event in monitored.events if event.subject.endswith(f"/runs/{run.evaluate_run}")]
    told = [
        (event.type.rpartition(".")[2], event.data.get("runStatus"), bool(event.data["runTags"])) for event in steps
    ]
    assert told == [
        ("RunStatusChanged", "Running", False),
        ("RunStatusChanged", "Finalizing", True),
        ("RunStatusChanged", "Completed", True),
        ("RunCompleted", None, True),
    ]
    data = steps[1].data
    assert (data["experimentName"], data["runType"], steps[1].data_version) == (
        "diabetes-monday",
        "azureml.StepRun",
        "2",
    )
    assert data["runTags"]["azureml_modelmonitor_threshold_breached"] == (
        "The signal 'data_drift' has failed due to one or more features violating metric thresholds.\n"
        "The feature names and their corresponding computed metric values violating the threshold are \n"
        '[\'{"group":"Age","metric_value":0.67,"metric_name":"Distance","threshold_value":0.1}\']\n'
    )


def test_the_app_reads_one_breach_out_of_its_events(monitored: World) -> None:
    run = monitored.service.run_monitor("diabetes-monday", metrics=[AGE, BMI])

    events = [delivered(event) for event in wanted(monitored.events)]

    assert len(events) == 2
    for event in events:
        assert isinstance(event, DriftDetected)
        assert (event.run_id, event.monitor, event.signal) == (run.evaluate_run, "diabetes-monday", "data_drift")
        assert event.breaches == (Breach(feature="Age", metric="Distance", value=0.67, threshold=0.1),)


def test_the_root_run_has_a_tag_of_its_own_that_no_filter_can_name(monitored: World) -> None:
    run = monitored.service.run_monitor("diabetes-monday", metrics=[AGE])

    root = [event for event in monitored.events if event.subject.endswith(f"/runs/{run.id}")]
    assert [event.data.get("runStatus") for event in root] == ["Running", "Completed", None]
    assert root[-1].data["runTags"] == {"azureml.modelmonitor.threshold.breached.data_drift": run.text}


def test_without_a_breach_nothing_carries_the_tag(monitored: World) -> None:
    run = monitored.service.run_monitor("diabetes-monday", metrics=[BMI])

    assert not run.breached
    assert all(event.data["runTags"] == {} for event in monitored.events)
    assert wanted(monitored.events) == []
    assert [type(delivered(event)) for event in monitored.events].count(RunEnded) == 4  # two runs, each told twice


@pytest.mark.parametrize(
    ("metric", "breached"),
    [
        (AGE, True),
        (replace(AGE, value=0.1), False),
        (replace(AGE, value=None), False),
        (replace(AGE, threshold=None), False),
        (replace(AGE, name="PearsonsChiSquaredTest", value=0.01, threshold=0.05), True),
        (replace(AGE, name="PearsonsChiSquaredTest", value=0.5, threshold=0.05), False),
    ],
)
def test_more_than_the_threshold_is_a_breach_and_of_p_values_less(metric: Metric, breached: bool) -> None:
    assert metric.breached is breached


# --- the component as a job -------------------------------------------------------------------------------------------


@pytest.fixture
def lake_world(
    tmp_path: Path, cloud: LocalCloud, lake: Lake, lake_account: Account, aml_listener: Listener
) -> Iterator[World]:
    """A workspace of the test's own on a lake of the test's own."""
    events: list[Event] = []
    service = MachineLearning(
        setup(
            tmp_path,
            aml_listener,
            publish=events.append,
            storage_url=lake_account.blob.rsplit("/", 1)[0],
            lake_url=lake.url,
            ca_file=cloud.certificates.ca_file,
        )
    )
    aml_listener.serve(service)
    with httpx.Client(
        base_url=aml_listener.url, verify=aml_listener.certificates.client_context(), trust_env=False
    ) as client:
        yield World(service, client, tmp_path, ManualClock(), events)
    service.close()


def run_on(world: World, lake: Lake, target: bytes) -> MonitorRun:
    lake.put({"raw/baseline/a.csv": b"1\n2\n3\n", "raw/target/b.csv": target})
    raw = "azureml://datastores/lake/paths/raw"
    add(world, baseline=f"{raw}/baseline/", target=f"{raw}/target/")
    return world.service.run_monitor("diabetes-monday", seconds=30)


@pytest.mark.cloud
def test_a_run_really_compares_and_leaves_its_report_in_the_lake(lake_world: World, lake: Lake) -> None:
    run = run_on(lake_world, lake, b"2.1\n3.1\n2.7\n")

    assert (run.status, run.message) == ("Completed", "")
    below = f"monitoring/diabetes-monday/{run.id}"
    assert run.report_uri == f"azureml://datastores/lake/paths/{below}/"
    assert set(lake.read(f"{below}/")) == {
        f"{below}/report.json",
        f"{below}/signal_output/MLTable",
        f"{below}/signal_output/signal.csv",
    }
    assert [(metric.group, metric.threshold, metric.breached) for metric in run.metrics] == [
        ("Age", 0.1, True),  # the definition's threshold, handed to the component
        ("BMI", 0.1, False),
    ]
    told = [delivered(event) for event in wanted(lake_world.events)]
    assert [event.run_id for event in told if isinstance(event, DriftDetected)] == [run.evaluate_run] * 2
    job = lake_world.service.job(run.id)
    assert job.submission.experiment == "diabetes-monday"
    assert lake_world.ask(f"/jobs/{run.id}")["properties"]["tags"] == {
        "azureml.modelmonitor.threshold.breached.data_drift": run.text
    }


@pytest.mark.cloud
def test_a_run_without_drift_completes_quietly(lake_world: World, lake: Lake) -> None:
    run = run_on(lake_world, lake, b"1\n2\n3\n")

    assert (run.status, run.breached) == ("Completed", False)
    assert wanted(lake_world.events) == []
    completed = [event for event in lake_world.events if event.type.endswith("RunCompleted")]
    assert {event.data["runId"] for event in completed} == {run.id, run.evaluate_run}


@pytest.mark.cloud
def test_a_component_that_fails_fails_the_run_and_tells_no_breach(lake_world: World, lake: Lake) -> None:
    run = run_on(lake_world, lake, b"no number\n")

    assert run.status == "Failed"
    assert "could not convert string to float" in run.message
    assert wanted(lake_world.events) == []


@pytest.mark.cloud
def test_a_signal_that_is_none_fails_the_evaluation(lake_world: World, lake: Lake) -> None:
    broken = DRIFT.replace("group,metric_name", "feature,metric_name")
    lake_world.component("drift", broken, HEAD)

    run = run_on(lake_world, lake, b"9\n")

    assert run.status == "Failed"
    assert "signal.csv has no column group" in run.message
    last = [event for event in lake_world.events if event.data["runId"] == run.evaluate_run][-1]
    assert last.data["runStatus"] == "Failed"


# --- definitions ------------------------------------------------------------------------------------------------------


def test_the_projects_own_monitor_is_read_with_its_component() -> None:
    file = ROOT / "ml" / "monitors" / "diabetes-drift.yml"
    source = Source.of(
        file, name="diabetes-monday", baseline="azureml://b", target="azureml://t", newest_report="https://r"
    )

    monitor = source.read(ManualClock().now())

    assert (monitor.name, monitor.signal.name) == ("diabetes-monday", "data_drift")
    assert {name: data.uri for name, data in monitor.signal.data.items()} == {
        "baseline": "azureml://b",
        "target": "azureml://t",
    }
    assert dict(monitor.signal.literals) == {"JensenShannonDistance_threshold": 0.1, "newest_report": "https://r"}


@pytest.mark.parametrize(
    ("signal", "reason"),
    [
        ({"type": "data_drift"}, "only custom signals"),
        ({"component_id": "azureml:other:1"}, "no component 'azureml:other:1'"),
        ({"component_id": "file:./nowhere.yml"}, "cannot be read"),
        ({"input_data": {"baseline": {"input_data": {"path": "x"}}}}, "lacks 'target'"),
        ({"input_data": {"other": {"input_data": {"path": "x"}}}}, "no data input 'other'"),
        ({"input_data": {"baseline": {"data_window": {}}}}, "data_window: is not imitated"),
        ({"metric_thresholds": [{"metric_name": "Distance"}]}, "a number as threshold"),
    ],
)
def test_a_wrong_definition_is_refused_with_its_place(world: World, signal: dict[str, Any], reason: str) -> None:
    world.component("drift", DRIFT, HEAD)
    given = None if "component_id" in signal else world.folder / "drift" / "component.yml"

    with pytest.raises(MonitorError, match=r"create_monitor\.monitoring_signals\.data_drift|nowhere\.yml") as caught:
        world.service.add_monitor(definition(**signal), component=given)

    assert reason in str(caught.value)


def test_a_file_is_read_and_names_its_component_by_path(world: World) -> None:
    world.component("drift", DRIFT, HEAD)
    file = world.folder / "monitor.yml"
    file.write_text(json.dumps(definition()))

    assert world.service.add_monitor(file).signal.component.name == "drift"
    file.write_text("[")
    with pytest.raises(MonitorError, match="cannot be read"):
        world.service.add_monitor(file)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("group,metric_name,metric_value\n", "no column threshold_value"),
        ("group,metric_name,metric_value,threshold_value\nAge,D,x,0.1\n", "line 2: 'x' is no number"),
    ],
)
def test_a_signal_that_cannot_be_read_says_why(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "signal.csv").write_text(content)
    with pytest.raises(BadSignal, match=reason):
        read_signal(tmp_path / "signal.csv")


# --- schedules --------------------------------------------------------------------------------------------------------


def test_a_monitor_is_a_schedule(monitored: World) -> None:
    (found,) = monitored.ask("/schedules")["value"]

    assert found == monitored.ask("/schedules/DIABETES-monday")
    properties = found["properties"]
    assert properties["trigger"]["frequency"] == "Day"
    assert properties["trigger"]["schedule"] == {"hours": [3], "minutes": [15], "weekDays": None}
    signal = properties["action"]["monitorDefinition"]["signals"]["data_drift"]
    assert signal["metricThresholds"] == [{"metric": "Distance", "threshold": {"value": 0.1}}]
    assert signal["inputAssets"]["target"]["uri"] == "azureml://target"
    assert monitored.get(f"{workspace_id()}/schedules/other").status_code == 404
    assert monitored.put("/schedules/other", {}).status_code == 400


def test_a_schedule_may_be_run_at_once(monitored: World) -> None:
    monitored.service.progress.set(Immediately(), "diabetes-monday")

    answer = monitored.post("/schedules/diabetes-monday/trigger", {"scheduleTime": "2026-11-22T00:00:00Z"})

    (run,) = monitored.service.monitoring.runs("diabetes-monday")
    assert answer.json() == {"submissionId": run.id, "scheduleActionType": "CreateMonitor"}
    assert run.status == "Completed"


def test_nothing_runs_by_itself_unless_it_is_told_to(monitored: World) -> None:
    monitored.clock.time += timedelta(days=30)

    assert monitored.service.monitoring.tick() == []


def test_a_monitor_runs_by_the_clock_when_it_is_told_to(world: World) -> None:
    world.service.progress.set(Immediately(Outcome.FAILED, "as told"), "diabetes-monday")
    add(world, every=timedelta(hours=1))
    monitoring = world.service.monitoring

    world.clock.time += timedelta(hours=3)
    wait_until(lambda: len(monitoring.runs()) == 1, "the run it has missed, once")
    assert monitoring.tick() == []
    world.clock.time += timedelta(hours=1)
    wait_until(lambda: len(monitoring.runs()) == 2, "the next")
    assert {run.message for run in monitoring.runs()} == {"as told"}


def test_a_run_is_not_there_for_a_monitor_that_is_not(world: World) -> None:
    with pytest.raises(KeyError, match="no monitor 'nobody'"):
        world.service.run_monitor("nobody")


def test_a_restart_keeps_monitors_and_their_runs(tmp_path: Path, world: World, aml_listener: Listener) -> None:
    kept = setup(tmp_path / "kept", aml_listener, persistent=True)
    first = MachineLearning(kept, clock=world.clock)
    world.component("drift", DRIFT, HEAD)
    component = world.folder / "drift" / "component.yml"
    first.add_monitor(definition(), component=component, target="azureml://other")
    run = first.run_monitor("diabetes-monday", metrics=[AGE])
    first.close()

    second = MachineLearning(kept, clock=world.clock)

    (monitor,) = second.monitoring.monitors()
    assert monitor.signal.data["target"].uri == "azureml://other"
    assert second.monitoring.runs() == [run]
    second.close()
    component.unlink()
    third = MachineLearning(kept, clock=world.clock)
    assert third.monitoring.monitors() == []
    third.close()
