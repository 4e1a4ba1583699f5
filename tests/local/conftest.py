"""The workspace that tests of the local Machine Learning share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.credentials import TokenCredential

from local.accounts import Account
from local.certificates import ensure_certificates
from local.cloud import LocalCloud
from local.machine_learning import MachineLearning
from local.service import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE, Event
from tests.local.aml import AML, Lake, Listener, ManualClock, StaticCredential, World, setup


@pytest.fixture(scope="module")
def aml_listener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    listener = Listener(ensure_certificates(tmp_path_factory.mktemp("certificates")))
    yield listener
    listener.stop()


@pytest.fixture
def world(tmp_path: Path, aml_listener: Listener) -> Iterator[World]:
    """A workspace of the test's own, without storage."""
    clock = ManualClock()
    events: list[Event] = []
    service = MachineLearning(setup(tmp_path, aml_listener, publish=events.append), clock=clock)
    aml_listener.serve(service)
    trust = aml_listener.certificates.client_context()
    with httpx.Client(base_url=aml_listener.url, verify=trust, trust_env=False) as client:
        yield World(service, client, tmp_path, clock, events)
    service.close()


@pytest.fixture
def lake(cloud: LocalCloud, lake_account: Account, credential: TokenCredential, tmp_path: Path) -> Iterator[Lake]:
    """The shared cloud's workspace, with a datastore of the test's own."""
    trust = cloud.certificates.client_context()
    with httpx.Client(base_url=cloud.arm_url, verify=trust, trust_env=False) as client:
        world = World(cloud.machine_learning, client, tmp_path, ManualClock())
        lake = Lake(world, lake_account, credential)
        with lake.container:
            yield lake


@pytest.fixture
def aml_client(aml_listener: Listener, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Microsoft's own client, unmodified, on the test's workspace."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own imports
        from azure.ai.ml import MLClient

    monkeypatch.setenv("AZUREML_CURRENT_CLOUD", "")  # the client writes it; this puts it back
    monkeypatch.setenv("NO_PROXY", "*")
    base = aml_listener.url
    return MLClient(
        StaticCredential(),
        SUBSCRIPTION,
        RESOURCE_GROUP,
        WORKSPACE,
        cloud="relearn-local",
        cloud_metadata={
            "azure_portal": "https://portal.local/",
            "resource_manager": f"{base}/",
            "active_directory": f"{base}/aad/",
            "aml_resource_id": AML,
            "storage_endpoint": "localhost",
            "registry_discovery_endpoint": f"{base}/",
        },
        connection_verify=str(aml_listener.certificates.ca_file),
        show_progress=False,
        enable_telemetry=False,
    )
