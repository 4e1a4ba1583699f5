"""What tests of the local Machine Learning workspace share: a TLS listener, a client of the workspace, its data."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken, AccessTokenInfo, TokenCredential
from azure.storage.blob import ContainerClient
from starlette.types import ASGIApp, Receive, Scope, Send

from local.accounts import Account
from local.certificates import Certificates
from local.identity import mint
from local.machine_learning import Job, MachineLearning, Setup
from local.server import HttpServer, arm_application
from local.service import Event, Service, workspace_id

ROOT = Path(__file__).resolve().parents[2]
AML = "https://ml.azure.com"
ARM = "https://management.azure.com"
# Read here, once: fixtures clean the environment.
ML_PYTHON = Path(os.environ.get("RELEARN_ML_PYTHON", ROOT / ".relearn" / "ml-venv" / "bin" / "python")).absolute()
IN_CI = os.environ.get("CI") == "true"
CLIENT_WARNINGS = pytest.mark.filterwarnings("ignore::marshmallow.warnings.RemovedInMarshmallow4Warning")

SHOW = """
    import json, os, sys
    print(json.dumps({"argv": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd()}))
"""
WAIT = """
    import subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    print(child.pid, flush=True)
    time.sleep(60)
"""


class ManualClock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 22, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


class Listener:
    """A TLS listener in a thread with its own loop; serves the service it was last given."""

    def __init__(self, certificates: Certificates) -> None:
        self.certificates = certificates
        self._application: ASGIApp | None = None
        # With the protocol named, asyncio sends small answers at once; without, each waits 40 ms for an ACK.
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        bound.bind(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{bound.getsockname()[1]}"
        self._server = HttpServer(self, bound, certificates)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._wait_for(self._server.start())

    def serve(self, service: Service) -> None:
        self._application = arm_application([service])

    def stop(self) -> None:
        self._wait_for(self._server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._application is not None
        await self._application(scope, receive, send)


class World:
    """A workspace, a client of it, and a folder to write components into."""

    def __init__(
        self,
        service: MachineLearning,
        client: httpx.Client,
        folder: Path,
        clock: ManualClock,
        events: list[Event] | None = None,
    ) -> None:
        self.events = events if events is not None else []
        self.service = service
        self.client = client
        self.folder = folder
        self.clock = clock

    def component(self, name: str, code: str, head: str) -> None:
        """A command component `<name>` with one file of code; `head` holds its inputs, outputs and command."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "run.py").write_text(textwrap.dedent(code))
        (folder / "component.yml").write_text(f"name: {name}\ntype: command\ncode: .\n{textwrap.dedent(head)}")

    def pipeline(self, endpoint: str, text: str) -> str:
        file = self.folder / f"{endpoint}.yml"
        file.write_text(f"name: {endpoint}\ntype: pipeline\n{textwrap.dedent(text)}")
        return self.service.deploy_batch(endpoint, component=file)

    def deploy(self, endpoint: str, code: str) -> str:
        """An endpoint whose only step takes and gives no data and runs this code."""
        self.component(f"{endpoint}-step", code, "command: python run.py\n")
        return self.pipeline(endpoint, f"jobs:\n  only:\n    component: ./{endpoint}-step/component.yml\n")

    def invoke(self, uri: str, properties: Mapping[str, Any] | None = None, **headers: str) -> httpx.Response:
        sent = {"Authorization": f"Bearer {mint(AML)}"} | {name.replace("_", "-"): v for name, v in headers.items()}
        return self.client.post(uri, json={"properties": properties or {}}, headers=sent)

    def start(self, uri: str, properties: Mapping[str, Any] | None = None) -> str:
        answer = self.invoke(uri, properties)
        assert answer.status_code == 201, answer.text
        name: str = answer.json()["name"]
        return name

    def put(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        """`path` is below the workspace."""
        return self.client.put(f"{workspace_id()}{path}", json=body, headers={"Authorization": f"Bearer {mint(ARM)}"})

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {mint(ARM)}"}
        return self.client.post(f"{workspace_id()}{path}", json=body or {}, headers=headers)

    def delete(self, path: str) -> httpx.Response:
        return self.client.delete(f"{workspace_id()}{path}", headers={"Authorization": f"Bearer {mint(ARM)}"})

    def ask(self, path: str) -> dict[str, Any]:
        """What a GET below the workspace answers."""
        answer = self.get(f"{workspace_id()}{path}")
        assert answer.status_code == 200, answer.text
        content: dict[str, Any] = answer.json()
        return content

    def get(self, path: str, audience: str = ARM) -> httpx.Response:
        return self.client.get(path, headers={"Authorization": f"Bearer {mint(audience)}"})

    def finished(self, name: str, seconds: float = 20.0) -> Job:
        wait_until(lambda: self.service.job(name).status.is_final, f"job {name} is over", seconds)
        return self.service.job(name)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        pause.wait(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")  # an orphan that nobody has collected yet is dead, too
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] not in "ZX"


def setup(folder: Path, listener: Listener, **changes: Any) -> Setup:
    nowhere = "https://127.0.0.1:1"  # these tests move no data; a job that tries fails
    plain = Setup(
        folder=folder / "cloud",
        url=listener.url,
        python=Path(sys.executable),
        environment=lambda: {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        storage_url=nowhere,
        lake_url=f"{nowhere}/lake000/lake",
        ca_file=listener.certificates.ca_file,
        step_seconds=30,
    )
    return replace(plain, **changes)


class StaticCredential:
    """Any token that is asked for. azure-core calls get_token_info, azure-ai-ml calls get_token."""

    def get_token(self, *scopes: str, **_kwargs: object) -> AccessToken:
        return AccessToken(mint(scopes[0].removesuffix("/.default")), int(time.time()) + 3600)

    def get_token_info(self, *scopes: str, options: object = None) -> AccessTokenInfo:
        return AccessTokenInfo(mint(scopes[0].removesuffix("/.default")), int(time.time()) + 3600)


class Lake:
    """A lake account of the test's own, which is also a datastore of its own."""

    def __init__(self, world: World, account: Account, credential: TokenCredential) -> None:
        self.world = world
        self.url = f"{account.blob}/lake"
        self.container = ContainerClient(account.blob, "lake", credential=credential)
        self._datastore = account.name
        world.service.add_datastore(account.name, self.url)

    def uri(self, path: str) -> str:
        return f"azureml://datastores/{self._datastore}/paths/{path}"

    def put(self, files: Mapping[str, bytes]) -> None:
        for path, content in files.items():
            self.container.upload_blob(path, content)

    def read(self, below: str) -> dict[str, bytes]:
        names = self.container.list_blob_names(name_starts_with=below)
        return {name: self.container.download_blob(name).readall() for name in names}


def require_ml_python() -> Path:
    """The ML environment's Python; without one the test is skipped, and fails in CI."""
    if not ML_PYTHON.is_file():
        reason = f"no ML environment at {ML_PYTHON}: make it (see ml/requirements.txt) or set RELEARN_ML_PYTHON"
        if IN_CI:
            pytest.fail(reason)
        pytest.skip(reason)
    return ML_PYTHON


def said(job: Job) -> dict[str, Any]:
    assert job.steps[0].stdout is not None
    content: dict[str, Any] = json.loads(job.steps[0].stdout.read_text())
    return content


def waiting_pids(world: World, name: str) -> tuple[int, int]:
    """The ids of the WAIT step's process and of the child it has told of."""

    def child() -> str:
        steps = world.service.job(name).steps
        return steps[0].stdout.read_text() if steps and steps[0].stdout and steps[0].pid else ""

    wait_until(lambda: child().endswith("\n"), f"{name} has started its child")
    pid = world.service.job(name).steps[0].pid
    assert pid is not None
    return pid, int(child())
