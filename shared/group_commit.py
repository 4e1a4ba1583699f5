"""Group commit: what several threads want of one place at the same time is done once for all of them.

One who finds nobody at work begins at once, alone. Those who come meanwhile gather, and are served together when he has
ended: the first of them does it for as many as go together, then the next one leads. Nobody leads twice.

Where many come, the next leader waits for those who have just been served and are about to come again, as long as more
do: otherwise two halves would be served by turns for ever. PostgreSQL's commit_delay and commit_siblings are the model.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from shared.errors import StorageUnavailable

T = TypeVar("T")

SIBLINGS: Final = 4
"""Where so many wait for a leader, more may be about to come."""
A_STEP: Final = 0.001
PATIENCE_SECONDS: Final = 25.0
"""Nobody waits longer for others: Event Grid gives a delivery 30 s, and then brings it again."""


class _Lead:
    """It is this member's turn to lead."""


class _Alone:
    """What was tried together says nothing about this member, who is to try alone."""


_Told = bool | BaseException | _Lead | _Alone | None
Verdict = bool | None


@dataclass(slots=True, eq=False, kw_only=True)
class _Member(Generic[T]):
    """`twins` want the very same, and are told the same."""

    id: object
    item: T
    size: int
    twins: list[_Member[T]] = field(default_factory=list)
    told: _Told = None
    _bell: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._bell.acquire()  # an Event would do, and takes three times as long

    def tell(self, what: _Told) -> None:
        self.told = what
        with suppress(RuntimeError):  # it rings already
            self._bell.release()

    def hear(self, seconds: float) -> bool:
        """Whether it was told anything by then."""
        return self._bell.acquire(timeout=seconds)


@dataclass(slots=True)
class _Place(Generic[T]):
    """Exists as long as somebody is at work there. `known`: by id, all who wait or are being served."""

    busy: bool = False
    waiting: list[_Member[T]] = field(default_factory=list)
    known: dict[object, _Member[T]] = field(default_factory=dict)


