"""When things are looked at: the due table and wake-ups, and looks made at once while an event is being delivered."""

from __future__ import annotations

import contextvars
import logging
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from shared import telemetry
from shared.group_commit import GroupCommit, Verdict
from shared.kept import Kept
from shared.lanes import is_lane_id
from shared.ports import Clock, Due, DueTable, WakeUps

logger = logging.getLogger(__name__)

SWEEP_EVERY: Final = timedelta(minutes=5)
_NAME: Final = re.compile(r"[A-Za-z0-9-]{3,63}")
SOON: Final = timedelta(seconds=1)
SKEW: Final = timedelta(seconds=2)
"""By how much the queue's clock may be ahead of ours."""
A_MOMENT: Final = timedelta(seconds=2)
"""Of those who want a look that is due already, one sends a wake-up for so much later at least, and it serves all."""
LATER: Final = timedelta(seconds=30)
"""When a look that could not be finished, or a factory that could not be asked, is looked at again."""
INLINE_AT_ONCE: Final = 4
INLINE_SECONDS: Final = 5.0
_TIDY: Final = 1000
"""When so many wake-ups are remembered, those that have come are forgotten."""
_TOGETHER: Final = 1000
"""So many deliveries at most have one wake-up sent for them."""


def lane_key(lane: str) -> str:
    return f"lane:{lane}"


def factory_key(name: str) -> str:
    return f"factory:{name}"


def upkeep_key(chore: str) -> str:
    return f"upkeep:{chore}"


def is_key(text: str) -> bool:
    """Whether a text that came from outside is a key that can be looked at."""
    kind, _, name = text.partition(":")
    if kind == "lane":
        return is_lane_id(name)
    return kind in {"factory", "upkeep"} and _NAME.fullmatch(name) is not None


