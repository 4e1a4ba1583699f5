"""`python -m local …` as a child process, the way a person starts it; and the processes it starts itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.local.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]


class Program:
    """One start. Left running at the end of its context, it is interrupted, as by Ctrl-C."""

    def __init__(
        self,
        *arguments: str,
        output: Path,
        environment: Mapping[str, str] | None = None,
        under: Sequence[str] = (),  # a command that runs a command, such as strace
        niceness: int = 0,
    ) -> None:
        self._output = output
        self._under = bool(under)
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                [*under, sys.executable, "-m", "local", *arguments],
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "120", **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        os.setpriority(os.PRIO_PROCESS, self.pid, niceness)  # what it starts is as patient

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def said(self) -> str:
        return self._output.read_text(errors="replace")

    def wait(self, seconds: float) -> int:
        """Its exit code, once it has ended by itself."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it still runs after {seconds:.0f} s, and said:\n{self.said()}") from None

    def wait_until_it_says(self, text: str, seconds: float) -> str:
        """All that it said, once `text` is part of it."""

        def has_said() -> bool:
            found = text in self.said()
            assert found or self.exit_code is None, f"it ended with {self.exit_code}, and said:\n{self.said()}"
            return found

        eventually(has_said, seconds)
        return self.said()

    def interrupt(self, seconds: float = 20.0) -> int:
        self._interrupt()
        return self.wait(seconds)

    def _interrupt(self) -> None:
        """strace takes no notice of a SIGINT of its own: it is the program below that must get it."""
        every = processes() if self._under else {}
        below = [pid for pid, (parent, _, _) in every.items() if parent == self.pid]
        for pid in below or [self.pid]:
            os.kill(pid, signal.SIGINT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.exit_code is not None:
            return
        self._interrupt()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()  # what it started is on a leash, and ends with it
            self._process.wait()


def processes() -> dict[int, tuple[int, str, str]]:
    """Every process of this machine that is not a zombie: id -> parent's id, state, command line."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,state=,args="], capture_output=True, text=True, check=True
    )
    found: dict[int, tuple[int, str, str]] = {}
    for line in listed.stdout.splitlines():
        pid, parent, state, *command = line.split(None, 3)
        if not state.startswith("Z"):
            found[int(pid)] = (int(parent), state, " ".join(command))
    return found


def descendants(pid: int) -> dict[int, str]:
    """The processes that `pid` started, and those that they started: id -> command line."""
    every = processes()
    found: dict[int, str] = {}
    generation = {pid}
    while generation:
        generation = {child for child, (parent, _, _) in every.items() if parent in generation}
        found |= {child: every[child][2] for child in generation}
    return found
