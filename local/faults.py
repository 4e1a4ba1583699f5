"""Scheduled faults: what a route answers instead of, or after, its real work. One vocabulary for all of local/."""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import http
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_TRANSPORT: Final = "relearn.transport"
_CUT_GRACE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with this status. Without a body, one in ARM's error shape."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    def __str__(self) -> str:
        return f"Status({self.code})"

    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        if isinstance(self.body, str):
            return self.body.encode()
        phrase = http.HTTPStatus(self.code).phrase.replace(" ", "")
        error = {"error": {"code": phrase, "message": "A scheduled fault.", "target": None, "details": None}}
        return json.dumps(error if self.body is None else self.body).encode()


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection before a byte of an answer."""

    def __str__(self) -> str:
        return "Drop"


@dataclass(frozen=True, slots=True)
class Hang:
    """Say nothing until the client gives up; after these seconds close the connection all the same."""

    seconds: float = 30.0

    def __str__(self) -> str:
        return "Hang"


@dataclass(frozen=True, slots=True)
class Truncate:
    """Announce a whole body, send half of it, close the connection."""

    def __str__(self) -> str:
        return "Truncate"


@dataclass(frozen=True, slots=True)
class AcceptThen:
    """Do the real work, then let the caller see this instead of the answer."""

    action: Status | Drop | Hang | Truncate

    def __str__(self) -> str:
        return f"AcceptThen({self.action})"


Action = Status | Drop | Hang | Truncate | AcceptThen


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    method: str
    path: str
    action: Action


@dataclass(slots=True, kw_only=True)
class _Scheduled:
    method: str
    path: str
    action: Action
    left: int | None

    def matches(self, method: str, path: str) -> bool:
        return self.method in {"*", method.upper()} and fnmatch.fnmatchcase(path.lower(), self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, as it came in.

    Attributes:
        path: as globs of schedules are matched with it.
        body: of a storage request that was sent in one piece; else empty.
        call: the caller's own id of it (x-ms-client-request-id), the same in each repeat; empty where there is none.
    """

    service: str
    method: str
    path: str
    body: bytes = b""
    call: str = ""
    authorization: str = ""


Script = Callable[[Asked], Action | None]


class Faults:
    """The schedule of one service. Tests fill it from their thread while the listener's thread empties it."""

    def __init__(self, service: str = "") -> None:
        self._service = service
        self._script: Script | None = None
        self._lock = threading.Lock()
        self._scheduled: list[_Scheduled] = []
        self._fired: list[Fired] = []

    def add(self, *, action: Action, method: str = "*", path: str = "*", times: int | None = 1) -> None:
        """Schedules a fault for the next `times` (None: all) matching requests; earlier schedules go first.

        Args:
            path: a glob over the whole path in which * also crosses slashes; case does not matter.
        """
        scheduled = _Scheduled(method=method.upper(), path=path.lower(), action=action, left=times)
        with self._lock:
            self._scheduled.append(scheduled)

    def follow(self, script: Script | None) -> None:
        """From now on `script` sees every request, on the cloud's own thread, and says what fault it gets, if any.

        Only where it says None does the schedule count. None: no script any more.
        """
        self._script = script

    def take(
        self, method: str, path: str, *, body: bytes = b"", call: str = "", authorization: str = ""
    ) -> Action | None:
        """The fault this request gets, which is then used up by one; None for a healthy answer."""
        script = self._script
        asked = Asked(
            service=self._service,
            method=method.upper(),
            path=path,
            body=body,
            call=call,
            authorization=authorization,
        )
        told = script(asked) if script is not None else None
        with self._lock:
            if told is not None:
                self._fired.append(Fired(method=method.upper(), path=path, action=told))
                return told
            for scheduled in self._scheduled:
                if scheduled.left != 0 and scheduled.matches(method, path):
                    if scheduled.left is not None:
                        scheduled.left -= 1
                    self._fired.append(Fired(method=method.upper(), path=path, action=scheduled.action))
                    return scheduled.action
        return None

    @property
    def fired(self) -> tuple[Fired, ...]:
        with self._lock:
            return tuple(self._fired)

    def clear(self) -> None:
        with self._lock:
            self._scheduled.clear()
            self._fired.clear()


