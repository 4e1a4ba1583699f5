"""A stand-in for the part of a workspace that the register step talks to: its models, and the job's identity."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from local.certificates import ensure_certificates
from local.identity import mint

WORKSPACE = "/subscriptions/s-1/resourceGroups/rg-1/providers/Microsoft.MachineLearningServices/workspaces/ws-1"


class Registry:
    """Models by name and version, with every call that was made. `refuse` is what the next PUT is answered with."""

    def __init__(self) -> None:
        self.versions: dict[str, dict[str, dict[str, Any]]] = {}
        self.calls: list[str] = []
        self.clients: list[str] = []
        self.refuse: int | None = None

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        kind, name, *rest = path.removeprefix(f"{WORKSPACE}/").split("/")
        assert kind == "models", path
        versions = self.versions.setdefault(name, {})
        match method, rest:
            case "GET", ["versions"]:
                return (200, {"value": list(versions.values())}) if versions else (404, _error("NotFound"))
            case "GET", []:
                return (200, self._container(versions)) if versions else (404, _error("NotFound"))
            case "PUT", ["versions", version] if self.refuse is None:
                known = {"flavors": {}, "provisioningState": "Succeeded", **body["properties"]}
                versions[version] = {"id": f"{path}", "name": version, "properties": known}
                return 201, versions[version]
            case "PUT", _:
                return self.refuse or 500, _error("AuthorizationFailed")
        return 501, _error("NotImplemented")

    def _container(self, versions: dict[str, Any]) -> dict[str, Any]:
        return {"properties": {"latestVersion": str(len(versions)), "nextVersion": str(len(versions) + 1)}}


def _error(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": f"{code}, says the registry."}}


@contextmanager
def serving(registry: Registry, folder: Path) -> Iterator[dict[str, str]]:
    """The registry behind TLS, as in Azure, and the identity endpoint; gives the environment of a job there."""
    certificates = ensure_certificates(folder / "certificates")
    with _listening(_arm(registry), certificates.server_context()) as arm, _listening(_identity(registry)) as identity:
        yield {
            "AZUREML_DEV_URL_MFE": f"https://127.0.0.1:{arm}",
            "REQUESTS_CA_BUNDLE": str(certificates.ca_file),
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{identity}/msi/token",
            "IDENTITY_HEADER": "here",
            "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
            "DEFAULT_IDENTITY_CLIENT_ID": "11111111-2222-3333-4444-555555555555",
            "NO_PROXY": "*",
            "AZUREML_ARM_SUBSCRIPTION": "s-1",
            "AZUREML_ARM_RESOURCEGROUP": "rg-1",
            "AZUREML_ARM_WORKSPACE_NAME": "ws-1",
            "AZUREML_ROOT_RUN_ID": "job-1",
        }


@contextmanager
def _listening(handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: the tests look at the calls."""

    def send(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _arm(registry: Registry) -> type[_Handler]:
    class Arm(_Handler):
        def answer(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            assert self.headers["Authorization"].startswith("Bearer ")
            path = urlsplit(self.path).path
            registry.calls.append(f"{self.command} {path.removeprefix(WORKSPACE)}")
            self.send(*registry.answer(self.command, path, body))

        do_GET = do_PUT = answer

    return Arm


def _identity(registry: Registry) -> type[_Handler]:
    class Identity(_Handler):
        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            registry.clients += asked.get("client_id", [])
            token = mint(asked["resource"][0])
            self.send(200, {"access_token": token, "expires_on": "4102444800", "token_type": "Bearer"})

    return Identity
