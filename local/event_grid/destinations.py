"""Where a subscription delivers to: a webhook, or a storage queue."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from xml.sax.saxutils import escape

import httpx

from local.event_grid.endpoints import ANSWER_SECONDS, Courier
from local.event_grid.envelopes import Published, body_of, headers_of
from local.event_grid.schedule import SOCKET_ERROR, TIMED_OUT, Outcome, outcome_of
from local.event_grid.subscriptions import Subscription
from local.identity import mint

MESSAGE_SECONDS: Final = 7 * 24 * 3600
"""The life of a message, as infra/ sets it for every subscription that delivers to a queue."""
_STORAGE_VERSION: Final = "2023-11-03"


class Destination(Protocol):
    async def take(self, subscription: Subscription, batch: Sequence[Published], attempt: int) -> Outcome:
        """One attempt for the whole batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A webhook that has shaken hands, which a function's is, too."""

    courier: Courier
    url: str

    async def take(self, subscription: Subscription, batch: Sequence[Published], attempt: int) -> Outcome:
        batched = subscription.max_events_per_batch > 1
        headers = headers_of(
            subscription.schema,
            subscription=subscription.name,
            attempt=attempt,
            event=batch[0].event,
            batched=batched,
        )
        return await self.courier.deliver(self.url, body_of(subscription.schema, batch, batched=batched), headers)


class Messages(Protocol):
    """Puts messages into queues, as the topic's identity does."""

    async def put(self, account: str, queue: str, text: str) -> Outcome: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue of a storage account. Nobody shakes hands: the topic's identity may put messages there, or may not."""

    messages: Messages
    account: str
    name: str

    async def take(self, subscription: Subscription, batch: Sequence[Published], attempt: int) -> Outcome:
        """A message for the one event of the batch.

        The shape is what Microsoft's own samples read from such a queue: one event as JSON, in base64. It is not
        documented, was plain text until 2022 (MicrosoftDocs/azure-docs, issues 69702 and 102923), and has not been
        seen here.
        """
        [published] = batch
        content = json.dumps(published.envelope(subscription.schema), separators=(",", ":"))
        return await self.messages.put(self.account, self.name, base64.b64encode(content.encode()).decode())


class QueueMessages:
    """Puts them straight into Azurite: Event Grid's own calls are not the app's, so nobody counts them."""

    def __init__(self, queue_endpoint: str, trust: ssl.SSLContext) -> None:
        self._endpoint = queue_endpoint
        self._client = httpx.AsyncClient(verify=trust, trust_env=False, timeout=None)

    async def put(self, account: str, queue: str, text: str) -> Outcome:
        headers = {
            "authorization": f"Bearer {mint('https://storage.azure.com')}",
            "x-ms-version": _STORAGE_VERSION,
            "content-type": "application/xml",
        }
        url = f"{self._endpoint}/{account}/{queue}/messages?messagettl={MESSAGE_SECONDS}"
        body = f"<QueueMessage><MessageText>{escape(text)}</MessageText></QueueMessage>"
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._client.post(url, content=body.encode(), headers=headers)
        except TimeoutError:
            return TIMED_OUT
        except httpx.TransportError:
            return SOCKET_ERROR
        return outcome_of(answer.status_code)

    async def close(self) -> None:
        await self._client.aclose()
