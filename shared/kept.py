"""What a process remembers of what it wrote last, so that it need not read it again.

Nothing is believed for being remembered: whatever is done with it is saved with its ETag, and where somebody else was
there meanwhile that fails, and the truth is read. To be out of date costs a call, no more.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final, Generic, TypeVar

T = TypeVar("T")
KEPT: Final = 1000


class Kept(Generic[T]):
    """The latest values by key, a thousand at most."""

    def __init__(self, at_most: int = KEPT) -> None:
        self._at_most = at_most
        self._values: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, key: str, value: T) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self._at_most:
                self._values.popitem(last=False)

    def take(self, key: str) -> T | None:
        """The value, which is kept no longer: whoever saves what follows from it keeps that."""
        with self._lock:
            return self._values.pop(key, None)

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._values
