"""`make run`: the whole system up until somebody ends it, and what can be done to it from another terminal."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from azure.core.exceptions import AzureError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient
from httpx import HTTPError

from local.bootstrap import ROOT, STATE
from local.demo import shown
from local.identity import API_AUDIENCE, APPROVER, OPERATOR, READER
from local.system import ENDPOINT, MODEL, MONITOR, MONITORED, LocalSystem, SystemFailed, sample
from local.workspace_client import WorkspaceClient

PORT: Final = 7071
WHO: Final = {"reader": READER, "operator": OPERATOR, "approver": APPROVER}
"""The local identities that have the roles of the app's API."""


def run(state: Path, *, core_tools: bool) -> None:
    """Keeps the system up. On its first start it makes a model, which goes live as every model does."""
    folder = state / "run"
    data = folder / "data"
    addresses = _addresses(state)
    with LocalSystem(folder / "cloud", print, core_tools=core_tools, port=_port()) as system:
        print("starting the app")
        system.start_app()
        if system.live() is None:
            print("making up sample data and training the first model; Relearn takes it live")
            sample(["--out", str(data)])
            system.upload(f"{MONITORED}/baseline/baseline.csv", (data / "drift" / "baseline.csv").read_bytes())
            system.make_first_model()
        try:
            _write_addresses(addresses, system)
            print(_welcome(system, state, data), flush=True)
            threading.Event().wait()
        finally:
            print("\nstopping", flush=True)
            addresses.unlink(missing_ok=True)


def drop(state: Path, file: Path, path: str) -> None:
    """Writes a file into the lake of the system that runs.

    Raises:
        SystemFailed: none runs, the file cannot be read, or the lake does not take it.
    """
    known = _enter(state)
    try:
        with (
            DefaultAzureCredential() as credential,
            ContainerClient.from_container_url(known["lake"], credential=credential) as lake,
            file.open("rb") as content,
        ):
            lake.upload_blob(path, content, overwrite=True)
    except OSError as error:
        raise SystemFailed(f"{file} cannot be read: {error.strerror}") from error
    except AzureError as error:
        raise SystemFailed(f"the lake of the system that ran here did not take it: {error.message}") from error
    print(f"{file} landed as {path}")


def run_monitor(state: Path) -> None:
    """Runs the drift monitor of the system that runs, beside its schedule.

    Raises:
        SystemFailed: none runs, or it does not answer.
        WorkspaceRefused: there is no such monitor.
    """
    known = _enter(state)
    trust = ssl.create_default_context(cafile=known["environment"]["SSL_CERT_FILE"])
    try:
        with DefaultAzureCredential() as credential, WorkspaceClient(known["arm"], credential, trust) as workspace:
            run_id = workspace.run_monitor(MONITOR)
    except (AzureError, HTTPError) as error:
        raise SystemFailed(f"the workspace of the system that ran here does not answer: {error}") from error
    print(f"monitor {MONITOR} runs: {run_id}")


def ask(state: Path, who: str, arguments: Sequence[str]) -> int:
    """Runs the command line (relearn/) against the app that runs, as somebody with that role; gives its exit code.

    Raises:
        SystemFailed: none runs.
    """
    known = _enter(state)
    environment = {
        **known["environment"],
        "RELEARN_APP_URL": known["app"],
        "RELEARN_API_AUDIENCE": API_AUDIENCE,
        "AZURE_CLIENT_ID": WHO[who],
    }
    command = [sys.executable, "-m", "relearn", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode


def _enter(state: Path) -> Any:  # noqa: ANN401 - what _write_addresses wrote
    addresses = _addresses(state)
    if not addresses.exists():
        raise SystemFailed("nothing runs here: start `make run` in another terminal first")
    known = json.loads(addresses.read_text())
    os.environ.update(known["environment"])
    return known


def _port() -> int | None:
    """Core Tools' usual port where it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return None
    return PORT


def _addresses(state: Path) -> Path:
    return state / "run" / "addresses.json"


def _write_addresses(file: Path, system: LocalSystem) -> None:
    """What `drop`, `monitor` and `ask` need. It holds the local identity's secret, so only its owner may read it."""
    known = {
        "lake": system.lake.url,
        "arm": system.cloud.arm_url,
        "app": system.host.url,
        "environment": system.cloud.child_environment(),
    }
    file.touch(mode=0o600)
    file.write_text(json.dumps(known))


def _welcome(system: LocalSystem, state: Path, data: Path) -> str:
    where = "" if state == STATE else f" --state {shown(state)}"
    local = f"{shown(Path(sys.executable))} -m local"
    and_then = " && \\\n    "
    files = and_then.join(
        f"{local} drop{where} {shown(data / name)} 0-raw/diabetes/monday/stage/{name}"
        for name in ("patient-age.csv", "patient-levels.csv")
    )
    target = f"{local} drop{where} {shown(data / 'drift' / 'target.csv')} {MONITORED}/target/target.csv"
    return f"""
Up. Ctrl-C stops it; the next start goes on with the same data.

  health      {system.host.url}/api/health
  reactions   {local} ask{where} reactions
  one of them {local} ask{where} show ID
  a model     {local} ask{where} model {MODEL} 1
  a file, why {local} ask{where} explain lake/0-raw/diabetes/monday/stage/patient-age.csv
  everything  {local} ask{where} --help
  endpoint    {system.workspace.scoring(ENDPOINT).uri}
  app log     {shown(system.host.log_file)}

Land two patient files, and look at the reactions:
    {files}

Land data that has drifted, and have the monitor look at it; a better model goes live:
    {target}{and_then}{local} monitor{where}
"""
