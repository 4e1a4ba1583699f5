"""What has to be done from time to time, whatever happens outside: each chore is a key that is due like any other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from shared import telemetry
from shared.looks import Scheduler, upkeep_key
from shared.ports import Clock, Due

logger = logging.getLogger(__name__)

Chore = Callable[[], datetime | None]
"""Does a bounded part of its work, and gives when to go on; None: when somebody makes it due."""


class Upkeep:
    """The chores of the app, by name."""

    def __init__(self, *, scheduler: Scheduler, clock: Clock) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._chores: dict[str, Chore] = {}
        self._regular: set[str] = set()

    def add(self, name: str, chore: Chore, *, regular: bool = True) -> None:
        """`regular`: it is due from the beginning on, and not only when somebody makes it so."""
        self._chores[name] = chore
        if regular:
            self._regular.add(name)

    def make_sure(self) -> None:
        """Once in a process's life: a regular chore that nobody has ever begun, or whose row was lost, is due now."""
        while self._regular:
            key = upkeep_key(min(self._regular))
            if self._scheduler.get(key) is None:
                self._scheduler.set_due(key, self._clock.now())  # the sweep, which follows, wakes what is due
            self._regular.discard(min(self._regular))

    def look(self, due: Due) -> None:
        """Does the chore that is due.

        Raises:
            StorageUnavailable: it stays due.
        """
        chore = self._chores.get(due.key.partition(":")[2])
        if chore is None:  # of a release that knew more of them
            telemetry.record(logger, "unknown_wake_up", {"key": due.key}, logging.ERROR)
            self._scheduler.reschedule(due, due.key, None)
            return
        self._scheduler.reschedule(due, due.key, chore())

    def make_due(self, name: str) -> None:
        """The chore is to be done at once."""
        self._scheduler.bring_forward(upkeep_key(name), self._clock.now())
