"""What stands before the app processes in Azure: one address, and each request goes to one of them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from typing import Final

from local.background import Background
from local.gateway.wire import PIECE, AnswerHead, RequestHead, body_pieces, read_head
from local.ports import HOST

_BROKEN: Final = (OSError, asyncio.IncompleteReadError)


class Front:
    """Passes each request on to a process that listens, chosen by chance; one that died meanwhile gives no answer.

    Args:
        ports: of the processes, whether or not they are up at the moment.
        loses: the share of the answers to deliveries that never arrive, though the process has done its work.
    """

    def __init__(self, ports: Sequence[int], *, loses: float, seed: int) -> None:
        self.lost_answers = 0
        self._ports = list(ports)
        self._loses = loses
        self._dice = random.Random(seed)
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._background = Background()
        self._server = self._background.call(asyncio.start_server(self._accept, HOST, 0, limit=PIECE))
        self.url = f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        self._background.call(self._stop())
        self._background.stop()

    async def _stop(self) -> None:
        self._server.close()
        for task, writer in list(self._connections.items()):
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections[task] = writer
        task.add_done_callback(self._connections.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(*_BROKEN):
                while (raw := await read_head(reader)) is not None:
                    request = RequestHead(raw)
                    body = b"".join([piece async for piece in body_pieces(reader, request.framing())])
                    answer = await self._ask(request, raw + body)
                    if answer is None or self._drops(request):
                        break
                    writer.write(answer)
                    await writer.drain()
        finally:
            writer.transport.abort()

    async def _ask(self, request: RequestHead, message: bytes) -> bytes | None:
        """The answer of the first process that listens; None where it went away before it gave one."""
        for port in self._dice.sample(self._ports, len(self._ports)):
            try:
                reader, writer = await asyncio.open_connection(HOST, port, limit=PIECE)
            except OSError:
                continue
            try:
                writer.write(message)
                await writer.drain()
                raw = await read_head(reader)
                if raw is None:
                    return None
                framing = AnswerHead(raw).framing(request.method)
                return raw + b"".join([piece async for piece in body_pieces(reader, framing)])
            except _BROKEN:
                return None
            finally:
                writer.transport.abort()
        return None

    def _drops(self, request: RequestHead) -> bool:
        notification = request.header(b"aeg-event-type") == "Notification"
        lost = notification and self._dice.random() < self._loses
        self.lost_answers += lost
        return lost
