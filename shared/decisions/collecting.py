"""When the events that wait in a lane are a batch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.events import FileLanded
from shared.lanes import Decision, PendingEvent, Skip, SkipReason, Start, Wait
from shared.rules import Collect, DriftDetectedTrigger, Rule


def decide(rule: Rule, pending: Sequence[PendingEvent], now: datetime) -> Decision:
    """What should happen to pending events that nothing else stands in the way of."""
    collect = rule.collect
    in_order = tuple(sorted(pending, key=lambda e: (e.accepted, e.id)))
    if isinstance(rule.trigger, DriftDetectedTrigger) and rule.trigger.within is not None:
        too_few = _too_few(rule.trigger.times, rule.trigger.within, in_order, now)
        if too_few is not None:
            return too_few
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


def _too_few(times: int, within: timedelta, events: tuple[PendingEvent, ...], now: datetime) -> Decision | None:
    """Breaches count by when they happened. None where so many of them lie close enough together."""
    happened = sorted(event.event.time for event in events)
    if any(last - first <= within for first, last in zip(happened, happened[times - 1 :], strict=False)):
        return None
    # Looked at no later than it came, one that came late still has its time.
    expired = tuple(event for event in events if max(event.event.time, event.accepted) + within <= now)
    if expired:
        return Skip(events=expired, reason=SkipReason.BELOW_TIMES)
    until = min(max(event.event.time, event.accepted) for event in events) + within
    return Wait(until=until, reason=f"{len(events)} of {times} breaches within {within}")


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
