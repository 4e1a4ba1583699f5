"""Every call of the product to one of its ports, and what may befall it: a death, a lost answer, somebody between."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from shared.errors import InDoubt, StorageUnavailable, TargetBusy, TargetRefused, TargetUnavailable

STARTS: Final = frozenset({"factory.create_run", "workspace.start_job"})
_TARGETS: Final = ("factory.", "workspace.", "notifier.")
_NO_CALLS: Final = frozenset({"url"})
"""Methods of ports that ask nobody."""
_LONGEST_START: Final = 8.0
"""Seconds. The client of a start gives up within 15."""


class Died(BaseException):
    """The process is gone: nothing after this call happens in it."""


class Trouble(StrEnum):
    """What befalls one call, whatever it is."""

    DEATH_BEFORE = "death before the call"
    DEATH_AFTER = "death after the call"
    THROTTLED = "throttled"
    LOST = "answer lost"
    SLOW = "slow"


class Mood(StrEnum):
    """How a target answers starts, or questions, for a while."""

    WELL = "well"
    BUSY = "busy"
    BUSY_FOR = "busy, and says for how long"
    UNREACHED = "the start never arrived"
    LOST = "started, and the answer is lost"
    TAKEN = "started, and the answer is that the name is taken"


@dataclass
class Process:
    """One process of the app, as the outside sees it: its name, and whether it is still there."""

    name: str
    alive: bool = True


@dataclass
class Calls:
    """Counts the calls and lets happen to them what was planned. `let_pass` lets time pass, in seconds."""

    let_pass: Callable[[float], None]
    on_start: Callable[[str, Sequence[Any]], None] = lambda _name, _arguments: None
    """Called when a start arrives at a target, before it has its effect."""
    number: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    starts: Mood = Mood.WELL
    questions: Mood = Mood.WELL
    turns: Turns | None = None
    _planned: dict[int, tuple[Trouble, float]] = field(default_factory=dict)

    def plan(self, after: int, trouble: Trouble, seconds: float = 0.0) -> None:
        """The trouble befalls the call that is so many calls from now."""
        self._planned[self.number + after] = trouble, seconds

    def all_is_well(self) -> None:
        self._planned.clear()
        self.starts = self.questions = Mood.WELL

    def make(self, process: Process, name: str, arguments: Sequence[Any], effect: Callable[[], Any]) -> Any:
        """Makes one call for a process.

        Raises:
            Died: the process is gone, before the call or after it.
            RelearnError: what the port's promise allows it to raise.
        """
        if not process.alive:
            raise Died
        # A start is never held up before it goes out: its client would have given up meanwhile.
        if name not in STARTS:
            self._let_others(process)
        self.number += 1
        self.counts["calls"] += 1
        trouble, seconds = self._planned.pop(self.number, (None, 0.0))
        if trouble is not None:
            self.counts[trouble] += 1
        self._before(process, name, trouble)
        if trouble is Trouble.SLOW:
            self.let_pass(min(seconds, _LONGEST_START) if name in STARTS else seconds)
        answer = self._with_effect(name, arguments, effect)
        if trouble is Trouble.DEATH_AFTER:
            self._die(process)
        if trouble is Trouble.LOST:
            raise _lost(name)
        if name in STARTS:
            self._let_others(process)
        return answer

    def _before(self, process: Process, name: str, trouble: Trouble | None) -> None:
        if trouble is Trouble.DEATH_BEFORE:
            self._die(process)
        if trouble is Trouble.THROTTLED:
            raise _throttled(name, None)
        if name.startswith(_TARGETS) and name not in STARTS and self.questions is not Mood.WELL:
            self.counts["questions unanswered"] += 1
            raise TargetUnavailable("500") if self.questions is Mood.LOST else _throttled(name, None)

    def _with_effect(self, name: str, arguments: Sequence[Any], effect: Callable[[], Any]) -> Any:
        mood = self.starts if name in STARTS else Mood.WELL
        if mood is not Mood.WELL:
            self.counts[f"start: {mood}"] += 1
        if mood in (Mood.BUSY, Mood.BUSY_FOR):
            raise _throttled(name, timedelta(seconds=40) if mood is Mood.BUSY_FOR else None)
        if mood is Mood.UNREACHED:
            raise InDoubt("the connection was reset")
        if name in STARTS:
            self.on_start(name, arguments)
        answer = effect()
        if mood is Mood.TAKEN and name == "workspace.start_job":
            raise TargetRefused("409 the job is there", status=409)
        if mood in (Mood.LOST, Mood.TAKEN):
            raise InDoubt("the connection was reset after the request")
        return list(answer) if isinstance(answer, Iterator) else answer

    def _die(self, process: Process) -> None:
        process.alive = False
        raise Died

    def _let_others(self, process: Process) -> None:
        if self.turns is not None:
            self.turns.pass_on(process)
            if not process.alive:
                raise Died


def _throttled(name: str, retry_after: timedelta | None) -> Exception:
    if name.startswith(_TARGETS):
        return TargetBusy("429 TooManyRequests", retry_after=retry_after, status=429)
    return StorageUnavailable("503 ServerBusy")


def _lost(name: str) -> Exception:
    if name in STARTS:
        return InDoubt("the connection was reset after the request")
    if name.startswith(_TARGETS):
        return TargetUnavailable("the connection was reset after the request")
    return StorageUnavailable("the connection was reset after the request")


class Watched:
    """A port as one process has it: whatever is asked of it goes through `Calls`."""

    def __init__(self, port: object, name: str, calls: Calls, process: Process) -> None:
        self._port, self._name, self._calls, self._process = port, name, calls, process

    def __getattr__(self, what: str) -> Any:
        found = getattr(self._port, what)
        if not callable(found) or what in _NO_CALLS:
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            given = (*arguments, *named.values())
            name = f"{self._name}.{what}"
            return self._calls.make(self._process, name, given, lambda: found(*arguments, **named))

        return call


class Turns:
    """Several processes act at once: before each call it is decided who goes on. One at a time does.

    Each act has a thread of its own; the order is the caller's, so the same numbers give the same story.
    """

    def __init__(self, order: Sequence[int]) -> None:
        self._order = order
        self._go: dict[str, threading.Semaphore] = {}
        self._back = threading.Semaphore(0)
        self.switches = 0

    def run(self, acts: Sequence[tuple[Process, Callable[[], None]]]) -> None:
        """Raises what an act raised, once all have ended."""
        raised: list[BaseException] = []
        threads = []
        for process, act in acts:
            self._go[process.name] = threading.Semaphore(0)
            threads.append(threading.Thread(target=self._perform, args=(process, act, raised), daemon=True))
            threads[-1].start()
        turn, last = 0, ""
        while self._go:
            names = sorted(self._go)
            name = names[self._order[turn % len(self._order)] % len(names)]
            self.switches += name != last
            turn, last = turn + 1, name
            self._go[name].release()
            self._back.acquire()
        for thread in threads:
            thread.join()
        if raised:
            raise raised[0]

    def _perform(self, process: Process, act: Callable[[], None], raised: list[BaseException]) -> None:
        self._go[process.name].acquire()
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - it is raised where the acts were begun
            raised.append(error)
        finally:
            del self._go[process.name]
            self._back.release()

    def pass_on(self, process: Process) -> None:
        """Waits until it is this process's turn again."""
        mine = self._go.get(process.name)
        if mine is not None:
            self._back.release()
            mine.acquire()
