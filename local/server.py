"""The HTTP listeners: one over TLS for everything that is not storage, one in the clear for the identity."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from local.accesses import Accesses
from local.certificates import Certificates
from local.faults import AcceptThen, Action, Drop, ExposedHttp, Faults, Hang, Status, Truncate
from local.service import Inspectable, Service, error, original_path

_OPEN: Final = ("/_local/", "/topics/")  # inspection needs no token; topics look at their keys themselves
_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_GRACE_SECONDS: Final = 1


class HttpServer:
    """uvicorn on a socket of ours, inside the running loop."""

    def __init__(self, application: ASGIApp, bound: socket.socket, certificates: Certificates | None = None) -> None:
        self._socket = bound
        self._server = uvicorn.Server(
            uvicorn.Config(
                application,
                http=ExposedHttp,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                ssl_certfile=certificates.certificate_file if certificates else None,
                ssl_keyfile=certificates.key_file if certificates else None,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    async def start(self) -> None:
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._task.done():
                await self._task
                raise RuntimeError("the HTTP server ended before it had started")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._socket.close()


def arm_application(services: Sequence[Service], accesses: Accesses | None = None) -> ASGIApp:
    """Everything that is served on the ARM address, by path in lower case, for callers with a bearer token."""
    routes = [route for service in services for route in service.routes()]
    application = Starlette(
        routes=[*_inspection(services), *routes],
        exception_handlers={404: _not_imitated, 405: _not_imitated},
    )
    application.router.redirect_slashes = False
    return _Door(application, accesses or Accesses())


class _Door:
    """In front of all routes: the token check, and paths without regard to case."""

    def __init__(self, application: ASGIApp, accesses: Accesses) -> None:
        self._application = application
        self._accesses = accesses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].translate(_LOWER)  # as long as the original: positions stay comparable
        inner = {**scope, "path": path}
        shown = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        self._accesses.note("arm", scope["method"], scope["path"], shown)
        if not path.startswith(_OPEN) and not _has_token(scope):
            refusal = error(401, "AuthenticationFailed", "The 'Authorization' header is missing or no bearer token.")
            await refusal(inner, receive, send)
            return
        await self._application(inner, receive, send)


def _has_token(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    return scheme.lower() == b"bearer" and bool(token.strip())


async def _not_imitated(request: Request, problem: Exception) -> Response:
    if isinstance(problem, HTTPException) and problem.detail not in ("Not Found", "Method Not Allowed"):
        return error(problem.status_code, "Error", problem.detail)
    return error(501, "NotImplementedLocally", f"{request.method} {original_path(request)} is not imitated")


def _inspection(services: Sequence[Service]) -> list[Route]:
    """/_local/state, /_local/reset and /_local/faults: to look at the cloud and to spoil its day."""
    inspectable = {service.name: service for service in services if isinstance(service, Inspectable)}
    faults = {service.name: service.faults for service in services if hasattr(service, "faults")}

    async def state(_: Request) -> Response:
        shown = {name: service.state() for name, service in inspectable.items()}
        return Response(json.dumps(shown, default=str, indent=2), media_type="application/json")

    async def reset(_: Request) -> Response:
        for service in inspectable.values():
            service.reset()
        return Response(status_code=204)

    async def fired(_: Request) -> Response:
        return JSONResponse(
            {
                name: [f"{fault.method} {fault.path}: {fault.action}" for fault in known.fired]
                for name, known in faults.items()
            }
        )

    return [
        Route("/_local/state", state, methods=["GET"]),
        Route("/_local/reset", reset, methods=["POST"]),
        Route("/_local/faults", fired, methods=["GET"]),
        Route("/_local/faults", _scheduling(faults), methods=["POST"]),
    ]


def _scheduling(faults: dict[str, Faults]) -> Callable[[Request], Awaitable[Response]]:
    async def schedule(request: Request) -> Response:
        try:
            wanted = json.loads(await request.body())
            chosen = faults[wanted["service"]]
            action = parse_action(wanted["action"])
            chosen.add(
                action=action,
                method=wanted.get("method", "*"),
                path=wanted.get("path", "*"),
                times=wanted.get("times", 1),
            )
        except (KeyError, TypeError, ValueError) as problem:
            return error(400, "BadFault", f"{problem!r}; services with faults: {', '.join(sorted(faults))}")
        return Response(status_code=204)

    return schedule


def parse_action(content: dict[str, Any]) -> Action:
    """A fault in JSON: {"status": 503, "headers": {}}, {"drop": true}, {"hang": 5}, ..., {"acceptThen": {...}}.

    Raises:
        ValueError: it is none of them.
    """
    match content:
        case {"status": int(code), **rest}:
            return Status(code, headers=rest.get("headers", {}), body=rest.get("body"))
        case {"drop": True}:
            return Drop()
        case {"truncate": True}:
            return Truncate()
        case {"hang": int(seconds) | float(seconds)}:
            return Hang(seconds)
        case {"acceptThen": dict(inner)}:
            action = parse_action(inner)
            if not isinstance(action, AcceptThen):
                return AcceptThen(action)
    raise ValueError(f"{content!r} is not a fault")
