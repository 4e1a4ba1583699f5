"""What a workspace lists: new versions of models, and monitor runs that found a breach."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.cloud import LocalCloud
from local.faults import Status
from local.machine_learning.monitoring.evaluation import Metric
from local.machine_learning.registry.assets import ModelBody
from local.service import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE, workspace_id
from shared.cloud.machine_learning import WorkspaceClient
from shared.errors import TargetBusy, TargetUnavailable
from shared.models import BreachedRun
from shared.ports import Workspace
from shared.settings import ArmResource
from tests.fakes import T0, FakeClock, FakeWorkspace

pytestmark = pytest.mark.cloud
HOUR = timedelta(hours=1)
BAD = Metric(group="Age", name="JensenShannonDistance", value=0.4, threshold=0.1)
GOOD = replace(BAD, value=0.05)
MONITOR = Path(__file__).resolve().parents[2] / "ml" / "monitors" / "diabetes-drift.yml"
_NUMBERS = itertools.count(1)


class Fake:
    def __init__(self) -> None:
        self.fake = FakeWorkspace(FakeClock(T0))
        self.workspace: Workspace = self.fake
        self.model = "clf"

    def register(self, version: str, created: datetime, *, archived: bool = False, model: str = "") -> None:
        made = self.fake.register(model or self.model, version, created)
        self.fake.models[made.ref] = replace(made, archived=archived)


class Real:
    def __init__(self, cloud: LocalCloud, client: WorkspaceClient) -> None:
        self.workspace: Workspace = client
        self.local = cloud.machine_learning
        self.model = f"clf-listed-{next(_NUMBERS)}"

    def register(self, version: str, created: datetime, *, archived: bool = False, model: str = "") -> None:
        name, uri = model or self.model, "azureml://datastores/lake/paths/m"
        self.local.registry.register(name, version, uri=uri, created=created, tags={"a": "b"}, announce=False)
        if archived:
            self.local.registry.put(name, version, ModelBody(archived=True))


@pytest.fixture
def real(cloud: LocalCloud, credential: Any) -> Iterator[Real]:
    settings = ArmResource(
        subscription_id=SUBSCRIPTION, resource_group=RESOURCE_GROUP, name=WORKSPACE, resource_id=workspace_id()
    )
    client = WorkspaceClient(settings, cloud.arm_url, credential)
    cloud.machine_learning.reset()
    yield Real(cloud, client)
    client.close()
    cloud.machine_learning.reset()
    cloud.machine_learning.job_lists.page = 100
    cloud.machine_learning.job_lists.steps_listed = False


@pytest.fixture(params=["fake", "real"])
def bench(request: pytest.FixtureRequest) -> Any:
    return Fake() if request.param == "fake" else request.getfixturevalue("real")


def versions(bench: Any, after: datetime) -> list[str]:
    return [m.ref.version for m in bench.workspace.models_created(after, lambda name: name == bench.model)]


def test_versions_come_in_the_order_of_their_creation(bench: Any) -> None:
    for number, version in enumerate(["9", "10", "b", "2"]):
        bench.register(version, T0 + number * HOUR)
    bench.register("1", T0 + HOUR, model=f"{bench.model}-v2")
    assert versions(bench, T0) == ["9", "10", "b", "2"]
    assert versions(bench, T0 + 2 * HOUR) == ["b", "2"]
    assert versions(bench, T0 + 9 * HOUR) == []


def test_an_archived_version_is_not_listed(bench: Any) -> None:
    bench.register("1", T0, archived=True)
    bench.register("2", T0)
    assert versions(bench, T0) == ["2"]


def test_as_many_versions_as_there_are_pages(real: Real) -> None:
    for number in range(230):
        real.register(str(number), T0 + number * timedelta(seconds=1))
    assert versions(real, T0 + timedelta(seconds=20)) == [str(number) for number in range(20, 230)]
    asked = [call.path for call in real.local.requests.calls if call.path.endswith("/versions")]
    assert len(asked) == 3


def test_versions_of_unwanted_models_are_not_asked_for(real: Real) -> None:
    real.register("1", T0)
    assert real.workspace.models_created(T0, lambda _name: False) == []
    assert [call for call in real.local.requests.calls if call.path.endswith("/versions")] == []


def monitored(real: Real, *metrics: Metric) -> tuple[str, Any]:
    name = f"diabetes-listed-{next(_NUMBERS)}"
    real.local.add_monitor(MONITOR, name=name, baseline="azureml://lake/b", target="azureml://lake/t")
    return name, real.local.run_monitor(name, metrics=metrics)


@pytest.mark.parametrize("steps_listed", [False, True], ids=["found by the run history", "found by the list as well"])
def test_a_breach_is_listed_by_the_step_that_found_it(real: Real, steps_listed: bool) -> None:
    real.local.job_lists.steps_listed = steps_listed
    began = datetime.now(UTC)
    monitored(real, GOOD)
    name, run = monitored(real, BAD)
    [found] = real.workspace.breached_runs(began)
    assert (found.id, found.experiment) == (run.evaluate_run, name)
    assert "has failed due to one or more features violating metric thresholds" in found.text
    assert found.properties["azureml.rootpipelinerunid"] == run.id
    assert began <= found.ended <= datetime.now(UTC)


def test_a_breach_is_listed_where_only_the_list_of_jobs_shows_it(real: Real) -> None:
    """As with a version of the component that does not tag the run of the whole monitor."""
    _, run = monitored(real, BAD)
    real.local.faults.add(action=Status(200, body={"value": []}), path="*/children", times=None)
    assert real.workspace.breached_runs(T0) == []
    real.local.job_lists.steps_listed = True
    assert [found.id for found in real.workspace.breached_runs(T0)] == [run.evaluate_run]


def test_a_run_history_that_fails_hides_no_breach(real: Real) -> None:
    monitored(real, BAD)
    real.local.faults.add(action=Status(500), path="*/children")
    with pytest.raises(TargetUnavailable):
        real.workspace.breached_runs(T0)


def test_a_job_that_is_gone_from_the_run_history_hides_no_other(real: Real) -> None:
    gone, there = monitored(real, BAD)[1], monitored(real, BAD)[1]
    real.local.faults.add(action=Status(404), path=f"*/runs/{gone.id}/children", times=None)
    assert [found.id for found in real.workspace.breached_runs(T0)] == [there.evaluate_run]


def test_steps_on_every_page_of_the_run_history_are_read(real: Real) -> None:
    _, run = monitored(real, BAD)
    step = {"runId": "other", "createdUtc": "2026-11-22T08:00:00.1234567", "tags": {}, "properties": {}}
    first = Status(200, body={"value": [step], "continuationToken": "a b"})
    real.local.faults.add(action=first, path="*/children")
    assert [found.id for found in real.workspace.breached_runs(T0)] == [run.evaluate_run]
    breached = {**step, "tags": {"azureml_modelmonitor_threshold_breached": "signal 'a' has failed"}}
    real.local.faults.add(action=Status(200, body={"value": [breached]}), path="*/children")
    [found] = real.workspace.breached_runs(T0)
    assert (found.id, found.ended) == ("other", T0 + timedelta(microseconds=123456))


def test_breaches_on_every_page_are_listed_and_old_pages_are_not_read(real: Real) -> None:
    real.local.job_lists.page = 2
    runs = [monitored(real, BAD)[1] for _ in range(5)]
    assert [found.id for found in real.workspace.breached_runs(T0)] == [run.evaluate_run for run in runs]
    real.local.requests.clear()
    [found] = real.workspace.breached_runs(runs[-1].started)
    assert found.id == runs[-1].evaluate_run
    lists = [call for call in real.local.requests.calls if call.path.endswith("/jobs")]
    assert len(lists) == 3  # one for the tag, which no job has here, and two pages of pipelines


def test_breaches_of_the_fake_come_in_order() -> None:
    bench = Fake()
    bench.fake.breached = [
        BreachedRun(id=str(n), experiment="m", ended=T0 + n * HOUR, text="signal 'a' has failed") for n in (2, 1, 0)
    ]
    assert [run.id for run in bench.workspace.breached_runs(T0 + HOUR)] == ["1", "2"]


def test_throttling_is_told_as_such(real: Real) -> None:
    real.local.faults.add(action=Status(429, headers={"Retry-After": "7"}), times=2)
    with pytest.raises(TargetBusy):
        real.workspace.models_created(T0, lambda _name: True)
    with pytest.raises(TargetBusy) as busy:
        real.workspace.breached_runs(T0)
    assert busy.value.retry_after == timedelta(seconds=7)
