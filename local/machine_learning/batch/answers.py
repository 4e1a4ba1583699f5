"""Batch endpoints, deployments and jobs as AML writes them; only used fields have content."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from local.machine_learning.answers import PROVIDER, Answers, system_data
from local.machine_learning.batch.deployments import Deployment, Endpoint
from local.machine_learning.batch.invocations import LITERAL, SPELLINGS
from local.machine_learning.batch.records import Data, Job, Literal, Value
from local.service import REGION


class BatchAnswers:
    """Renders what stands below /batchEndpoints and /jobs."""

    def __init__(self, workspace: Answers) -> None:
        self._workspace = workspace

    def scoring_uri(self, endpoint: str) -> str:
        # In Azure https://<endpoint>.<region>.inference.ml.azure.com/jobs; on loopback there is one host name.
        return f"{self._workspace.url}/batch/{endpoint}/jobs"

    def endpoint(self, endpoint: Endpoint) -> dict[str, Any]:
        return {
            "id": f"{self._workspace.id}/batchEndpoints/{endpoint.name}",
            "name": endpoint.name,
            "type": f"{PROVIDER}/batchEndpoints",
            "location": REGION,
            "tags": dict(endpoint.tags),
            "systemData": system_data(endpoint.created),
            "properties": {
                "description": endpoint.description,
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
        component_id = f"{self._workspace.id}/components/{component.name}/versions/{component.version}"
        # The numbers and empty objects beside the component are what AML answers for such deployments, too.
        return {
            "id": f"{self._workspace.id}/batchEndpoints/{endpoint.name}/deployments/{deployment.name}",
            "name": deployment.name,
            "type": f"{PROVIDER}/batchEndpoints/deployments",
            "location": REGION,
            "tags": {**deployment.tags, "ComponentDeployment.ComponentId": component_id},
            "systemData": system_data(deployment.created),
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
                    "settings": {
                        "ComponentDeployment.Settings.continue_on_step_failure": "False",
                        **deployment.settings,
                    },
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
            "id": f"{self._workspace.id}/batchEndpoints/{submission.endpoint}/jobs/{job.name}",
            "name": job.name,
            "type": f"{PROVIDER}/batchEndpoints/jobs",
            "systemData": system_data(job.created),
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
                "tags": {**submission.tags, **job.tags},
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
            "id": f"{self._workspace.id}/jobs/{job.name}",
            "name": job.name,
            "type": f"{PROVIDER}/jobs",
            "systemData": system_data(job.created),
            "properties": {
                "jobType": "Pipeline",
                "status": job.status,
                "displayName": submission.display_name,
                "description": submission.component.description,
                "experimentName": submission.experiment,
                "tags": {**submission.tags, **job.tags},
                "properties": _properties(job),
                "isArchived": False,
                "componentId": submission.component_id,
                "computeId": submission.compute,
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
        studio = f"https://ml.azure.com/runs/{job.name}?wsid={self._workspace.id}"
        return {"Tracking": self._workspace.tracking_uri(), "Studio": studio}


def _wire_input(value: Value) -> dict[str, Any]:
    if isinstance(value, Literal):
        return {"jobInputType": LITERAL, "value": value.value}
    return {"jobInputType": SPELLINGS[value.type], "uri": value.uri, "mode": "ReadOnlyMount"}


def _arm_input(value: Value) -> dict[str, Any]:
    if isinstance(value, Data):
        return {"jobInputType": value.type, "uri": value.uri, "mode": "ReadOnlyMount"}
    return {"jobInputType": "literal", "value": str(value.value)}


def _properties(job: Job) -> dict[str, str]:
    by_name = {"azureml.DevPlatv2": "true", "runSource": "MFE", "runType": "HTTP"}
    known = {
        "azureml.runsource": "azureml.PipelineRun",
        **({"runSource": "BatchDeployment"} if job.submission.endpoint else by_name),
        "azureml.pipelineComponent": "pipelinerun",
        **job.submission.properties,
    }
    # AML keeps a failure's text in its run history, which is not imitated: here it stands with the job.
    return known | ({"local.message": job.message} if job.message else {})


def shown_job(job: Job) -> dict[str, Any]:
    """A job for people."""
    submission = job.submission
    return {
        "name": job.name,
        "endpoint": submission.endpoint,
        "deployment": submission.deployment,
        "status": job.status,
        "message": job.message,
        "inputs": {name: asdict(value) for name, value in submission.inputs.items()},
        "outputs": {name: data.uri for name, data in submission.outputs.items()},
        "folder": job.folder,
        "created": job.created,
        "started": job.started,
        "ended": job.ended,
        "steps": [asdict(step) for step in job.steps],
    }
