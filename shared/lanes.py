"""A lane: its head, its pending events, what became of earlier ones, and what may be decided about them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from shared.events import Event, FileOverdue
from shared.notifications import Notification
from shared.rules import Revision


class SkipReason(StrEnum):
    RULE_REMOVED = "rule-removed"
    RULE_CHANGED = "rule-changed"
    TOO_OLD = "too-old"
    WHILE_RUNNING = "while-running"
    COOLDOWN = "cooldown"
    ARRIVED = "arrived"
    INCOMPLETE = "incomplete"
    BELOW_TIMES = "below-times"
    ALREADY_LIVE = "already-live"
    OLDER_THAN_LIVE = "older-than-live"
    MODEL_GONE = "model-gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A batch of more events than one transaction holds is being moved into reaction `seq`; anyone may go on.

    Attributes:
        room: how many more events it may take; None is no limit.
        until: none of those accepted later; None (of an earlier release): than when it was claimed.
    """

    seq: int
    room: int | None = None
    until: datetime | None = None


MISSED_IN_A_ROW: Final = 3
"""So many events of one key without a file between, and then silence until one lands: a key may never come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A file that is waited for, by a rule that tells when one is overdue.

    Attributes:
        since: from when the time counts: the last file, or the moment the rule was first seen.
        last: when the last file landed; None where none has.
        missed: how often in a row it was overdue since then.
        captures: what of the last file's path the lane is grouped by.
    """

    since: datetime
    last: datetime | None = None
    missed: int = 0
    captures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The one contended row of a lane. Intake never touches it."""

    rule: str
    key: str
    revision: Revision
    seq: int = 0
    running: int | None = None
    claim: Claim | None = None
    claimed: datetime | None = None
    """When the latest reaction took its batch."""
    ended: datetime | None = None
    """When the latest reaction reached its final state; None while it runs."""
    inherits: int | None = None
    """The superseded reaction whose events the next one has as well."""
    expected: Expected | None = None
    etag: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingEvent:
    """An accepted event that no reaction has taken yet."""

    id: str
    rule: str
    key: str
    event: Event
    accepted: datetime
    revision: Revision
    """Of the rules by which it was accepted: a worker with older ones cannot judge it."""
    replay: str | None = None
    """Who had it brought in once more, and why: then it is acted on whatever its age."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenEvent:
    """An event and what became of it: taken by a reaction, or skipped with the reason."""

    pending: PendingEvent
    at: datetime
    reaction: int | None = None
    skipped: SkipReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What one read of a lane gives. `head` is None until the lane's first step is saved.

    `outbox`: notifications that were saved with a step and are still to be published.
    """

    id: str
    head: Head | None
    pending: tuple[PendingEvent, ...]
    outbox: tuple[Notification, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Take these events into a new reaction, now."""

    events: tuple[PendingEvent, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """These events will not be acted on."""

    events: tuple[PendingEvent, ...]
    reason: SkipReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do before `until`; None: until something else (the running reaction, a new event) causes a look."""

    until: datetime | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """The running reaction is to give way to these events, which then wait for its end."""

    events: tuple[PendingEvent, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """Note what file is expected from now on, and put the event into the lane that one is overdue, if it is."""

    expected: Expected
    event: FileOverdue | None
    reason: str


Decision = Start | Skip | Wait | Replace | Expect


def lane_id(rule: str, key: str) -> str:
    """The partition of a rule and a key: 24 hexadecimal digits. Originals are kept in the rows."""
    return hashlib.sha256(f"{rule}\0{key}".encode()).hexdigest()[:24]


def is_lane_id(text: str) -> bool:
    """Whether a text that came from outside may be used as a lane's partition."""
    return len(text) == 24 and set(text) <= set("0123456789abcdef")
