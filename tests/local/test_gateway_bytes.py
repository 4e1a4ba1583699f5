"""The gateway on the wire: every byte passes as it came, and no request is sent twice by mistake."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from local.background import Background
from local.certificates import Certificates, ensure_certificates
from local.cloud import LocalCloud
from local.gateway import STORAGE_SERVICES, Gateway
from local.gateway.blob_changes import change_asked_for
from local.gateway.calls import parse_target
from local.gateway.relay import HELD
from local.gateway.wire import RequestHead, body_pieces, read_head
from local.identity import mint
from local.ports import Ports

DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"


@dataclass
class Seen:
    """What Azurite's place saw: each request's bytes, and on which connection it came."""

    requests: list[bytes] = field(default_factory=list)
    connections: list[int] = field(default_factory=list)


Reply = Callable[[int, bytes], bytes | None]
"""The answer to the n-th request with these bytes; None: hang up without a word."""


class Stage:
    """A gateway with a scripted server where Azurite would be."""

    def __init__(self, folder: Path) -> None:
        self.certificates: Certificates = ensure_certificates(folder / "certificates")
        self.seen = Seen()
        self.reply: Reply = lambda number, request: DONE
        self.refuse_body = False
        self.hang_up_after_answer = False
        self.answer_early = False
        self._ports = Ports(folder / "ports.json")
        self._background = Background()
        self._behind = self._ports.listen("behind")
        self._background.call(self._serve())
        port = self._behind.getsockname()[1]
        self.gateway = Gateway(self.certificates, dict.fromkeys(STORAGE_SERVICES, port))
        front = self._ports.listen("front")
        self.port: int = front.getsockname()[1]
        self._background.call(self.gateway.start({"table": front}))

    def close(self) -> None:
        self._background.call(self.gateway.stop())
        self._background.call(self._close())
        self._background.stop()

    async def _close(self) -> None:
        self._server.close()

    def connect(self) -> ssl.SSLSocket:
        return connect(self.port, self.certificates)

    async def _serve(self) -> None:
        context = self.certificates.server_context()
        self._server = await asyncio.start_server(self._accept, sock=self._behind, ssl=context)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._task = asyncio.ensure_future(self._answer(reader, writer))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = len(set(self.seen.connections)) + 1
        while (raw := await read_head(reader)) is not None:
            head = RequestHead(raw)
            if head.expects_continue():
                if self.refuse_body:
                    self.seen.requests.append(raw)
                    writer.write(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
                    continue
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if self.answer_early:
                writer.write(self.reply(len(self.seen.requests) + 1, raw) or b"")
            body = b"".join([piece async for piece in body_pieces(reader, head.framing())])
            self.seen.requests.append(raw + body)
            self.seen.connections.append(connection)
            answer = self.reply(len(self.seen.requests), raw + body)
            if answer is None:
                break
            if not self.answer_early:
                writer.write(answer)
            if self.hang_up_after_answer:
                break
        writer.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.close()


def connect(port: int, certificates: Certificates) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    return certificates.client_context().wrap_socket(plain, server_hostname="127.0.0.1")


def receive(connection: ssl.SSLSocket, size: int) -> bytes:
    got = b""
    while len(got) < size and (piece := connection.recv(65536)):
        got += piece
    return got


def everything(connection: ssl.SSLSocket) -> bytes:
    return receive(connection, 2**62)


def ask(stage: Stage, request: bytes) -> bytes:
    """One request on a connection of its own, and the answer as long as it is DONE's."""
    with stage.connect() as connection:
        connection.sendall(request)
        return receive(connection, len(DONE))


