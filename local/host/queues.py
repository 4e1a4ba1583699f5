"""The queue trigger: polls a queue with back-off, and keeps as many messages in work as host.json allows.

The rules are those of Azure/azure-sdk-for-net, Microsoft.Azure.WebJobs.Extensions.Storage.Common/src/Shared/Queues/
QueueListener.cs and …/Timers/RandomizedExponentialBackoffStrategy.cs.
"""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import timedelta

from azure.core.exceptions import AzureError
from azure.storage.queue import QueueMessage

from local.host.app import Function
from local.host.connections import queue_service
from local.host.invoker import Invoker
from local.host.messages import MessageProcessor
from local.host.settings import SHORTEST_POLLING_INTERVAL, AppSettings, HostError, QueueOptions

logger = logging.getLogger(__name__)


class Backoff:
    """The wait after an empty poll: random and exponential, from 100 ms to maxPollingInterval."""

    def __init__(self, longest: timedelta, randomness: random.Random | None = None) -> None:
        self._shortest = SHORTEST_POLLING_INTERVAL
        self._longest = longest
        self._random = randomness or random.Random()
        self._current = timedelta()
        self._exponent = 0

    def next(self, *, found_messages: bool) -> timedelta:
        """`found_messages`: whether anything came since the last wait."""
        if found_messages:
            self._current, self._exponent = self._shortest, 1
        elif self._current != self._longest:
            wait = self._shortest
            if self._exponent:
                wait += self._shortest * self._random.uniform(0.8, 1.2) * 2 ** (self._exponent - 1)
            self._exponent += 1
            self._current = min(wait, self._longest)
        return self._current


class QueueListener:
    """Serves one queue-triggered function until it is stopped."""

    def __init__(self, name: str, processor: MessageProcessor, options: QueueOptions) -> None:
        self._name = name
        self._processor = processor
        self._queue = processor.queue
        self._options = options
        self._processing: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._in_trouble = False

    def stop(self) -> None:
        """No further polls; `run` ends when the messages in work are finished."""
        self._stopping.set()

    async def run(self) -> None:
        backoff = Backoff(self._options.max_polling_interval)
        found_messages = False
        while not self._stopping.is_set():
            messages = await self._receive()
            for message in messages:
                self._start(message)
            if messages:
                found_messages = True
                await self._wait_for_room()
            else:
                wait = backoff.next(found_messages=found_messages)
                found_messages = False
                await self._pause(wait)
        while self._processing:
            await asyncio.wait(self._processing)

    async def _receive(self) -> list[QueueMessage]:
        """A batch; nothing when the queue is empty, missing or out of reach, which are all reasons to back off."""
        size = self._options.batch_size
        seconds = int(self._processor.lease.total_seconds())

        def receive() -> list[QueueMessage]:
            # No retries: the next poll is one, and a stopping host does not wait for them.
            pages = self._queue.receive_messages(messages_per_page=size, visibility_timeout=seconds, retry_total=0)
            return list(next(pages.by_page(), []))

        try:
            messages = await asyncio.to_thread(receive)
        except AzureError as problem:
            self._report(problem)
            return []
        self._in_trouble = False
        return messages

    def _report(self, problem: AzureError) -> None:
        # Once, not at every poll: a missing queue stays missing for a while.
        if not self._in_trouble:
            logger.warning(
                "Functions.%s: queue %s cannot be read, backing off: %s",
                self._name,
                self._queue.queue_name,
                str(problem).splitlines()[0],
            )
        self._in_trouble = True

    def _start(self, message: QueueMessage) -> None:
        task = asyncio.create_task(self._processor.process(message))
        self._processing.add(task)
        task.add_done_callback(self._processing.discard)

    async def _wait_for_room(self) -> None:
        while len(self._processing) > self._options.new_batch_threshold and not self._stopping.is_set():
            stopping = asyncio.ensure_future(self._stopping.wait())
            await asyncio.wait({*self._processing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()

    async def _pause(self, wait: timedelta) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), wait.total_seconds())
        except TimeoutError:
            return


def queue_listener(function: Function, invoker: Invoker, options: QueueOptions, settings: AppSettings) -> QueueListener:
    """The listener of a queue-triggered function.

    Raises:
        HostError: its queue name or its connection does not resolve.
    """
    name = settings.resolve(str(function.options["queueName"])).lower()
    connection = settings.resolve(str(function.options["connection"]))
    try:
        service = queue_service(settings, connection)
        processor = MessageProcessor(function, invoker, options=options, service=service, queue=name)
    except ValueError as problem:
        raise HostError(f"queue {name!r}: {problem}") from problem
    return QueueListener(function.name, processor, options)
