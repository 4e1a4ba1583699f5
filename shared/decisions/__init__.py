"""The pure decision of what should happen to a lane's pending events now."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from shared.decisions import collecting, overdue
from shared.lanes import Decision, Head, Lane, PendingEvent, Replace, Skip, SkipReason, Start, Wait
from shared.memory import DEFAULT_MEMORY, Memory
from shared.rollouts import candidates
from shared.rollouts.candidates import Standing
from shared.rules import DeployModel, DuringCooldown, Revision, Rule, WhileRunning

OLDER_RULES_WAIT: Final = timedelta(minutes=1)


def decide(
    rule: Rule | None,
    lane: Lane,
    revision: Revision,
    now: datetime,
    standing: Standing | None = None,
    *,
    memory: Memory = DEFAULT_MEMORY,
) -> Decision:
    """What should happen to the lane's pending events. Pure: the same arguments give the same decision.

    Args:
        rule: the lane's rule as this worker knows it; None if this worker's rules have no such rule.
        revision: of the rules this worker has loaded.
        standing: for a rule that deploys models, what the workspace says; None where it could not be asked.
        memory: how far back events are known.
    """
    if any(revision.older_than(known) for known in _revisions(lane)):
        return Wait(until=now + OLDER_RULES_WAIT, reason="this worker's rules are older than the lane's")
    skip = _skip(rule, lane, memory)
    if skip is not None:
        return skip
    if rule is None:
        return Wait(until=None, reason="no pending events")
    return overdue.decide(rule, lane, now) or _act(rule, lane, standing, now)


def _act(rule: Rule, lane: Lane, standing: Standing | None, now: datetime) -> Decision:
    deploys = rule.action if isinstance(rule.action, DeployModel) else None
    if not lane.pending and (deploys is not None or not _inherits(lane)):
        return Wait(until=None, reason="no pending events")
    if deploys is not None:
        return _deploy(rule, deploys, lane, standing, now)
    if _may_replace(rule, lane):
        return _replacing(collecting.decide(rule, lane.pending, now, None))
    return _busy(rule, lane, now) or _next(rule, lane, now)


def _next(rule: Rule, lane: Lane, now: datetime) -> Decision:
    if lane.pending:
        return collecting.decide(rule, lane.pending, now, _rested(rule, lane.head))
    # Those that were to take the place of others are gone: a changed rule skipped them, or they expired.
    return Start(events=(), reason="the events of a reaction that gave way")


def _inherits(lane: Lane) -> bool:
    return lane.head is not None and lane.head.inherits is not None


def _may_replace(rule: Rule, lane: Lane) -> bool:
    running = lane.head is not None and lane.head.running is not None
    return running and bool(lane.pending) and rule.limits.while_running is WhileRunning.REPLACE


def _replacing(decision: Decision) -> Decision:
    """The decision as it is while a reaction runs: what would be started takes its place."""
    if not isinstance(decision, Start):
        return decision
    return Replace(events=decision.events, reason=f"replaced: {decision.reason}")


def _busy(rule: Rule, lane: Lane, now: datetime) -> Wait | None:
    head = lane.head
    if head is not None and head.running is not None:
        return Wait(until=None, reason=f"reaction {head.running} of this lane is running")
    if any(e.replay is not None for e in lane.pending) or _inherits(lane):
        return None  # somebody wants it now, and has said why; or it takes the place of what ran
    rested = _rested(rule, head)
    return (
        Wait(until=rested, reason=f"cooldown of {rule.limits.cooldown}")
        if rested is not None and now < rested
        else None
    )


def _rested(rule: Rule, head: Head | None) -> datetime | None:
    """From when on the lane may start something again; None where it has started nothing yet, or may not."""
    return head.ended + rule.limits.cooldown if head is not None and head.ended is not None else None


def _deploy(rule: Rule, action: DeployModel, lane: Lane, standing: Standing | None, now: datetime) -> Decision:
    busy = _busy(rule, lane, now)
    if standing is None:
        return busy or Wait(
            until=now + candidates.ASK_AGAIN, reason="the workspace could not be asked about the models"
        )
    decision = candidates.judged(lane.pending, standing, action, now)
    # Only a start has to wait: what never will be deployed is skipped at once, and a rollout that goes on may give way.
    return busy if busy is not None and isinstance(decision, Start) else decision


def _revisions(lane: Lane) -> set[Revision]:
    return {e.revision for e in lane.pending} | ({lane.head.revision} if lane.head is not None else set())


def _skip(rule: Rule | None, lane: Lane, memory: Memory) -> Skip | None:
    if not lane.pending:
        return None
    if rule is None:
        return Skip(events=lane.pending, reason=SkipReason.RULE_REMOVED)
    judged = (
        (SkipReason.TOO_OLD, tuple(e for e in lane.pending if memory.too_old(e))),
        (SkipReason.RULE_CHANGED, tuple(e for e in lane.pending if not _still_matches(rule, e))),
        (SkipReason.ARRIVED, overdue.arrivals(rule, lane)),
        (SkipReason.WHILE_RUNNING, tuple(e for e in lane.pending if _came_while_running(rule, lane.head, e))),
        (SkipReason.COOLDOWN, tuple(e for e in lane.pending if _came_in_cooldown(rule, lane.head, e))),
    )
    return next((Skip(events=events, reason=reason) for reason, events in judged if events), None)


def _still_matches(rule: Rule, event: PendingEvent) -> bool:
    match = rule.match(event.event)
    return match is not None and match.key == event.key


def _came_while_running(rule: Rule, head: Head | None, event: PendingEvent) -> bool:
    # Judged by when the event was accepted, not by when somebody looked.
    if rule.limits.while_running is not WhileRunning.SKIP or head is None or head.claimed is None or event.replay:
        return False
    return event.accepted >= head.claimed and (head.ended is None or event.accepted < head.ended)


def _came_in_cooldown(rule: Rule, head: Head | None, event: PendingEvent) -> bool:
    if rule.limits.during_cooldown is not DuringCooldown.SKIP or head is None or head.ended is None or event.replay:
        return False
    if head.inherits is not None:
        return False
    return head.ended <= event.accepted < head.ended + rule.limits.cooldown
