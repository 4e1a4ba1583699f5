"""A process that delivers one event through the real entry point, and dies at its createRun or its job's start.

    python -m tests.scenarios.dying before|after|never EVENT_FILE

`before`: when the request is about to be sent. `after`: when its answer has arrived and nobody has seen it yet.
It ends with os._exit: no handler, no clean-up, no flush. `never`: it delivers, and ends well.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from functions import intake

EXIT_CODE = 42
STARTS = (("POST", "/createRun"), ("PUT", "/jobs/relearn-"))


def main(moment: str, event_file: str) -> None:
    _die_at_the_start(moment)
    intake.receive_event(Path(event_file).read_text())


def _die_at_the_start(moment: str) -> None:
    send: Callable[..., Any] = requests.sessions.Session.send

    def dying(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> Any:
        fatal = any(request.method == method and part in str(request.url) for method, part in STARTS)
        if fatal and moment == "before":
            os._exit(EXIT_CODE)
        answer = send(session, request, **options)
        if fatal and moment == "after":
            os._exit(EXIT_CODE)
        return answer

    requests.sessions.Session.send = dying  # type: ignore[method-assign]


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.exit(None if sys.argv[1] == "never" else "it was to die, and it lived")
