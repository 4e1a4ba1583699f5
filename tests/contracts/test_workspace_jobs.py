"""Jobs of the workspace as Relearn needs them: the same cases on the fake and over the wire; azure-ai-ml beside."""

from __future__ import annotations

import contextlib
import copy
import itertools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from local.cloud import LocalCloud
from local.faults import AcceptThen, Action, Drop, Status, Truncate
from local.machine_learning import Job
from local.progress import ByHand, Outcome
from local.service import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE, workspace_id
from shared.cloud.machine_learning import WorkspaceClient
from shared.errors import InDoubt, RelearnError, TargetBusy, TargetRefused, TargetUnavailable
from shared.ports import Component, NewJob, RunStatus, Workspace
from shared.settings import ArmResource
from tests.fakes import FakeClock, FakeWorkspace
from tests.local.aml import CLIENT_WARNINGS

REACTION = "0123456789abcdef01234567-1"
COMMAND = """\
name: {name}
type: command
code: .
inputs:
  batch: {{type: string}}
  rows: {{type: integer, default: 3}}
  reaction_id: {{type: string, optional: true}}
  files: {{type: uri_file, optional: true}}
  model: {{type: mlflow_model, optional: true}}
command: >-
  python run.py ${{{{inputs.batch}}}} ${{{{inputs.rows}}}} $[[${{{{inputs.reaction_id}}}}]] $[[${{{{inputs.files}}}}]]
  $[[${{{{inputs.model}}}}]]
"""
PIPELINE = """\
name: {name}
type: pipeline
inputs:
  batch: {{type: string}}
  rows: {{type: integer, default: 3}}
  reaction_id: {{type: string, optional: true}}
  files: {{type: uri_file, optional: true}}
  model: {{type: mlflow_model, optional: true}}
jobs:
  only:
    component: ../{step}/component.yml
    inputs:
      batch: ${{{{parent.inputs.batch}}}}
      rows: ${{{{parent.inputs.rows}}}}
      reaction_id: ${{{{parent.inputs.reaction_id}}}}
      files: ${{{{parent.inputs.files}}}}
      model: ${{{{parent.inputs.model}}}}
"""
INPUTS = {
    "batch": "string",
    "rows": "integer",
    "reaction_id": "string",
    "files": "uri_file",
    "model": "mlflow_model",
}
_NUMBERS = itertools.count(1)


class Bench(Protocol):
    """A workspace under test with a component of each kind, and what its owner can do to its jobs."""

    workspace: Workspace
    command: str
    pipeline: str
    job: str

    def end(self, name: str, outcome: Outcome) -> None: ...


class FakeBench:
    command, pipeline, job = "azureml:train:1", "azureml:train-all:1", "relearn-job"

    def __init__(self) -> None:
        self.fake = FakeWorkspace(FakeClock())
        self.workspace: Workspace = self.fake
        for reference in (self.command, self.pipeline):
            self.fake.components[reference] = Component(
                id=f"/workspaces/mlw/components/{reference}",
                pipeline=reference == self.pipeline,
                inputs=INPUTS,
                required=frozenset({"batch"}),
            )

    def end(self, name: str, outcome: Outcome) -> None:
        statuses = {
            Outcome.SUCCEEDED: RunStatus.SUCCEEDED,
            Outcome.FAILED: RunStatus.FAILED,
            Outcome.CANCELLED: RunStatus.CANCELLED,
        }
        self.fake.end_job(name, statuses[outcome])


class WireBench:
    """The product's client, TLS, and the local workspace at the other end."""

    def __init__(self, cloud: LocalCloud, client: WorkspaceClient, folder: Path) -> None:
        number = next(_NUMBERS)
        self.client = client
        self.workspace: Workspace = client
        self.local = cloud.machine_learning
        self.job = f"relearn-contract-{number}"
        names = {"step": f"train_contract_{number}", "all": f"train_all_contract_{number}"}
        for name, text in ((names["step"], COMMAND), (names["all"], PIPELINE)):
            (folder / name).mkdir()
            (folder / name / "component.yml").write_text(text.format(name=name, step=names["step"]))
            self.local.registry.add_component(folder / name / "component.yml")
            self.local.progress.set(ByHand(), name)
        (folder / names["step"] / "run.py").write_text("import sys\nprint(sys.argv[1:])\n")
        self.command, self.pipeline = f"azureml:{names['step']}:1", f"azureml:{names['all']}:1"

    def end(self, name: str, outcome: Outcome) -> None:
        self.local.finish(name, outcome)

    def sent(self, name: str) -> dict[str, Any]:
        """The properties of a job, as its client PUT them."""
        return copy.deepcopy(dict(self.local.job(name).submission.given))

    def submitted(self, name: str | None = None) -> Job:
        return self.local.job(name or self.job)


