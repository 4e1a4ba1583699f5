"""Keeps a part's state in one JSON file, so that a restart of the local cloud goes on with it."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any


class Store:
    """One file, replaced as a whole: after a crash it is the old or the new one. Without a file nothing is kept."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._lock = threading.Lock()

    def load(self) -> dict[str, Any]:
        """What was saved last; empty if nothing was, or if it cannot be read."""
        try:
            content = json.loads(self._file.read_text(encoding="utf-8")) if self._file else {}
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def save(self, content: dict[str, Any]) -> None:
        """Called by whoever holds the lock on the state, so that files follow each other as the states did."""
        if self._file is None:
            return
        with self._lock:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            written = self._file.with_suffix(".new")
            # Keys of endpoints stand in here: only the owner may read it.
            with open(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                json.dump(content, file, indent=1, default=str)
            os.replace(written, self._file)
