"""The doors to the workspace's routes: who may come in, what is recorded, how a refusal looks."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from local.faults import Action, FaultMiddleware, Faults
from local.machine_learning.answers import Refused, refusal
from local.machine_learning.bearer import objection
from local.machine_learning.requests import Call, RequestLog
from local.progress import Clock
from local.service import RESOURCE_GROUP, SUBSCRIPTION, error, original_path

AUDIENCES: Final = frozenset({"https://ml.azure.com"})
_SUBSCRIPTION: Final = "/subscriptions/{subscription}"
_PROVIDER: Final = "/providers/microsoft.machinelearningservices"
WORKSPACE_PATH: Final = f"{_SUBSCRIPTION}/resourcegroups/{{group}}{_PROVIDER}/workspaces/{{workspace}}"
HISTORY_PATH: Final = f"/history/v1.0{WORKSPACE_PATH}"
LOCATION_PATH: Final = f"{_SUBSCRIPTION}{_PROVIDER}/locations/{{location}}"

Handler = Callable[[Request], Awaitable[Response]]


class Doors:
    """Makes the routes of one workspace. Paths arrive in lower case; names are found whatever their case."""

    def __init__(self, workspace: str, *, faults: Faults, requests: RequestLog, clock: Clock) -> None:
        self._workspace = workspace
        self._faults = faults
        self._requests = requests
        self._clock = clock

    def control(self, method: str, path: str, handler: Handler) -> Route:
        """ARM's door: any bearer token (which roles it has is not imitated), and our workspace only.

        `path` is below the workspace, or a whole path: that of the run history, or one that starts at the subscription.
        """
        whole = path if path.startswith((_SUBSCRIPTION, HISTORY_PATH)) else WORKSPACE_PATH + path

        async def guarded(request: Request) -> Response:
            if problem := objection(request.headers.get("authorization"), ()):
                return error(401, "AuthenticationFailed", f"Authentication failed: {problem}.")
            self._require_ours(request)
            return await handler(request)

        return self.open(method, whole, guarded)

    def data(self, method: str, path: str, handler: Handler) -> Route:
        """The data plane's door: a token for AML. A token for something else is no proof of anything: 401."""

        async def guarded(request: Request) -> Response:
            if problem := objection(request.headers.get("authorization"), AUDIENCES):
                return refusal(401, "UserError", f"Authentication failed: {problem}.")
            return await handler(request)

        return self.open(method, path, guarded)

    def open(self, method: str, path: str, handler: Handler) -> Route:
        """A door whose handler looks at the credentials itself, or asks for none."""

        async def refusing(request: Request) -> Response:
            try:
                return await handler(request)
            except Refused as refused:
                return refused.answer()

        # Starlette serves HEAD with every GET; nothing here answers it differently.
        middleware = Middleware(FaultMiddleware, faults=self._faults, on_answer=self._record)
        return Route(path, refusing, methods=[method], middleware=[middleware])

    def _require_ours(self, request: Request) -> None:
        ours = {"subscription": SUBSCRIPTION, "group": RESOURCE_GROUP, "workspace": self._workspace}
        for part, name in ours.items():
            asked = request.path_params.get(part, name)
            if asked.lower() != name.lower():
                raise Refused(404, "ResourceNotFound", f"There is no workspace {original_path(request)}.")

    def _record(self, scope: Scope, status: int | None, fired: Action | None) -> None:
        request = Request(scope)
        self._requests.append(
            Call(
                at=self._clock.now(),
                method=request.method,
                path=original_path(request),
                status=status,
                fault=None if fired is None else str(fired),
            )
        )


async def json_body(request: Request) -> object:
    """What was sent, whatever its content type says; None if that is no JSON."""
    try:
        return json.loads(await request.body())
    except ValueError:
        return None
