"""The batch half of a workspace: what is deployed, which jobs there are, and which request started which."""

from __future__ import annotations

import threading
import uuid

from local.machine_learning.batch.deployments import Deployment, Endpoint, Endpoints
from local.machine_learning.batch.invocations import FindModel, Invocation
from local.machine_learning.batch.jobs import Jobs
from local.machine_learning.batch.pipelines import PipelineComponent
from local.machine_learning.batch.records import Data, Job, Submission
from local.machine_learning.batch.submissions import JobBody
from local.progress import Progress

DATASTORE = "lake"


class Batch:
    """Endpoints and jobs, and what joins them: an endpoint starts a job."""

    def __init__(self, jobs: Jobs, progress: Progress, find_model: FindModel) -> None:
        self.jobs = jobs
        self.find_model = find_model
        self.endpoints = Endpoints()
        self._progress = progress
        self._lock = threading.Lock()
        self._by_request: dict[tuple[str, str], str] = {}

    def forget(self) -> None:
        """Forget all jobs; what is deployed stays."""
        self.jobs.forget()
        with self._lock:
            self._by_request.clear()

    def start(self, endpoint: Endpoint, deployment: Deployment, invocation: Invocation, request_id: str | None) -> Job:
        """A new job, or the one this very request started before its answer was lost."""
        with self._lock:
            known = self._by_request.get((endpoint.name, request_id)) if request_id else None
            before = None if known is None else self.jobs.get(known)
            if before is not None:
                return before
            submission = _submission(endpoint, deployment, invocation)
            job = self.jobs.submit(submission, self._progress.take(endpoint.name))
            if request_id:
                self._by_request[endpoint.name, request_id] = job.name
            return job

    def put(self, name: str, body: JobBody) -> tuple[Job, bool]:
        """The job of this name, and whether it is new: of one that is there, the tags and the title change."""
        with self._lock:
            if self.jobs.get(name) is not None:
                return self.jobs.rename(name, tags=body.tags, display_name=body.display_name or name), False
            places = {**_places(name, body.component), **body.outputs}
            submission = Submission(
                name=name,
                endpoint="",
                deployment="",
                component=body.component,
                inputs=body.inputs,
                outputs=places,
                display_name=body.display_name or name,
                experiment=body.experiment,
                tags=body.tags,
                component_id=body.component_id,
                compute=body.compute,
                given=body.given,
            )
            return self.jobs.submit(submission, self._progress.take(body.runs)), True


def _places(name: str, component: PipelineComponent) -> dict[str, Data]:
    """Where outputs go that were given no place: in Azure the workspace's own blob store, below the run's id."""
    # Here the lake is the only datastore.
    return {
        output: Data(type=port.type, uri=f"azureml://datastores/{DATASTORE}/paths/azureml/{name}/{output}")
        for output, port in component.outputs.items()
    }


def _submission(endpoint: Endpoint, deployment: Deployment, invocation: Invocation) -> Submission:
    name = f"batchjob-{uuid.uuid4()}"
    places = _places(name, deployment.component)
    return Submission(
        name=name,
        endpoint=endpoint.name,
        deployment=deployment.name,
        component=deployment.component,
        inputs=invocation.inputs,
        outputs={**places, **invocation.outputs},
        display_name=invocation.display_name or name,
        experiment=invocation.experiment or endpoint.name,
        tags={"azureml.deploymentname": deployment.name, **invocation.tags},
    )