@pytest.fixture
def wire(cloud: LocalCloud, credential: Any, tmp_path: Path) -> Iterator[WireBench]:
    settings = ArmResource(
        subscription_id=SUBSCRIPTION, resource_group=RESOURCE_GROUP, name=WORKSPACE, resource_id=workspace_id()
    )
    client = WorkspaceClient(settings, cloud.arm_url, credential)
    yield WireBench(cloud, client, tmp_path)
    client.close()
    cloud.machine_learning.reset()


@pytest.fixture(params=["fake", pytest.param("wire", marks=pytest.mark.cloud)])
def bench(request: pytest.FixtureRequest) -> Bench:
    made: Bench = FakeBench() if request.param == "fake" else request.getfixturevalue("wire")
    return made


def wanted(bench: Bench, reference: str | None = None, **inputs: str) -> NewJob:
    component = bench.workspace.component(reference or bench.pipeline)
    assert component is not None
    return NewJob(
        name=bench.job,
        component=component,
        inputs={"batch": "b1", **inputs},
        compute="cpu-cluster",
        experiment="retrain",
        tags={"relearn_reaction": REACTION, "relearn_attempt": "1"},
    )


# --- the same on both -------------------------------------------------------------------------------------------------


def test_a_component_tells_what_it_takes(bench: Bench) -> None:
    for reference in (bench.command, bench.pipeline):
        found = bench.workspace.component(reference)
        assert found is not None
        assert (found.pipeline, dict(found.inputs)) == (reference == bench.pipeline, INPUTS)
        assert found.required == {"batch"}
    assert bench.workspace.component("azureml:never-registered:1") is None


def test_a_job_that_is_not_there_is_none(bench: Bench) -> None:
    assert bench.workspace.job("never-started") is None
    with pytest.raises(TargetRefused) as refused:
        bench.workspace.cancel_job("never-started")
    assert refused.value.status == 404


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.SUCCEEDED, RunStatus.SUCCEEDED),
        (Outcome.FAILED, RunStatus.FAILED),
        (Outcome.CANCELLED, RunStatus.CANCELLED),
    ],
)
@pytest.mark.parametrize("kind", ["command", "pipeline"])
def test_a_job_runs_under_our_name_to_its_end(bench: Bench, kind: str, outcome: Outcome, status: RunStatus) -> None:
    bench.workspace.start_job(wanted(bench, getattr(bench, kind)))
    running = bench.workspace.job(bench.job)
    assert running is not None
    assert (running.name, running.status.final, running.reaction) == (bench.job, False, REACTION)
    bench.end(bench.job, outcome)
    ended = bench.workspace.job(bench.job)
    assert ended is not None
    assert (ended.status, ended.reaction) == (status, REACTION)


def test_a_second_start_of_a_name_starts_nothing_and_changes_tags_only(bench: Bench) -> None:
    """The trap: what has ended is not started again, and says that all is well."""
    first = wanted(bench)
    bench.workspace.start_job(first)
    bench.end(bench.job, Outcome.SUCCEEDED)
    bench.workspace.start_job(replace(first, tags={**first.tags, "relearn_reaction": "another"}))
    found = bench.workspace.job(bench.job)
    assert found is not None
    assert (found.status, found.reaction) == (RunStatus.SUCCEEDED, "another")


def test_a_running_job_is_cancelled(bench: Bench) -> None:
    bench.workspace.start_job(wanted(bench))
    bench.workspace.cancel_job(bench.job)
    found = bench.workspace.job(bench.job)
    assert found is not None
    assert found.status is RunStatus.CANCELLED
    bench.workspace.cancel_job(bench.job)


