"""Online endpoints, deployments and operations as AML writes them."""

from __future__ import annotations

from typing import Any, Final

from local.machine_learning.answers import PROVIDER, Answers, guid, system_data
from local.machine_learning.online.operations import Ending, Operation
from local.machine_learning.online.values import DEFAULT_TIMEOUT, Deployment, Endpoint, State
from local.progress import Outcome
from local.service import REGION, SUBSCRIPTION, TENANT

_API_VERSION: Final = "2022-02-01-preview"
_WORDS: Final = {Outcome.SUCCEEDED: "Succeeded", Outcome.FAILED: "Failed", Outcome.CANCELLED: "Canceled"}
_SETTINGS: Final = {"maxConcurrentRequestsPerInstance": 1, "maxQueueWait": "PT0.5S", "requestTimeout": DEFAULT_TIMEOUT}
_PROBE: Final = {
    "failureThreshold": 30,
    "initialDelay": "PT10S",
    "period": "PT10S",
    "successThreshold": 1,
    "timeout": "PT2S",
}


class OnlineAnswers:
    """Renders what stands below /onlineEndpoints, and the operations on it."""

    def __init__(self, workspace: Answers) -> None:
        self._workspace = workspace
        self._provider = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.MachineLearningServices/locations/{REGION}"

    def endpoint_id(self, endpoint: str) -> str:
        return f"{self._workspace.id}/onlineEndpoints/{endpoint}"

    def deployment_id(self, endpoint: str, deployment: str) -> str:
        return f"{self.endpoint_id(endpoint)}/deployments/{deployment}"

    def resource_url(self, resource_id: str) -> str:
        return f"{self._workspace.url}{resource_id}?api-version={_API_VERSION}"

    def status_url(self, operation: str) -> str:
        return f"{self._workspace.url}{self._provider}/mfeOperationsStatus/{operation}?api-version={_API_VERSION}"

    def result_url(self, operation: str) -> str:
        return f"{self._workspace.url}{self._provider}/mfeOperationResults/{operation}?api-version={_API_VERSION}"

    def endpoint(self, endpoint: Endpoint, scoring_uri: str) -> dict[str, Any]:
        resource_id = self.endpoint_id(endpoint.name)
        # Its address is known when it is there, and not before.
        there = endpoint.state is not State.CREATING
        return {
            "id": resource_id,
            "name": endpoint.name,
            "type": f"{PROVIDER}/onlineEndpoints",
            "location": REGION,
            "tags": dict(endpoint.tags),
            "kind": "Managed",
            "identity": {"type": "SystemAssigned", "principalId": guid(resource_id), "tenantId": TENANT},
            "systemData": system_data(endpoint.created, endpoint.modified),
            "properties": {
                "description": endpoint.description,
                "properties": {
                    **endpoint.properties,
                    "azureml.onlineendpointid": resource_id,
                    "AzureAsyncOperationUri": self.status_url(endpoint.operation),
                },
                "authMode": endpoint.auth_mode,
                "scoringUri": scoring_uri if there else None,
                "swaggerUri": f"{scoring_uri.removesuffix('/score')}/swagger.json" if there else None,
                "traffic": dict(endpoint.traffic),
                "mirrorTraffic": {},
                "compute": None,
                "publicNetworkAccess": "Enabled",
                "provisioningState": endpoint.state,
            },
        }

    def deployment(self, deployment: Deployment) -> dict[str, Any]:
        given = deployment.properties
        return {
            "id": self.deployment_id(deployment.endpoint, deployment.name),
            "name": deployment.name,
            "type": f"{PROVIDER}/onlineEndpoints/deployments",
            "location": REGION,
            "tags": dict(deployment.tags),
            "kind": "Managed",
            "sku": {"name": "Default", "capacity": deployment.capacity},
            "systemData": system_data(deployment.created, deployment.modified),
            "properties": {
                "description": "",
                "instanceType": None,
                "model": None,
                "codeConfiguration": None,
                "environmentId": None,
                "appInsightsEnabled": False,
                **given,
                "endpointComputeType": "Managed",
                "environmentVariables": dict(given.get("environmentVariables") or {}),
                "scaleSettings": given.get("scaleSettings") or {"scaleType": "Default"},  # the client cannot do without
                "requestSettings": {**_SETTINGS, **(given.get("requestSettings") or {})},
                "livenessProbe": {**_PROBE, **(given.get("livenessProbe") or {})},
                "readinessProbe": {**_PROBE, **(given.get("readinessProbe") or {})},
                "properties": {
                    **(given.get("properties") or {}),
                    "AzureAsyncOperationUri": self.status_url(deployment.operation),
                },
                "provisioningState": deployment.state,
            },
        }

    def operation(self, operation: Operation) -> dict[str, Any]:
        ending = operation.ending
        status: dict[str, Any] = {
            "id": f"{self._provider}/mfeOperationsStatus/{operation.id}",
            "name": operation.id,
            "startTime": operation.started.isoformat(),
            "percentComplete": 0 if ending is None else 100,
            "status": operation.working if ending is None else _WORDS[ending.outcome],
        }
        if ending is not None and operation.ended is not None:
            status["endTime"] = operation.ended.isoformat()
            if ending.outcome is not Outcome.SUCCEEDED:
                status["error"] = _error(ending)
        return status


def _error(ending: Ending) -> dict[str, Any]:
    message = ending.message or f"The operation ended as {_WORDS[ending.outcome]}."
    return {"code": ending.code, "message": message, "details": [], "additionalInfo": []}
