"""A stage whose events come over the queue: Event Grid puts them there, and the host's own rules bring them in."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import timedelta

from azure.storage.queue import QueueClient, QueueServiceClient

from functions import intake
from local.host.app import Function
from local.host.invoker import Invoker
from local.host.messages import MessageProcessor
from local.host.settings import QueueOptions
from local.service import storage_account_id, workspace_id
from shared.settings import EVENT_POISON_QUEUE, EVENT_QUEUE, WAKE_UP_QUEUE
from tests.scenarios.stage import Stage

SETTLE_SECONDS = 20.0
TRIGGER = Function(
    name="receive_queued_event",
    call=intake.receive_queued_event,
    trigger="queueTrigger",
    parameter="event",
    annotation=str,
    options={},
    returns=False,
    wants_context=False,
    directory="",
    disabled=False,
)


class Queued:
    """The stage's lake and the workspace deliver to the queue of the stage's account."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.grid = stage.cloud.event_grid
        stage.cloud.subscribe_queue(account=stage.account.name, lake=stage.lake.name)
        self._service = QueueServiceClient(stage.account.queue, credential=stage.credential)
        self._queue = self._service.get_queue_client(EVENT_QUEUE)
        self._wake_ups = self._service.get_queue_client(WAKE_UP_QUEUE)
        self._poison = self._service.get_queue_client(EVENT_POISON_QUEUE)

    def close(self) -> None:
        self.unsubscribe()
        self._service.close()

    def unsubscribe(self) -> None:
        """From now on only what a test puts there is in the queue."""
        for topic in (storage_account_id(self.stage.lake.name), workspace_id()):
            self.grid.unsubscribe(topic)

    def land(self, path: str) -> None:
        """Writes a file into the lake, and waits until its event is in the queue."""
        self.stage.land(path)
        self.wait()

    def wait(self) -> None:
        for topic in (storage_account_id(self.stage.lake.name), workspace_id()):
            self.grid.wait_idle(SETTLE_SECONDS, topic)

    def deliver_again(self) -> None:
        self.grid.redeliver(self.grid.deliveries[-1].event_id)
        self.wait()

    def put(self, text: str, *, plain: bool = False) -> None:
        """A message as somebody else would send it."""
        self._queue.send_message(text if plain else base64.b64encode(text.encode()).decode())

    def trigger(self) -> None:
        """The host's queue trigger, until the queue is empty; a failed message comes back at once."""
        asyncio.run(self._trigger())

    def waiting(self) -> int:
        return _count(self._queue)

    def poisoned(self) -> int:
        return _count(self._poison)

    def lives(self) -> list[timedelta]:
        """How long each waiting message is kept."""
        found = self._queue.peek_messages(32)
        return [m.expires_on - m.inserted_on for m in found if m.expires_on is not None and m.inserted_on is not None]

    def tries(self) -> list[int]:
        """How often each waiting message has been received."""
        return [message.dequeue_count or 0 for message in self._queue.peek_messages(32)]

    def wake(self, key: str) -> None:
        text = json.dumps({"look": key})
        self._wake_ups.send_message(base64.b64encode(text.encode()).decode())

    def wake_ups(self) -> int:
        return _count(self._wake_ups)

    async def _trigger(self) -> None:
        invoker = Invoker(threads=1, timeout=None)
        processor = MessageProcessor(TRIGGER, invoker, options=QueueOptions(), service=self._service, queue=EVENT_QUEUE)
        while messages := list(self._queue.receive_messages(messages_per_page=16, visibility_timeout=600)):
            for message in messages:
                await processor.process(message)


def _count(queue: QueueClient) -> int:
    return int(queue.get_queue_properties().approximate_message_count or 0)
