"""Poisoned events on a Storage queue."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from azure.storage.queue import QueueClient

from shared.cloud.storage import storage_call
from shared.ports import PoisonedEvent

HIDDEN_SECONDS: Final = 240
"""Longer than one message can take, and over before the next sweep."""


class PoisonedEventQueue:
    """Implements the port PoisonedEvents. `queue` gives texts as they are."""

    def __init__(self, queue: QueueClient, hidden_seconds: int = HIDDEN_SECONDS) -> None:
        self._queue = queue
        self._hidden_seconds = hidden_seconds

    def close(self) -> None:
        self._queue.close()

    def receive(self) -> PoisonedEvent | None:
        with storage_call("receipt of a poisoned event"):
            message = self._queue.receive_message(visibility_timeout=self._hidden_seconds)
        if message is None:
            return None
        return PoisonedEvent(
            id=message.id,
            text=_decoded(str(message.content)),
            expires=message.expires_on,
            receipt=str(message.pop_receipt),
        )

    def remove(self, event: PoisonedEvent) -> None:
        with storage_call(f"removal of poisoned event {event.id}"):
            self._queue.delete_message(event.id, event.receipt)


def _decoded(content: str) -> str:
    """The event's text: the host moves messages as they came, and those that are not base64 it moves unread.

    No JSON object or array is base64, so the two cannot be mistaken for one another.
    """
    try:
        data = base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        return content
    return data.decode("utf-8-sig", errors="replace")
