"""A lane: its head, its pending events, and the pure decision of what should happen to them now."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from shared.events import Event, FileLanded
from shared.rules import Collect, Revision, Rule, WhileRunning

IDENTITY_RETENTION: Final = timedelta(days=30)
OLDER_RULES_WAIT: Final = timedelta(minutes=1)


class SkipReason(StrEnum):
    RULE_REMOVED = "rule-removed"
    RULE_CHANGED = "rule-changed"
    TOO_OLD = "too-old"
    WHILE_RUNNING = "while-running"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A batch of more events than one transaction holds is being moved into reaction `seq`; anyone may go on.

    `room` is how many more events it may take; None is no limit.
    """

    seq: int
    room: int | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenEvent:
    """An event and what became of it: taken by a reaction, or skipped with the reason."""

    pending: PendingEvent
    at: datetime
    reaction: int | None = None
    skipped: SkipReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What one read of a lane gives. `head` is None until the lane's first step is saved."""

    id: str
    head: Head | None
    pending: tuple[PendingEvent, ...]


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


Decision = Start | Skip | Wait


def lane_id(rule: str, key: str) -> str:
    """The partition of a rule and a key: 24 hexadecimal digits. Originals are kept in the rows."""
    return hashlib.sha256(f"{rule}\0{key}".encode()).hexdigest()[:24]


def is_lane_id(text: str) -> bool:
    """Whether a text that came from outside may be used as a lane's partition."""
    return len(text) == 24 and set(text) <= set("0123456789abcdef")


def decide(rule: Rule | None, lane: Lane, revision: Revision, now: datetime) -> Decision:
    """What should happen to the lane's pending events. Pure: the same arguments give the same decision.

    Args:
        rule: the lane's rule as this worker knows it; None if this worker's rules have no such rule.
        revision: of the rules this worker has loaded.
    """
    head = lane.head
    if any(revision.older_than(known) for known in _revisions(lane)):
        return Wait(until=now + OLDER_RULES_WAIT, reason="this worker's rules are older than the lane's")
    skip = _skip(rule, lane)
    if skip is not None:
        return skip
    if head is not None and head.running is not None:
        return Wait(until=None, reason=f"reaction {head.running} of this lane is running")
    if not lane.pending or rule is None:
        return Wait(until=None, reason="no pending events")
    if head is not None and head.ended is not None and now < head.ended + rule.limits.cooldown:
        return Wait(until=head.ended + rule.limits.cooldown, reason=f"cooldown of {rule.limits.cooldown}")
    return _collect(rule, lane.pending, now)


def _revisions(lane: Lane) -> set[Revision]:
    return {e.revision for e in lane.pending} | ({lane.head.revision} if lane.head is not None else set())


def _skip(rule: Rule | None, lane: Lane) -> Skip | None:
    if not lane.pending:
        return None
    if rule is None:
        return Skip(events=lane.pending, reason=SkipReason.RULE_REMOVED)
    judged = (
        (SkipReason.TOO_OLD, tuple(e for e in lane.pending if e.event.time < e.accepted - IDENTITY_RETENTION)),
        (SkipReason.RULE_CHANGED, tuple(e for e in lane.pending if not _still_matches(rule, e))),
        (SkipReason.WHILE_RUNNING, tuple(e for e in lane.pending if _came_while_running(rule, lane.head, e))),
    )
    return next((Skip(events=events, reason=reason) for reason, events in judged if events), None)


def _still_matches(rule: Rule, event: PendingEvent) -> bool:
    match = rule.match(event.event)
    return match is not None and match.key == event.key


def _came_while_running(rule: Rule, head: Head | None, event: PendingEvent) -> bool:
    # Judged by when the event was accepted, not by when somebody looked.
    if rule.limits.while_running is not WhileRunning.SKIP or head is None or head.claimed is None:
        return False
    return event.accepted >= head.claimed and (head.ended is None or event.accepted < head.ended)


def _collect(rule: Rule, pending: Sequence[PendingEvent], now: datetime) -> Decision:
    collect = rule.collect
    in_order = tuple(sorted(pending, key=lambda e: (e.accepted, e.id)))
    first, last = in_order[0].accepted, in_order[-1].accepted
    missing = [name for name in collect.all_of if name not in _names(rule, in_order)]
    if missing:
        return _incomplete(collect, in_order, missing, now)
    if collect.max_events is not None and len(in_order) >= collect.max_events:
        return Start(events=_at_most(rule, in_order, collect.max_events), reason=f"{collect.max_events} events")
    if collect.quiet is not None:
        closes = min(last + collect.quiet, first + (collect.max_wait or collect.quiet))
        if now < closes:
            return Wait(until=closes, reason=f"collecting: {len(in_order)} event(s), quiet since {last.isoformat()}")
    return Start(events=in_order, reason=_why(collect, in_order))


def _incomplete(collect: Collect, events: tuple[PendingEvent, ...], missing: Sequence[str], now: datetime) -> Decision:
    waits_for = "waiting for " + ", ".join(missing)
    if collect.give_up_after is None:
        return Wait(until=None, reason=waits_for)
    until = events[0].accepted + collect.give_up_after
    return Wait(until=until, reason=waits_for) if now < until else Skip(events=events, reason=SkipReason.INCOMPLETE)


def _names(rule: Rule, events: Sequence[PendingEvent]) -> dict[str, PendingEvent]:
    """The newest event per name relative to the rule's folder; later accepted is newer."""
    return {rule.relative_name(e.event): e for e in events if isinstance(e.event, FileLanded)}


def _at_most(rule: Rule, in_order: tuple[PendingEvent, ...], limit: int) -> tuple[PendingEvent, ...]:
    """The oldest events, but never without the files that make the batch complete.

    Those come first: they are then in the transaction that opens a claim, whoever moves the rest.
    """
    names = _names(rule, in_order)
    needed = [names[name] for name in rule.collect.all_of]
    others = [e for e in in_order if e not in needed]
    return (*needed, *others[: limit - len(needed)])


def _why(collect: Collect, events: Sequence[PendingEvent]) -> str:
    count = "1 event" if len(events) == 1 else f"{len(events)} events"
    if collect.all_of:
        return f"{count}: all of {', '.join(collect.all_of)} are there"
    return f"{count}, quiet for {collect.quiet}" if collect.quiet is not None else count
