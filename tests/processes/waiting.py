"""Waiting for what other processes do, with a deadline that is no failure by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def wait_until(
    until: Callable[[], bool], deadline: float, check: Callable[[], object] = lambda: None, every: float = 0.2
) -> bool:
    """Whether it came to be so before the deadline (of the monotonic clock). `check` may raise what went wrong."""
    while not until():
        check()
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(every)
    return True
