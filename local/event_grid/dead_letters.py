"""Events nobody took: written as blobs, with the reason and the history the service adds."""

from __future__ import annotations

import json
import ssl
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import httpx

from local.event_grid.envelopes import Published, Schema, wire_time
from local.identity import mint

_STORAGE_VERSION = "2023-11-03"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An event that is not delivered any more, and why. `blob` is None where it was dropped."""

    event_id: str
    topic: str
    subscription: str
    reason: str
    attempts: int
    last_outcome: str
    blob: str | None = None


def content_of(
    published: Published, schema: Schema, letter: DeadLetter, *, published_at: datetime, last_attempt_at: datetime
) -> bytes:
    """The blob: an array of the event with the extra keys (in lower case for CloudEvents)."""
    extra: dict[str, Any] = {
        "deadLetterReason": letter.reason,
        "deliveryAttempts": letter.attempts,
        "lastDeliveryOutcome": letter.last_outcome,
        "publishTime": wire_time(published_at),
        "lastDeliveryAttemptTime": wire_time(last_attempt_at),
    }
    if schema == "CloudEventSchemaV1_0":
        extra = {name.lower(): value for name, value in extra.items()}
    return json.dumps([{**published.envelope(schema), **extra}]).encode()


def blob_name(letter: DeadLetter, at: datetime) -> str:
    source = letter.topic.rsplit("/", 1)[-1].upper()
    return f"{source}/{letter.subscription.upper()}/{at:%Y/%m/%d}/{at.hour}/{uuid.uuid4()}.json"


class DeadLetterStore(Protocol):
    async def write(self, account: str, container: str, name: str, content: bytes) -> None:
        """Raises OSError where the blob cannot be written."""

    async def close(self) -> None: ...


class BlobDeadLetters:
    """Writes straight to Azurite: Event Grid's own calls are not the app's, so nobody counts them."""

    def __init__(self, blob_endpoint: str, trust: ssl.SSLContext) -> None:
        self._endpoint = blob_endpoint
        self._client = httpx.AsyncClient(verify=trust, trust_env=False)

    async def write(self, account: str, container: str, name: str, content: bytes) -> None:
        headers = {
            "authorization": f"Bearer {mint('https://storage.azure.com')}",
            "x-ms-version": _STORAGE_VERSION,
            "x-ms-blob-type": "BlockBlob",
            "content-type": "application/json",
        }
        url = f"{self._endpoint}/{account}/{container}/{name}"
        try:
            answer = await self._client.put(url, content=content, headers=headers)
        except httpx.TransportError as problem:
            raise OSError(f"{url}: {problem}") from problem
        if answer.status_code != 201:
            raise OSError(f"{url}: {answer.status_code} {answer.text[:200]}")

    async def close(self) -> None:
        await self._client.aclose()