# --- what only a wire has ---------------------------------------------------------------------------------------------


@pytest.mark.cloud
@pytest.mark.parametrize("kind", ["command", "pipeline"])
def test_the_job_really_runs_with_what_it_was_given(wire: WireBench, kind: str) -> None:
    wire.local.progress.clear()
    reference = getattr(wire, kind)
    wire.workspace.start_job(wanted(wire, reference, reaction_id=REACTION, rows="7"))
    job = wire.local.wait(wire.job, 30)
    assert (str(job.status), job.message) == ("Completed", "")
    assert job.steps[0].stdout is not None
    assert job.steps[0].stdout.read_text().strip() == str(["b1", "7", REACTION])


@pytest.mark.cloud
def test_data_and_models_are_named_as_aml_takes_them(wire: WireBench) -> None:
    model = f"clf-{wire.job}"
    wire.local.registry.register(model, "3", uri="azureml://datastores/lake/paths/models/3/")
    address = f"{workspace_id()}/models/{model}/versions/3"
    manifest = "https://account.blob.core.windows.net/manifests/r-1.json"
    for n, reference in enumerate((f"azureml:{address}", f"azureml:{model}:3", address)):
        job = replace(wanted(wire, model=reference, files=manifest), name=f"{wire.job}-{n}")
        wire.workspace.start_job(job)
        inputs = wire.submitted(job.name).submission.inputs
        assert (inputs["model"].uri, inputs["files"].uri) == (address, manifest)  # type: ignore[union-attr]


@pytest.mark.cloud
def test_what_aml_does_not_take_is_refused_with_its_words(wire: WireBench) -> None:
    with pytest.raises(TargetRefused, match="'rows' must be of type integer"):
        wire.workspace.start_job(wanted(wire, rows="many"))
    assert wire.workspace.job(wire.job) is None


@pytest.mark.cloud
def test_without_a_compute_it_runs_serverless(wire: WireBench) -> None:
    wire.workspace.start_job(replace(wanted(wire), compute=None))
    assert wire.submitted().submission.compute == f"{workspace_id()}/computes/serverless"


@pytest.mark.cloud
def test_a_component_elsewhere_is_refused_and_not_asked_for(wire: WireBench) -> None:
    for reference in (
        f"{workspace_id()}-other/components/train/versions/1",
        "azureml://registries/azureml/components/train/versions/1",
    ):
        with pytest.raises(TargetRefused, match="is not one of this workspace"):
            wire.client.component(reference)
    found = wire.client.component(
        f"azureml:{workspace_id().upper()}/components/{wire.command.split(':')[1]}/versions/1"
    )
    assert found is not None


@pytest.mark.cloud
def test_a_component_is_asked_for_once(wire: WireBench) -> None:
    wire.local.requests.clear()
    for _ in range(3):
        wire.client.component(wire.command)
        wire.client.component("azureml:not-yet:1")
    asked = [call.path.rpartition("/components/")[2] for call in wire.local.requests.calls]
    assert (asked.count("not-yet/versions/1"), len(asked)) == (3, 4)


@pytest.mark.cloud
def test_what_is_in_a_name_leads_to_no_other_address(wire: WireBench) -> None:
    wire.workspace.start_job(wanted(wire))
    for name in (f"x/../{wire.job}", f"{wire.job}?x", f"{wire.job}#x"):
        with contextlib.suppress(TargetUnavailable):
            assert wire.client.job(name) is None


@pytest.mark.cloud
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("NotStarted", RunStatus.QUEUED),
        ("Queued", RunStatus.QUEUED),
        ("Provisioning", RunStatus.IN_PROGRESS),
        ("Running", RunStatus.IN_PROGRESS),
        ("Finalizing", RunStatus.IN_PROGRESS),
        ("NotResponding", RunStatus.IN_PROGRESS),
        ("SomethingNew", RunStatus.IN_PROGRESS),
        (None, RunStatus.IN_PROGRESS),
        ("CancelRequested", RunStatus.CANCELING),
        ("Completed", RunStatus.SUCCEEDED),
        ("Failed", RunStatus.FAILED),
        ("Canceled", RunStatus.CANCELLED),
    ],
)
def test_how_far_amls_words_say_it_is(wire: WireBench, status: str | None, expected: RunStatus) -> None:
    body = {"name": wire.job, "properties": {"status": status, "tags": None}}
    wire.local.faults.add(method="GET", path=f"*/jobs/{wire.job}", action=Status(200, body=body))
    found = wire.client.job(wire.job)
    assert found is not None
    assert (found.status, found.reaction) == (expected, None)


