"""The deployments that are looked at: one for each way of using the parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"
USER = "11111111-1111-1111-1111-111111111111"
DATA, LEARNING = (f"{SUBSCRIPTION}/resourceGroups/rg-{name}/providers" for name in ("data", "learning"))
LAKE = f"{DATA}/Microsoft.Storage/storageAccounts/companylake"
FACTORY = f"{DATA}/Microsoft.DataFactory/factories/company-factory"
LAKE_TOPIC = f"{DATA}/Microsoft.EventGrid/systemTopics/company-lake"
WORKSPACE = f"{LEARNING}/Microsoft.MachineLearningServices/workspaces/company-learning"
WORKSPACE_TOPIC = f"{LEARNING}/Microsoft.EventGrid/systemTopics/company-learning"
REGISTRY = f"{LEARNING}/Microsoft.ContainerRegistry/registries/companyimages"
API_CLIENT = "22222222-2222-2222-2222-222222222222"
OWN = {"environmentName": "dev", "location": "westeurope", "principalId": USER}


@dataclass(frozen=True, kw_only=True)
class Variant:
    parameters: Mapping[str, Any]
    existing: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """What Azure answers about what is there already."""


def _identity(who: str) -> dict[str, Any]:
    return {"type": "SystemAssigned", "principalId": f"principal-of-{who}", "tenantId": "tenant"}


def _workspace(**more: str) -> dict[str, Any]:
    properties = {
        "storageAccount": f"{LEARNING}/Microsoft.Storage/storageAccounts/companylearning",
        "keyVault": f"{LEARNING}/Microsoft.KeyVault/vaults/company-learning",
        "applicationInsights": f"{LEARNING}/Microsoft.Insights/components/company-learning",
        **more,
    }
    return {"location": "northeurope", "identity": _identity("workspace"), "properties": properties}


def variant(existing: Mapping[str, dict[str, Any]] | None = None, **parameters: Any) -> Variant:
    return Variant(parameters={**OWN, **parameters}, existing=existing or {})


GLOBAL = {"pollSeconds": {"type": "Int", "value": 5}, "region": {"type": "String", "value": "north"}}
THERE = {
    LAKE: {"location": "northeurope", "properties": {"isHnsEnabled": True}},
    FACTORY: {"identity": _identity("factory"), "properties": {"globalParameters": GLOBAL}},
    WORKSPACE: _workspace(containerRegistry=REGISTRY),
    LAKE_TOPIC: {"identity": _identity("lake-topic"), "properties": {}},
    WORKSPACE_TOPIC: {"identity": _identity("workspace-topic"), "properties": {}},
}
ALL_EXISTING = {
    "existingLakeId": LAKE,
    "existingWorkspaceId": WORKSPACE,
    "existingDataFactoryId": FACTORY,
    "existingLakeTopicId": LAKE_TOPIC,
    "existingWorkspaceTopicId": WORKSPACE_TOPIC,
}
VARIANTS = {
    "default": variant(),
    "first": variant(createEndpoints=True),
    "nobody": variant(principalId=""),
    "isolated": variant(networkIsolation=True),
    "isolated-first": variant(networkIsolation=True, createEndpoints=True),
    "queue": variant(eventDelivery="queue", createEndpoints=True),
    "webhook": variant(eventDelivery="webhook"),
    "existing": variant(THERE, **ALL_EXISTING),
    "existing-isolated": variant(THERE, networkIsolation=True, **ALL_EXISTING),
    "existing-lake": variant(THERE, existingLakeId=LAKE),
    "existing-workspace": variant(THERE, existingWorkspaceId=WORKSPACE, createEndpoints=True),
    "existing-bare-workspace": variant({**THERE, WORKSPACE: _workspace()}, existingWorkspaceId=WORKSPACE),
    "existing-factory": variant(THERE, existingDataFactoryId=FACTORY),
    "existing-bare-factory": variant(
        {**THERE, FACTORY: {"identity": _identity("factory"), "properties": {}}}, existingDataFactoryId=FACTORY
    ),
    "existing-topics": variant(
        THERE, existingLakeId=LAKE, existingWorkspaceId=WORKSPACE,
        existingLakeTopicId=LAKE_TOPIC, existingWorkspaceTopicId=WORKSPACE_TOPIC, eventDelivery="queue",
    ),
    "built-in-roles": variant(useBuiltInRoles=True),
    "keys": variant(endpointAuthMode="Key", createEndpoints=True),
    "tokens": variant(endpointAuthMode="AMLToken", createEndpoints=True),
    "others": variant(
        lowPriorityCompute=True, computeSize="Standard_E4s_v3", maximumInstances=40, pythonVersion="3.11",
        alertEmail="team@example.org", diabetesEndpoint="own-endpoint", apiClientId=API_CLIENT,
    ),
}  # fmt: skip