def request(method: str = "POST", path: str = "/app001/lanes", body: bytes = b"", headers: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n".encode() + length + headers + b"\r\n" + body


REQUESTS = [
    request("GET", body=b""),
    request("GET", "/app001/lanes()?$filter=PartitionKey%20eq%20'a%2Fb'&$top=5"),
    request("POST", body=b"\x00\xff\r\n\r\n" * 100),
    request("PUT", body=b"x" * HELD),
    request("PUT", body=b"y" * (HELD + 1)),
    request("MERGE", headers=b"hOsT2: A\r\nX-Odd:no-space\r\nX-EMPTY:\r\nx-twice: 1\r\nx-twice: 2\r\n", body=b"{}"),
    request("DELETE", headers="X-Text: caf\xe9 \t \r\n".encode("latin-1")),
    request("POST", headers=b"Transfer-Encoding: chunked\r\n") + b"5\r\nhello\r\n0\r\n\r\n",
    request("POST", headers=b"TRANSFER-encoding:  Chunked\r\n")
    + b"3;name=value\r\n\r\n0\r\nA\r\n0123456789\r\n000\r\nTrailer: yes\r\n\r\n",
]


@pytest.mark.parametrize("sent", REQUESTS, ids=range(len(REQUESTS)))
def test_a_request_arrives_byte_for_byte(stage: Stage, sent: bytes) -> None:
    assert ask(stage, sent) == DONE
    assert stage.seen.requests == [sent]


ANSWERS = [
    (b"HTTP/1.1 204 No Content\r\nX-odd:1\r\nx-ODD: 2\r\n\r\n", "PUT"),
    (b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "GET"),
    (b"HTTP/1.1 200 Fine by me\r\ncontent-length:5\r\n\r\n\x00\xff\r\n\x01", "GET"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b\r\nabcd\r\n0\r\nX-Trailer: 1\r\n\r\n", "GET"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n" + b"z" * 600_000, "GET"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n", "HEAD"),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", "GET"),
]


@pytest.mark.parametrize(("answer", "method"), ANSWERS, ids=range(len(ANSWERS)))
def test_an_answer_arrives_byte_for_byte_and_the_connection_goes_on(stage: Stage, answer: bytes, method: str) -> None:
    stage.reply = lambda number, _: answer if number == 1 else DONE
    with stage.connect() as connection:
        connection.sendall(request(method))
        assert receive(connection, len(answer)) == answer
        connection.sendall(request("GET"))
        assert receive(connection, len(DONE)) == DONE


def test_an_answer_without_a_length_ends_with_the_connection(stage: Stage) -> None:
    begun = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end"
    stage.reply = lambda number, _: begun
    stage.hang_up_after_answer = True
    with stage.connect() as connection:
        connection.sendall(request("GET"))
        assert everything(connection) == begun


def test_an_answer_that_says_close_closes(stage: Stage) -> None:
    stage.reply = lambda number, _: b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nend"
    with stage.connect() as connection:
        connection.sendall(request("GET"))
        assert everything(connection).endswith(b"\r\n\r\nend")
    assert ask(stage, request("GET"))
    assert stage.seen.connections == [1, 2]


def test_pipelined_requests_are_answered_in_order(stage: Stage) -> None:
    stage.reply = lambda number, _: b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number
    sent = [request("POST", body=b"abc"), request("GET"), request("PUT", body=b"\r\n\r\n")]
    with stage.connect() as connection:
        connection.sendall(b"".join(sent))
        answers = receive(connection, 3 * len(stage.reply(1, b"") or b""))
    assert re.findall(rb"\r\n\r\n(\d)", answers) == [b"1", b"2", b"3"]
    assert stage.seen.requests == sent


def test_a_client_that_asks_first_gets_its_100_and_then_its_answer(stage: Stage) -> None:
    head = request("PUT", headers=b"Expect: 100-continue\r\nContent-Length: 5\r\n")
    with stage.connect() as connection:
        connection.sendall(head)
        assert receive(connection, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hello")
        assert receive(connection, len(DONE)) == DONE
    assert stage.seen.requests == [head + b"hello"]


def test_a_client_that_asks_first_may_be_refused(stage: Stage) -> None:
    stage.refuse_body = True
    with stage.connect() as connection:
        connection.sendall(request("PUT", headers=b"Expect: 100-continue\r\nContent-Length: 5\r\n"))
        assert everything(connection) == b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"


def test_an_answer_that_comes_before_the_body_is_passed_on_and_the_body_heard_out(stage: Stage) -> None:
    stage.answer_early = True
    sent = request("PUT", body=b"x" * (3 * HELD))
    with stage.connect() as connection:
        connection.sendall(sent[:100])
        assert receive(connection, len(DONE)) == DONE
        connection.sendall(sent[100:])
        connection.sendall(request("GET"))
        assert receive(connection, len(DONE)) == DONE
    assert stage.seen.requests == [sent, request("GET")]


# What changes a blob


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("PUT", "/a/lake/x.csv", b"x-ms-blob-type: BlockBlob\r\n", "PutBlob"),
        ("PUT", "/a/lake/x.csv", b"x-ms-blob-type: PageBlob\r\n", "PutBlob"),
        ("PUT", "/a/lake/x.csv", b"x-ms-blob-type: AppendBlob\r\n", None),
        ("PUT", "/a/lake/x.csv?timeout=5", b"x-ms-blob-type: BlockBlob\r\n", "PutBlob"),
        ("PUT", "/a/lake/x.csv?comp=blocklist", b"", "PutBlockList"),
        ("PUT", "/a/lake/x.csv?comp=block&blockid=YQ==", b"", None),
        ("PUT", "/a/lake/x.csv?comp=block&blockid=YQ==", b"x-ms-copy-source: https://x/a/b/c\r\n", None),
        ("PUT", "/a/lake/x.csv?comp=metadata", b"", None),
        ("PUT", "/a/lake/x.csv?comp=copy&copyid=1", b"", None),
        ("PUT", "/a/lake/x.csv", b"x-ms-copy-source: https://x/a/b/c\r\n", "CopyBlob"),
        ("PUT", "/a/lake?restype=container", b"", None),
        ("PUT", "/a/$logs/x", b"x-ms-blob-type: BlockBlob\r\n", None),
        ("GET", "/a/lake/x.csv", b"", None),
        ("DELETE", "/a/lake/x.csv", b"", "DeleteBlob"),
        ("DELETE", "/a/lake/x.csv?snapshot=2026", b"", None),
        ("DELETE", "/a/lake/x.csv", b"x-ms-delete-snapshots: only\r\n", None),
        ("DELETE", "/a/lake?restype=container", b"", None),
    ],
)
def test_which_requests_change_a_blob(method: str, path: str, headers: bytes, expected: str | None) -> None:
    head = RequestHead(request(method, path, headers=headers))
    target = parse_target("blob", head.method, head.target, conditional=False)
    assert change_asked_for(target, head) == expected


