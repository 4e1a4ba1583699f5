"""When the events that wait in a lane are to be started."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.decisions import batches
from shared.lanes import Decision, PendingEvent, Skip, SkipReason, Start, Wait
from shared.rules import Collect, DriftDetectedTrigger, Rule, WhileRunning


def decide(rule: Rule, pending: Sequence[PendingEvent], now: datetime, free: datetime | None) -> Decision:
    """What should happen to pending events that nothing else stands in the way of.

    Args:
        free: since when the lane may start something; None: as long as it has existed.
    """
    in_order = tuple(sorted(pending, key=lambda e: (e.accepted, e.id)))
    if rule.limits.while_running is WhileRunning.QUEUE or rule.collect.until is not None:
        return _closed(rule, in_order, now, free)
    missing = _missing(rule, in_order, now)
    if missing is not None:
        return missing
    collect = rule.collect
    if collect.max_events is not None and len(in_order) >= collect.max_events:
        events = batches.at_most(rule, in_order, collect.max_events)
        return Start(events=events, reason=f"{collect.max_events} events")
    if collect.quiet is not None:
        first, last = in_order[0].accepted, in_order[-1].accepted
        closes = min(last + collect.quiet, first + (collect.max_wait or collect.quiet))
        if now < closes:
            return _collecting(collect, in_order, closes)
    return Start(events=in_order, reason=_why(collect, in_order))


def _closed(rule: Rule, in_order: tuple[PendingEvent, ...], now: datetime, free: datetime | None) -> Decision:
    """The first batch, once it is closed. Batches of a queue stay apart.

    Else those that have closed while the lane could not start anything go with it; not those that closed later, because
    nobody might have looked until then.
    """
    batch = batches.first(rule, in_order)
    if batch.closes is None:
        return _missing(rule, batch.events, now) or Wait(until=None, reason="something is missing")
    if now < batch.closes:
        return _collecting(rule.collect, batch.events, batch.closes)
    events, most = batch.events, rule.collect.max_events
    rest = _without(in_order, events)
    while rest and rule.limits.while_running is not WhileRunning.QUEUE:
        following = batches.first(rule, rest)
        if following.closes is None or following.closes > max(batch.closes, free or batch.closes):
            break
        if most is not None and len(events) + len(following.events) > most:
            break
        events, rest = (*events, *following.events), _without(rest, following.events)
    return Start(events=events, reason=_why(rule.collect, events, batch.closes))


def _without(in_order: tuple[PendingEvent, ...], taken: Sequence[PendingEvent]) -> tuple[PendingEvent, ...]:
    ids = {event.id for event in taken}
    return tuple(event for event in in_order if event.id not in ids)


def _collecting(collect: Collect, events: Sequence[PendingEvent], closes: datetime) -> Wait:
    since = f", quiet since {events[-1].accepted.isoformat()}" if collect.until is None else ""
    return Wait(until=closes, reason=f"collecting: {len(events)} event(s){since}")


def _missing(rule: Rule, in_order: tuple[PendingEvent, ...], now: datetime) -> Decision | None:
    """What to do while these events are too few, or not all that the rule wants. None where they are."""
    trigger = rule.trigger
    if isinstance(trigger, DriftDetectedTrigger) and trigger.within is not None:
        too_few = _too_few(trigger.times, trigger.within, in_order, now)
        if too_few is not None:
            return too_few
    names = batches.newest_by_name(rule, in_order) if rule.collect.all_of else {}
    missing = [name for name in rule.collect.all_of if name not in names]
    return _incomplete(rule.collect, in_order, missing, now) if missing else None


def _too_few(times: int, within: timedelta, events: tuple[PendingEvent, ...], now: datetime) -> Decision | None:
    """Breaches count by when they happened. None where so many of them lie close enough together.

    One that somebody has had replayed needs no other.
    """
    happened = sorted(event.event.time for event in events)
    if batches.close_together(happened, times, within) or any(event.replay is not None for event in events):
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


def _why(collect: Collect, events: Sequence[PendingEvent], closed: datetime | None = None) -> str:
    count = "1 event" if len(events) == 1 else f"{len(events)} events"
    if collect.until is not None and closed is not None:
        return f"{count}, gathered until {closed.isoformat()}"
    if collect.all_of:
        return f"{count}: all of {', '.join(collect.all_of)} are there"
    return f"{count}, quiet for {collect.quiet}" if collect.quiet is not None else count
