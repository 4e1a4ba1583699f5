"""The workspace's HTTP routes: who may call, what is asked, which answer."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from local.faults import FaultMiddleware, Faults
from local.machine_learning.answers import DISCOVERY, Answers, refusal
from local.machine_learning.bearer import objection
from local.machine_learning.invocations import InvalidInvocation, NotImitated, read_invocation
from local.machine_learning.workspace import Workspace
from local.service import RESOURCE_GROUP, SUBSCRIPTION, error

AUDIENCES = frozenset({"https://ml.azure.com"})
DEPLOYMENT_HEADER = "azureml-model-deployment"
REQUEST_HEADER = "repeatability_request-id"  # the client's spelling; it sends the same id when it tries again

_WORKSPACE = (
    "/subscriptions/{subscription}/resourcegroups/{group}"
    "/providers/microsoft.machinelearningservices/workspaces/{workspace}"
)
_BATCH = f"{_WORKSPACE}/batchendpoints"
_DISCOVERED = f"/mferp/managementfrontend{_BATCH}"

Handler = Callable[[Request], Awaitable[Response]]


class Routes:
    """Serves one workspace. Paths arrive in lower case; the workspace finds names whatever their case."""

    def __init__(self, workspace: Workspace, answers: Answers, faults: Faults) -> None:
        self._workspace = workspace
        self._answers = answers
        self._faults = faults

    def all(self) -> Sequence[BaseRoute]:
        control: list[tuple[str, str, Handler]] = [
            ("GET", _WORKSPACE, self._get_workspace),
            ("GET", _BATCH, self._list_endpoints),
            ("GET", f"{_BATCH}/{{endpoint}}", self._get_endpoint),
            ("GET", f"{_BATCH}/{{endpoint}}/deployments", self._list_deployments),
            ("GET", f"{_BATCH}/{{endpoint}}/deployments/{{deployment}}", self._get_deployment),
            ("GET", f"{_WORKSPACE}/jobs", self._list_jobs),
            ("GET", f"{_WORKSPACE}/jobs/{{job}}", self._get_job),
            ("POST", f"{_WORKSPACE}/jobs/{{job}}/cancel", self._cancel_job),
        ]
        data: list[tuple[str, str, Handler]] = [
            ("GET", f"{_DISCOVERED}/{{endpoint}}/jobs", self._list_endpoint_jobs),
            ("GET", f"{_DISCOVERED}/{{endpoint}}/deployments/{{deployment}}/jobs", self._list_endpoint_jobs),
            ("POST", "/batch/{endpoint}/jobs", self._invoke),
            ("GET", "/batch/{endpoint}/jobs/{job}", self._get_endpoint_job),
        ]
        return [
            *(self._route(method, path, self._in_workspace(handler)) for method, path, handler in control),
            *(self._route(method, path, self._for_audience(handler)) for method, path, handler in data),
            self._route("GET", DISCOVERY, self._discover),
        ]

    def _route(self, method: str, path: str, handler: Handler) -> Route:
        # Starlette serves HEAD with every GET; nothing here answers it differently.
        return Route(path, handler, methods=[method], middleware=[Middleware(FaultMiddleware, faults=self._faults)])

    def _in_workspace(self, handler: Handler) -> Handler:
        """ARM's door: any bearer token (which roles it has is not imitated), and our workspace only."""

        async def guarded(request: Request) -> Response:
            if problem := objection(request.headers.get("authorization"), ()):
                return error(401, "AuthenticationFailed", f"Authentication failed: {problem}.")
            asked = tuple(request.path_params[part] for part in ("subscription", "group", "workspace"))
            if tuple(map(str.lower, asked)) != (SUBSCRIPTION, RESOURCE_GROUP.lower(), self._workspace.name.lower()):
                return error(404, "ResourceNotFound", f"There is no workspace {'/'.join(asked)}.")
            return await handler(request)

        return guarded

    def _for_audience(self, handler: Handler) -> Handler:
        """The data plane's door: a token for AML. A token for something else is no proof of anything: 401."""

        async def guarded(request: Request) -> Response:
            if problem := objection(request.headers.get("authorization"), AUDIENCES):
                return refusal(401, "UserError", f"Authentication failed: {problem}.")
            return await handler(request)

        return guarded

    async def _discover(self, request: Request) -> Response:
        return JSONResponse(self._answers.discovery())

    async def _get_workspace(self, request: Request) -> Response:
        return JSONResponse(self._answers.workspace())

    async def _list_endpoints(self, request: Request) -> Response:
        return JSONResponse(
            {"value": [self._answers.endpoint(endpoint) for endpoint in self._workspace.endpoints.all()]}
        )

    async def _get_endpoint(self, request: Request) -> Response:
        endpoint = self._workspace.endpoints.get(request.path_params["endpoint"])
        return _missing(request, "endpoint") if endpoint is None else JSONResponse(self._answers.endpoint(endpoint))

    async def _list_deployments(self, request: Request) -> Response:
        endpoint = self._workspace.endpoints.get(request.path_params["endpoint"])
        if endpoint is None:
            return _missing(request, "endpoint")
        shown = [self._answers.deployment(endpoint, deployment) for deployment in endpoint.deployments.values()]
        return JSONResponse({"value": shown})

    async def _get_deployment(self, request: Request) -> Response:
        endpoint = self._workspace.endpoints.get(request.path_params["endpoint"])
        if endpoint is None:
            return _missing(request, "endpoint")
        deployment = endpoint.deployment(request.path_params["deployment"])
        if deployment is None:
            return _missing(request, "deployment")
        return JSONResponse(self._answers.deployment(endpoint, deployment))

    async def _list_jobs(self, request: Request) -> Response:
        # AML lists the newest first.
        return JSONResponse({"value": [self._answers.job(job) for job in reversed(self._workspace.jobs.all())]})

    async def _get_job(self, request: Request) -> Response:
        job = self._workspace.jobs.poll(request.path_params["job"])
        return _missing(request, "job") if job is None else JSONResponse(self._answers.job(job))

    async def _cancel_job(self, request: Request) -> Response:
        # What AML says to the cancelling of a job that is over is not known: here nothing happens, with success.
        job = self._workspace.jobs.cancel(request.path_params["job"])
        return _missing(request, "job") if job is None else Response(status_code=200)

    async def _list_endpoint_jobs(self, request: Request) -> Response:
        endpoint = request.path_params["endpoint"]
        deployment = request.path_params.get("deployment")
        jobs = [job for job in reversed(self._workspace.jobs.all()) if job.submission.endpoint.lower() == endpoint]
        shown = [job for job in jobs if deployment in (None, job.submission.deployment.lower())]
        return JSONResponse({"value": [self._answers.batch_job(job) for job in shown]})

    async def _get_endpoint_job(self, request: Request) -> Response:
        known = self._workspace.jobs.get(request.path_params["job"])
        if known is None or known.submission.endpoint.lower() != request.path_params["endpoint"]:
            return _missing(request, "job")
        return JSONResponse(self._answers.batch_job(self._workspace.jobs.poll(known.name) or known))

    async def _invoke(self, request: Request) -> Response:
        endpoint = self._workspace.endpoints.get(request.path_params["endpoint"])
        if endpoint is None:
            return _missing(request, "endpoint")
        wanted = request.headers.get(DEPLOYMENT_HEADER)
        deployment = endpoint.deployment(wanted)
        if deployment is None:
            return refusal(404, "ResourceNotFound", f"Endpoint {endpoint.name!r} has no deployment {wanted!r}.")
        try:
            invocation = read_invocation(await _json(request), deployment.component)
        except InvalidInvocation as problem:
            return refusal(400, "UserError", f"The request is invalid: {problem}.", problem.problems)
        except NotImitated as problem:
            return error(501, "NotImitatedLocally", f"{problem}.")
        job = self._workspace.start(endpoint, deployment, invocation, request.headers.get(REQUEST_HEADER))
        location = f"{self._answers.scoring_uri(endpoint.name)}/{job.name}"
        headers = {DEPLOYMENT_HEADER: deployment.name, "Location": location}
        return JSONResponse(self._answers.batch_job(job), status_code=201, headers=headers)


async def _json(request: Request) -> object:
    try:
        return json.loads(await request.body())
    except ValueError:
        return None


def _missing(request: Request, what: str) -> JSONResponse:
    return refusal(404, "ResourceNotFound", f"There is no {what} {request.path_params[what]!r}.")
