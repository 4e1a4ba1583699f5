"""What happens to one queue message: run, renew the lease, delete, release, or move to the poison queue.

The rules are those of Azure/azure-sdk-for-net, Microsoft.Azure.WebJobs.Extensions.Storage.Common/src/Shared/Queues/
QueueProcessor.cs and, for what is not base64, …Storage.Queues/src/QueueServiceClientProvider.cs.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueClient, QueueMessage, QueueServiceClient

from local.host import bindings
from local.host.app import Function
from local.host.invoker import InvocationFailed, Invoker
from local.host.settings import QueueOptions

LEASE: Final = timedelta(minutes=10)
"""How long a message stays invisible while a function works on it; host.json cannot change it."""
SHORTEST_RENEWAL: Final = timedelta(minutes=1)
LONGEST_NAME: Final = 63
POISON: Final = "-poison"
GONE: Final = ("PopReceiptMismatch", "MessageNotFound", "QueueNotFound", "QueueBeingDeleted", "QueueDisabled")

logger = logging.getLogger(__name__)

T = TypeVar("T")


class MessageProcessor:
    """Takes one message after the other, or at once, through its life."""

    def __init__(
        self,
        function: Function,
        invoker: Invoker,
        *,
        options: QueueOptions,
        service: QueueServiceClient,
        queue: str,
        lease: timedelta = LEASE,
    ) -> None:
        self._function = function
        self._invoker = invoker
        self._options = options
        self.lease = lease
        self.queue = service.get_queue_client(queue)
        poison = f"{queue}{POISON}"
        has_poison = not queue.endswith(POISON) and len(poison) <= LONGEST_NAME
        self._poison = service.get_queue_client(poison) if has_poison else None

    async def process(self, message: QueueMessage) -> None:
        try:
            await self._process_decoded(message)
        except AzureError as problem:
            # The message comes back when its lease is over.
            logger.error("Functions.%s: message %s: %s", self._function.name, message.id, problem)  # noqa: TRY400

    async def _process_decoded(self, message: QueueMessage) -> None:
        body = self._decode(message)
        if body is None:
            logger.warning("Message %s is not base64: moving it to the poison queue as it is", message.id)
            await self._move_to_poison(message)
            return
        if (message.dequeue_count or 0) > self._options.max_dequeue_count:
            await self._move_to_poison(message)
            return
        succeeded = await self._run_function(message, body)
        if succeeded:
            await self._delete(message)
        elif self._poison is None:
            # No poison queue: the message stays invisible until its lease is over, or it would loop fast for ever.
            return
        elif (message.dequeue_count or 0) >= self._options.max_dequeue_count:
            await self._move_to_poison(message)
        else:
            await self._change_visibility(message, self._options.visibility_timeout)

    def _decode(self, message: QueueMessage) -> bytes | None:
        content = str(message.content)
        if not self._options.base64:
            return content.encode()
        try:
            return base64.b64decode("".join(content.split()), validate=True)
        except (binascii.Error, ValueError):
            return None

    async def _run_function(self, message: QueueMessage, body: bytes) -> bool:
        """Runs the function and keeps the message leased meanwhile: renewed when half of the lease is over."""
        work = asyncio.ensure_future(self._invoke(message, body))
        wait: timedelta | None = self.lease / 2
        while wait:
            done, _ = await asyncio.wait({work}, timeout=wait.total_seconds())
            if done:
                return work.result()
            wait = await self._renew(message, wait)
        return await work

    async def _invoke(self, message: QueueMessage, body: bytes) -> bool:
        try:
            text = body.decode()
        except UnicodeDecodeError as problem:
            logger.error("Functions.%s: message %s: %s", self._function.name, message.id, problem)  # noqa: TRY400
            return False
        payload = bindings.queue(
            bindings.QueueMessage(
                body=text,
                id=str(message.id),
                dequeue_count=message.dequeue_count or 0,
                pop_receipt=str(message.pop_receipt),
                inserted=message.inserted_on,
                expires=message.expires_on,
                next_visible=message.next_visible_on,
            )
        )
        reason = f"New queue message detected on '{self.queue.queue_name}'."
        try:
            await self._invoker.invoke(self._function, payload, reason=reason)
        except InvocationFailed:
            return False
        return True

    async def _renew(self, message: QueueMessage, waited: timedelta) -> timedelta | None:
        """The wait until the next renewal; None when the message is somebody else's now."""
        try:
            return self.lease / 2 if await self._change_visibility(message, self.lease) else None
        except AzureError as problem:
            logger.warning("Functions.%s: lease of %s not renewed: %s", self._function.name, message.id, problem)
            return max(waited / 2, SHORTEST_RENEWAL)

    async def _change_visibility(self, message: QueueMessage, visibility: timedelta) -> bool:
        """Also keeps the new pop receipt, without which the message could not be deleted later."""
        seconds = int(visibility.total_seconds())
        updated = await _unless_gone(
            lambda: self.queue.update_message(
                str(message.id), pop_receipt=message.pop_receipt, visibility_timeout=seconds
            )
        )
        if updated is None:
            return False
        message.pop_receipt = updated.pop_receipt
        return True

    async def _move_to_poison(self, message: QueueMessage) -> None:
        if self._poison is None:
            return
        logger.warning(
            "Message has reached MaxDequeueCount of %d. Moving message to queue '%s'.",
            self._options.max_dequeue_count,
            self._poison.queue_name,
        )
        await asyncio.to_thread(_send_creating, self._poison, str(message.content))
        await self._delete(message)

    async def _delete(self, message: QueueMessage) -> None:
        await _unless_gone(lambda: self.queue.delete_message(str(message.id), message.pop_receipt) or True)


async def _unless_gone(call: Callable[[], T]) -> T | None:
    """The result, or None where the message or its queue went away: then there is nothing left to do."""
    try:
        return await asyncio.to_thread(call)
    except HttpResponseError as problem:
        code: Any = getattr(problem, "error_code", None)
        if str(getattr(code, "value", code)) in GONE:
            logger.debug("the message is gone: %s", code)
            return None
        raise


def _send_creating(queue: QueueClient, content: str) -> None:
    # Sent as it came, already encoded or never. The SDK's default life of seven days is the real host's, too.
    try:
        queue.send_message(content)
    except ResourceNotFoundError:
        with contextlib.suppress(ResourceExistsError):
            queue.create_queue()
        queue.send_message(content)
