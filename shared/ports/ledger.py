"""The ledger and what makes it quick: lanes, what is due, wake-ups, permits, lists; and the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from shared.controls import ControlState, Pause, WaitingLane
from shared.events import Refused
from shared.lanes import Head, Lane, PendingEvent, SkipReason, TakenEvent
from shared.notifications import Notification
from shared.reactions import HistoryEntry, Reaction


class Clock(Protocol):
    def now(self) -> datetime:
        """The present time, in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneChange:
    """One transaction on a lane: all of it is saved, or none.

    Attributes:
        head: to be saved. Its etag must still be the ledger's; without one it must not exist yet.
        take: events to be moved from pending to taken, at most `capacity()` of them.
        taken_by: the reaction (its number) that takes them; None if they are skipped for `skipped`.
        reaction: to be saved, by the same rule as the head.
        history: lines to be added for `reaction`.
        tell: notifications that stay in the lane's outbox until they are published.
    """

    head: Head | None = None
    take: Sequence[PendingEvent] = ()
    taken_by: int | None = None
    skipped: SkipReason | None = None
    at: datetime | None = None
    reaction: Reaction | None = None
    history: Sequence[HistoryEntry] = ()
    tell: Sequence[Notification] = ()

    def capacity(self) -> int:
        """How many events still fit: a transaction has 100 operations, and moving an event takes two."""
        others = (self.head is not None) + (self.reaction is not None) + len(self.history) + len(self.tell)
        return (100 - others) // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What was saved, with its new etags."""

    head: Head | None
    reaction: Reaction | None


class Lanes(Protocol):
    """Lanes, their events and reactions. Every method raises StorageUnavailable where storage fails."""

    def add_event(self, lane: str, event: PendingEvent) -> bool:
        """Inserts a pending event; False if it is pending already. (One taken before is found out when it is taken.)"""

    def read(self, lane: str) -> Lane: ...

    def taken(self, lane: str, event_ids: Iterable[str]) -> frozenset[str]:
        """Those of the events that a reaction took, or that were skipped, before."""

    def drop_pending(self, lane: str, event_ids: Iterable[str]) -> None:
        """Removes pending events that are late deliveries of taken ones."""

    def commit(self, lane: str, change: LaneChange) -> Saved:
        """Carries out the change in one transaction.

        Raises:
            Stale: the head or the reaction was changed by somebody else; nothing was saved.
            AlreadyTaken: some events had been taken before; nothing was saved.
        """

    def reaction(self, reaction_id: str) -> Reaction | None: ...

    def history(self, reaction_id: str) -> list[HistoryEntry]:
        """The reaction's history, oldest first."""

    def add_history(self, reaction_id: str, entry: HistoryEntry, tell: Sequence[Notification] = ()) -> None:
        """Adds a line that changes no state (something noticed after the end, for instance), and what it is told with.

        A line with a key of its own is added once, however often this is called.
        """

    def told(self, lane: str, notification_ids: Iterable[str]) -> None:
        """Takes published notifications out of the lane's outbox."""

    def events_of(self, reaction_id: str) -> list[TakenEvent]:
        """The events the reaction took, in the order they were accepted."""

    def find_event(self, lane: str, event_id: str) -> PendingEvent | TakenEvent | None:
        """One event of the lane, pending or what became of it; None if it never came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Something that must be looked at from `at` on. `waked`: a wake-up for that time was sent along with the row."""

    key: str
    at: datetime
    waked: bool = False
    etag: str | None = field(default=None, compare=False)


class DueTable(Protocol):
    """What must be looked at, and when: the truth behind every wake-up."""

    def get(self, key: str) -> Due | None: ...

    def set(self, key: str, at: datetime, *, waked: bool = False) -> Due:
        """Whatever the row says now, the key is due at `at`."""

    def move(self, due: Due | None, key: str, at: datetime, *, waked: bool = False) -> Due | None:
        """Replaces the row read as `due` (None: there was none) by one for `at`, and gives that.

        None if the row was changed in between: whoever changed it wants an earlier or another look, and gets it.
        """

    def remove(self, due: Due) -> bool:
        """Removes the row read as `due`; False if it was changed in between."""

    def due(self, before: datetime) -> Iterable[Due]:
        """All rows due before a time, earliest first within a page."""