# Sending again


def test_one_connection_serves_many_requests(stage: Stage) -> None:
    for _ in range(5):
        assert ask(stage, request(body=b"abc")) == DONE
    assert set(stage.seen.connections) == {1}


def test_a_request_is_sent_again_when_the_kept_connection_had_died(stage: Stage) -> None:
    sent = request(body=b"insert once")
    stage.reply = lambda number, _: None if number == 2 else DONE
    assert ask(stage, sent) == DONE
    assert ask(stage, sent) == DONE
    assert stage.seen.requests == [sent] * 3
    assert stage.seen.connections == [1, 1, 2]


def test_it_is_not_sent_again_over_a_fresh_connection(stage: Stage) -> None:
    stage.reply = lambda number, _: None
    assert ask(stage, request(body=b"insert")) == b""
    assert len(stage.seen.requests) == 1


def test_it_is_sent_again_only_once(stage: Stage) -> None:
    stage.reply = lambda number, _: DONE if number == 1 else None
    assert ask(stage, request(body=b"first")) == DONE
    assert ask(stage, request(body=b"second")) == b""
    assert len(stage.seen.requests) == 3


def test_it_is_not_sent_again_once_an_answer_had_begun(stage: Stage) -> None:
    assert ask(stage, request(body=b"first")) == DONE
    stage.reply = lambda number, _: b"H"
    stage.hang_up_after_answer = True
    assert ask(stage, request(body=b"second")) == b""
    assert stage.seen.requests == [request(body=b"first"), request(body=b"second")]
    assert stage.seen.connections == [1, 1]


