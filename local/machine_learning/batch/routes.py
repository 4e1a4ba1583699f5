"""The routes of batch endpoints and jobs: what is asked, which answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from local.machine_learning.answers import Refused, missing
from local.machine_learning.batch.answers import BatchAnswers
from local.machine_learning.batch.batch import Batch
from local.machine_learning.batch.bodies import DeploymentBody, EndpointBody, Publication
from local.machine_learning.batch.components import ComponentError
from local.machine_learning.batch.deployments import Deployment, Endpoint
from local.machine_learning.batch.invocations import InvalidInvocation, NotImitated, read_invocation
from local.machine_learning.batch.submissions import Submissions
from local.machine_learning.doors import WORKSPACE_PATH, Doors, json_body
from local.machine_learning.references import BadReference
from local.machine_learning.registry.registry import UnknownAsset
from local.service import error, now, original_params

DEPLOYMENT_HEADER: Final = "azureml-model-deployment"
REQUEST_HEADER: Final = "repeatability_request-id"  # the client's spelling; it sends the same id when it tries again
_ENDPOINTS: Final = "/batchendpoints"
_ENDPOINT: Final = f"{_ENDPOINTS}/{{endpoint}}"
_DISCOVERED: Final = f"/mferp/managementfrontend{WORKSPACE_PATH}{_ENDPOINT}"


class BatchRoutes:
    """Serves the batch half of one workspace."""

    def __init__(
        self,
        batch: Batch,
        answers: BatchAnswers,
        doors: Doors,
        *,
        publication: Publication,
        submissions: Submissions,
    ) -> None:
        self._publication = publication
        self._submissions = submissions
        self._batch = batch
        self._answers = answers
        self._doors = doors

    def all(self) -> Sequence[BaseRoute]:
        control, data = self._doors.control, self._doors.data
        return [
            control("GET", _ENDPOINTS, self._list_endpoints),
            control("GET", _ENDPOINT, self._get_endpoint),
            control("PUT", _ENDPOINT, self._put_endpoint),
            control("GET", f"{_ENDPOINT}/deployments", self._list_deployments),
            control("GET", f"{_ENDPOINT}/deployments/{{deployment}}", self._get_deployment),
            control("PUT", f"{_ENDPOINT}/deployments/{{deployment}}", self._put_deployment),
            control("GET", "/jobs/{job}", self._get_job),
            control("PUT", "/jobs/{job}", self._put_job),
            control("POST", "/jobs/{job}/cancel", self._cancel_job),
            data("GET", f"{_DISCOVERED}/jobs", self._list_endpoint_jobs),
            data("GET", f"{_DISCOVERED}/deployments/{{deployment}}/jobs", self._list_endpoint_jobs),
            data("POST", "/batch/{endpoint}/jobs", self._invoke),
            data("GET", "/batch/{endpoint}/jobs/{job}", self._get_endpoint_job),
        ]

    async def _list_endpoints(self, request: Request) -> Response:
        return JSONResponse({"value": [self._answers.endpoint(endpoint) for endpoint in self._batch.endpoints.all()]})

    async def _get_endpoint(self, request: Request) -> Response:
        return JSONResponse(self._answers.endpoint(self._endpoint(request)))

    async def _put_endpoint(self, request: Request) -> Response:
        body = EndpointBody.read(await json_body(request))
        try:
            endpoint = self._batch.endpoints.put(
                original_params(request)["endpoint"], body.default, body.tags, body.description
            )
        except ValueError as problem:
            raise Refused(400, "UserError", f"The request is invalid: {problem}.") from problem
        return self._begun(self._answers.endpoint(endpoint), "oe")

    async def _put_deployment(self, request: Request) -> Response:
        endpoint = self._endpoint(request)
        body = DeploymentBody.read(await json_body(request))
        try:
            component = await asyncio.to_thread(self._publication.component, body.component)
            deployment = Deployment(
                name=original_params(request)["deployment"],
                component=component,
                created=now(),
                tags=body.tags,
                settings=body.settings,
            )
            endpoint = self._batch.endpoints.put_deployment(endpoint.name, deployment)
        except (BadReference, UnknownAsset, ComponentError, ValueError) as problem:
            raise Refused(400, "UserError", f"The request is invalid: {problem}.") from problem
        return self._begun(self._answers.deployment(endpoint, deployment), "bd")

    def _begun(self, content: dict[str, Any], kind: str) -> Response:
        """Answered as begun, and over when somebody asks: only a name is kept, so nothing takes time here."""
        headers = {"Azure-AsyncOperation": self._publication.finished(kind), "Retry-After": "1"}
        return JSONResponse(content, status_code=201, headers=headers)

    async def _list_deployments(self, request: Request) -> Response:
        endpoint = self._endpoint(request)
        shown = [self._answers.deployment(endpoint, deployment) for deployment in endpoint.deployments.values()]
        return JSONResponse({"value": shown})

    async def _get_deployment(self, request: Request) -> Response:
        endpoint = self._endpoint(request)
        deployment = endpoint.deployment(request.path_params["deployment"])
        if deployment is None:
            raise _missing(request, "deployment")
        return JSONResponse(self._answers.deployment(endpoint, deployment))

    async def _get_job(self, request: Request) -> Response:
        job = self._batch.jobs.poll(original_params(request)["job"])  # the one name that AML tells by its case
        if job is None:
            raise _missing(request, "job")
        return JSONResponse(self._answers.job(job))

    async def _put_job(self, request: Request) -> Response:
        """Starts a job. A name that is taken starts none: what is sent changes its tags, as the reference says."""
        name = original_params(request)["job"]
        try:
            body = await asyncio.to_thread(self._submissions.read, name, await json_body(request))
        except InvalidInvocation as problem:
            raise Refused(400, "UserError", f"The request is invalid: {problem}.", problem.problems) from problem
        except NotImitated as problem:
            return error(501, "NotImitatedLocally", f"{problem}.")
        job, new = self._batch.put(name, body)
        return JSONResponse(self._answers.job(job), status_code=201 if new else 200)

    async def _cancel_job(self, request: Request) -> Response:
        # What AML says to the cancelling of a job that is over is not known: here nothing happens, with success.
        if self._batch.jobs.cancel(original_params(request)["job"]) is None:
            raise _missing(request, "job")
        return Response(status_code=200)

    async def _list_endpoint_jobs(self, request: Request) -> Response:
        endpoint = request.path_params["endpoint"]
        deployment = request.path_params.get("deployment")
        jobs = [job for job in reversed(self._batch.jobs.all()) if job.submission.endpoint.lower() == endpoint]
        shown = [job for job in jobs if deployment in (None, job.submission.deployment.lower())]
        return JSONResponse({"value": [self._answers.batch_job(job) for job in shown]})

    async def _get_endpoint_job(self, request: Request) -> Response:
        known = self._batch.jobs.get(request.path_params["job"])
        if known is None or known.submission.endpoint.lower() != request.path_params["endpoint"]:
            raise _missing(request, "job")
        return JSONResponse(self._answers.batch_job(self._batch.jobs.poll(known.name) or known))

    async def _invoke(self, request: Request) -> Response:
        endpoint = self._endpoint(request)
        wanted = request.headers.get(DEPLOYMENT_HEADER)
        deployment = endpoint.deployment(wanted)
        if deployment is None:
            # What AML says at an endpoint without a default deployment is not known.
            raise missing(f"deployment {wanted or endpoint.default!r} of endpoint {endpoint.name!r}")
        try:
            invocation = read_invocation(await json_body(request), deployment.component, self._batch.find_model)
        except InvalidInvocation as problem:
            raise Refused(400, "UserError", f"The request is invalid: {problem}.", problem.problems) from problem
        except NotImitated as problem:
            return error(501, "NotImitatedLocally", f"{problem}.")
        job = self._batch.start(endpoint, deployment, invocation, request.headers.get(REQUEST_HEADER))
        location = f"{self._answers.scoring_uri(endpoint.name)}/{job.name}"
        headers = {DEPLOYMENT_HEADER: deployment.name, "Location": location}
        return JSONResponse(self._answers.batch_job(job), status_code=201, headers=headers)

    def _endpoint(self, request: Request) -> Endpoint:
        found = self._batch.endpoints.get(request.path_params["endpoint"])
        if found is None:
            raise _missing(request, "endpoint")
        return found


def _missing(request: Request, what: str) -> Refused:
    return missing(f"{what} {original_params(request)[what]!r}")
