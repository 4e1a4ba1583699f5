"""Wake-ups on a Storage queue."""

from __future__ import annotations

import base64
import json
import logging
import math
from collections.abc import Callable

from azure.storage.queue import QueueClient

from shared import telemetry
from shared.cloud.storage import storage_call
from shared.looks import is_key

logger = logging.getLogger(__name__)


class WakeUpQueue:
    """Implements the port WakeUps. Messages never expire: a wake-up that waits for its day is still a wake-up.

    `queue` encodes what it sends as base64; `poison` gives texts as they are.
    """

    def __init__(self, queue: QueueClient, poison: QueueClient) -> None:
        self._queue = queue
        self._poison = poison

    def close(self) -> None:
        self._queue.close()
        self._poison.close()

    def send(self, key: str, delay_seconds: float = 0.0) -> None:
        # The host merges the body's members into the trigger's metadata: "look" collides with none of it.
        with storage_call(f"wake-up for {key}"):
            # Whole seconds, and never before its time: a look that comes too early finds nothing to do yet.
            seconds = max(0, math.ceil(delay_seconds))
            self._queue.send_message(json.dumps({"look": key}), visibility_timeout=seconds, time_to_live=-1)

    def drain_poisoned(self, revive: Callable[[str], None]) -> list[str]:
        keys: list[str] = []
        with storage_call("drain of poisoned wake-ups"):
            while messages := list(self._poison.receive_messages(max_messages=32, visibility_timeout=60)):
                for message in messages:
                    key = _key(str(message.content))
                    if key is not None:
                        revive(key)
                        keys.append(key)
                    self._poison.delete_message(message)
        return keys


def _key(text: str) -> str | None:
    """The key of a wake-up; None for a message that no sender of ours wrote: the host poisons those unread."""
    try:
        key = str(json.loads(base64.b64decode(text, validate=True))["look"])
    except (ValueError, KeyError, TypeError):
        key = ""
    if is_key(key):
        return key
    telemetry.record(logger, "poisoned_message_dropped", {"text": ascii(text[:200])}, logging.ERROR)
    return None
