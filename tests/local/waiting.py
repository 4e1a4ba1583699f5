"""Waiting for something another process does: as short as possible, with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


def eventually(check: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What `check` returns, as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, f"still {found!r} after {seconds:.0f} s"
        threading.Event().wait(0.02)
    return found
