"""HTTP/1.1 as the gateway needs it: heads kept byte for byte, bodies measured without being touched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Final

PIECE: Final = 256 * 1024  # read size, and how much of an answer is gathered before it is passed on
END_OF_HEAD: Final = b"\r\n\r\n"


class Malformed(ConnectionError):
    """The peer does not speak HTTP/1.1; nothing sensible can be answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How long a body is: `length` bytes, chunked, or (neither) until the connection closes."""

    length: int | None = None
    chunked: bool = False


NO_BODY: Final = Framing(length=0)


class Head:
    """The first line and the headers: the exact bytes, and a parsed view (names in lower case, first wins)."""

    __slots__ = ("first_line", "headers", "raw")
    version_at: ClassVar[int]  # which word of the first line names the protocol

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        first, _, rest = raw[:-4].partition(b"\r\n")
        self.first_line: list[bytes] = first.split(b" ", 2)
        self.headers: dict[bytes, bytes] = {}
        if len(self.first_line) < 2 or not self.first_line[self.version_at].startswith(b"HTTP/1."):
            raise Malformed(f"not an HTTP/1.1 message: {first[:60]!r}")
        for line in rest.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if colon:
                self.headers.setdefault(name.strip().lower(), value.strip())

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def closes(self) -> bool:
        tokens = self.headers.get(b"connection", b"").lower()
        if self.first_line[self.version_at] == b"HTTP/1.0":
            return b"keep-alive" not in tokens
        return b"close" in tokens

    def _declared(self) -> Framing | None:
        if b"chunked" in self.headers.get(b"transfer-encoding", b"").lower():
            return Framing(chunked=True)
        length = self.headers.get(b"content-length")
        if length is None:
            return None
        if not length.isdigit():
            raise Malformed(f"content-length is not a number: {length[:40]!r}")
        return Framing(length=int(length))


class RequestHead(Head):
    __slots__ = ()
    version_at = -1

    @property
    def method(self) -> str:
        return self.first_line[0].decode("latin-1").upper()

    @property
    def target(self) -> str:
        return self.first_line[1].decode("latin-1")

    def expects_continue(self) -> bool:
        return self.headers.get(b"expect", b"").lower() == b"100-continue"

    def framing(self) -> Framing:
        return self._declared() or NO_BODY


class AnswerHead(Head):
    __slots__ = ()
    version_at = 0

    @property
    def status(self) -> int:
        code = self.first_line[1]
        if not code.isdigit():
            raise Malformed(f"status is not a number: {code[:40]!r}")
        return int(code)

    def framing(self, method: str) -> Framing:
        if method == "HEAD" or self.status in (204, 304) or self.status < 200:
            return NO_BODY
        return self._declared() or Framing()


async def read_head(reader: asyncio.StreamReader) -> bytes | None:
    """The bytes of the next head, or None when the peer is done."""
    try:
        raw = await reader.readuntil(END_OF_HEAD)
    except asyncio.IncompleteReadError as ended:
        if ended.partial.strip():
            raise Malformed("the connection closed inside a head") from ended
        return None
    except asyncio.LimitOverrunError as problem:
        raise Malformed("the head is too long") from problem
    return raw.lstrip(b"\r\n")  # stray line ends between messages are to be ignored (RFC 9112, 2.2)


async def body_pieces(reader: asyncio.StreamReader, framing: Framing) -> AsyncIterator[bytes]:
    """The body exactly as it comes, chunk sizes and trailers included."""
    if framing.chunked:
        async for piece in _chunked_pieces(reader):
            yield piece
    elif framing.length is None:
        while piece := await reader.read(PIECE):
            yield piece
    else:
        async for piece in _exactly(reader, framing.length):
            yield piece


async def _exactly(reader: asyncio.StreamReader, length: int) -> AsyncIterator[bytes]:
    left = length
    while left:
        piece = await reader.read(min(left, PIECE))
        if not piece:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(piece)
        yield piece


async def _chunked_pieces(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        line = await reader.readuntil(b"\r\n")
        yield line
        try:
            size = int(line.split(b";")[0].strip(), 16)
        except ValueError as problem:
            raise Malformed(f"not a chunk size: {line[:40]!r}") from problem
        if size == 0:
            break
        async for piece in _exactly(reader, size + 2):
            yield piece
    while True:  # trailers end with an empty line
        line = await reader.readuntil(b"\r\n")
        yield line
        if line == b"\r\n":
            return
