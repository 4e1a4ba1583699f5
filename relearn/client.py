"""Calls the app's API with a token of Microsoft Entra. A change may be sent again: its request id makes it one."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

TIMEOUT_SECONDS: Final = 120.0
PAUSES: Final = (1.0, 4.0)
"""Seconds between tries, where no answer came or the app said that it cannot answer now."""
_AGAIN: Final = frozenset({429, 500, 502, 503, 504})
_EXIT: Final[Mapping[int, int]] = {400: 2, 401: 3, 403: 3, 404: 4}
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

Answer = dict[str, Any]
Token = Callable[[], str]


class CallFailed(Exception):
    """The app did not do what was asked; `todo` says what to do, `exit_code` what the command ends with."""

    def __init__(self, error: str, todo: str = "", exit_code: int = 1) -> None:
        self.todo = todo
        self.exit_code = exit_code
        super().__init__(error)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A token is for the app only, wherever an answer may point."""

    def redirect_request(self, *_args: object, **_named: object) -> None:
        return None


class Client:
    """One app.

    Args:
        app: its address, https except on this machine.
        audience: what its tokens are for, such as api://CLIENT-ID.
        token: gives one; by default azure-identity's default credential.
        pauses: in seconds, between tries.
    """

    def __init__(
        self, app: str, audience: str, token: Token | None = None, *, pauses: Sequence[float] = PAUSES
    ) -> None:
        self._pauses = pauses
        try:
            parts = urllib.parse.urlsplit(app)
        except ValueError as error:
            raise CallFailed(f"{app!r} is no address: {error}", exit_code=2) from error
        local = parts.hostname in _LOOPBACK
        if parts.scheme != "https" and not (parts.scheme == "http" and local):
            raise CallFailed(f"{app!r} is not an https address: a token is sent over TLS only", exit_code=2)
        self._base = f"{parts.scheme}://{parts.netloc}/api/"
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if local:
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)
        self._scope = f"{audience.rstrip('/')}/.default"
        self._token = token
        self._credential: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._credential is not None:
            self._credential.close()

    def get(self, route: str, **query: object) -> Answer:
        """What the app answers. Parameters that are None are left out."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._send("GET", f"{route}?{urllib.parse.urlencode(given)}" if given else route)

    def post(self, route: str, body: object) -> Answer:
        return self._send("POST", route, json.dumps(body).encode())

    def post_bytes(self, route: str, content: bytes) -> Answer:
        """Sends something as it is."""
        return self._send("POST", route, content)

    def health(self) -> Answer:
        """The app's health, which needs no token; also where it says that something is wrong."""
        status, body = self._tried("GET", "health", None, {})
        return _content(status, body) if status in {200, 503} else self._refused(status, body)

    def _send(self, method: str, route: str, data: bytes | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {self._bearer()}", "Content-Type": "application/json"}
        status, body = self._tried(method, route, data, headers)
        return _content(status, body) if status == 200 else self._refused(status, body)

    def _tried(self, method: str, route: str, data: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """The first answer that is worth having, or the last."""
        found: tuple[int, bytes] | None = None
        why = ""
        for pause in (*self._pauses, None):
            try:
                found = self._once(method, route, data, headers)
            except (OSError, http.client.HTTPException) as error:
                found, why = None, str(getattr(error, "reason", error))
            if (found is not None and found[0] not in _AGAIN) or pause is None:
                break
            time.sleep(pause)
        if found is None:
            raise CallFailed(f"{self._base} does not answer: {why}", "is the address right, and the app up?", 5)
        return found

    def _once(self, method: str, route: str, data: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        request = urllib.request.Request(self._base + route, data=data, headers=dict(headers), method=method)
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def _bearer(self) -> str:
        if self._token is not None:
            return self._token()
        from azure.core.exceptions import AzureError, ClientAuthenticationError  # noqa: PLC0415 - slow, help needs none
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415

        self._credential = self._credential or DefaultAzureCredential()
        try:
            return str(self._credential.get_token(self._scope).token)
        except ClientAuthenticationError as error:
            raise CallFailed(f"no token for {self._scope}: {str(error)[:2000]}", "sign in: az login", 3) from error
        except AzureError as error:
            raise CallFailed(f"no token for {self._scope}: {str(error)[:2000]}", "is there a network?", 5) from error

    def _refused(self, status: int, body: bytes) -> Answer:
        try:
            told = json.loads(body)
            error, todo = str(told["error"]), str(told["what_to_do"])
        except (ValueError, KeyError, TypeError):
            error, todo = f"{self._base} answers {status}", body.decode(errors="replace")[:500]
        if status in _AGAIN:
            raise CallFailed(error, todo or "try again later", 5)
        raise CallFailed(error, todo, _EXIT.get(status, 1))


def _content(status: int, body: bytes) -> Answer:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CallFailed(f"what answers with {status} is not a Relearn app: {body[:200]!r}", "is the address right?", 5)
    return found