class Scheduler:
    """Makes sure of looks: the due row is the truth, the wake-up only makes it quick."""

    def __init__(self, due: DueTable, wake_ups: WakeUps, clock: Clock) -> None:
        self._due = due
        self._wake_ups = wake_ups
        self._clock = clock
        self._sent: dict[str, datetime] = {}  # key -> when the last wake-up this process sent becomes visible
        self._tidied_at = _TIDY
        self._lock = threading.Lock()
        self._written: Kept[Due] = Kept()
        self._wakings: GroupCommit[datetime] = GroupCommit(
            alone=self._wake_at, together=self._wake_together, most=_TOGETHER
        )
        self._soon: GroupCommit[None] = GroupCommit(
            alone=lambda key, _: self._wake_soon(key),
            together=lambda key, asked: [self._wake_soon(key)] * len(asked),
            most=_TOGETHER,
        )
        self._believed: dict[str, str | None] = {}  # key -> the ETag of the row that was given without asking

    def get(self, key: str) -> Due | None:
        return self._due.get(key)

    def due_by_now(self, key: str) -> Due | None:
        """The key's due row: as this process has written it last, where its time has come, or else as it is."""
        written = self._written.take(key)
        if written is None or written.at > self._clock.now():
            self._believed.pop(key, None)
            return self._due.get(key)
        self._believed[key] = written.etag
        return written

    def set_due(self, key: str, at: datetime) -> Due:
        due = self._due.set(key, at)
        self._written.put(key, due)
        return due

    def wake_at(self, key: str, at: datetime) -> None:
        """A look at `key` is due at `at`.

        In a burst one wake-up serves all: one that this process itself sent and that is still to become visible, by
        more than a second, will read whatever is inserted now. Until one is sent, one at a time tries, and what the
        others asked for meanwhile is done for all of them next.
        """
        if not self._will_be_looked_at(key, at):
            self._wakings.add(key, at)

    def wake_soon(self, key: str) -> None:
        """A look at `key` that begins after this, for all who ask at the same time."""
        self._soon.add(key, None)

    def waiting(self, key: str) -> int:
        """How many wait for a wake-up that is being sent, or their turn to send one."""
        return self._wakings.waiting(key)

    def _will_be_looked_at(self, key: str, at: datetime) -> bool:
        with self._lock:
            sent = self._sent.get(key)
        return sent is not None and self._clock.now() + SOON < sent <= at + SOON

    def _wake_at(self, key: str, at: datetime) -> bool:
        if self._will_be_looked_at(key, at):
            return False
        self._hasten(key, at)
        self.wake(key, at)
        return True

    def _wake_soon(self, key: str) -> bool:
        self.bring_forward(key, self._clock.now())
        return True

    def _wake_together(self, key: str, times: Sequence[datetime]) -> list[Verdict]:
        return [self._wake_at(key, min(times))] * len(times)

    def wake(self, key: str, at: datetime | None = None) -> None:
        """Sends a wake-up for `at`, or for now. Waits longer than a sweep need none: the due row is enough."""
        now = self._clock.now()
        visible = max(at, now) if at is not None else now
        if not self._needs_message(visible):
            return
        self._wake_ups.send(key, (visible - now).total_seconds())
        with self._lock:
            if len(self._sent) >= self._tidied_at:
                self._sent = {k: t for k, t in self._sent.items() if t > now}
                self._tidied_at = max(_TIDY, 2 * len(self._sent))  # not again and again while all are to come
            self._sent[key] = visible

    def reschedule(self, due: Due | None, key: str, at: datetime | None) -> Due | None:
        """The end of a look: due again at `at`, or not at all, unless somebody asked for another look meanwhile.

        Gives the row that it has written; None also where it has not replaced the one read.
        """
        early = due is not None and due.at > self._clock.now() + SKEW
        if due is not None and (due.at == at or (early and (at is None or due.at < at))):
            # One that came before its time leaves the row to the look that is due, whose wake-up is under way: if each
            # sent one for the next, wake-ups would never become fewer; and an event may rely on the row.
            self.too_early(due)
            return None
        if at is None:
            if due is not None and not self._due.remove(due) and self._believed.get(key) == due.etag:
                # It was another one before this look began, so nobody need know of it. One that was changed meanwhile
                # has its wake-up, as below.
                self._wake_once_more(key, due.at)
            return None
        moved = self._move(due, key, at)
        if moved is not None:
            self.wake(key, at)
        else:
            # The row was changed meanwhile. It must not say later than `at`; and where it does not, whoever changed it
            # has sent the wake-up: a second one from here would double with every look.
            self.bring_forward(key, at)
            # If what this process remembered was wrong, it asks next time: processes that are wrong by turns, each
            # writing the row anew, would make each other look for ever.
            self._written.take(key)
        return moved

    def too_early(self, due: Due) -> None:
        """A look that came a moment before its time, by a clock that is ahead, has used up the wake-up for that time.

        Only a moment: a row that says much later was moved by another look, which has sent a wake-up for it.
        """
        if due.at - self._clock.now() <= SKEW:
            self.wake(due.key, due.at + SKEW)  # not too early again

    def _needs_message(self, at: datetime) -> bool:
        """A wait no longer than a sweep is ended by a message; a longer one by a sweep."""
        return at - self._clock.now() <= SWEEP_EVERY

    def bring_forward(self, key: str, at: datetime) -> None:
        """A look is due at `at` or earlier, whatever a look that is about to end has seen."""
        self.make_due(key, at)()

    def make_due(self, key: str, at: datetime) -> Callable[[], None]:
        """The same; its wake-up is sent by what this gives, for whoever has something to do first."""
        before, after = self._hasten(key, at)

        def wake() -> None:
            if before is None or before - after > SOON:
                self.wake(key, after)
            elif after <= self._clock.now():
                self._wake_once_more(key, after)

        return wake

    def _wake_once_more(self, key: str, due: datetime) -> None:
        """For a row that was due already: its wake-up may be used up by a look that has read before this.

        One for all who come in the next moment; the later the looks come, the longer that is.
        """
        now = self._clock.now()
        at = now + min(max(A_MOMENT, (now - due) / 2), LATER)
        if not self._will_be_looked_at(key, at):
            self.wake(key, at)

    def take_over(self, due: Due, until: datetime) -> Due | None:
        """The row of a look that is late, for this process alone until the time given; None: somebody else has it.

        The row is given with the time at which it was due. If the process dies, it is due again `until`, and has no
        wake-up: the next start finds it, or the next sweep.
        """
        late: Due | None = due
        while late is not None and late.at <= self._clock.now():
            taken = self._move(late, due.key, until)
            if taken is not None:
                return replace(taken, at=due.at)
            late = self._due.get(due.key)  # somebody who starts something has written it, or another look has it
        return None

    def _hasten(self, key: str, at: datetime) -> tuple[datetime | None, datetime]:
        """The row says `at` or earlier from now on; gives what it said before, and what it says now.

        It is always written: a look that found nothing to do must not delete it on what it read before. A row that this
        process knows nothing of is taken for one that is not there.
        """
        due = self._due.get(key) if key in self._written else None
        while True:
            before = due.at if due is not None else None
            after = at if before is None else min(before, at)
            if self._move(due, key, after) is not None:
                return before, after
            due = self._due.get(key)

    def _move(self, due: Due | None, key: str, at: datetime) -> Due | None:
        moved = self._due.move(due, key, at, waked=self._needs_message(at))
        if moved is not None:
            self._written.put(key, moved)
        return moved

    def _wake_now(self, key: str) -> None:
        """A look at `key` is due now, whatever was to come."""
        self.set_due(key, self._clock.now())
        self.wake(key)

    def sweep(self) -> int:
        """Wakes whatever is overdue, and whatever is due before the next sweep and has no wake-up under way.

        One that has gets no second: wake-ups that meet again and again would only ever become more. A poisoned
        wake-up becomes due again, because something may rely on it.
        """
        count, now = 0, self._clock.now()
        overdue, oldest = 0, now
        for due in self._due.due(now + SWEEP_EVERY):
            if due.at <= now or not due.waked:
                self.wake(due.key, due.at)
                count += 1
            if due.at <= now - SWEEP_EVERY:
                overdue, oldest = overdue + 1, min(oldest, due.at)
        if overdue:
            # A whole sweep has gone by: whoever should have looked did not, or the look did not come to its end.
            facts = {"looks": overdue, "seconds": int((now - oldest).total_seconds())}
            telemetry.record(logger, "looks_overdue", facts, logging.WARNING)
        poisoned = self._wake_ups.drain_poisoned(self._wake_now)
        if poisoned:
            telemetry.record(logger, "wake_ups_poisoned", {"keys": sorted(set(poisoned))[:20]}, logging.ERROR)
        return count + len(poisoned)