class ExposedHttp(H11Protocol):
    """uvicorn's HTTP protocol, which also lets the application reach the connection in order to cut it.

    Serve with `uvicorn.Config(app, http=ExposedHttp)`: ASGI itself has no word for "close without an answer".
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self.app_state = {**self.app_state, _TRANSPORT: transport}

    def shutdown(self) -> None:
        """The server ends. A client that has gone silent would hold it up by never answering TLS's goodbye."""
        idle = self.cycle is None or self.cycle.response_complete
        super().shutdown()
        if idle:
            self.transport.abort()


OnAnswer = Callable[[Scope, int | None, Action | None], None]


def _ignore(scope: Scope, status: int | None, fired: Action | None) -> None:
    pass


class FaultMiddleware:
    """Plays the scheduled faults in front of an ASGI application.

    `on_answer` is called just before the client can see the outcome, with the status it sees (None: no answer)
    and the fault that fired, so that a record of the request is written before anybody acts on its answer.
    """

    def __init__(self, app: ASGIApp, *, faults: Faults, on_answer: OnAnswer = _ignore) -> None:
        self._app = app
        self._faults = faults
        self._on_answer = on_answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        action = self._take(scope) if scope["type"] == "http" else None
        if action is None:
            await self._app(scope, receive, self._announcing(scope, send))
            return
        answer = _Answer()
        shown: Action = action
        if isinstance(action, AcceptThen):
            await self._app(scope, receive, answer.take)
            shown = action.action
        match shown:
            case Status():
                self._on_answer(scope, shown.code, action)
                await _send_status(shown, send)
            case Truncate():
                self._on_answer(scope, answer.status, action)
                await _send_half(answer, send)
                await _cut(scope, receive, abort=False)
            case Hang():
                self._on_answer(scope, None, action)
                await _disconnected(receive, shown.seconds)
                await _cut(scope, receive, abort=True)
            case _:
                self._on_answer(scope, None, action)
                await _cut(scope, receive, abort=True)

    def _take(self, scope: Scope) -> Action | None:
        call, authorization = _header(scope, b"x-ms-client-request-id"), _header(scope, b"authorization")
        return self._faults.take(scope["method"], scope["path"], call=call, authorization=authorization)

    def _announcing(self, scope: Scope, send: Send) -> Send:
        async def announcing(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._on_answer(scope, message["status"], None)
            await send(message)

        return announcing


def _header(scope: Scope, name: bytes) -> str:
    found: bytes = dict(scope["headers"]).get(name, b"")
    return found.decode("latin-1")


class _Answer:
    """An answer that was given and not sent. Until one is given: half an ARM object with status 200."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: list[tuple[bytes, bytes]] = [(b"content-type", b"application/json")]
        self.body = b""

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")


async def _send_status(status: Status, send: Send) -> None:
    content = status.content()
    named = {"content-type": "application/json", "content-length": str(len(content))}
    named.update({name.lower(): value for name, value in status.headers.items()})
    headers = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status.code, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _send_half(answer: _Answer, send: Send) -> None:
    body = answer.body or b'{"value": "cut short"}'
    length = (b"content-length", str(len(body)).encode())
    headers = [header for header in answer.headers if header[0].lower() != length[0]]
    await send({"type": "http.response.start", "status": answer.status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})


async def _cut(scope: Scope, receive: Receive, *, abort: bool) -> None:
    transport = scope.get("state", {}).get(_TRANSPORT)
    if transport is None:
        raise RuntimeError("A fault cannot cut this connection: serve with uvicorn.Config(http=ExposedHttp).")
    if abort:
        transport.abort()
    else:
        transport.close()  # what was written still goes out
    # uvicorn answers 500 for an application that returns before it has noticed the loss of the connection.
    await _disconnected(receive, _CUT_GRACE_SECONDS)


async def _disconnected(receive: Receive, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
