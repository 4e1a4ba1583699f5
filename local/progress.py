"""How an imitated run or job comes to its end: at once, after polls, after seconds, by hand, or by really running."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    """How a run ended. Each service has its own spelling (ADF: Cancelled, AML: Canceled)."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Clock(Protocol):
    def now(self) -> datetime: ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


Pause = Callable[[float, threading.Event], None]
"""Lets time pass inside a run: pause(seconds, cancelled). It returns early when the run is cancelled."""


def real_pause(seconds: float, cancelled: threading.Event) -> None:
    cancelled.wait(seconds)


@dataclass(frozen=True, slots=True)
class Immediately:
    """Over before the start call returns."""

    outcome: Outcome = Outcome.SUCCEEDED
    message: str = ""

    def verdict(self, *, polls: int, elapsed: float) -> Outcome | None:
        return self.outcome


@dataclass(frozen=True, slots=True)
class AfterPolls:
    """The first `polls` times somebody asks, it is running; the next time it is over."""

    polls: int
    outcome: Outcome = Outcome.SUCCEEDED
    message: str = ""

    def verdict(self, *, polls: int, elapsed: float) -> Outcome | None:
        return self.outcome if polls > self.polls else None


@dataclass(frozen=True, slots=True)
class AfterSeconds:
    """Over when so much time has passed on the service's clock."""

    seconds: float
    outcome: Outcome = Outcome.SUCCEEDED
    message: str = ""

    def verdict(self, *, polls: int, elapsed: float) -> Outcome | None:
        return self.outcome if elapsed >= self.seconds else None


@dataclass(frozen=True, slots=True)
class ByHand:
    """Running until a test ends it."""

    message: str = ""

    def verdict(self, *, polls: int, elapsed: float) -> Outcome | None:
        return None


@dataclass(frozen=True, slots=True)
class Interpret:
    """Really run it. `fail_at`: the step that fails instead of running, by its name or by its place (1 = first)."""

    fail_at: int | str | None = None
    message: str = "This step was told to fail."

    def verdict(self, *, polls: int, elapsed: float) -> Outcome | None:
        return None

    def fails(self, name: str, place: int) -> bool:
        return self.fail_at in (name, place)


Policy = Immediately | AfterPolls | AfterSeconds | ByHand | Interpret


def fail_at(step: int | str, message: str = "This step was told to fail.") -> Interpret:
    """Really run it, up to this step."""
    return Interpret(fail_at=step, message=message)


class Progress:
    """Which policy the next run gets, by what it runs (a pipeline's or an endpoint's name; case does not matter).

    Args:
        fallback: asked where nothing was set here, e.g. the service's policies behind a factory's.
    """

    def __init__(self, fallback: Progress | None = None) -> None:
        self._lock = threading.Lock()
        self._fallback = fallback
        self._default: Policy | None = None
        self._by_name: dict[str, Policy] = {}
        self._once: list[tuple[str | None, Policy]] = []

    def set(self, policy: Policy, name: str | None = None) -> None:
        """For all runs of this name from now on; without a name, for all runs that have no policy by name."""
        with self._lock:
            if name is None:
                self._default = policy
            else:
                self._by_name[name.lower()] = policy

    def once(self, policy: Policy, name: str | None = None) -> None:
        """For the next run only (of this name), before anything set. Several of them are used in order."""
        with self._lock:
            self._once.append((None if name is None else name.lower(), policy))

    def take(self, name: str) -> Policy:
        """The policy of a run that starts now."""
        return self._take(name.lower()) or Interpret()

    def _take(self, name: str) -> Policy | None:
        with self._lock:
            for index, (wanted, policy) in enumerate(self._once):
                if wanted in (None, name):
                    del self._once[index]
                    return policy
            found = self._by_name.get(name, self._default)
        if found is None and self._fallback is not None:
            return self._fallback._take(name)
        return found

    def clear(self) -> None:
        with self._lock:
            self._default = None
            self._by_name.clear()
            self._once.clear()
