"""A demo that has ended, as the tests see it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.end_to_end.connections import Connection
from tests.end_to_end.program import ROOT

REAL_DATA = ROOT.parent / "shared" / "data" / "diabetes"


@dataclass
class Demo:
    """A demo that has ended."""

    state: Path
    exit_code: int
    said: str

    @cached_property
    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state / "demo.json").read_text())
        return found

    @property
    def requests(self) -> Path:
        return self.state / "adf-requests.jsonl"


@dataclass
class TrappedDemo(Demo):
    """The same, of one whose environment led outside: who came to the trap, and which processes connected where."""

    visitors: list[str]
    connections: set[Connection]
    followed: set[int]
