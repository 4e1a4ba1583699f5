"""A warm process from which processes of the app are forked, each to live by its commands, and to die at a call.

    python -m tests.crashes.nursery SOCKET

The modules are loaded once. Whoever connects to the socket has a keeper of its own, which forks one process after the
other: a first line says what it is made of, each further one has it deliver an event, look at a key, or sweep, at a
time. It answers with a line per outgoing call and one when it is done; the keeper adds how it ended.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import azure.functions as func
import requests
from azure.functions.timer import TimerRequest
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPHeaderDict

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import azure.ai.ml
    import azure.ai.ml.entities
    import azure.eventgrid
    import azure.mgmt.datafactory  # noqa: F401 - loaded before the fork

from functions import intake, progress
from shared import wiring
from tests.crashes.calls import count_and_die
from tests.fakes import FakeClock

LONGEST_LINE = 65_536


def main(address: str) -> None:
    signal.signal(signal.SIGCHLD, _bury)
    _warm()
    gc.freeze()  # a child's collector does not write to what it shares with us
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        print("warm", flush=True)
        while True:
            connection, _ = server.accept()
            with connection:
                if os.fork() == 0:
                    server.close()
                    os._exit(_keep(connection))


def _warm() -> None:
    """What each child would find out anew: which classes are mappings, among all that are loaded. It takes a while."""
    for value in ("", 0, True, None, (), [], datetime.now(UTC), iter(()), (each for each in ())):
        isinstance(value, Mapping)
    with requests.Session() as session:
        request = requests.Request("GET", "https://127.0.0.1", headers=HTTPHeaderDict({"a": "b"}), data=b"")
        CaseInsensitiveDict(session.prepare_request(request).headers).copy()


def _bury(*_: object) -> None:
    """Keepers that have ended leave no zombie."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _keep(connection: socket.socket) -> int:
    """Forks the processes of one connection, one at a time, until it is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    lines = connection.makefile("rb", buffering=0)  # what a child is to read must not be read here
    while line := lines.readline(LONGEST_LINE):
        child = os.fork()
        if child == 0:
            os._exit(_live(json.loads(line), connection))
        _, status = os.waitpid(child, 0)
        _say(connection, {"exit": os.waitstatus_to_exitcode(status), "pid": child})
    return 0


def _say(connection: socket.socket, what: dict[str, Any]) -> None:
    connection.sendall(json.dumps(what).encode() + b"\n")


def _live(case: dict[str, Any], connection: socket.socket) -> int:
    try:
        lock = threading.Lock()

        def tell(kind: str) -> None:
            with lock:
                _say(connection, {"call": kind})

        count_and_die(case["settings"], case["dies_at"], tell)
        clock = FakeClock(datetime.fromisoformat(case["now"]))
        settings, rules = wiring.configuration(Path(case["folder"]), case["settings"])
        wiring.use(wiring.build(settings, rules, clock))
        with connection.makefile("rb") as commands:
            _obey(commands, clock, connection)
    except BaseException as error:  # noqa: BLE001 - a forked process must not go on as its parent
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def _obey(commands: IO[bytes], clock: FakeClock, connection: socket.socket) -> None:
    _say(connection, {"ready": os.getpid()})
    while (command := json.loads(commands.readline())) != {"end": True}:
        clock.advance_to(datetime.fromisoformat(command["now"]))
        match command:
            case {"event": str(event)}:
                intake.receive_event(event)
            case {"look": str(key)}:
                body = json.dumps({"look": key}).encode()
                progress.look(func.QueueMessage(id="1", body=body, pop_receipt="p"))
            case {"sweep": True}:
                progress.sweep(TimerRequest())
        _say(connection, {"done": True})


if __name__ == "__main__":
    main(sys.argv[1])
