"""A warm process from which others are forked that carry a rollout on, and die at one of their outgoing calls.

    python -m tests.scenarios.dying_rollouts

Reads one case a line (JSON), and answers each with its end (JSON): `exit`, `pid` and `calls`, which were made. The
modules are loaded once; every case is a process of its own that ends with os._exit: no handler, no clean-up, no flush.
A call is whatever any SDK hands to its transport. To die after a call is, for everybody outside, to die before the
next one: what lies between is memory.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import azure.functions as func
import requests

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import azure.ai.ml
    import azure.ai.ml.entities  # noqa: F401 - loaded before the fork

from azure.identity import DefaultAzureCredential

from functions import intake, progress
from shared import wiring
from shared.cloud import storage
from shared.cloud.due_table import DueTable
from tests.fakes import FakeClock

EXIT_CODE = 42
LOOKS = 200


def main() -> None:
    for line in sys.stdin:
        case = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os._exit(_case(case, writing))
        os.close(writing)
        with os.fdopen(reading) as told:
            calls = told.read().splitlines()
        _, status = os.waitpid(child, 0)
        print(json.dumps({"exit": os.waitstatus_to_exitcode(status), "calls": calls, "pid": child}), flush=True)


def _case(case: dict[str, Any], writing: int) -> int:
    try:
        _die_at(case["dies_at"], writing)
        _carry_on(case)
    except BaseException as error:  # noqa: BLE001 - a forked process must not go on as its parent
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def _die_at(number: int | None, writing: int) -> None:
    """Before the call of this number; each call is a line for whoever counts."""
    send: Callable[..., Any] = requests.sessions.Session.send
    made = 0

    def dying(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> Any:
        nonlocal made
        made += 1
        if made == number:
            os._exit(EXIT_CODE)
        os.write(writing, f"{request.method} {urlsplit(str(request.url)).path}\n".encode())
        return send(session, request, **options)

    requests.sessions.Session.send = dying  # type: ignore[method-assign]


def _carry_on(case: dict[str, Any]) -> None:
    """Delivers the event, if there is one, and looks at whatever is due until nothing is."""
    clock = FakeClock(datetime.fromisoformat(case["now"]))
    settings, rules = wiring.configuration(Path(case["folder"]), case["settings"])
    wiring.use(wiring.build(settings, rules, clock))
    if case["event"] is not None:
        intake.receive_event(case["event"])
    with DefaultAzureCredential() as credential, storage.tables(settings.storage, credential) as tables:
        due = DueTable(tables.get_table_client("due"))
        for _ in range(LOOKS):
            found = sorted(due.due(clock.now() + timedelta(minutes=4)), key=lambda row: row.at)
            if not found:
                return
            clock.advance_to(found[0].at)
            progress.look(func.QueueMessage(id="1", body=json.dumps({"look": found[0].key}).encode(), pop_receipt="p"))
    raise AssertionError(f"not settled after {LOOKS} looks")


if __name__ == "__main__":
    main()
