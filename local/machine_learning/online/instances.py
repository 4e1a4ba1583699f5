"""What stands behind a deployment: counts its requests, and goes only when the last of them has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable

from local.machine_learning.online.answering import Answering


class Instance:
    """One server's place behind a deployment.

    Whoever chooses it for a request and whoever takes it out hold the same lock (the directory's): no request is given
    to an instance that is on its way out.
    """

    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self._changed = threading.Condition()
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        with self._changed:
            return self._in_flight

    def take(self) -> None:
        with self._changed:
            self._in_flight += 1

    def release(self) -> None:
        with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()

    def retire(self, gone: Callable[[], None] = lambda: None) -> None:
        """No new request comes: wait in the background for those in flight, then stop it and tell `gone`."""

        def drain() -> None:
            with self._changed:
                self._changed.wait_for(lambda: self._in_flight == 0)
            self.answering.stop()
            gone()

        threading.Thread(target=drain, name="drain", daemon=True).start()
