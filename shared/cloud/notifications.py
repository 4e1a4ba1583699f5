"""Lifecycle events on an Event Grid custom topic."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from azure.core.credentials import TokenCredential

from shared.cloud.patience import PATIENCE, Patience
from shared.cloud.targets import asked
from shared.notifications import Notification

if TYPE_CHECKING:
    from azure.eventgrid import EventGridPublisherClient

DATA_VERSION: Final = "1"


class TopicNotifier:
    """Implements the port Notifier. Its client is imported and made when there is something to tell."""

    def __init__(self, endpoint: str, credential: TokenCredential, patience: Patience = PATIENCE) -> None:
        self._endpoint = endpoint
        self._credential = credential
        self._patience = patience
        self._lock = threading.Lock()
        self._made: EventGridPublisherClient | None = None

    def close(self) -> None:
        with self._lock:
            client, self._made = self._made, None
        if client is not None:
            client.close()

    def publish(self, notifications: Sequence[Notification]) -> None:
        from azure.eventgrid import EventGridEvent

        events = [
            EventGridEvent(
                id=each.id,
                subject=each.subject,
                event_type=str(each.kind),
                event_time=each.time,
                data=dict(each.data),
                data_version=DATA_VERSION,
            )
            for each in notifications
        ]
        # Given with the call: for topics, this client drops what its constructor is given.
        times = {"connection_timeout": self._patience.connect, "read_timeout": self._patience.read}
        options: dict[str, Any] = {"retry_total": 0, **times}
        asked("topic", lambda: self._client().send(events, **options))

    def _client(self) -> EventGridPublisherClient:
        from azure.eventgrid import EventGridPublisherClient

        with self._lock:
            if self._made is None:
                self._made = EventGridPublisherClient(self._endpoint, self._credential)
            return self._made
