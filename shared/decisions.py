"""The pure decision of what should happen to a lane's pending events now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from shared.events import FileLanded
from shared.lanes import Decision, Head, Lane, PendingEvent, Skip, SkipReason, Start, Wait
from shared.rollouts import candidates
from shared.rollouts.candidates import Standing
from shared.rules import Collect, DeployModel, DriftDetectedTrigger, Revision, Rule, WhileRunning

IDENTITY_RETENTION: Final = timedelta(days=30)
OLDER_RULES_WAIT: Final = timedelta(minutes=1)


def decide(
    rule: Rule | None, lane: Lane, revision: Revision, now: datetime, standing: Standing | None = None
) -> Decision:
    """What should happen to the lane's pending events. Pure: the same arguments give the same decision.

    Args:
        rule: the lane's rule as this worker knows it; None if this worker's rules have no such rule.
        revision: of the rules this worker has loaded.
        standing: for a rule that deploys models, what the workspace says; None where it could not be asked.
    """
    head = lane.head
    if any(revision.older_than(known) for known in _revisions(lane)):
        return Wait(until=now + OLDER_RULES_WAIT, reason="this worker's rules are older than the lane's")
    skip = _skip(rule, lane)
    if skip is not None:
        return skip
    if not lane.pending or rule is None:
        return Wait(until=None, reason="no pending events")
    if isinstance(rule.action, DeployModel):
        return _deploy(rule, rule.action, lane, standing, now)
    return _busy(rule, head, now) or _collect(rule, lane.pending, now)


def _busy(rule: Rule, head: Head | None, now: datetime) -> Wait | None:
    if head is not None and head.running is not None:
        return Wait(until=None, reason=f"reaction {head.running} of this lane is running")
    if head is not None and head.ended is not None and now < head.ended + rule.limits.cooldown:
        return Wait(until=head.ended + rule.limits.cooldown, reason=f"cooldown of {rule.limits.cooldown}")
    return None


def _deploy(rule: Rule, action: DeployModel, lane: Lane, standing: Standing | None, now: datetime) -> Decision:
    busy = _busy(rule, lane.head, now)
    if standing is None:
        return busy or Wait(
            until=now + candidates.ASK_AGAIN, reason="the workspace could not be asked about the models"
        )
    decision = candidates.judged(lane.pending, standing, action, now)
    # Only a start has to wait: what never will be deployed is skipped at once, and a rollout that goes on may give way.
    return busy if busy is not None and isinstance(decision, Start) else decision


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