CALLS: dict[str, tuple[Callable[[WireBench, NewJob], object], str, str]] = {
    "component": (lambda b, _job: b.client.component("azureml:unread:1"), "GET", "*/components/unread/versions/1"),
    "job": (lambda b, _job: b.client.job(b.job), "GET", "*/jobs/{job}"),
    "cancel": (lambda b, _job: b.client.cancel_job(b.job), "POST", "*/jobs/{job}/cancel"),
    "start": (lambda b, job: b.client.start_job(job), "PUT", "*/jobs/{job}"),
}
ANSWERS: dict[str, tuple[Action, type[RelearnError], type[RelearnError]]] = {
    "400": (Status(400), TargetRefused, TargetRefused),
    "401": (Status(401), TargetRefused, TargetRefused),
    "403": (Status(403), TargetRefused, TargetRefused),
    "408": (Status(408), TargetBusy, InDoubt),
    "409": (Status(409), TargetBusy, TargetRefused),
    "429": (Status(429, headers={"Retry-After": "7"}), TargetBusy, TargetBusy),
    "500": (Status(500), TargetUnavailable, InDoubt),
    "503": (Status(503, headers={"Retry-After": "1"}), TargetUnavailable, InDoubt),
    "reset": (Drop(), TargetUnavailable, InDoubt),
    "cut off": (AcceptThen(Truncate()), TargetUnavailable, InDoubt),
}


@pytest.mark.cloud
@pytest.mark.parametrize("said", ANSWERS)
@pytest.mark.parametrize("call", CALLS)
def test_what_an_answer_means_and_that_nothing_is_sent_twice(wire: WireBench, call: str, said: str) -> None:
    if (call, said) == ("cancel", "cut off"):
        return  # its answer has no body that could be cut off
    job = wanted(wire)
    make, method, path = CALLS[call]
    action, if_asked, if_started = ANSWERS[said]
    wire.local.faults.add(method=method, path=path.format(job=wire.job), action=action, times=None)
    with pytest.raises(if_started if call == "start" else if_asked) as raised:
        make(wire, job)
    if said == "429":
        assert isinstance(raised.value, TargetBusy)
        assert raised.value.retry_after == timedelta(seconds=7)
    if said == "409" and isinstance(raised.value, TargetRefused):
        assert raised.value.status == 409
    assert len([fired for fired in wire.local.faults.fired if fired.method == method]) == 1


# --- and what Microsoft's own client sends ----------------------------------------------------------------------------


