"""How far back events are known: what is older cannot be told from a second delivery, so it is not taken as new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.lanes import PendingEvent
from shared.ports import Archive, Clock

DEFAULT_RETENTION: Final = timedelta(days=30)
LEAST_RETENTION: Final = timedelta(days=7)
NUMBERS_FOR: Final = timedelta(hours=1)
"""So long a process goes by the numbers it has read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is known of earlier events.

    Attributes:
        retention: how long what became of an event is kept.
        forgotten: events of before this time may have been removed. Later than `retention` says where that was raised
            a while ago: what is removed does not come back.
    """

    retention: timedelta = DEFAULT_RETENTION
    forgotten: datetime | None = None

    def too_old(self, event: PendingEvent) -> bool:
        """Whether it may have come before without anybody knowing, by its own time. A replay is meant to come again."""
        if event.replay is not None:
            return False
        known_since = event.accepted - self.retention
        return event.event.time < max(known_since, self.forgotten or known_since)


DEFAULT_MEMORY: Final = Memory()


class Remembered:
    """Reads what has been removed, as seldom as it can."""

    def __init__(self, *, archive: Archive, clock: Clock, retention: timedelta = DEFAULT_RETENTION) -> None:
        self._archive = archive
        self._clock = clock
        self._retention = retention
        self._numbers: tuple[datetime, int] | None = None

    def of(self, pending: Sequence[PendingEvent]) -> Memory:
        """For judging these events. Asks only for one so old that any retention could have removed it."""
        asks = any(event.event.time < event.accepted - LEAST_RETENTION for event in pending)
        return Memory(retention=self._retention, forgotten=self._archive.removal().cutoff if asks else None)

    def known_since(self) -> datetime:
        """Since when it is known of every event whether it has come."""
        kept_since = self._clock.now() - self._retention
        return max(kept_since, self._archive.removal().cutoff or kept_since)

    def numbers(self) -> int:
        """The number after which a new lane's reactions begin."""
        now = self._clock.now()
        if self._numbers is None or not self._numbers[0] <= now < self._numbers[0] + NUMBERS_FOR:
            self._numbers = now, self._archive.removal().numbers
        return self._numbers[1]
