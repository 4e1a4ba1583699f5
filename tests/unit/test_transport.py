"""What the environment says of proxies and certificates counts for every client, though it is read once."""

from __future__ import annotations

import io

import pytest
from azure.core.pipeline.transport import HttpRequest, RequestsTransport
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from shared.cloud.transport import transport_to

ADDRESS = "https://lake.blob.core.windows.net"


class Wire(BaseAdapter):
    """Keeps how a request was sent, and answers."""

    def send(self, request: PreparedRequest, **options: object) -> Response:  # type: ignore[override]
        self.options = options
        answer = Response()
        answer.status_code = 204
        answer.raw = HTTPResponse(io.BytesIO(), status=204, preload_content=False)
        return answer

    def close(self) -> None: ...


def sent(transport: RequestsTransport) -> dict[str, object]:
    wire = Wire()
    assert transport.session is not None
    transport.session.mount("https://", wire)
    with transport:
        transport.send(HttpRequest("GET", f"{ADDRESS}/a"))
    return {name: wire.options[name] for name in ("verify", "proxies", "timeout")}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_nothing_is_said(environment: pytest.MonkeyPatch) -> None:
    del environment
    found = sent(transport_to(ADDRESS, connect=5, read=10))
    assert (found["verify"], found["timeout"]) == (True, (5, 10))
    assert not found["proxies"]


def test_a_proxy_and_whom_to_trust_are_as_the_environment_says(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTPS_PROXY", "http://proxy.example:8080")
    environment.setenv("REQUESTS_CA_BUNDLE", "/trusted.pem")
    found = sent(transport_to(ADDRESS, connect=5, read=10))
    assert found["verify"] == "/trusted.pem"
    assert dict(found["proxies"])["https"] == "http://proxy.example:8080"  # type: ignore[call-overload]


def test_an_address_that_no_proxy_leads_to_is_asked_directly(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTPS_PROXY", "http://proxy.example:8080")
    environment.setenv("NO_PROXY", "core.windows.net")
    assert not sent(transport_to(ADDRESS, connect=5, read=10))["proxies"]


def test_the_environment_is_not_read_at_each_call(environment: pytest.MonkeyPatch) -> None:
    transport = transport_to(ADDRESS, connect=5, read=10)
    environment.setenv("HTTPS_PROXY", "http://proxy.example:8080")
    assert not sent(transport)["proxies"]
