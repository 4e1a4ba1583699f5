"""Microsoft's own client of Machine Learning, unmodified, on the local workspace."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError

from local.faults import AcceptThen, Drop
from local.machine_learning import Status
from local.progress import AfterPolls, Immediately, Outcome
from local.service import WORKSPACE
from tests.local.aml import CLIENT_WARNINGS, ROOT, SHOW, WAIT, World, said, waiting_pids

pytestmark = CLIENT_WARNINGS

# --- batch ------------------------------------------------------------------------------------------------------------


def test_the_unmodified_client_invokes_and_follows(world: World, aml_client: Any) -> None:
    from azure.ai.ml import Input

    world.component("show", SHOW, "inputs:\n  text: {type: string}\ncommand: python run.py ${{inputs.text}}\n")
    uri = world.pipeline(
        "show-it",
        """
        inputs:
          text: {type: string}
        jobs:
          only: {component: ./show/component.yml, inputs: {text: "${{parent.inputs.text}}"}}
        """,
    )

    endpoint = aml_client.batch_endpoints.get("show-it")
    deployment = aml_client.batch_deployments.get("default", "show-it")
    started = aml_client.batch_endpoints.invoke("show-it", inputs={"text": Input(type="string", default="hello")})
    job = world.finished(started.name)
    seen = aml_client.jobs.get(started.name)

    assert endpoint.scoring_uri == uri
    assert endpoint.defaults.deployment_name == "default"
    assert deployment.provisioning_state == "Succeeded"
    assert [found.name for found in aml_client.batch_endpoints.list()] == ["show-it"]
    assert [found.name for found in aml_client.batch_deployments.list("show-it")] == ["default"]
    assert said(job)["argv"] == ["hello"]
    assert (seen.type, seen.status, seen.experiment_name) == ("pipeline", "Completed", "show-it")
    assert seen.inputs["text"].result() == "hello"
    assert [found.name for found in aml_client.jobs.list()] == [job.name]
    assert [found.name for found in aml_client.batch_endpoints.list_jobs("show-it")] == [job.name]
    assert aml_client.workspaces.get(WORKSPACE).location == "westeurope"


def test_the_unmodified_client_cancels_and_reads_errors(world: World, aml_client: Any) -> None:
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

    uri = world.deploy("wait", WAIT)
    name = world.start(uri)
    waiting_pids(world, name)

    aml_client.jobs.begin_cancel(name).result()

    assert world.finished(name).status is Status.CANCELED
    assert aml_client.jobs.get(name).status == "Canceled"
    with pytest.raises(ResourceNotFoundError):
        aml_client.jobs.get("not-there")
    from azure.ai.ml import Input

    with pytest.raises(HttpResponseError, match="'text' is not one of"):
        aml_client.batch_endpoints.invoke("wait", inputs={"text": Input(type="string", default="hello")})


def test_the_client_tries_again_after_a_lost_answer_and_starts_one_job(world: World, aml_client: Any) -> None:
    world.deploy("lost", "")
    world.service.faults.add(method="POST", path="/batch/lost/jobs", action=AcceptThen(Drop()))

    started = aml_client.batch_endpoints.invoke("lost")

    assert [job.name for job in world.service.jobs()] == [started.name]


# --- the registry -----------------------------------------------------------------------------------------------------

URI = "azureml://datastores/lake/paths/models/diabetes-classifier/r-1/"


def test_the_unmodified_client_registers_finds_and_archives_models(world: World, aml_client: Any) -> None:
    from azure.ai.ml.entities import Model

    models = aml_client.models
    tags, properties = {"stage": "candidate"}, {"Accuracy": "0.95"}
    given = {"name": "diabetes-classifier", "path": URI, "type": "mlflow_model"}

    first = models.create_or_update(Model(**given, tags=tags, properties=properties))
    second = models.create_or_update(Model(**given))
    second.tags = {"stage": "production"}
    changed = models.create_or_update(second)

    assert (first.version, second.version, changed.version) == ("1", "2", "2")
    assert (first.tags, first.properties, changed.tags) == (tags, properties, {"stage": "production"})
    assert models.get("diabetes-classifier", version="1").path.endswith(
        "/datastores/lake/paths/models/diabetes-classifier/r-1/"
    )
    assert models.get("diabetes-classifier", label="latest").version == "2"
    assert [found.version for found in models.list("diabetes-classifier")] == ["2", "1"]
    assert [(found.name, found.latest_version) for found in models.list()] == [("diabetes-classifier", "2")]
    models.archive("diabetes-classifier", "2")
    assert [found.version for found in models.list("diabetes-classifier")] == ["1"]
    models.restore("diabetes-classifier", "2")
    assert [event.subject for event in world.events] == ["models/diabetes-classifier:1", "models/diabetes-classifier:2"]


def test_the_unmodified_client_is_told_that_a_version_is_taken(world: World, aml_client: Any) -> None:
    from azure.ai.ml.entities import Model

    world.service.registry.register("m", "1", uri=URI)

    with pytest.raises(ResourceExistsError, match="cannot become"):
        aml_client.models.create_or_update(Model(name="m", version="1", path=f"{URI}other/", type="mlflow_model"))


# --- online endpoints -------------------------------------------------------------------------------------------------


def online(world: World) -> None:
    world.service.registry.register("diabetes-classifier", uri=URI)
    world.service.registry.add_code("diabetes-serving", "1", world.folder)
    world.service.registry.add_environment("relearn-sklearn", "1")
    for progress in (world.service.online.creations, world.service.online.updates, world.service.online.deletions):
        progress.set(Immediately())


def deployment(name: str) -> Any:
    from azure.ai.ml.entities import CodeConfiguration, ManagedOnlineDeployment

    return ManagedOnlineDeployment(
        name=name,
        endpoint_name="diabetes-live",
        model="azureml:diabetes-classifier:1",
        code_configuration=CodeConfiguration(code="azureml:diabetes-serving:1", scoring_script="score.py"),
        environment="azureml:relearn-sklearn:1",
        instance_type="Standard_DS3_v2",
        instance_count=1,
        tags={"model": "diabetes-classifier", "version": "1"},
    )


def test_the_unmodified_client_rolls_a_model_out_and_retires_it(world: World, aml_client: Any) -> None:
    from azure.ai.ml.entities import ManagedOnlineEndpoint

    online(world)
    endpoints, deployments = aml_client.online_endpoints, aml_client.online_deployments

    made = endpoints.begin_create_or_update(ManagedOnlineEndpoint(name="diabetes-live", auth_mode="key")).result()
    deployed = deployments.begin_create_or_update(deployment("model-1")).result()
    made.traffic = {"model-1": 100}
    endpoint = endpoints.begin_create_or_update(made).result()

    assert endpoint.traffic == {"model-1": 100}
    assert endpoint.scoring_uri.endswith("/online/diabetes-live/score")
    assert deployed.model.endswith("/models/diabetes-classifier/versions/1")
    assert deployed.code_configuration.scoring_script == "score.py"
    assert deployed.tags == {"model": "diabetes-classifier", "version": "1"}
    assert (deployed.provisioning_state, deployed.request_settings.request_timeout_ms) == ("Succeeded", 5000)
    assert (
        endpoints.get_keys("diabetes-live").primary_key == world.service.online.endpoint("diabetes-live").keys.primary
    )
    assert [found.name for found in endpoints.list()] == ["diabetes-live"]
    assert [found.name for found in deployments.list("diabetes-live")] == ["model-1"]
    request = world.folder / "request.json"
    request.write_text('{"data": [[1], [2]]}')
    assert endpoints.invoke("diabetes-live", request_file=str(request)) == '{"result": [0, 0]}'

    with pytest.raises(ResourceExistsError, match=r"100 % of the traffic"):
        deployments.begin_delete("model-1", "diabetes-live").result()
    endpoint.traffic = {}
    endpoints.begin_create_or_update(endpoint).result()
    deployments.begin_delete("model-1", "diabetes-live").result()
    assert list(deployments.list("diabetes-live")) == []
    endpoints.begin_delete("diabetes-live").result()
    assert list(endpoints.list()) == []


def test_the_unmodified_client_waits_and_reads_why_a_deployment_failed(world: World, aml_client: Any) -> None:
    from azure.ai.ml.entities import ManagedOnlineEndpoint

    online(world)
    world.service.online.creations.set(AfterPolls(1, Outcome.FAILED, "the container crashed"))
    aml_client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name="diabetes-live")).result()

    with pytest.raises(HttpResponseError, match="the container crashed"):
        aml_client.online_deployments.begin_create_or_update(deployment("model-1")).result()

    assert aml_client.online_deployments.get("model-1", "diabetes-live").provisioning_state == "Failed"
    assert aml_client.online_deployments.get_logs("model-1", "diabetes-live", lines=10) == "the container crashed"


# --- monitors ---------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_unmodified_client_reads_and_triggers_a_monitor(world: World, aml_client: Any) -> None:
    world.service.progress.set(Immediately())
    world.service.add_monitor(ROOT / "ml" / "monitors" / "diabetes-drift.yml", name="diabetes-monday")

    (found,) = aml_client.schedules.list()
    read = aml_client.schedules.get("diabetes-monday")
    started = aml_client.schedules.trigger("diabetes-monday")

    assert found.name == read.name == "diabetes-monday"
    signal = read.create_monitor.monitoring_signals["data_drift"]
    assert (signal.type, signal.metric_thresholds[0].threshold) == ("custom", 0.1)
    assert read.trigger.frequency.lower() == "day"
    assert aml_client.jobs.get(started.job_name).experiment_name == "diabetes-monday"
