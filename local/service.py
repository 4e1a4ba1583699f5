"""What every imitated service shares: how it plugs into the listener, its names, its answers and its events."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
RESOURCE_GROUP = "rg-relearn"
FACTORY = "adf-relearn"
WORKSPACE = "mlw-relearn"
REGION = "westeurope"
TENANT = "00000000-0000-0000-0000-0000000000aa"


def resource_id(provider: str, kind: str, name: str) -> str:
    """The ARM id of a resource, e.g. resource_id("Microsoft.DataFactory", "factories", FACTORY)."""
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}"
    return f"{group}/providers/{provider}/{kind}/{name}"


def factory_id(name: str = FACTORY) -> str:
    return resource_id("Microsoft.DataFactory", "factories", name)


def workspace_id(name: str = WORKSPACE) -> str:
    return resource_id("Microsoft.MachineLearningServices", "workspaces", name)


def storage_account_id(name: str) -> str:
    return resource_id("Microsoft.Storage", "storageAccounts", name)


class Service(Protocol):
    """One imitated service. Its routes are written in lower case, ARM ones from "/subscriptions/{...}" on."""

    @property
    def name(self) -> str: ...

    def routes(self) -> Sequence[BaseRoute]: ...


@runtime_checkable
class Inspectable(Protocol):
    """A service that shows itself at /_local/state and can be emptied by /_local/reset."""

    def state(self) -> Mapping[str, Any]: ...

    def reset(self) -> None: ...


def now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, before an envelope is chosen. `data` has the wire's spelling of its keys."""

    type: str
    subject: str
    data: Mapping[str, Any]
    id: str = field(default_factory=_new_id)
    time: datetime = field(default_factory=now)
    data_version: str = ""


def error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """ARM's error answer."""
    body = {"error": {"code": code, "message": message}}
    return JSONResponse(body, status_code=status, headers=dict(headers or {}))


def original_path(request: Request) -> str:
    """The path as the client spelled it; routing sees it in lower case."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    return unquote(raw.decode("latin-1").split("?")[0])


def original_params(request: Request) -> dict[str, str]:
    """The matched route's path parameters as the client spelled them (request.path_params has lower case)."""
    route = request.scope["route"]
    if not isinstance(route, Route):
        raise TypeError(f"original_params() works inside a Route, not inside {type(route).__name__}")
    matched = re.match(route.path_regex.pattern, original_path(request), re.IGNORECASE)
    return dict(matched.groupdict()) if matched else dict(request.path_params)
