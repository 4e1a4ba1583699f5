"""One client connection after the other: counts each request, plays its scheduled fault, or passes it on."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from local.accesses import Accesses
from local.faults import AcceptThen, Action, Drop, Faults, Hang, Status, Truncate
from local.gateway.answers import error_answer, half_of, half_of_nothing
from local.gateway.blob_watch import BlobWatch
from local.gateway.calls import Calls, StorageService, Target, call_of, parse_target
from local.gateway.relay import BROKEN, Client, Relay, pass_on
from local.gateway.wire import AnswerHead, RequestHead, body_pieces, read_head


def fault_path(target: Target) -> str:
    """What a fault's path glob is matched with: /blob/lake001/lake/a.csv?comp=blocklist."""
    comp = target.query.get("comp")
    address = f"/{target.service}/{target.account}/{target.path}"
    return f"{address}?comp={comp}" if comp else address


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A real answer that was taken in whole instead of being passed on."""

    head: AnswerHead
    body: bytes


class Proxy:
    """The front of one storage service."""

    def __init__(
        self,
        service: StorageService,
        *,
        relay: Relay,
        calls: Calls,
        faults: Faults,
        watch: BlobWatch,
        accesses: Accesses,
    ) -> None:
        self._service = service
        self._relay = relay
        self._calls = calls
        self._faults = faults
        self._watch = watch
        self._accesses = accesses
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A client connected."""
        task = asyncio.create_task(self._serve(Client(reader=reader, writer=writer)))
        self._connections[task] = writer
        task.add_done_callback(self._connections.pop)

    async def _serve(self, client: Client) -> None:
        try:
            # A client that goes away, or Azurite doing so, ends this connection and nothing else.
            with contextlib.suppress(*BROKEN, OSError):
                while (raw := await read_head(client.reader)) is not None:
                    if not await self._exchange(RequestHead(raw), client):
                        break
        finally:
            client.writer.close()

    async def stop(self) -> None:
        for task, writer in list(self._connections.items()):
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _exchange(self, request: RequestHead, client: Client) -> bool:
        """One request and its answer; whether the connection may carry another."""
        target = parse_target(self._service, request.method, request.target, conditional=b"if-match" in request.headers)
        self._calls.count(call_of(target))
        path = fault_path(target)
        where = path.removeprefix(f"/{self._service}")
        self._accesses.note(self._service, request.method, where, request.header(b"authorization"))
        body = await self._relay.hold(request, client)
        action = self._faults.take(
            request.method,
            path,
            body=body or b"",
            call=request.header(b"x-ms-client-request-id") or "",
            authorization=request.header(b"authorization") or "",
        )
        if action is not None:
            return await self._play(action, request, body, target, client)
        answer = await self._relay.send(request, body, client)
        done = False
        try:
            # The event goes out before the answer: who sees the answer can wait for the event's delivery.
            await self._watch.note(target, request, answer.head)
            await pass_on(answer, client.writer)
            done = True
        finally:
            await self._relay.finish(answer, ok=done)
        return answer.reusable() and not request.closes()

    async def _play(
        self, action: Action, request: RequestHead, body: bytes | None, target: Target, client: Client
    ) -> bool:
        taken = None
        if isinstance(action, AcceptThen):
            taken = await self._take(request, body, target, client)
            action = action.action
        elif body is None and not isinstance(action, Drop) and not request.expects_continue():
            async for _ in body_pieces(client.reader, request.framing()):
                pass
        match action:
            case Status():
                client.writer.write(error_answer(self._service, action, with_body=request.method != "HEAD"))
                await client.writer.drain()
                return not request.expects_continue() and not request.closes()
            case Truncate():
                client.writer.write(half_of(taken.head.raw, taken.body) if taken else half_of_nothing())
                await client.writer.drain()
            case Hang():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(action.seconds):
                        await client.reader.read(1)  # returns when the client gives up
                client.writer.transport.abort()
            case _:
                client.writer.transport.abort()
        return False

    async def _take(self, request: RequestHead, body: bytes | None, target: Target, client: Client) -> Taken:
        """Do the real work and keep the answer."""
        answer = await self._relay.send(request, body, client)
        done = False
        try:
            await self._watch.note(target, request, answer.head)
            content = b"".join([piece async for piece in answer.body()])
            done = True
        finally:
            await self._relay.finish(answer, ok=done)
        return Taken(head=answer.head, body=content)
