"""The ARM routes of online endpoints, deployments and operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from local.machine_learning.answers import Refused, missing
from local.machine_learning.doors import LOCATION_PATH, Doors, json_body
from local.machine_learning.online.answers import OnlineAnswers
from local.machine_learning.online.bodies import DeploymentBody, EndpointBody
from local.machine_learning.online.online import Online
from local.machine_learning.online.values import AuthMode, Deployment, Endpoint
from local.service import original_params

_ENDPOINTS: Final = "/onlineendpoints"
_ENDPOINT: Final = f"{_ENDPOINTS}/{{endpoint}}"
_DEPLOYMENTS: Final = f"{_ENDPOINT}/deployments"
_DEPLOYMENT: Final = f"{_DEPLOYMENTS}/{{deployment}}"
_CONTAINERS: Final = ("InferenceServer", "StorageInitializer")
_SECONDS: Final = "1"  # in Azure the client waits 30 s (endpoints) or 5 s (deployments) between its questions


class OnlineRoutes:
    """Serves the online half of one workspace, but for scoring."""

    def __init__(self, online: Online, answers: OnlineAnswers, doors: Doors) -> None:
        self._online = online
        self._answers = answers
        self._doors = doors

    def all(self) -> Sequence[BaseRoute]:
        control = self._doors.control
        return [
            control("GET", _ENDPOINTS, self._list_endpoints),
            control("GET", _ENDPOINT, self._get_endpoint),
            control("PUT", _ENDPOINT, self._put_endpoint),
            control("DELETE", _ENDPOINT, self._delete_endpoint),
            control("POST", f"{_ENDPOINT}/listkeys", self._list_keys),
            control("POST", f"{_ENDPOINT}/token", self._token),
            control("GET", _DEPLOYMENTS, self._list_deployments),
            control("GET", _DEPLOYMENT, self._get_deployment),
            control("PUT", _DEPLOYMENT, self._put_deployment),
            control("DELETE", _DEPLOYMENT, self._delete_deployment),
            control("POST", f"{_DEPLOYMENT}/getlogs", self._get_logs),
            control("GET", f"{LOCATION_PATH}/mfeoperationsstatus/{{operation}}", self._status),
            control("GET", f"{LOCATION_PATH}/mfeoperationresults/{{operation}}", self._result),
        ]

    # Endpoints

    async def _list_endpoints(self, request: Request) -> Response:
        return JSONResponse({"value": [self._shown(endpoint) for endpoint in self._online.directory.endpoints()]})

    async def _get_endpoint(self, request: Request) -> Response:
        return JSONResponse(self._shown(self._endpoint(request, polled=True)))

    async def _put_endpoint(self, request: Request) -> Response:
        body = EndpointBody.read(await json_body(request))
        endpoint = self._online.endpoints.put(original_params(request)["endpoint"], body)
        resource_id = self._answers.endpoint_id(endpoint.name)
        return self._begun(self._shown(endpoint), resource_id, endpoint.operation)

    async def _delete_endpoint(self, request: Request) -> Response:
        return self._deleting(self._online.endpoints.delete(request.path_params["endpoint"]))

    async def _list_keys(self, request: Request) -> Response:
        endpoint = self._endpoint(request)
        _require(endpoint, AuthMode.KEY, "keys")
        return JSONResponse({"primaryKey": endpoint.keys.primary, "secondaryKey": endpoint.keys.secondary})

    async def _token(self, request: Request) -> Response:
        endpoint = self._endpoint(request)
        _require(endpoint, AuthMode.AML_TOKEN, "tokens")
        return JSONResponse(self._online.front.token(endpoint))

    # Deployments

    async def _list_deployments(self, request: Request) -> Response:
        endpoint = self._endpoint(request)
        # Whoever lists them sees how far each of them is.
        found = self._online.directory.deployments(endpoint.name, polled=True)
        return JSONResponse({"value": [self._answers.deployment(deployment) for deployment in found]})

    async def _get_deployment(self, request: Request) -> Response:
        return JSONResponse(self._answers.deployment(self._deployment(request, polled=True)))

    async def _put_deployment(self, request: Request) -> Response:
        asked = original_params(request)
        body = DeploymentBody.read(await json_body(request))
        deployment = self._online.deployments.put(asked["endpoint"], asked["deployment"], body)
        resource_id = self._answers.deployment_id(deployment.endpoint, deployment.name)
        return self._begun(self._answers.deployment(deployment), resource_id, deployment.operation)

    async def _delete_deployment(self, request: Request) -> Response:
        asked = original_params(request)
        return self._deleting(self._online.deployments.delete(asked["endpoint"], asked["deployment"]))

    async def _get_logs(self, request: Request) -> Response:
        deployment = self._deployment(request)
        body = await json_body(request)
        asked: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
        container = asked.get("containerType") or _CONTAINERS[0]
        if container not in _CONTAINERS:
            raise Refused(400, "UserError", f"containerType {container!r} is none of {', '.join(_CONTAINERS)}.")
        lines = self._online.logs(deployment, container).splitlines(keepends=True)
        tail = asked.get("tail")
        return JSONResponse({"content": "".join(lines[-tail:] if isinstance(tail, int) and tail > 0 else lines)})

    # Operations

    async def _status(self, request: Request) -> Response:
        operation = self._online.directory.operation(request.path_params["operation"])
        if operation is None:
            raise missing(f"operation {original_params(request)['operation']!r}")
        headers = {"Retry-After": _SECONDS} if operation.ending is None else {}
        return JSONResponse(self._answers.operation(operation), headers=headers)

    async def _result(self, request: Request) -> Response:
        operation = self._online.directory.operation(request.path_params["operation"])
        if operation is None:
            raise missing(f"operation {original_params(request)['operation']!r}")
        if operation.ending is None:
            return Response(status_code=202, headers={"Retry-After": _SECONDS})
        return Response(status_code=204)

    def _begun(self, content: dict[str, Any], resource_id: str, operation: str) -> Response:
        headers = {
            "Azure-AsyncOperation": self._answers.status_url(operation),
            "Location": self._answers.resource_url(resource_id),
            "Retry-After": _SECONDS,
            "x-ms-async-operation-timeout": "PT30M",
        }
        return JSONResponse(content, status_code=201, headers=headers)

    def _deleting(self, operation: str | None) -> Response:
        if operation is None:
            return Response(status_code=204)  # what is not there need not be deleted
        headers = {
            "Azure-AsyncOperation": self._answers.status_url(operation),
            "Location": self._answers.result_url(operation),
            "Retry-After": _SECONDS,
            "x-ms-async-operation-timeout": "PT30M",
        }
        return Response(b"null", status_code=202, headers=headers, media_type="application/json")

    def _shown(self, endpoint: Endpoint) -> dict[str, Any]:
        return self._answers.endpoint(endpoint, self._online.front.uri(endpoint.name))

    def _endpoint(self, request: Request, *, polled: bool = False) -> Endpoint:
        found = self._online.directory.endpoint(request.path_params["endpoint"], polled=polled)
        if found is None:
            raise missing(f"online endpoint {original_params(request)['endpoint']!r}")
        return found

    def _deployment(self, request: Request, *, polled: bool = False) -> Deployment:
        endpoint = self._endpoint(request)
        found = self._online.directory.deployment(endpoint.name, request.path_params["deployment"], polled=polled)
        if found is None:
            wanted = original_params(request)["deployment"]
            raise missing(f"deployment {wanted!r} of online endpoint {endpoint.name!r}")
        return found


def _require(endpoint: Endpoint, mode: AuthMode, what: str) -> None:
    if endpoint.auth_mode is not mode:
        raise Refused(
            400, "UserError", f"Endpoint {endpoint.name!r} has no {what}: its authMode is {endpoint.auth_mode}."
        )
