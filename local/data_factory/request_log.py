"""The record of every request to the factories, as JSON lines, and what can be read off it."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class RequestLog:
    """Appends to a file, and keeps the same entries in memory. Without a path there is no file."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._entries: list[Mapping[str, Any]] = []

    def append(self, entry: Mapping[str, Any]) -> None:
        line = json.dumps(entry, ensure_ascii=False) + "\n"
        with self._lock:
            self._entries.append(entry)
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(line)

    @property
    def entries(self) -> list[Mapping[str, Any]]:
        with self._lock:
            return list(self._entries)

    def clear(self) -> None:
        """Forgets the entries in memory; the file stays."""
        with self._lock:
            self._entries.clear()


def duplicate_starts(path: Path) -> int:
    """How many runs were started beyond the first for the same stamp (pipeline, reaction_id, attempt).

    A start counts when the service accepted it, whether or not its caller ever saw the answer.
    """
    starts = Counter(stamp for stamp in map(_stamp, _read(path)) if stamp is not None)
    return sum(count - 1 for count in starts.values())


def _read(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.exists():
        with path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)


def _stamp(entry: Mapping[str, Any]) -> tuple[str, str, str] | None:
    parameters = entry.get("parameters") or {}
    if entry.get("runId") is None or not {"reaction_id", "attempt"} <= parameters.keys():
        return None
    return (entry["pipeline"], str(parameters["reaction_id"]), str(parameters["attempt"]))
