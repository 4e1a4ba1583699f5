"""Processes of the app, as a test has them: what one is told it does, and it says how it ended."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from tests.crashes.calls import DIED

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60


class Died(Exception):
    """The process ended at the moment it was to end."""


class Nursery:
    """The warm process (tests/crashes/nursery.py). `keeper` is safe from any thread."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._address = str(folder / "nursery")
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.crashes.nursery", self._address],
            env={**environment, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> Self:
        """Until it is warm."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "warm\n", "the warm process has ended"
        return self

    def keeper(self) -> Keeper:
        return Keeper(self._address)

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Keeper:
    """Makes one process after the other. `said`: how many commands it was given."""

    def __init__(self, address: str) -> None:
        self.said = 0
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_SECONDS)
        self._socket.connect(address)
        self._lines = self._socket.makefile("rb")

    def process(self, settings: Mapping[str, str], folder: Path, now: datetime, dies_at: int | None) -> Process:
        self.say({"settings": dict(settings), "folder": str(folder), "now": now.isoformat(), "dies_at": dies_at})
        return Process(self)

    def say(self, what: Mapping[str, Any]) -> None:
        self.said += 1
        self._socket.sendall(json.dumps(what).encode() + b"\n")

    def answer(self) -> dict[str, Any]:
        line = self._lines.readline()
        assert line, "the keeper has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


class Process:
    """One process of the app, from its start to its end."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.calls: list[str] = []
        self.ended: int | None = None
        self.pid = 0
        self._until("ready")

    def deliver(self, event: str, now: datetime) -> None:
        """Returning acknowledges it.

        Raises:
            Died: it was not acknowledged.
        """
        self._do({"event": event, "now": now.isoformat()})

    def look(self, key: str, now: datetime) -> None:
        """Raises Died."""
        self._do({"look": key, "now": now.isoformat()})

    def sweep(self, now: datetime) -> None:
        """Raises Died."""
        self._do({"sweep": True, "now": now.isoformat()})

    def end(self) -> None:
        """It ends well."""
        self._keeper.say({"end": True})
        self._until("exit")
        assert self.ended == 0

    def _do(self, command: Mapping[str, Any]) -> None:
        self._keeper.say(command)
        self._until("done")

    def _until(self, last: str) -> None:
        while True:
            answer = self._keeper.answer()
            if "call" in answer:
                self.calls.append(answer["call"])
            if "ready" in answer:
                self.pid = answer["ready"]
            if "exit" in answer:
                self.ended = answer["exit"]
                assert self.pid == answer["pid"]
                if last != "exit":
                    assert self.ended == DIED, f"a process of the app ended by itself: {self.ended}"
                    raise Died
            if last in answer:
                return
