"""Asks Azure over REST with the pipeline's identity: no secret is read, and none is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, HeadersPolicy, RetryPolicy
from azure.core.rest import HttpRequest, HttpResponse

AML: Final = "2024-04-01"
WEB: Final = "2024-11-01"
DATA_SCOPE: Final = "https://ml.azure.com/.default"


class PipelineFailed(Exception):
    """The pipeline cannot go on, or its end is not the one that was wished for; the message says why."""


class Rest:
    """One service. Reading is tried again; whatever changes something is sent once.

    Args:
        scope: of the tokens; None for a service that takes a key.
    """

    def __init__(
        self, base: str, credential: TokenCredential | None, scope: str | None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.base = base.rstrip("/")
        policies: list[Any] = [HeadersPolicy(dict(headers or {})), RetryPolicy()]
        if credential is not None and scope is not None:
            policies.append(BearerTokenCredentialPolicy(credential, scope))
        self._client: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(self.base, policies=policies)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def find(self, path: str, **query: str) -> Any | None:  # noqa: ANN401 - JSON
        """What is there, or None."""
        answer = self._send("GET", path, query)
        return None if answer.status_code == 404 else _content(answer)

    def get(self, path: str, **query: str) -> Any:  # noqa: ANN401 - JSON
        return _content(self._send("GET", path, query))

    def status(self, path: str) -> tuple[int, Any | None]:
        """The status of whatever is answered, and the JSON with it, if it is JSON."""
        answer = self._send("GET", path, {})
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, None

    def all(self, path: str, **query: str) -> Iterator[Any]:
        """Every page of a list."""
        page = self.get(path, **query)
        yield from page["value"]
        while page.get("nextLink"):
            page = self.get(page["nextLink"])
            yield from page["value"]

    def change(self, method: str, path: str, body: object = None, **query: str) -> Any:  # noqa: ANN401 - JSON
        return _content(self._send(method, path, query, body))

    def _send(self, method: str, path: str, query: Mapping[str, str], body: object = None) -> HttpResponse:
        url = path if path.startswith(f"{self.base}/") else f"{self.base}{path}"
        request = HttpRequest(method, url, params=dict(query), json=body)
        once: dict[str, Any] = {} if method == "GET" else {"retry_total": 0}
        try:
            return self._client.send_request(request, **once)
        except AzureError as error:
            raise PipelineFailed(f"{method} {url}: {error}") from error


def _content(answer: HttpResponse) -> Any:  # noqa: ANN401 - JSON
    if answer.status_code >= 400:
        where = answer.request.url.partition("?")[0]
        raise PipelineFailed(f"{answer.request.method} {where}: {answer.status_code}: {answer.text()[:1000]}")
    return answer.json() if answer.text().strip() else None


def arm(credential: TokenCredential) -> Rest:
    base = os.environ.get("RELEARN_ARM_ENDPOINT") or "https://management.azure.com"
    return Rest(base, credential, f"{base}/.default")


def segment(name: str) -> str:
    """One part of an address, whatever its characters."""
    return quote(name, safe="")


def required(name: str) -> str:
    """A variable of the pipeline's environment."""
    value = os.environ.get(name, "").strip()
    if not value:
        raise PipelineFailed(f"{name} is not set: docs/deploy.md, 'Pipelines', lists the variables")
    return value
