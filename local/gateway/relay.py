"""Sends one request on to Azurite and brings its answer back, never sending it twice by mistake."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from local.gateway.upstream import CERTAIN_IDLE, Connection, Upstream
from local.gateway.wire import PIECE, AnswerHead, Framing, Malformed, RequestHead, body_pieces, read_head

HELD: Final = 1024 * 1024  # bodies up to this size are read before they are sent, so they can be sent again
BROKEN: Final = (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass(slots=True, kw_only=True)
class Answer:
    """An answer whose body is still with Azurite. `upload` is the request's body on its way, if still so."""

    head: AnswerHead
    framing: Framing
    connection: Connection
    upload: asyncio.Task[None] | None = None
    body_refused: bool = False  # answered before the request's body was sent: the client keeps it

    def body(self) -> AsyncIterator[bytes]:
        return body_pieces(self.connection.reader, self.framing)

    def reusable(self) -> bool:
        self_delimited = self.framing.chunked or self.framing.length is not None
        return self_delimited and not self.head.closes() and not self.body_refused


class Relay:
    """The way to one of Azurite's services."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def hold(self, request: RequestHead, client: Client) -> bytes | None:
        """The request's body, read before it is sent; None where it has to be streamed."""
        framing = request.framing()
        if request.expects_continue() or framing.chunked or (framing.length or 0) > HELD:
            return None
        return await client.reader.readexactly(framing.length) if framing.length else b""

    async def send(self, request: RequestHead, body: bytes | None, client: Client) -> Answer:
        """Send the request with its body, as `hold` gave it; `finish` the answer afterwards.

        Raises:
            ConnectionError: either side went away; nothing was answered.
        """
        if body is None:
            return await self._send_streaming(request, request.framing(), client)
        return await self.send_held(request.method, request.raw + body if body else request.raw)

    async def send_held(self, method: str, message: bytes) -> Answer:
        """Send a message that is wholly in hand, a second time only over a connection that had died idle."""
        connection = await self._upstream.take()
        before = connection.reader.received
        try:
            return await _ask(connection, method, message)
        except BROKEN:
            connection.close()
            if not connection.reused or connection.reader.received != before:
                raise
        return await _ask(await self._upstream.connect(), method, message)

    async def _send_streaming(self, request: RequestHead, framing: Framing, client: Client) -> Answer:
        connection = await self._upstream.take(max_idle=CERTAIN_IDLE)
        try:
            connection.writer.write(request.raw)
            if request.expects_continue():
                first = await _read_answer_head(connection)
                if first.status != 100:
                    return _answer(first, request.method, connection, body_refused=True)
                client.writer.write(first.raw)
            upload = asyncio.create_task(_upload(client.reader, framing, connection))
            try:
                answer = _answer(await _final_head(connection), request.method, connection)
            except BaseException:
                await _give_up(upload)
                raise
        except BaseException:
            connection.close()
            raise
        answer.upload = upload
        return answer

    async def finish(self, answer: Answer, *, ok: bool) -> None:
        """The answer was read to its end (`ok`) or given up: keep its connection, or close it."""
        if answer.upload is not None:
            if ok:
                await answer.upload
            else:
                await _give_up(answer.upload)
        if ok and answer.reusable():
            self._upstream.give_back(answer.connection)
        else:
            answer.connection.close()


async def pass_on(answer: Answer, writer: asyncio.StreamWriter) -> None:
    """Write the answer as it came; small ones leave in one piece."""
    gathered, size = [answer.head.raw], 0
    async for piece in answer.body():
        gathered.append(piece)
        size += len(piece)
        if size >= PIECE:
            writer.write(b"".join(gathered))
            await writer.drain()
            gathered, size = [], 0
    writer.write(b"".join(gathered))
    await writer.drain()


def _answer(head: AnswerHead, method: str, connection: Connection, *, body_refused: bool = False) -> Answer:
    return Answer(head=head, framing=head.framing(method), connection=connection, body_refused=body_refused)


async def _ask(connection: Connection, method: str, message: bytes) -> Answer:
    try:
        connection.writer.write(message)
        await connection.writer.drain()
        return _answer(await _final_head(connection), method, connection)
    except BaseException:
        connection.close()
        raise


async def _final_head(connection: Connection) -> AnswerHead:
    while (head := await _read_answer_head(connection)).status < 200:
        pass  # an interim answer the request did not ask for says nothing
    return head


async def _read_answer_head(connection: Connection) -> AnswerHead:
    raw = await read_head(connection.reader)
    if raw is None:
        raise Malformed("Azurite closed the connection without an answer")
    return AnswerHead(raw)


async def _upload(reader: asyncio.StreamReader, framing: Framing, connection: Connection) -> None:
    try:
        async for piece in body_pieces(reader, framing):
            await _offer(connection, piece)
    except BaseException:
        connection.close()  # the client is gone: ends the wait for an answer that cannot come
        raise


async def _offer(connection: Connection, piece: bytes) -> None:
    """Azurite may have answered already and hung up; its answer counts, and the client is heard out."""
    if not connection.writer.is_closing():
        with contextlib.suppress(ConnectionError):
            connection.writer.write(piece)
            await connection.writer.drain()


async def _give_up(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