@pytest.fixture
def sdk(cloud: LocalCloud, credential: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """azure-ai-ml on the same workspace, as shared.cloud.online_deployments makes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own imports
        from azure.ai.ml import MLClient

    monkeypatch.setenv("AZUREML_CURRENT_CLOUD", "")  # the client writes it; this puts it back
    return MLClient(
        credential,
        SUBSCRIPTION,
        RESOURCE_GROUP,
        WORKSPACE,
        cloud=cloud.arm_url,
        cloud_metadata={
            "azure_portal": "https://portal.azure.com/",
            "resource_manager": f"{cloud.arm_url}/",
            "active_directory": "https://login.microsoftonline.com/",
            "aml_resource_id": "https://ml.azure.com/",
            "storage_endpoint": "core.windows.net",
            "registry_discovery_endpoint": f"{cloud.arm_url}/",
        },
        enable_telemetry=False,
        show_progress=False,
    )


@pytest.fixture
def registered(wire: WireBench, sdk: Any, tmp_path: Path) -> dict[str, Any]:
    """The components as azure-ai-ml registers and reads them."""
    from azure.ai.ml import load_component

    wire.local.registry.add_environment("contract-jobs", "1")
    made = {}
    for kind, version in (("command", "2"), ("pipeline", "3")):
        name = getattr(wire, kind).split(":")[1]
        file = tmp_path / name / "component.yml"
        text = file.read_text().replace("../", f"{tmp_path}/")
        file.write_text(
            f"{text}version: {version}\n" + ("environment: azureml:contract-jobs:1\n" * (kind == "command"))
        )
        sdk.components.create_or_update(load_component(file))
        made[kind] = sdk.components.get(name, version=version)
        wire.local.progress.set(ByHand(), name)
    return made


SAME = ("jobType", "inputs", "outputs", "experimentName", "tags", "isArchived", "settings")


def asked_for(job: Job) -> dict[str, Any]:
    """What the workspace understood, without the names of things."""
    submission = job.submission
    return {
        "inputs": submission.inputs,
        "experiment": submission.experiment,
        "tags": submission.tags,
        "compute": submission.compute,
        "steps": [(step.component.name, step.component.version, step.inputs) for step in submission.component.steps],
    }


@pytest.mark.cloud
@CLIENT_WARNINGS
def test_a_pipeline_component_is_sent_as_azure_ai_ml_sends_it(
    wire: WireBench, sdk: Any, registered: dict[str, Any]
) -> None:
    component = registered["pipeline"]
    wire.workspace.start_job(ours := wanted(wire, f"azureml:{component.name}:3", rows="7"))
    theirs = component(batch="b1", rows=7)
    theirs.name, theirs.tags = f"{ours.name}-sdk", dict(ours.tags)
    theirs.settings.default_compute = "cpu-cluster"
    sdk.jobs.create_or_update(theirs, experiment_name="retrain")
    mine, yours = wire.sent(ours.name), wire.sent(theirs.name)
    assert {key: mine[key] for key in (*SAME, "componentId")} == {key: yours[key] for key in (*SAME, "componentId")}
    assert asked_for(wire.submitted()) == asked_for(wire.submitted(theirs.name))
    # It repeats the component's steps beside its id. Given the component by its name, it sends none, as we do:
    from azure.ai.ml.entities import PipelineJob

    by_name = PipelineJob(component=f"azureml:{component.name}:3", name=f"{ours.name}-name", inputs={"batch": "b1"})
    sdk.jobs.create_or_update(by_name)
    assert (wire.sent(by_name.name)["jobs"], mine["jobs"]) == ({}, {})
    assert wire.submitted(by_name.name).submission.component == wire.submitted().submission.component


@pytest.mark.cloud
@CLIENT_WARNINGS
def test_a_command_component_is_sent_as_azure_ai_ml_sends_it(
    wire: WireBench, sdk: Any, registered: dict[str, Any]
) -> None:
    from azure.ai.ml import dsl

    component = registered["command"]
    wire.workspace.start_job(ours := wanted(wire, f"azureml:{component.name}:2", rows="7"))

    @dsl.pipeline
    def job_of_one_step(batch, rows):
        run = component(batch=batch, rows=rows)  # noqa: F841 - its name is the step's

    theirs = job_of_one_step(batch="b1", rows=7)
    theirs.name, theirs.tags = f"{ours.name}-sdk", dict(ours.tags)
    theirs.settings.default_compute = "cpu-cluster"
    sdk.jobs.create_or_update(theirs, experiment_name="retrain")
    mine, yours = wire.sent(ours.name), wire.sent(theirs.name)
    assert yours["settings"].pop("_source") == "DSL"  # how it was written down
    del mine["settings"]["_source"]
    assert {key: mine[key] for key in SAME} == {key: yours[key] for key in SAME}
    assert mine["jobs"] == yours["jobs"]
    assert asked_for(wire.submitted()) == asked_for(wire.submitted(theirs.name))


@pytest.mark.cloud
@CLIENT_WARNINGS
def test_azure_ai_ml_reads_and_cancels_our_job(wire: WireBench, sdk: Any) -> None:
    wire.workspace.start_job(wanted(wire, rows="7"))
    seen = sdk.jobs.get(wire.job)
    assert (seen.status, seen.experiment_name, seen.tags["relearn_reaction"]) == ("Running", "retrain", REACTION)
    sdk.jobs.begin_cancel(wire.job).result()
    found = wire.workspace.job(wire.job)
    assert found is not None
    assert found.status is RunStatus.CANCELLED
