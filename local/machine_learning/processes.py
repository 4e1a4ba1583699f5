"""One step's process: started in a group of its own, followed, and ended by its own id."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOOK_SECONDS = 0.05
GRACE_SECONDS = 3.0
TAIL_LINES = 20
TAIL_CHARACTERS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """Where a process writes."""

    stdout: Path
    stderr: Path

    def end(self) -> str:
        """The end of what it wrote, for a message: its errors if there are any."""
        for name, file in (("standard error", self.stderr), ("standard output", self.stdout)):
            if tail := end_of(file):
                return f"The end of its {name}:\n{tail}"
        return "It wrote nothing."


def end_of(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])[-TAIL_CHARACTERS:]


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How it ended; `overdue`: because its time was up. Ended by a signal, the code is the signal's, negative."""

    exit_code: int
    overdue: bool


class Process:
    """A started process. Raises OSError where it cannot be started.

    Args:
        leash: its standard input is a pipe that closes when we end, however we end.
        given: open file descriptors it inherits.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        logs: Logs,
        leash: bool = False,
        given: Sequence[int] = (),
    ) -> None:
        for file in (logs.stdout, logs.stderr):
            file.write_bytes(b"")
        # Appended to, because both may be one file.
        with logs.stdout.open("ab") as stdout, logs.stderr.open("ab") as stderr:
            self._process = subprocess.Popen(
                list(argv),
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.PIPE if leash else subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                pass_fds=given,
                start_new_session=True,  # its own group: ending it ends what it started, and nothing else
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def follow(self, seconds: float, cancelled: threading.Event) -> End:
        """Wait until it is over, and end it when its time is up or `cancelled` is set.

        Only this thread waits for the process and signals it, so its id cannot be somebody else's by then.
        """
        deadline = time.monotonic() + seconds
        overdue = False
        while not self._over(LOOK_SECONDS):
            overdue = time.monotonic() > deadline
            if overdue or cancelled.is_set():
                self._stop()
                break
        self._signal(signal.SIGKILL)  # whatever it left behind in its group
        if self._process.stdin is not None:
            self._process.stdin.close()
        return End(exit_code=self._process.returncode, overdue=overdue)

    def _stop(self) -> None:
        self._signal(signal.SIGTERM)
        if not self._over(GRACE_SECONDS):
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _over(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of an ended group
            os.killpg(self._process.pid, number)
