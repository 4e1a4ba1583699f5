"""Files that are expected: what has arrived, and what is overdue by when. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from shared.events import FileLanded, FileOverdue
from shared.lanes import MISSED_IN_A_ROW, Expect, Expected, Head, Lane, PendingEvent
from shared.rules import FileOverdueTrigger, Rule

SOURCE: Final = "relearn"


def arrivals(rule: Rule, lane: Lane) -> tuple[PendingEvent, ...]:
    """Pending events of files that were expected: nothing is done about them but to note that they are there."""
    if not isinstance(rule.trigger, FileOverdueTrigger):
        return ()
    return tuple(event for event in lane.pending if isinstance(event.event, FileLanded))


def arrived(rule: Rule, head: Head, events: Sequence[PendingEvent]) -> Expected:
    """What is expected after these files. The one that landed last counts, in whatever order they are told of."""
    last = max(events, key=lambda event: (event.event.time, event.id)).event
    known = head.expected
    if known is not None and known.last is not None and last.time <= known.last:
        return known
    match = rule.match(last)
    captures = match.captures if match is not None else {}
    named = rule.collect.by.placeholders if rule.collect.by is not None else ()
    return Expected(since=last.time, last=last.time, captures={name: captures[name] for name in named})


def due(rule: Rule | None, head: Head | None) -> datetime | None:
    """When the next file of a lane is overdue; None where none is waited for."""
    if rule is None or not isinstance(rule.trigger, FileOverdueTrigger) or head is None or head.expected is None:
        return None
    expected = head.expected
    if rule.collect.by is not None and expected.missed >= MISSED_IN_A_ROW:
        return None
    if not _grouped(rule, head.key, expected):
        return None
    return expected.since + (expected.missed + 1) * rule.trigger.every


def _grouped(rule: Rule, key: str, expected: Expected) -> bool:
    """Whether the rule still groups files so: a lane of what it was before expects nothing any more."""
    by = rule.collect.by
    if by is None:
        return key == ""
    return expected.captures.keys() >= set(by.placeholders) and by.render(expected.captures) == key


def decide(rule: Rule, lane: Lane, now: datetime) -> Expect | None:
    """What is to be noted in a lane in which no arrivals wait; None where nothing is."""
    trigger = rule.trigger
    if not isinstance(trigger, FileOverdueTrigger):
        return None
    expected = lane.head.expected if lane.head is not None else None
    if expected is None:
        if rule.collect.by is not None:  # nobody knows of the key before its first file
            return None
        return Expect(expected=Expected(since=now), event=None, reason=f"a file is expected within {trigger.every}")
    at = due(rule, lane.head)
    if at is None or now < at:
        return None
    event = FileOverdue(
        source=SOURCE,
        event_id=f"overdue-{lane.id}-{at.isoformat()}",
        subject=trigger.path.text,
        time=at,
        pattern=trigger.path.text,
        captures=expected.captures,
        due=at,
        last=expected.last,
    )
    why = f"no file has landed since {expected.since.isoformat()}"
    return Expect(expected=replace(expected, missed=expected.missed + 1), event=event, reason=why)
