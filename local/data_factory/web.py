"""The Web activity's HTTP: real requests on loopback, with a token of the managed identity where one is asked for."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

import httpx

from local.data_factory.values import as_text
from local.identity import FACTORY_CLIENT

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_MAX_OUTPUT_BYTES = 4 * 1024 * 1024
_BOOKKEEPING: Mapping[str, Any] = {
    "effectiveIntegrationRuntime": "AutoResolveIntegrationRuntime (local)",
    "executionDuration": 0,
    "durationInQueue": {"integrationRuntimeQueue": 0},
}


class WebFailed(Exception):
    """The call failed as a Web activity fails; `output` is what later activities can still see of it."""

    def __init__(self, message: str) -> None:
        self.output = dict(_BOOKKEEPING)
        super().__init__(message)


class TokenSource(Protocol):
    """The managed-identity endpoint and the secret header it wants; asked at every call, it may start late."""

    @property
    def endpoint(self) -> str: ...

    @property
    def header(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WebRequest:
    method: str
    url: str
    headers: Mapping[str, str]
    body: object = None
    resource: str | None = None
    """The resource of the token to call with; None: call without."""
    seconds: float = 60.0


class WebClient:
    """Sends the requests of Web activities. One per factory service, used by many threads.

    Args:
        ca_file: the authority of the servers that are called; None trusts the system's.
    """

    def __init__(self, *, ca_file: Path | None = None, identity: TokenSource | None = None) -> None:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        # trust_env off: no proxy of the developer's shell may see these calls.
        self._client = httpx.Client(verify=context, trust_env=False)
        self._identity = identity

    def close(self) -> None:
        self._client.close()

    def send(self, request: WebRequest) -> tuple[int, httpx.Headers, dict[str, Any]]:
        """Status, headers and the answer's JSON object as the activity's output.

        Raises:
            WebFailed: no answer, a status outside 2xx, or an answer that is not a JSON object.
        """
        if httpx.URL(request.url).host not in _LOOPBACK:
            raise WebFailed(f"'{request.url}' is not on this machine, and nothing local/ runs calls anything else.")
        headers = httpx.Headers(dict(request.headers))
        if request.resource is not None:
            headers["Authorization"] = f"Bearer {self._token(request.resource)}"
        content = _content(request.body, headers)
        try:
            response = self._client.request(
                request.method, request.url, headers=headers, content=content, timeout=request.seconds
            )
        except httpx.HTTPError as wrong:
            raise WebFailed(_calling(request.url, "NA - Unknown", str(wrong) or type(wrong).__name__)) from wrong
        if not response.is_success:
            raise WebFailed(_calling(request.url, _status(response.status_code), response.text[:1000]))
        return response.status_code, response.headers, _output(request.url, response)

    def _token(self, resource: str) -> str:
        if self._identity is None:
            raise WebFailed(f"There is no managed identity to get a token for '{resource}' from.")
        query = {"api-version": "2019-08-01", "resource": resource, "client_id": FACTORY_CLIENT}
        try:
            answer = self._client.get(
                self._identity.endpoint, params=query, headers={"X-IDENTITY-HEADER": self._identity.header}
            )
            answer.raise_for_status()
            return str(answer.json()["access_token"])
        except (httpx.HTTPError, ValueError, KeyError) as wrong:
            raise WebFailed(f"The managed identity gave no token for '{resource}': {wrong}") from wrong


def _content(body: object, headers: httpx.Headers) -> bytes | None:
    if body is None:
        return None
    headers.setdefault("Content-Type", "application/json")
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _status(code: int) -> str:
    return f"{HTTPStatus(code).phrase.replace(' ', '')} - {code}"


def _calling(url: str, status: str, details: str) -> str:
    return f"Error calling the endpoint '{url}'. Response status code: '{status}'. More details: {as_text(details)}"


def _output(url: str, response: httpx.Response) -> dict[str, Any]:
    """The body's own properties, and what ADF puts beside them."""
    if len(response.content) > _MAX_OUTPUT_BYTES:
        raise WebFailed(f"The answer of '{url}' is longer than 4 MB.")
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise WebFailed(_calling(url, _status(response.status_code), "Response Content is not a valid JObject"))
    return {**body, "ADFWebActivityResponseHeaders": dict(response.headers), **_BOOKKEEPING}
