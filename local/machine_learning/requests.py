"""The record of what was asked of the workspace and what was answered, for tests to count."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Final

_REMEMBERED: Final = 10_000
_WRITES: Final = frozenset({"PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `status` is what the caller saw, None without an answer; `fault` the fault that was played."""

    at: datetime
    method: str
    path: str
    status: int | None
    fault: str | None = None


class RequestLog:
    """The newest requests, oldest first; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: deque[Call] = deque(maxlen=_REMEMBERED)

    def append(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)

    @property
    def calls(self) -> list[Call]:
        with self._lock:
            return list(self._calls)

    def writes(self, below: str = "") -> list[Call]:
        """Every PUT, PATCH and DELETE on a path that holds this text (whatever its case)."""
        return [call for call in self.calls if call.method in _WRITES and below.lower() in call.path.lower()]

    def clear(self) -> None:
        with self._lock:
            self._calls.clear()
