"""Answers as AML writes them, after what its own client was recorded to receive; only used fields have content."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

from local.machine_learning.deployments import Deployment, Endpoint
from local.machine_learning.invocations import LITERAL, SPELLINGS
from local.machine_learning.jobs import Data, Job, Literal, Value
from local.service import REGION, TENANT, workspace_id

# Clients ask without a token, in Azure at a host of its own; what is open to all stands below /_local here.
DISCOVERY = "/_local/discovery"
PROVIDER = "Microsoft.MachineLearningServices/workspaces"


def refusal(status: int, code: str, message: str, details: Sequence[str] = ()) -> JSONResponse:
    """AML's error answer."""
    content = {
        "code": code,
        "message": message,
        "details": [{"code": code, "message": detail, "details": [], "additionalInfo": []} for detail in details],
        "additionalInfo": [{"type": "ComponentName", "info": {"value": "managementfrontend"}}],
    }
    return JSONResponse({"error": content}, status_code=status)


class Answers:
    """Renders a workspace's resources. `url` is the listener: what two Azure host names serve, it serves alone."""

    def __init__(self, workspace: str, url: str) -> None:
        self._name = workspace
        self._id = workspace_id(workspace)
        self._url = url.rstrip("/")

    def scoring_uri(self, endpoint: str) -> str:
        # In Azure https://<endpoint>.<region>.inference.ml.azure.com/jobs; on loopback there is one host name.
        return f"{self._url}/batch/{endpoint}/jobs"

    def tracking_uri(self) -> str:
        return f"azureml://{urlsplit(self._url).netloc}/mlflow/v1.0{self._id}"

    def workspace(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "name": self._name,
            "type": PROVIDER,
            "location": REGION,
            "tags": {},
            "sku": {"name": "Basic", "tier": "Basic"},
            "identity": {"type": "SystemAssigned", "principalId": _guid(self._id), "tenantId": TENANT},
            "properties": {
                "friendlyName": self._name,
                "description": "",
                "workspaceId": _guid(self._id),
                "tenantId": TENANT,
                "provisioningState": "Succeeded",
                "hbiWorkspace": False,
                "publicNetworkAccess": "Enabled",
                "discoveryUrl": self._url + DISCOVERY,
                "mlFlowTrackingUri": self.tracking_uri(),
            },
        }

    def discovery(self) -> dict[str, str]:
        return {"api": self._url}

    def endpoint(self, endpoint: Endpoint) -> dict[str, Any]:
        return {
            "id": f"{self._id}/batchEndpoints/{endpoint.name}",
            "name": endpoint.name,
            "type": f"{PROVIDER}/batchEndpoints",
            "location": REGION,
            "tags": {},
            "systemData": _system_data(endpoint.created),
            "properties": {
                "description": "",
                "properties": {},
                "authMode": "AADToken",
                "scoringUri": self.scoring_uri(endpoint.name),
                "swaggerUri": None,
                "defaults": {"deploymentName": endpoint.default},
                "provisioningState": "Succeeded",
            },
        }

    def deployment(self, endpoint: Endpoint, deployment: Deployment) -> dict[str, Any]:
        component = deployment.component
        component_id = f"{self._id}/components/{component.name}/versions/{component.version}"
        # The numbers and empty objects beside the component are what AML answers for such deployments, too.
        return {
            "id": f"{self._id}/batchEndpoints/{endpoint.name}/deployments/{deployment.name}",
            "name": deployment.name,
            "type": f"{PROVIDER}/batchEndpoints/deployments",
            "location": REGION,
            "tags": {"ComponentDeployment.ComponentId": component_id},
            "systemData": _system_data(deployment.created),
            "properties": {
                "description": component.description,
                "properties": {
                    "ComponentDeployment.ComponentId": component_id,
                    "ComponentDeployment.Type": "pipeline",
                    "ComponentDeployment.Settings.continue_on_step_failure": "False",
                    "ComponentDeployment.Name": component.name,
                },
                "deploymentConfiguration": {
                    "deploymentConfigurationType": "PipelineComponent",
                    "componentId": {"referenceType": "Id", "assetId": component_id},
                    "settings": {"ComponentDeployment.Settings.continue_on_step_failure": "False"},
                },
                "codeConfiguration": None,
                "environmentId": None,
                "environmentVariables": None,
                "compute": None,
                "errorThreshold": 0,
                "retrySettings": {"maxRetries": 0, "timeout": "PT0S"},
                "miniBatchSize": 0,
                "loggingLevel": "Info",
                "model": None,
                "maxConcurrencyPerInstance": 0,
                "outputAction": "SummaryOnly",
                "outputFileName": None,
                "resources": {"instanceCount": 1, "instanceType": None, "properties": None},
                "provisioningState": "Succeeded",
            },
        }

    def batch_job(self, job: Job) -> dict[str, Any]:
        """A job as the data plane shows it."""
        submission = job.submission
        services = {
            name: {"jobEndpointType": name, "port": None, "endpoint": address, "properties": None}
            for name, address in self._services(job).items()
        }
        return {
            # Recorded ids lack the endpoint's name between the slashes; the last segment is what clients use.
            "id": f"{self._id}/batchEndpoints/{submission.endpoint}/jobs/{job.name}",
            "name": job.name,
            "type": f"{PROVIDER}/batchEndpoints/jobs",
            "systemData": _system_data(job.created),
            "properties": {
                "provisioningState": "Succeeded",
                "status": job.status,
                "name": submission.display_name,
                "inputData": {name: _wire_input(value) for name, value in submission.inputs.items()},
                "outputData": {
                    name: {"jobOutputType": SPELLINGS[data.type], "uri": data.uri, "mode": "ReadWriteMount"}
                    for name, data in submission.outputs.items()
                },
                "interactionEndpoints": services,
                "tags": dict(submission.tags),
                "properties": _properties(job),
            },
        }

    def job(self, job: Job) -> dict[str, Any]:
        """A job as the control plane shows it."""
        submission = job.submission
        services = {
            name: {"jobServiceType": name, "port": None, "endpoint": address, "properties": None}
            for name, address in self._services(job).items()
        }
        return {
            "id": f"{self._id}/jobs/{job.name}",
            "name": job.name,
            "type": f"{PROVIDER}/jobs",
            "systemData": _system_data(job.created),
            "properties": {
                "jobType": "Pipeline",
                "status": job.status,
                "displayName": submission.display_name,
                "description": submission.component.description,
                "experimentName": submission.experiment,
                "tags": dict(submission.tags),
                "properties": _properties(job),
                "isArchived": False,
                "componentId": None,
                "computeId": None,
                "identity": None,
                "services": services,
                "settings": {},
                "jobs": {},
                "inputs": {name: _arm_input(value) for name, value in submission.inputs.items()},
                "outputs": {
                    name: {"jobOutputType": data.type, "uri": data.uri, "mode": "ReadWriteMount"}
                    for name, data in submission.outputs.items()
                },
            },
        }

    def _services(self, job: Job) -> dict[str, str]:
        studio = f"https://ml.azure.com/runs/{job.name}?wsid={self._id}"
        return {"Tracking": self.tracking_uri(), "Studio": studio}


def _wire_input(value: Value) -> dict[str, Any]:
    if isinstance(value, Literal):
        return {"jobInputType": LITERAL, "value": value.value}
    return {"jobInputType": SPELLINGS[value.type], "uri": value.uri, "mode": "ReadOnlyMount"}


def _arm_input(value: Value) -> dict[str, Any]:
    if isinstance(value, Data):
        return {"jobInputType": value.type, "uri": value.uri, "mode": "ReadOnlyMount"}
    return {"jobInputType": "literal", "value": str(value.value)}


def _properties(job: Job) -> dict[str, str]:
    known = {
        "azureml.runsource": "azureml.PipelineRun",
        "runSource": "BatchDeployment",
        "azureml.pipelineComponent": "pipelinerun",
        **job.submission.properties,
    }
    # AML keeps a failure's text in its run history, which is not imitated: here it stands with the job.
    return known | ({"local.message": job.message} if job.message else {})


def _system_data(created: datetime) -> dict[str, str]:
    at = created.isoformat()
    return {"createdAt": at, "createdBy": "local", "createdByType": "User", "lastModifiedAt": at}


def _guid(text: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, text))