def test_a_streamed_body_is_never_sent_again(stage: Stage) -> None:
    stage.reply = lambda number, _: None if number == 2 else DONE
    chunked = request("POST", headers=b"Transfer-Encoding: chunked\r\n") + b"5\r\nhello\r\n0\r\n\r\n"
    assert ask(stage, request(body=b"first")) == DONE
    assert ask(stage, chunked) == b""
    assert len(stage.seen.requests) == 2


def test_a_client_that_leaves_in_the_middle_of_a_body_stops_nobody(stage: Stage) -> None:
    with stage.connect() as connection:
        connection.sendall(b"PUT /app001/lanes HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\nonly this")
    assert ask(stage, request(body=b"abc")) == DONE
    assert stage.seen.requests == [request(body=b"abc")]


def test_nonsense_closes_the_connection_and_nothing_else(stage: Stage) -> None:
    with stage.connect() as connection:
        connection.sendall(b"what is this\r\nanyway\r\n\r\n")
        everything(connection)
    with stage.connect() as connection:
        connection.sendall(b"POST /a HTTP/1.1\r\nContent-Length: many\r\n\r\n")
        assert everything(connection) == b""
    assert ask(stage, request(body=b"abc")) == DONE


# Against Azurite

# What no two answers have in common: moments, ids, etags.
VOLATILE = re.compile(
    rb"(?i)\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    rb"|0x[0-9a-f]{12,}|Time:[-\dT:.]+Z"
)


def azurite_requests(container: str) -> list[bytes]:
    """The same conversation twice over gives the same answers, as long as each has a container of its own."""
    chance = random.Random(7)
    blob = chance.randbytes(70_000)
    token = f"Authorization: Bearer {mint('https://storage.azure.com')}\r\n".encode()
    common = token + b"x-ms-version: 2023-11-03\r\n"
    put = common + b"x-ms-blob-type: BlockBlob\r\n"
    path = f"/relearnapp/{container}"
    return [
        request("PUT", f"{path}?restype=container", headers=common + b"Content-Length: 0\r\n"),
        request("PUT", f"{path}?restype=container", headers=common + b"Content-Length: 0\r\n"),
        request("PUT", f"{path}/r%20%C3%A4.bin", headers=put, body=blob),
        request("PUT", f"{path}/empty", headers=put + b"content-LENGTH: 0\r\n"),
        request("PUT", f"{path}/chunked", headers=put + b"transfer-encoding: chunked\r\n")
        + b"4\r\nabcd\r\n3;x=1\r\nefg\r\n0\r\n\r\n",
        request("GET", f"{path}/r%20%C3%A4.bin", headers=common),
        request("GET", f"{path}/r%20%C3%A4.bin", headers=common + b"RANGE: bytes=100-299\r\n"),
        request("HEAD", f"{path}/r%20%C3%A4.bin", headers=common),
        request("GET", f"{path}/missing", headers=common),
        request("GET", f"{path}/r%20%C3%A4.bin", headers=b"x-ms-version: 2023-11-03\r\n"),
        request("GET", f"{path}?restype=container&comp=list&prefix=e", headers=common),
        request("DELETE", f"{path}/empty", headers=common),
        request("PATCH", f"{path}/r%20%C3%A4.bin", headers=common, body=b"?"),
    ]


@pytest.mark.cloud
def test_azurites_answers_are_the_same_through_the_gateway(cloud: LocalCloud) -> None:
    through = int(cloud.account("relearnapp").blob.rsplit(":", 1)[1].split("/")[0])
    direct = cloud.azurite.ports["blob"]
    for number, (plain, proxied) in enumerate(
        zip(azurite_requests("direct0"), azurite_requests("gateway"), strict=True)
    ):
        answers = [
            _masked(conversation(port, cloud.certificates, sent))
            for port, sent in ((direct, plain), (through, proxied))
        ]
        assert answers[0].replace(b"direct0", b"gateway") == answers[1], f"request {number}"


def conversation(port: int, certificates: Certificates, sent: bytes) -> bytes:
    with connect(port, certificates) as connection:
        connection.sendall(sent.replace(b"Host: x\r\n", b"Host: 127.0.0.1\r\nConnection: close\r\n"))
        return everything(connection)


def _masked(answer: bytes) -> bytes:
    return VOLATILE.sub(b"*", answer)
