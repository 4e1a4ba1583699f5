"""Which of a lane's events make one batch: told by when they were accepted, and by nothing else.

So it does not matter when somebody looks, or who. It is what keeps the batches of a queue apart, and those that a time
of the day closes.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.events import FileLanded
from shared.lanes import PendingEvent
from shared.rules import Collect, DriftDetectedTrigger, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The oldest events. `closes`: when no other joins them any more; None while something is missing."""

    events: tuple[PendingEvent, ...]
    closes: datetime | None


def first(rule: Rule, in_order: Sequence[PendingEvent]) -> Batch:
    """The batch that the oldest of these events is in."""
    collect, opened = rule.collect, in_order[0].accepted
    needs = _Needs(rule)
    taken: list[PendingEvent] = []
    complete: datetime | None = None
    ends = opened + collect.give_up_after if collect.give_up_after is not None else None
    for event in in_order:
        if ends is not None and event.accepted >= ends:
            break
        taken.append(event)
        if complete is None and needs.met_with(event):
            complete = event.accepted
        if complete is None:
            continue
        if collect.max_events is not None and len(taken) >= collect.max_events:
            return Batch(events=at_most(rule, tuple(taken), collect.max_events), closes=event.accepted)
        ends = _closes(collect, opened, event.accepted, complete)
    return Batch(events=tuple(taken), closes=ends if complete is not None else None)


def _closes(collect: Collect, opened: datetime, last: datetime, complete: datetime) -> datetime:
    """When a batch closes, as far as its events so far tell. It has all that it needs since `complete`."""
    if collect.until is not None:
        return collect.until.next_after(complete)
    if collect.quiet is not None:
        return max(complete, min(last + collect.quiet, opened + (collect.max_wait or collect.quiet)))
    return complete


class _Needs:
    """What a batch must have before it may close: every file of `all-of`, so many breaches within a time."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._missing = set(rule.collect.all_of)
        self._happened: list[datetime] = []

    def met_with(self, event: PendingEvent) -> bool:
        """Whether it has all with this event, which is later than those asked about before."""
        self._missing.discard(self._rule.relative_name(event.event))
        trigger = self._rule.trigger
        if not isinstance(trigger, DriftDetectedTrigger) or trigger.within is None or event.replay is not None:
            return not self._missing
        insort(self._happened, event.event.time)
        return close_together(self._happened, trigger.times, trigger.within)


def close_together(happened: Sequence[datetime], times: int, within: timedelta) -> bool:
    """Whether so many of these times, the earliest first, lie within such a time."""
    return any(last - first <= within for first, last in zip(happened, happened[times - 1 :], strict=False))


def newest_by_name(rule: Rule, events: Sequence[PendingEvent]) -> dict[str, PendingEvent]:
    """The newest event per name relative to the rule's folder; later accepted is newer."""
    return {rule.relative_name(e.event): e for e in events if isinstance(e.event, FileLanded)}


def at_most(rule: Rule, in_order: tuple[PendingEvent, ...], limit: int) -> tuple[PendingEvent, ...]:
    """The oldest events, but never without the files that make the batch complete.

    Those come first: they are then in the transaction that opens a claim, whoever moves the rest.
    """
    names = newest_by_name(rule, in_order)
    needed = [names[name] for name in rule.collect.all_of]
    others = [e for e in in_order if e not in needed]
    return (*needed, *others[: limit - len(needed)])
