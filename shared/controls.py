"""What people have stopped: single rules, or every start. Intake goes on; what has started goes on to its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Who stopped something, when, and why."""

    by: str
    at: datetime
    reason: str

    def __str__(self) -> str:
        return f"by {self.by} at {self.at.isoformat(timespec='seconds')}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlState:
    """What is stopped now. `stopped` is the kill switch: nothing is started, whatever the rule."""

    stopped: Pause | None = None
    paused: Mapping[str, Pause] = field(default_factory=dict)

    def holds(self, rule: str) -> str | None:
        """Why a rule may start nothing now; None where it may."""
        if self.stopped is not None:
            return f"all starts are stopped {self.stopped}"
        pause = self.paused.get(rule)
        return f"rule {rule} is paused {pause}" if pause is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingLane:
    """A lane that would start something, and whose rule may not: it is looked at when that is over."""

    rule: str
    lane: str
    etag: str | None = field(default=None, compare=False)