class Turns:
    """Of looks at a key that wake-ups ask for at the same time in this process, one is made, and then one for the rest.

    In a burst they would all read the same thousands of events, and lose the lane to each other. Who finds a look under
    way need not wait for the one that serves him: should the process die, the wake-up of whoever makes it comes again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: dict[str, bool] = {}  # keys that are looked at -> whether another look is to follow

    def take(self, key: str, look: Callable[[], object]) -> None:
        with self._lock:
            if key in self._wanted:
                self._wanted[key] = True
                return
            self._wanted[key] = True
        try:
            while self._begin(key):
                look()
        except BaseException:
            with self._lock:
                del self._wanted[key]
            raise

    def _begin(self, key: str) -> bool:
        with self._lock:
            wanted = self._wanted[key]
            if wanted:
                self._wanted[key] = False
            else:
                del self._wanted[key]
            return wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """Deliveries that wait for one look together, and how many."""

    future: Future[None] = field(default_factory=Future)
    count: int = 0


class InlineLooks:
    """Looks made while a delivery waits: single-flight per lane, a few at once, within seconds, never failing it."""

    def __init__(self, look: Callable[[str], object], seconds: float = INLINE_SECONDS) -> None:
        self._look = look
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(max_workers=INLINE_AT_ONCE, thread_name_prefix="inline-look")
        self._lock = threading.Lock()
        self._running: set[str] = set()
        self._next: dict[str, _Waiting] = {}  # looks that have not begun: a later insert may join

    def __call__(self, lane: str) -> bool:
        """True if a look that began after this call ended well; otherwise one has to be made sure of."""
        future = self._join(lane)
        if future is None:
            return False
        wait_for([future], timeout=self._seconds)
        return future.done() and future.exception() is None

    def waiting(self, lane: str) -> int:
        """How many deliveries wait for the lane's next look."""
        with self._lock:
            known = self._next.get(lane)
        return known.count if known is not None else 0

    def close(self) -> None:
        self._pool.shutdown()

    def _join(self, lane: str) -> Future[None] | None:
        with self._lock:
            if lane in self._running:
                # The look that runs may have read before this insert; the next one serves everyone who waits now.
                known = self._next.get(lane, _Waiting())
                self._next[lane] = replace(known, count=known.count + 1)
                return known.future
            if len(self._running) >= INLINE_AT_ONCE:
                return None
            self._running.add(lane)
        future: Future[None] = Future()
        self._submit(lane, future)
        return future

    def _submit(self, lane: str, future: Future[None]) -> None:
        try:
            # The worker finds the invocation a log line belongs to in the context.
            self._pool.submit(contextvars.copy_context().run, self._run, lane, future)
        except RuntimeError as error:  # the pool is shut down, or no thread can be started: nobody may wait for it
            with self._lock:
                self._running.discard(lane)
            future.set_exception(error)

    def _run(self, lane: str, future: Future[None]) -> None:
        try:
            self._look(lane)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in the look never fails the delivery
            telemetry.record(logger, "inline_look_failed", {"lane": lane, "error": repr(error)}, logging.WARNING)
            future.set_exception(error)
        else:
            future.set_result(None)
        with self._lock:
            waiting = self._next.pop(lane, None)
            if waiting is None:
                self._running.discard(lane)
                return
        self._submit(lane, waiting.future)
