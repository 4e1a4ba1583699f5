"""Tells listeners about every blob that is written or deleted through the gateway, whoever does it."""

from __future__ import annotations

from collections.abc import Callable

from local.gateway.blob_changes import (
    DEFAULT_TYPE,
    BlobFacts,
    BlobListener,
    Exchange,
    Sequencer,
    change_asked_for,
    facts_in_answer,
    facts_in_request,
)
from local.gateway.calls import Target
from local.gateway.relay import Relay
from local.gateway.wire import AnswerHead, RequestHead
from local.identity import mint
from local.ports import HOST

VERSION = "2023-11-03"


class BlobWatch:
    """Looks at finished exchanges. Its own questions go straight to Azurite and are not counted."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._sequencer = Sequencer()
        self._listeners: list[BlobListener] = []

    def add(self, listener: BlobListener) -> Callable[[], None]:
        """`listener` is called on the cloud's own thread and must not block; the answer removes it."""
        self._listeners = [*self._listeners, listener]

        def remove() -> None:
            self._listeners = [other for other in self._listeners if other is not listener]

        return remove

    async def note(self, target: Target, request: RequestHead, answer: AnswerHead) -> None:
        if not 200 <= answer.status < 300:
            return
        api = change_asked_for(target, request)
        if api is None:
            return
        exchange = Exchange(target=target, request=request, answer=answer)
        sequencer = self._sequencer.next()  # before anything is waited for: the order of the answers
        facts = facts_in_request(api, request) or await self._ask(target)
        change = exchange.change(api, facts, sequencer)
        for listener in self._listeners:
            listener(change)

    async def _ask(self, target: Target) -> BlobFacts:
        question = (
            f"HEAD {target.raw_path} HTTP/1.1\r\nHost: {HOST}\r\nx-ms-version: {VERSION}\r\n"
            f"Authorization: Bearer {mint('https://storage.azure.com')}\r\n\r\n"
        )
        answer = await self._relay.send_held("HEAD", question.encode("latin-1"))
        await self._relay.finish(answer, ok=True)
        if answer.head.status != 200:  # gone again already
            return BlobFacts(content_length=0, content_type=DEFAULT_TYPE, blob_type="BlockBlob")
        return facts_in_answer(answer.head)
