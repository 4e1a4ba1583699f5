"""Connections from the gateway to one of Azurite's ports, kept while they are fresh enough to trust."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass
from typing import Final

from local.gateway.wire import PIECE
from local.ports import HOST

# Azurite (Node) closes a connection that was idle for 5 s. A request that can be sent again may use one almost
# that old; one whose body cannot be had twice only one that is certainly still open.
TRUSTED_IDLE: Final = 4.0
CERTAIN_IDLE: Final = 1.0


class CountingReader(asyncio.StreamReader):
    """Knows how many bytes ever came: the difference between "no answer" and "an answer cut short"."""

    received = 0

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # what asyncio really passes
        self.received += len(data)
        super().feed_data(data)


@dataclass(slots=True, kw_only=True)
class Connection:
    reader: CountingReader
    writer: asyncio.StreamWriter
    reused: bool = False
    idle_since: float = 0.0

    def open(self) -> bool:
        return not self.writer.is_closing() and not self.reader.at_eof()

    def close(self) -> None:
        self.writer.transport.abort()


class Upstream:
    """A pool: the connection used last is taken first, so a quiet pool shrinks by ageing."""

    def __init__(self, port: int, trust: ssl.SSLContext) -> None:
        self.port = port
        self._trust = trust
        self._idle: list[Connection] = []

    async def take(self, *, max_idle: float = TRUSTED_IDLE) -> Connection:
        oldest = time.monotonic() - max_idle
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since >= oldest and connection.open():
                connection.reused = True
                return connection
            connection.close()
        return await self.connect()

    async def connect(self) -> Connection:
        """A new connection.

        Raises:
            OSError: nobody listens there.
        """
        loop = asyncio.get_running_loop()
        reader = CountingReader(limit=PIECE, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_connection(
            lambda: protocol, HOST, self.port, ssl=self._trust, server_hostname=HOST
        )
        return Connection(reader=reader, writer=asyncio.StreamWriter(transport, protocol, reader, loop))

    def give_back(self, connection: Connection) -> None:
        if connection.open():
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()