class GroupCommit(Generic[T]):
    """Serves any number of threads, those of one place one after the other, or together.

    `alone` serves one: True if that changed something. `together` serves two or more, and says the same of each; None
    where it cannot say, and that member's own thread then tries alone. What either raises, everybody in it is told.
    """

    def __init__(
        self,
        *,
        alone: Callable[[str, T], bool],
        together: Callable[[str, Sequence[T]], Sequence[Verdict]],
        most: int,
        most_bytes: int | None = None,
        patience: float = PATIENCE_SECONDS,
        gather: float = 0,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        """`gather`: seconds that the leader of many waits at most, in steps of one `pause`, as long as more come."""
        self._alone = alone
        self._together = together
        self._most = most
        self._most_bytes = most_bytes
        self._patience = patience
        self._gather = gather
        self._pause = pause
        self._lock = threading.Lock()
        self._places: dict[str, _Place[T]] = {}

    def add(self, place: str, item: T, *, item_id: str | None = None, size: int = 0) -> bool:
        """Returns when the item has been served: True if that changed something.

        By a call that began after this one; where another with its id was on its way already, by that one's.

        Args:
            item_id: of several with the same id at the same time one is served, and the others are known by then.
            size: in bytes.

        Raises:
            StorageUnavailable: it may have been served or not.
        """
        me = _Member(id=item_id if item_id is not None else object(), item=item, size=size)
        told = me.told if self._begins(place, me) else self._wait(place, me)
        if isinstance(told, _Lead):
            told = self._lead(place, me)
        if isinstance(told, bool):
            return told
        if isinstance(told, _Alone):
            return self._alone(place, item)
        raise StorageUnavailable(str(told) if isinstance(told, StorageUnavailable) else repr(told)) from (
            told if isinstance(told, BaseException) else None
        )

    def waiting(self, place: str) -> int:
        """How many wait for others there."""
        with self._lock:
            found = self._places.get(place)
            members = [m for known in found.known.values() for m in (known, *known.twins)] if found is not None else []
            return sum(member.told is None for member in members)

    def _begins(self, place: str, me: _Member[T]) -> bool:
        """True if nobody is at work; otherwise this member is one of those who wait from now on."""
        with self._lock:
            found = self._places.setdefault(place, _Place())
            twin = found.known.get(me.id)
            if twin is not None:
                twin.twins.append(me)
                return False
            found.known[me.id] = me
            found.waiting.append(me)
            if found.busy:
                return False
            found.busy, me.told = True, _Lead()
            return True

    def _wait(self, place: str, me: _Member[T]) -> _Told:
        """What this member is told. One who waits no longer leaves, so that nobody counts on him to lead."""
        try:
            if not me.hear(self._patience):
                self._leave(place, me, StorageUnavailable(f"others were served first, for {self._patience:g} s"))
            elif isinstance(me.told, _Lead):
                self._let_join(place)
        except BaseException as error:
            self._leave(place, me, error)
            raise
        return me.told

    def _let_join(self, place: str) -> None:
        """Those who are about to come; until in a step nobody has."""
        found = self._places[place]  # as long as this leader has not led, it is there
        until, seen = time.monotonic() + self._gather, SIBLINGS - 1
        while seen < len(found.waiting) < self._most and time.monotonic() < until:
            seen = len(found.waiting)
            self._pause(A_STEP)

    def _leave(self, place: str, me: _Member[T], why: BaseException) -> None:
        with self._lock:
            if isinstance(me.told, bool):
                return  # it was served at this very moment
            found = self._places.get(place)
            if found is not None and me in found.waiting:
                found.waiting.remove(me)
                self._forget(found, [me])
                if isinstance(me.told, _Lead):  # his turn came at this very moment
                    self._hand_over(place, found)
            twins = list(me.twins)
        for leaving in (me, *twins):
            leaving.tell(why)

    def _lead(self, place: str, me: _Member[T]) -> _Told:
        """Serves the batch that this member is the first of; whatever becomes of it, everybody in it is told."""
        with self._lock:
            found = self._places[place]
            batch = self._batch(found.waiting)
            del found.waiting[: len(batch)]
        verdicts: Sequence[Verdict | BaseException] = ()
        try:
            verdicts = self._serve(place, [member.item for member in batch])
        except BaseException as error:
            verdicts = [error] * len(batch)
            raise
        finally:
            with self._lock:
                self._forget(found, batch)
                self._hand_over(place, found)
            for member, verdict in zip(batch, verdicts, strict=True):
                _tell(member, verdict)
        return me.told

    def _batch(self, waiting: Sequence[_Member[T]]) -> list[_Member[T]]:
        batch = list(waiting[: self._most])
        size = 0
        for count, member in enumerate(batch):
            size += member.size
            if self._most_bytes is not None and size > self._most_bytes and count:
                return batch[:count]
        return batch

    def _serve(self, place: str, items: Sequence[T]) -> Sequence[Verdict]:
        if len(items) == 1:
            return [self._alone(place, items[0])]
        verdicts = self._together(place, items)
        if len(verdicts) != len(items):
            raise ValueError(f"{len(verdicts)} verdicts on {len(items)} of {place}")
        return verdicts

    def _forget(self, found: _Place[T], members: Sequence[_Member[T]]) -> None:
        """With the lock held: nobody may join these any more."""
        for member in members:
            del found.known[member.id]

    def _hand_over(self, place: str, found: _Place[T]) -> None:
        """With the lock held: the next one leads, if anybody waits."""
        if found.waiting:
            found.waiting[0].tell(_Lead())
        else:
            del self._places[place]


def _tell(member: _Member[T], verdict: Verdict | BaseException) -> None:
    """To a twin what came of the first is known; what went wrong, or was left open, concerns him as well."""
    member.tell(_Alone() if verdict is None else verdict)
    for twin in member.twins:
        twin.tell(_Alone() if verdict is None else False if verdict is True else verdict)
