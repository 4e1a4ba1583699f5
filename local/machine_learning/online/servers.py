"""One inference server: a process in a group of its own, asked over loopback, and followed to its end."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import httpx

from local.machine_learning.online.answering import Answer, NotAnswering, Question, TookTooLong
from local.machine_learning.online.values import ServerRecord
from local.machine_learning.processes import End, Logs, Process
from local.ports import HOST

WRAPPER: Final = Path(__file__).with_name("inference_server.py")
_CONNECT_SECONDS: Final = 5.0
_HEALTH_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.05
# Headers of one connection, and those that our listener sets itself.
_HOP_BY_HOP: Final = frozenset(
    {
        "date",
        "server",
        "connection",
        "keep-alive",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "host",
        "content-length",
    }
)


class Server:
    """A started server. Raises OSError where it cannot be started."""

    def __init__(
        self, python: Path, arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        self._stopping = threading.Event()
        self._end: End | None = None
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as bound:
            bound.bind((HOST, 0))
            bound.listen(128)  # from here on nobody else can get the port, and no connection is refused
            port: int = bound.getsockname()[1]
            argv = (str(python), str(WRAPPER), str(bound.fileno()), *arguments, "--port", str(port))
            self._process = Process(
                argv,
                folder=folder,
                environment=environment,
                logs=Logs(stdout=log, stderr=log),
                leash=True,
                given=[bound.fileno()],
            )
        self.record = ServerRecord(argv=argv, pid=self._process.pid, port=port, log=log)
        # The server closes a connection after each answer; one that is kept could be closed under a request.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(base_url=f"http://{HOST}:{port}", trust_env=False, limits=limits)
        self._follower = threading.Thread(target=self._follow, name=f"serve {port}", daemon=True)
        self._follower.start()

    @property
    def ended(self) -> End | None:
        """How it ended; None while it runs."""
        return self._end

    def wait_until_healthy(self, seconds: float, stopped: threading.Event) -> bool:
        """False when it has ended, has not come up in time, or nobody wants it any more."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self.ended is not None or stopped.is_set():
                return False
            if self._is_healthy(min(_HEALTH_SECONDS, left)):
                return True
            stopped.wait(_LOOK_SECONDS)
        return False

    def answer(self, question: Question) -> Answer:
        headers = {name: value for name, value in question.headers.items() if name.lower() not in _HOP_BY_HOP}
        timeout = httpx.Timeout(question.seconds, connect=_CONNECT_SECONDS)
        try:
            said = self._client.post("/score", content=question.body, headers=headers, timeout=timeout)
        except httpx.TimeoutException as problem:
            raise TookTooLong from problem
        except httpx.HTTPError as problem:
            raise NotAnswering(str(problem)) from problem
        kept = {name: value for name, value in said.headers.items() if name.lower() not in _HOP_BY_HOP}
        return Answer(status=said.status_code, body=said.content, headers=kept)

    def stop(self) -> None:
        """End it and wait for that; safe to call twice."""
        self._stopping.set()
        self._follower.join()
        self._client.close()

    def _is_healthy(self, seconds: float) -> bool:
        """Whether it answers; it does only when the scoring script's init() is through."""
        try:
            return self._client.get("/", timeout=seconds).is_success
        except httpx.HTTPError:
            return False

    def _follow(self) -> None:
        self._end = self._process.follow(math.inf, self._stopping)
