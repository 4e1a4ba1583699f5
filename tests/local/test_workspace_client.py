"""What a person does with the local workspace over REST: endpoints, trainings, monitors, and what is said of a no."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from azure.core.credentials import TokenCredential

from local.cloud import LocalCloud
from local.identity import mint
from local.progress import Immediately, Outcome
from local.service import workspace_id
from local.workspace_client import API_VERSION, Live, Training, WorkspaceClient, WorkspaceRefused

pytestmark = pytest.mark.cloud
ROOT = Path(__file__).resolve().parents[2]
ENDPOINT, TRAIN = "client-tests", "client-tests-train"
LIVE = Live(deployment="blue", model="m", version="7", address=f"azureml:{workspace_id()}/models/m/versions/7")


@pytest.fixture
def workspace(cloud: LocalCloud, credential: TokenCredential) -> Iterator[WorkspaceClient]:
    with WorkspaceClient(cloud.arm_url, credential, cloud.certificates.client_context()) as client:
        yield client


@pytest.fixture
def train_uri(cloud: LocalCloud) -> Iterator[str]:
    """The batch endpoint that trains, with the component that ships; its jobs do not really run."""
    learning = cloud.machine_learning
    learning.progress.set(Immediately(), TRAIN)
    learning.registry.register("m", "7", uri="azureml://datastores/lake/paths/models/m/7/", announce=False)
    yield learning.deploy_batch(TRAIN, component=ROOT / "ml" / "pipelines" / "train.yml")
    learning.registry.forget()
    learning.progress.clear()


def test_an_endpoint_is_made_once_with_keys_and_without_anything_live(
    cloud: LocalCloud, workspace: WorkspaceClient
) -> None:
    assert workspace.live(ENDPOINT) is None
    workspace.make_endpoint(ENDPOINT)
    made = workspace.scoring(ENDPOINT)
    workspace.make_endpoint(ENDPOINT)
    assert workspace.scoring(ENDPOINT) == made
    assert made.uri.endswith(f"/online/{ENDPOINT}/score")
    assert made.key == cloud.machine_learning.online.endpoint(ENDPOINT).keys.primary
    assert workspace.live(ENDPOINT) is None
    with pytest.raises(TimeoutError, match=f"a model that is live on {ENDPOINT}"):
        workspace.wait_until_live(ENDPOINT, 0)


def test_live_is_what_has_all_the_traffic(cloud: LocalCloud, workspace: WorkspaceClient, train_uri: str) -> None:
    learning = cloud.machine_learning
    learning.registry.add_code("client-tests", "1", ROOT / "ml" / "serving")
    learning.registry.add_environment("client-tests", "1")
    learning.online.creations.set(Immediately(), ENDPOINT)
    workspace.make_endpoint(ENDPOINT)
    root = f"{cloud.arm_url}{workspace_id()}"
    deployment = {
        "model": LIVE.address.removeprefix("azureml:"),
        "codeConfiguration": {
            "codeId": f"{workspace_id()}/codes/client-tests/versions/1",
            "scoringScript": "score.py",
        },
        "environmentId": f"{workspace_id()}/environments/client-tests/versions/1",
        "endpointComputeType": "Managed",
        "instanceType": "Standard_DS3_v2",
    }
    put(cloud, f"{root}/onlineEndpoints/{ENDPOINT}/deployments/blue", deployment)
    assert workspace.live(ENDPOINT) is None
    put(cloud, f"{root}/onlineEndpoints/{ENDPOINT}", {"authMode": "Key", "traffic": {"blue": 100}})
    assert workspace.wait_until_live(ENDPOINT, 5) == LIVE
    assert LIVE.facts() == {"deployment": "blue", "model": "m", "version": "7"}
    learning.online.forget()


def put(cloud: LocalCloud, url: str, properties: dict[str, object]) -> None:
    headers = {"Authorization": f"Bearer {mint('https://management.azure.com')}"}
    body = {"location": "westeurope", "sku": {"name": "Default", "capacity": 1}, "properties": properties}
    trust = cloud.certificates.client_context()
    answer = httpx.put(url, params={"api-version": API_VERSION}, headers=headers, json=body, verify=trust)
    assert answer.is_success, answer.text


@pytest.mark.parametrize(
    "training",
    [
        Training(batch="b", name="first", reason="the first"),
        Training(batch="b", name="second", attempt=3, reason="r", live=LIVE, on_target=True, regularisation=0.5),
    ],
)
def test_a_training_is_what_the_component_that_ships_takes(
    cloud: LocalCloud, workspace: WorkspaceClient, train_uri: str, training: Training
) -> None:
    name = workspace.train(train_uri, training)
    workspace.wait_for_job(name, 10)
    submission = cloud.machine_learning.job(name).submission
    values = {
        key: getattr(value, "value", None) or getattr(value, "uri", None) for key, value in submission.inputs.items()
    }
    assert values["baseline"] == "azureml://datastores/lake/paths/0-raw/diabetes/b/baseline/"
    assert values["reaction_id"] == training.name
    assert values["model_uri"] == submission.outputs["model"].uri
    assert values["model_uri"] == f"azureml://datastores/lake/paths/{training.model_path}"
    assert ("target" in values) == training.on_target
    assert (values.get("live"), values.get("live_version")) == ((LIVE.address, "7") if training.live else (None, None))
    assert values["regularisation"] == (training.regularisation or 0.1)


def test_a_job_that_ends_badly_says_why(cloud: LocalCloud, workspace: WorkspaceClient, train_uri: str) -> None:
    cloud.machine_learning.progress.once(Immediately(outcome=Outcome.FAILED, message="out of memory"), TRAIN)
    name = workspace.train(train_uri, Training(batch="b", name="first", reason="r"))
    with pytest.raises(WorkspaceRefused, match="ended as Failed: out of memory"):
        workspace.wait_for_job(name, 10)


def test_what_the_workspace_refuses_is_told_with_its_answer(workspace: WorkspaceClient, train_uri: str) -> None:
    unknown = Training(batch="b", name="first", reason="r", live=Live(**LIVE.facts(), address="azureml:none:1"))
    with pytest.raises(WorkspaceRefused, match=r"400: .*none"):
        workspace.train(train_uri, unknown)
    with pytest.raises(WorkspaceRefused, match=r"/schedules/nobodys/trigger: 404"):
        workspace.run_monitor("nobodys")
