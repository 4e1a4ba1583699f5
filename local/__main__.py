"""`python -m local run` keeps the whole system up on this machine; `python -m local demo` shows what it does."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from types import FrameType

from azure.core.exceptions import AzureError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient

from local import demo
from local.azurite import AzuriteMissing
from local.bootstrap import STATE
from local.demo import DemoFailed, shown
from local.folder_lock import AlreadyRunning
from local.host.client import CoreToolsMissing, HostFailed
from local.processes import ChildFailed
from local.system import LocalSystem, SystemFailed, leave_the_outside, sample

PORT = 7071
FAILURES = (
    *(DemoFailed, SystemFailed, TimeoutError),
    *(AlreadyRunning, AzuriteMissing, ChildFailed, CoreToolsMissing, HostFailed),
)


def main() -> int:
    arguments = _parser().parse_args()
    state: Path = arguments.state.absolute()
    leave_the_outside(os.environ)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        if arguments.command == "demo":
            demo.run(state, arguments.data, acts=arguments.acts)
        elif arguments.command == "drop":
            _drop(state, arguments.file, arguments.path)
        else:
            _run(state, core_tools=arguments.host == "func")
    except FAILURES as error:
        print(f"\n{arguments.command} failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 0 if arguments.command == "run" else 128 + signal.SIGINT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="files land, a pipeline scores them, a burst becomes one reaction")
    demo.add_argument("--data", type=Path, help="folder with your own four CSV files")
    demo.add_argument("--acts", type=int, choices=[1, 2], default=2, help="1 leaves the burst out")
    run = commands.add_parser("run", help="the whole system, until Ctrl-C")
    run.add_argument("--host", choices=["local", "func"], default="local", help="func: Azure Functions Core Tools")
    drop = commands.add_parser("drop", help="writes a file into the lake of a system that runs")
    drop.add_argument("file", type=Path)
    drop.add_argument("path", help="where in the lake, e.g. 0-raw/diabetes/monday/stage/patient-age.csv")
    for command in (demo, run, drop):
        command.add_argument("--state", type=Path, default=STATE, help="folder for its data (default: .relearn)")
    return parser


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Ctrl-C ends what goes on, wherever that is; pressed again it cannot end the tidying up."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _run(state: Path, *, core_tools: bool) -> None:
    folder = state / "run"
    data = folder / "data"
    addresses = _addresses(state)
    with LocalSystem(folder / "cloud", print, core_tools=core_tools, port=_port()) as system:
        if not system.has_model():
            print("making up sample data and training the first model")
            sample(["--out", str(data)])
            system.train_first_model(data / "diabetes.csv")
        system.start_app()
        try:
            _write_addresses(addresses, system)
            print(_welcome(system, state, data), flush=True)
            threading.Event().wait()
        finally:
            print("\nstopping", flush=True)
            addresses.unlink(missing_ok=True)


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
    """What `drop` needs to reach this system. It holds the local identity's secret, so only its owner may read it."""
    file.touch(mode=0o600)
    file.write_text(json.dumps({"lake": system.lake.url, "environment": system.cloud.child_environment()}))


def _welcome(system: LocalSystem, state: Path, data: Path) -> str:
    python = shown(Path(sys.executable))
    where = "" if state == STATE else f" --state {shown(state)}"
    files = " && \\\n    ".join(
        f"{python} -m local drop{where} {shown(data / name)} 0-raw/diabetes/monday/stage/{name}"
        for name in ("patient-age.csv", "patient-levels.csv")
    )
    return f"""
Up. Ctrl-C stops it; the next start goes on with the same data.

  health      {system.host.url}/api/health
  reactions   {system.host.url}/api/reactions
  one of them {system.host.url}/api/reactions/ID
  app log     {shown(system.host.log_file)}

Land two patient files, and look at the reactions:
    {files}
"""


def _drop(state: Path, file: Path, path: str) -> None:
    addresses = _addresses(state)
    if not addresses.exists():
        raise SystemFailed("nothing runs here: start `make run` in another terminal first")
    known = json.loads(addresses.read_text())
    os.environ.update(known["environment"])
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


if __name__ == "__main__":
    sys.exit(main())
