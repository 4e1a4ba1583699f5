"""Events that came over the queue and could not be taken five times: the sweep takes them in, and loses none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from shared import telemetry
from shared.ports import Clock, PoisonedEvent, PoisonedEvents

logger = logging.getLogger(__name__)

AT_MOST: Final = 320
FOR_AT_MOST: Final = timedelta(minutes=1)
"""The sweep has other work, and five minutes in all."""


class PoisonedDeliveries:
    """Hands each message to intake once more, and removes it only when intake has taken it or recorded its refusal."""

    def __init__(self, *, messages: PoisonedEvents, receive: Callable[[str], None], clock: Clock) -> None:
        self._messages = messages
        self._receive = receive
        self._clock = clock

    def sweep(self) -> int:
        """Gives how many were taken.

        Raises:
            StorageUnavailable: the queue cannot be read; everything in it stays.
        """
        taken, kept = 0, list[tuple[PoisonedEvent, Exception]]()
        until = self._clock.now() + FOR_AT_MOST
        while taken + len(kept) < AT_MOST and self._clock.now() < until:
            message = self._messages.receive()
            if message is None:
                break
            error = self._take(message)
            if error is None:
                taken += 1
            else:
                kept.append((message, error))
        _report(taken, kept)
        return taken

    def _take(self, message: PoisonedEvent) -> Exception | None:
        """What kept it from being taken. Taken twice is once, so it does no harm if only its removal fails."""
        try:
            self._receive(message.text)
            self._messages.remove(message)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one message must not keep the others
            return error
        return None


def _report(taken: int, kept: Sequence[tuple[PoisonedEvent, Exception]]) -> None:
    """One record for all; `expires` is when the first of those that stay is lost."""
    if not taken and not kept:
        return
    facts = {
        "taken": taken,
        "kept": len(kept),
        "errors": [f"{message.id}: {error!r}" for message, error in kept[:5]] or None,
        "expires": min((message.expires for message, _ in kept if message.expires), default=None),
    }
    telemetry.record(logger, "events_poisoned", facts, logging.ERROR)
