"""What tests of the local Data Factory share: a TLS listener, the real SDK client, a clock, batch endpoints."""

from __future__ import annotations

import json
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from azure.core.credentials import AccessToken, AccessTokenInfo
from azure.mgmt.datafactory import DataFactoryManagementClient
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from local.background import Background
from local.certificates import ensure_certificates
from local.data_factory.service import DataFactory
from local.identity import Identity, mint
from local.server import HttpServer, arm_application
from local.service import RESOURCE_GROUP, SUBSCRIPTION

PROJECT = Path(__file__).resolve().parents[2]
ADF_FOLDER = PROJECT / "infra" / "adf"
NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
STAMP = {"reaction_id": "lane-7", "attempt": "1"}
SCORE = {
    **STAMP,
    "batch": "b1",
    "folder": "0-raw/diabetes/b1/stage",
    "files": "https://a/manifest.json",
    "model": "azureml://m",
}


class ManualClock:
    """Stands still until it is moved; a run's waiting moves it at once."""

    def __init__(self, at: datetime = NOON) -> None:
        self._lock = threading.Lock()
        self._now = at
        self.waits: list[float] = []

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._now += timedelta(seconds=seconds)

    def pause(self, seconds: float, cancelled: threading.Event) -> None:
        self.waits.append(seconds)
        self.advance(seconds)


class Credential:
    """A token for whatever is asked, as the managed identity would give it."""

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken(mint(scopes[0].removesuffix("/.default")), 4_000_000_000)

    def get_token_info(self, *scopes: str, options: Any = None) -> AccessTokenInfo:
        return AccessTokenInfo(mint(scopes[0].removesuffix("/.default")), 4_000_000_000)


@dataclass
class BatchEndpoints:
    """A tiny AML: POST /<endpoint>/jobs starts a job that goes through the statuses scripted for its endpoint."""

    name: str = "batch-endpoints"
    scripts: dict[str, list[str]] = field(default_factory=dict)
    post_status: dict[str, int] = field(default_factory=lambda: defaultdict(lambda: 201))
    failing_polls: int = 0
    posts: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)
    polls: list[str] = field(default_factory=list)

    def routes(self) -> Sequence[BaseRoute]:
        return [
            Route("/{endpoint}/jobs", self._post, methods=["POST"]),
            Route("/{endpoint}/jobs/{job}", self._get, methods=["GET"]),
            Route("/odd/{what}", self._odd, methods=["GET", "POST"]),
        ]

    async def _odd(self, request: Request) -> Response:
        """Answers a Web activity has its own way with."""
        match request.path_params["what"]:
            case "array":
                return JSONResponse([1])
            case "text":
                return Response("hello")
            case "large":
                return JSONResponse({"text": "x" * 4 * 1024 * 1024})
            case "later":
                done = f"https://{request.headers['host']}/odd/done"
                return JSONResponse({"status": "accepted"}, 202, headers={"Location": done, "Retry-After": "7"})
        return JSONResponse({"status": "done", "method": request.method, "got": request.headers.get("x-one")})

    async def _post(self, request: Request) -> Response:
        endpoint = request.path_params["endpoint"]
        self.posts.append((endpoint, json.loads(await request.body()), request.headers["authorization"]))
        if self.post_status[endpoint] >= 400:
            return JSONResponse({"error": {"message": "scripted"}}, self.post_status[endpoint])
        return JSONResponse(self._job(endpoint, "NotStarted"), self.post_status[endpoint])

    async def _get(self, request: Request) -> Response:
        endpoint = request.path_params["endpoint"]
        self.polls.append(f"{endpoint}/{request.path_params['job']}")
        if self.failing_polls > 0:
            self.failing_polls -= 1
            return Response(status_code=500)
        script = self.scripts[endpoint]
        return JSONResponse(self._job(endpoint, script.pop(0) if len(script) > 1 else script[0]))

    def _job(self, endpoint: str, status: str) -> dict[str, Any]:
        job = f"{endpoint}-job-1"
        return {"id": f"/subscriptions/s/workspaces/w/jobs/{job}", "name": job, "properties": {"status": status}}


@dataclass(frozen=True, kw_only=True)
class Served:
    """A Data Factory with one factory called `adf`, behind TLS."""

    url: str
    ca_file: Path
    data_factory: DataFactory
    endpoints: BatchEndpoints
    identity: Identity
    clock: ManualClock
    requests: Path

    def client(self, **options: Any) -> DataFactoryManagementClient:
        return DataFactoryManagementClient(
            Credential(),
            SUBSCRIPTION,
            base_url=self.url,
            credential_scopes=[f"{self.url}/.default"],
            connection_verify=str(self.ca_file),
            **options,
        )


@contextmanager
def served(folder: Path, *, page_size: int = 100) -> Iterator[Served]:
    certificates = ensure_certificates(folder / "certificates")
    identity, endpoints, clock = Identity(), BatchEndpoints(), ManualClock()
    data_factory = DataFactory(
        requests=folder / "adf-requests.jsonl",
        ca_file=certificates.ca_file,
        identity=identity,
        clock=clock,
        pause=clock.pause,
        page_size=page_size,
    )
    background = Background()
    arm = HttpServer(arm_application([data_factory, endpoints]), _bound(), certificates)
    tokens = HttpServer(identity.application(), _bound())
    background.call(arm.start())
    background.call(tokens.start())
    identity.endpoint = f"http://127.0.0.1:{tokens.port}/msi/token"
    url = f"https://127.0.0.1:{arm.port}"
    uris = {"prepEndpointUri": f"{url}/diabetes-prep/jobs", "scoreEndpointUri": f"{url}/diabetes-score/jobs"}
    data_factory.create("adf", ADF_FOLDER, global_parameters=uris)
    try:
        yield Served(
            url=url,
            ca_file=certificates.ca_file,
            data_factory=data_factory,
            endpoints=endpoints,
            identity=identity,
            clock=clock,
            requests=folder / "adf-requests.jsonl",
        )
    finally:
        data_factory.close()
        background.call(arm.stop())
        background.call(tokens.stop())
        background.stop()


def _bound() -> socket.socket:
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound


def pipeline(name: str, *activities: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"name": name, "properties": {"activities": list(activities), **properties}}


def activity(name: str, type_: str, *after: str, **type_properties: Any) -> dict[str, Any]:
    """`after`: "Other" (Succeeded), or "Other:Failed"."""
    depends_on = [
        {"activity": other.partition(":")[0], "dependencyConditions": [other.partition(":")[2] or "Succeeded"]}
        for other in after
    ]
    return {"name": name, "type": type_, "dependsOn": depends_on, "typeProperties": type_properties}


def requests_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


GROUP = RESOURCE_GROUP
