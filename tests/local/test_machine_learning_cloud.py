"""The workspace inside the whole local cloud: its events reach Event Grid, its state survives a restart."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from local.cloud import LocalCloud
from local.event_grid import load_subscriptions
from local.identity import mint
from local.machine_learning.online.bodies import EndpointBody
from local.service import REGION, workspace_id
from tests.local.aml import ARM
from tests.local.test_event_grid import Destination

ENDPOINT = {"location": REGION, "properties": {"authMode": "Key"}}


@pytest.mark.cloud
def test_a_second_start_finds_what_was_registered_and_made(cloud: LocalCloud, tmp_path: Path) -> None:
    with LocalCloud(tmp_path) as first:
        model = first.machine_learning.registry.register("m", uri="azureml://datastores/lake/paths/m/")
        first.machine_learning.online.endpoints.put("live", EndpointBody.read(ENDPOINT))
        keys = first.machine_learning.online.endpoint("live").keys
    with LocalCloud(tmp_path) as second:
        assert second.machine_learning.registry.versions("m") == [model]
        assert second.machine_learning.online.endpoint("live").keys == keys
        assert not list((tmp_path / "workspace").glob("*.new"))


@pytest.mark.cloud
def test_a_cloud_in_memory_writes_no_state(cloud: LocalCloud) -> None:
    cloud.machine_learning.registry.register("in-memory", uri="azureml://datastores/lake/paths/m/", announce=False)

    assert list((cloud.folder / "workspace").glob("*.json")) == []  # uploaded code lies below it in any case


@pytest.mark.cloud
def test_what_is_registered_over_rest_reaches_event_grid(cloud: LocalCloud) -> None:
    destination = Destination()
    (models,) = [each for each in load_subscriptions() if each.name == "workspace-models"]
    cloud.event_grid.subscribe(models, destination.url, topic=workspace_id())
    body = {"properties": {"modelType": "mlflow_model", "modelUri": "azureml://datastores/lake/paths/m/"}}
    trust = cloud.certificates.client_context()
    headers = {"Authorization": f"Bearer {mint(ARM)}"}
    with httpx.Client(base_url=cloud.arm_url, verify=trust, trust_env=False, headers=headers) as client:
        answer = client.put(f"{workspace_id()}/models/announced/versions/1", json=body)

    cloud.event_grid.wait_idle(20, topic=workspace_id())
    cloud.event_grid.unsubscribe(workspace_id(), models.name)
    destination.close()
    assert answer.status_code == 201
    (delivered,) = [event for one in destination.notifications() for event in one.body]
    assert delivered["topic"] == workspace_id()
    assert (delivered["subject"], delivered["dataVersion"]) == ("models/announced:1", "2")
    assert delivered["data"]["modelVersion"] == "1"
    calls = cloud.machine_learning.requests.writes("/models/announced/")
    assert [(call.method, call.status) for call in calls] == [("PUT", 201)]
