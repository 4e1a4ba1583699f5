"""Talks to the destination of a subscription: the handshake before it is active, then one request per batch."""

from __future__ import annotations

import asyncio
import ipaddress
import uuid
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from local.event_grid.envelopes import ORIGIN, Published, Schema, body_of, headers_of
from local.event_grid.schedule import SOCKET_ERROR, TIMED_OUT, Outcome, outcome_of
from local.service import SUBSCRIPTION, Event

ANSWER_SECONDS = 30.0
_VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"


class HandshakeRefused(RuntimeError):
    """The destination did not prove that it wants the events; the subscription is not active."""


def check_endpoint(endpoint: str) -> None:
    """Only plain http on this machine.

    Raises:
        ValueError: the endpoint is anywhere else.
    """
    parts = urlsplit(endpoint)
    if parts.scheme != "http" or not _is_loopback(parts.hostname or ""):
        raise ValueError(f"{endpoint}: the local Event Grid delivers to http on 127.0.0.1 or localhost only")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Courier:
    """One HTTP client for all deliveries. Ignores the environment's proxies."""

    def __init__(self, *, connections: int, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._answer_seconds = answer_seconds
        self._client = httpx.AsyncClient(
            trust_env=False,
            timeout=None,  # one deadline for the whole exchange instead, as the service has
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def deliver(self, endpoint: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        try:
            answer = await self._ask("POST", endpoint, headers, body)
        except TimeoutError:
            return TIMED_OUT
        except httpx.TransportError:
            return SOCKET_ERROR
        return outcome_of(answer.status_code)

    async def shake_hands(self, schema: Schema, endpoint: str, subscription: str) -> None:
        """Prove that the destination wants the events.

        Raises:
            HandshakeRefused: it does not, or it cannot be reached.
        """
        try:
            if schema == "EventGridSchema":
                await self._validate(endpoint, subscription)
            else:
                await self._ask_permission(endpoint)
        except (TimeoutError, httpx.TransportError) as problem:
            raise HandshakeRefused(
                f"{subscription}: no answer from {endpoint} ({type(problem).__name__}); is the host running?"
            ) from problem

    async def _validate(self, endpoint: str, subscription: str) -> None:
        code = str(uuid.uuid4()).upper()
        event = Published(
            topic=f"/subscriptions/{SUBSCRIPTION}",
            event=Event(type=_VALIDATION, subject="", data={"validationCode": code}, data_version="1"),
        )
        headers = headers_of("EventGridSchema", subscription=subscription, attempt=1, event=event.event, batched=False)
        headers["aeg-event-type"] = "SubscriptionValidation"
        body = body_of("EventGridSchema", [event], batched=False)
        answer = await self._ask("POST", endpoint, headers, body)
        if answer.status_code != 200 or _validation_response(answer) != code:
            raise HandshakeRefused(
                f"{subscription}: {endpoint} answered the validation event with {answer.status_code} "
                f"{answer.text[:100]!r}; it must be 200 with the validationResponse"
            )

    async def _ask_permission(self, endpoint: str) -> None:
        answer = await self._ask("OPTIONS", endpoint, {"webhook-request-origin": ORIGIN}, b"")
        allowed = answer.headers.get("webhook-allowed-origin", "")
        if answer.status_code != 200 or allowed not in ("*", ORIGIN):
            raise HandshakeRefused(
                f"{endpoint} answered OPTIONS with {answer.status_code} and allows the origin {allowed!r}; "
                f"it must be 200 and {ORIGIN}"
            )

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        async with asyncio.timeout(self._answer_seconds):
            return await self._client.request(method, url, content=body, headers=dict(headers))


def _validation_response(answer: httpx.Response) -> object:
    try:
        content = answer.json()
    except ValueError:
        return None
    if not isinstance(content, dict):
        return None
    return next((value for name, value in content.items() if name.lower() == "validationresponse"), None)
