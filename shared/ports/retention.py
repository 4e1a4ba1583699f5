"""What the removal of old rows needs of the ledger: its rows in their order, and how far it has come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class RowKind(StrEnum):
    """Kinds of rows that are removed when they are old. In a lane they come in this order."""

    IDENTITY = "identity"
    HEAD = "head"
    REACTION = "reaction"
    HISTORY = "history"


@dataclass(frozen=True, slots=True, kw_only=True)
class OldRow:
    """A row that may be old enough.

    Attributes:
        at: of an identity, when the event was taken or skipped, or its own time if that is later; of a reaction, its
            end; of a line of a history, its time; of a head, when the lane's latest reaction ended (None: had none).
        number: of the reaction that it is, or belongs to (0 for a skipped event); of a head that of the lane's latest.
        rule: of a head; empty for others.
        in_use: a reaction that is not final; a head that a reaction needs; whatever this version does not understand.
        manifest: of a reaction: whether it has one.
        superseded: of a reaction: another one may have taken its events over.
        expects: of a head: a file is waited for there, if its rule still says so.
    """

    lane: str
    key: str
    kind: RowKind
    at: datetime | None
    number: int = 0
    rule: str = ""
    in_use: bool = False
    manifest: bool = False
    superseded: bool = False
    expects: bool = False
    etag: str | None = field(default=None, compare=False)

    @property
    def event_id(self) -> str:
        """Of an identity."""
        return self.key[2:]


@dataclass(frozen=True, slots=True, kw_only=True)
class OldRows:
    """A page of them. `place` is where the next one begins; None: there is none."""

    rows: Sequence[OldRow]
    place: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """How far the removal of old rows has come: passes over all lanes, one after the other.

    Attributes:
        began: when the present pass began, or the last one.
        cutoff: what ended before is removed by that pass. Events of before may be unknown by now.
        place: where the pass goes on; None between two passes.
        numbers: a lane that is new gives its first reaction a higher number. No removed lane had gone beyond it, so
            the id of a reaction never comes again.
        settled: what `numbers` was when the pass began: by now every process goes by it.
    """

    began: datetime | None = None
    cutoff: datetime | None = None
    place: str | None = None
    numbers: int = 0
    settled: int = 0
    etag: str | None = field(default=None, compare=False)


class Archive(Protocol):
    """The lanes as rows that grow old. Every method raises StorageUnavailable where storage fails."""

    def removal(self) -> Removal: ...

    def save(self, removal: Removal) -> Removal | None:
        """Saves how far it has come; None if somebody else saved first."""

    def page(self, cutoff: datetime, place: str | None, size: int) -> OldRows:
        """Rows that may be removed: those from before the cutoff, and every head. By lane, then by kind.

        Args:
            place: where the page before ended; None: from the beginning.
            size: of the page at most. It may be smaller, and even empty, with more to come.
        """

    def pending(self, lane: str, event_ids: Sequence[str]) -> frozenset[str]:
        """Those of the events that are pending: late deliveries of events that were taken before."""

    def reactions(self, lane: str, numbers: Iterable[int]) -> list[OldRow]:
        """Those reactions of the lane that are there, however old."""

    def in_use(self, lane: str) -> bool:
        """Whether the lane's head is needed by a reaction that goes on, or is to come."""

    def nothing_left(self, lane: str) -> bool:
        """Whether the lane has no row but its head."""

    def remove(self, lane: str, rows: Sequence[OldRow]) -> list[OldRow]:
        """Removes rows that have not changed since they were read; gives those. Others stay for another pass."""
