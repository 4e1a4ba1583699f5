"""`python -m local run` keeps the whole system up on this machine; `python -m local demo` shows what it does."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient

from local.bootstrap import ML_VENV, ROOT, STATE
from local.demo import run as play
from local.system import LocalSystem

FOLDER = STATE / "run"
ADDRESSES = FOLDER / "addresses.json"
PORT = 7071


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="files land, a pipeline scores them, a burst becomes one reaction")
    demo.add_argument("--data", type=Path, help="folder with your own four CSV files")
    run = commands.add_parser("run", help="the whole system, until Ctrl-C")
    run.add_argument("--host", choices=["local", "func"], default="local", help="func: Azure Functions Core Tools")
    drop = commands.add_parser("drop", help="writes a file into the lake of a system that runs")
    drop.add_argument("file", type=Path)
    drop.add_argument("path", help="where in the lake, e.g. 0-raw/diabetes/monday/stage/patient-age.csv")
    arguments = parser.parse_args()
    if arguments.command == "demo":
        return play(arguments.data)
    if arguments.command == "drop":
        return _drop(arguments.file, arguments.path)
    return _run(core_tools=arguments.host == "func")


def _run(*, core_tools: bool) -> int:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with LocalSystem(FOLDER / "cloud", print, core_tools=core_tools, port=_port()) as system:
        data = FOLDER / "data"
        if not system.has_model():
            print("making up sample data and training the first model")
            command = [str(ML_VENV / "bin" / "python"), "-m", "ml.sample", "--out", str(data)]
            subprocess.run(command, cwd=ROOT, check=True)
            system.train_first_model(data / "diabetes.csv")
        system.start_app()
        _write_addresses(system)
        print(_welcome(system, data))
        stopped.wait()
        print("\nstopping")
    ADDRESSES.unlink(missing_ok=True)
    return 0


def _port() -> int | None:
    """Core Tools' usual port where it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return None
    return PORT


def _write_addresses(system: LocalSystem) -> None:
    """What `drop` needs to reach this system. It holds the local identity's secret, so only its owner may read it."""
    ADDRESSES.touch(mode=0o600)
    ADDRESSES.write_text(json.dumps({"lake": system.lake.url, "environment": system.cloud.child_environment()}))


def _welcome(system: LocalSystem, data: Path) -> str:
    python = Path(sys.executable).relative_to(ROOT) if sys.executable.startswith(str(ROOT)) else sys.executable
    files = " && \\\n    ".join(
        f"{python} -m local drop {(data / name).relative_to(ROOT)} 0-raw/diabetes/monday/stage/{name}"
        for name in ("patient-age.csv", "patient-levels.csv")
    )
    return f"""
Up. Ctrl-C stops it; the next start goes on with the same data.

  health      {system.host.url}/api/health
  reactions   {system.host.url}/api/reactions
  one of them {system.host.url}/api/reactions/ID
  app log     {system.host.log_file.relative_to(ROOT)}

Land two patient files, and look at the reactions:
    {files}
"""


def _drop(file: Path, path: str) -> int:
    if not ADDRESSES.exists():
        print("nothing runs here: start `make run` in another terminal first", file=sys.stderr)
        return 1
    addresses = json.loads(ADDRESSES.read_text())
    os.environ.update(addresses["environment"])
    with (
        DefaultAzureCredential() as credential,
        ContainerClient.from_container_url(addresses["lake"], credential=credential) as lake,
        file.open("rb") as content,
    ):
        lake.upload_blob(path, content, overwrite=True)
    print(f"{file} landed as {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
