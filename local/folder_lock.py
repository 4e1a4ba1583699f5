"""One local cloud per folder: a lock that its storage process holds on to as well."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

WAIT_SECONDS = 10.0


class AlreadyRunning(RuntimeError):
    """Another local cloud uses this folder."""


class FolderLock:
    """Taken until it is released and every child that was given `handle` has ended.

    A cloud that was killed leaves an Azurite that is still saving its data; a new one must wait for it.
    """

    def __init__(self, folder: Path, wait_seconds: float = WAIT_SECONDS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + wait_seconds
        while not self._try():
            if time.monotonic() > deadline:
                os.close(self.handle)
                raise AlreadyRunning(f"another local cloud runs in {folder}; stop it first, or use another folder")
            time.sleep(0.05)

    def release(self) -> None:
        os.close(self.handle)

    def _try(self) -> bool:
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
