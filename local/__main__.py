"""`python -m local run` keeps the whole system up on this machine; `python -m local demo` shows what it does."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from local import demo, running
from local.azurite import AzuriteMissing
from local.bootstrap import STATE
from local.demo import DemoFailed
from local.folder_lock import AlreadyRunning
from local.host.client import CoreToolsMissing, HostFailed
from local.processes import ChildFailed
from local.system import SystemFailed, leave_the_outside
from local.workspace_client import WorkspaceRefused

FAILURES = (
    *(DemoFailed, SystemFailed, TimeoutError, WorkspaceRefused),
    *(AlreadyRunning, AzuriteMissing, ChildFailed, CoreToolsMissing, HostFailed),
)


def main() -> int:
    arguments = _parser().parse_args()
    state: Path = arguments.state.absolute()
    leave_the_outside(os.environ)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        return _do(arguments, state)
    except FAILURES as error:
        print(f"\n{arguments.command} failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 0 if arguments.command == "run" else 128 + signal.SIGINT


def _do(arguments: argparse.Namespace, state: Path) -> int:
    if arguments.command == "demo":
        demo.run(state, arguments.data, burst=arguments.burst)
    elif arguments.command == "drop":
        running.drop(state, arguments.file, arguments.path)
    elif arguments.command == "monitor":
        running.run_monitor(state)
    elif arguments.command == "ask":
        return running.ask(state, arguments.who, arguments.arguments)
    else:
        running.run(state, core_tools=arguments.host == "func")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="a model goes live, scores, drifts, and is replaced by a better one")
    demo.add_argument("--data", type=Path, help="folder with your own patient-age, patient-levels and diabetes2.csv")
    demo.add_argument("--no-burst", dest="burst", action="store_false", help="leaves the burst of files out")
    run = commands.add_parser("run", help="the whole system, until Ctrl-C")
    run.add_argument("--host", choices=["local", "func"], default="local", help="func: Azure Functions Core Tools")
    drop = commands.add_parser("drop", help="writes a file into the lake of a system that runs")
    drop.add_argument("file", type=Path)
    drop.add_argument("path", help="where in the lake, e.g. 0-raw/diabetes/monday/stage/patient-age.csv")
    monitor = commands.add_parser("monitor", help="runs the drift monitor of a system that runs")
    ask = commands.add_parser("ask", help="the command line `python -m relearn`, for a system that runs")
    ask.add_argument("--as", dest="who", choices=sorted(running.WHO), default="operator", help="with which role")
    ask.add_argument("arguments", nargs=argparse.REMAINDER, metavar="COMMAND …")
    for command in (demo, run, drop, monitor, ask):
        command.add_argument("--state", type=Path, default=STATE, help="folder for its data (default: .relearn)")
    return parser


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Ctrl-C ends what goes on, wherever that is; pressed again it cannot end the tidying up."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