class WakeUps(Protocol):
    def send(self, key: str, delay_seconds: float = 0.0) -> None:
        """Sends a wake-up that becomes visible after the delay. It carries the key only, never truth."""

    def drain_poisoned(self, revive: Callable[[str], None]) -> list[str]:
        """Removes the wake-ups that failed too often, each after its key has been revived; gives the keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoisonedEvent:
    """A message that brought events and that the host gave up. `receipt` shows that it is ours to remove."""

    id: str
    text: str
    expires: datetime | None
    receipt: str = field(repr=False)


class PoisonedEvents(Protocol):
    """What came over the event queue and failed too often."""

    def receive(self) -> PoisonedEvent | None:
        """The next one. Nobody gets it again for some minutes; then it comes again, unless it has been removed."""

    def remove(self, event: PoisonedEvent) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """One unit of a resource, held by a reaction since its start was intended.

    Attributes:
        until: when its run may have taken too long; None where an earlier release has written the permit.
    """

    reaction_id: str
    since: datetime
    attempt: int = 1
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """A reaction's place in a resource's queue.

    Attributes:
        name: the reaction's id.
        seen: when it last looked. One that is unseen for long counts no more.
    """

    name: str
    priority: int
    since: datetime
    seen: datetime = field(compare=False)

    @property
    def order(self) -> tuple[int, datetime, str]:
        return self.priority, self.since, self.name

    @property
    def lane(self) -> str:
        return self.name.partition("-")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource's head, its permits and who waits for it.

    Attributes:
        waiters: in order; the first 1,000.
        cursor: up to when the runs of a factory have been followed.
        full_at: when the token bucket of its rate will be full again; None: it is full.
        next_attempt: until then nobody calls a target to start anything.
        failures: how often in a row it was too busy.
        free: that a permit may be held without a look (`Permits.hold`).
    """

    name: str
    permits: tuple[Permit, ...] = ()
    waiters: tuple[Waiter, ...] = ()
    cursor: datetime | None = None
    full_at: datetime | None = None
    next_attempt: datetime | None = None
    failures: int = 0
    free: bool = field(default=False, compare=False)
    etag: str | None = field(default=None, compare=False)


class Permits(Protocol):
    """Resources by name. Every method raises StorageUnavailable where storage fails."""

    def read(self, resource: str) -> Resource: ...

    def hold(self, resource: str, permit: Permit) -> bool:
        """Holds a permit of a resource that has no limit, in one call.

        Idempotent: a reaction holds one permit of a resource, however often it asks. False where the resource has to be
        looked at first, because it may be a target that was too busy.
        """

    def grant(self, resource: Resource, permit: Permit | None, waiter: Waiter | None = None) -> bool:
        """Saves the resource's head, holds the permit and takes the waiter out of the queue, or does none of it.

        False if the head is not as it was read: somebody else was granted something, and it has to be decided anew.
        """

    def release(self, resource: str, reaction_id: str) -> None:
        """Idempotent."""

    def take_back(self, resource: str, permit: Permit) -> bool:
        """Releases a permit that has just been granted, as it was granted.

        False if it is not as it was: somebody else goes on with the same reaction, and relies on it.
        """

    def wait(self, resource: str, waiter: Waiter) -> None:
        """Queues, or says that it still waits. Idempotent."""

    def leave(self, resource: str, waiter: Waiter) -> None:
        """Idempotent."""

    def waiting(self, resource: str, at_once: int = 1000) -> Iterable[Waiter]:
        """All who wait, in order; read `at_once` by one call."""

    def save_head(self, resource: Resource) -> bool:
        """Saves what is in the head; False if somebody else saved first."""


class Controls(Protocol):
    """What people have stopped. Every method raises StorageUnavailable where storage fails."""

    def read(self) -> ControlState: ...

    def pause(self, rule: str | None, pause: Pause) -> None:
        """Stops a rule; None: every start. What is stopped already stays as it was stopped first."""

    def resume(self, rule: str | None) -> Pause | None:
        """Lets it go on; gives what had stopped it. Idempotent."""

    def wait(self, rule: str, lane: str) -> None:
        """Notes that a lane would start something, and may not. Idempotent.

        Whoever notes it reads once more afterwards: what had stopped the rule may be over since the first time.
        """

    def waiting(self, limit: int) -> Sequence[WaitingLane]:
        """Lanes that were noted and whose rules may start something again, so many at most."""

    def woken(self, lanes: Sequence[WaitingLane]) -> None:
        """They wait no longer, as far as nobody has noted them once more since they were read. Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedEvent:
    """One of the last refused or unmatched events."""

    at: datetime
    reason: str
    detail: str
    event_id: str | None
    subject: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What somebody had done. `answer`: what was answered, as JSON; `key`: of the request and what it did."""

    key: str
    at: datetime
    by: str
    what: str
    reason: str
    answer: str


class Recent(Protocol):
    """Lists for people: recent reactions, what was refused, who had what done. Never read to decide about events."""

    def put(self, reaction: Reaction) -> None: ...

    def reactions(self, day: datetime) -> list[str]:
        """The ids of the reactions created on that UTC day, newest first."""

    def forget(self, before: datetime, at_most: int) -> int:
        """Removes the lists and the counts of days that were over by then; gives how many rows it removed.

        So many that there may be more where it gives `at_most`.
        """

    def count_refused(self, refused: Refused, at: datetime) -> None:
        """Counts a refused or unmatched event by its reason, and keeps it among the last 1,000."""

    def keep_act(self, act: Act) -> None:
        """Idempotent."""

    def act(self, key: str, day: datetime) -> Act | None:
        """The act of that key, if it was on that UTC day."""

    def acts(self, day: datetime) -> list[Act]:
        """Those of that UTC day, newest first."""

    def refused(self) -> tuple[dict[str, int], list[RefusedEvent]]:
        """Counts per reason, and the last refused events, newest first."""
