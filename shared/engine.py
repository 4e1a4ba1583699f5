"""The looks: a lane's next step is decided from what is saved, taken, and saved; a factory's runs are followed."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared import telemetry
from shared.errors import AlreadyTaken, Stale, TargetBusy, TargetRefused, TargetUnavailable
from shared.lanes import (
    Claim,
    Head,
    Lane,
    PendingEvent,
    Skip,
    Start,
    Wait,
    decide,
)
from shared.looks import SOON, Scheduler, factory_key, is_key, lane_key
from shared.ports import Clock, DataFactory, Due, LaneChange, Lanes, Manifests, Permits, Recent, Resource, Run
from shared.reactions import PipelineAction, Reaction, State, entry_of, reaction_id
from shared.rules import Rule, Rules
from shared.runs import QUERY_PADDING, Observed, PipelineRuns, Step

logger = logging.getLogger(__name__)

STEPS_AT_MOST: Final = 200
"""Steps of one look. One that is not done by then goes on in another look, LATER."""
LATER: Final = timedelta(seconds=30)
KNOWN_CHECK: Final = 42
"""So few pending events are checked against the taken ones before a decision; more only when they are taken."""
OVERLAP: Final = timedelta(minutes=10)
UNSEEN_LOOKS: Final = 3
_COUNT: Final = "\N{SYMBOL FOR NULL}count\N{SYMBOL FOR NULL}"


class Engine:
    """Looks at lanes and at the factory. Twice, late, or twice at once changes nothing."""

    def __init__(  # noqa: PLR0913 - it is handed its parts
        self,
        *,
        rules: Rules,
        lanes: Lanes,
        permits: Permits,
        recent: Recent,
        manifests: Manifests,
        factory: DataFactory,
        clock: Clock,
        scheduler: Scheduler,
    ) -> None:
        self._rules = rules
        self._lanes = lanes
        self._permits = permits
        self._recent = recent
        self._manifests = manifests
        self._factory = factory
        self._clock = clock
        self._scheduler = scheduler
        self._runs = PipelineRuns(
            lanes=lanes,
            permits=permits,
            recent=recent,
            manifests=manifests,
            factory=factory,
            clock=clock,
            follow=self._follow_factory,
        )

    def look(self, key: str) -> None:
        """Looks at what a wake-up names.

        A lane is looked at whatever its due row says: intake may rely on this very wake-up for an event that the look
        which moved the row did not see. A factory is looked at only when that is due.
        """
        kind, _, name = key.partition(":")
        if not is_key(key) or (kind == "factory" and name != self._factory.name):
            telemetry.record(logger, "unknown_wake_up", {"key": ascii(key[:200])}, logging.ERROR)
            if is_key(key):
                self._scheduler.reschedule(self._scheduler.get(key), key, None)
            return
        due = self._scheduler.get(key)
        if kind == "lane":
            self.look_at_lane(name, due)
        elif due is not None and due.at > self._clock.now() + SOON:
            self._scheduler.wake(key, due.at)  # the queue's clock is ahead of ours
        elif due is not None:
            self._look_at_factory(due)

    # --- lanes --------------------------------------------------------------------------------------------------------

    def look_at_lane(self, lane: str, due: Due | None, observed: Observed | None = None) -> None:
        """Takes the lane as far as it can go now, and makes sure of the next look.

        Args:
            due: the lane's due row as read before the look; it is replaced or removed only if it is unchanged.
            observed: runs by stamp, where the factory has just been asked.
        """
        for _ in range(STEPS_AT_MOST):
            try:
                done, next_look = self._step(self._lanes.read(lane), observed or {})
            except Stale:
                continue
            except AlreadyTaken as known:
                self._lanes.drop_pending(lane, known.event_ids)
                continue
            if done:
                break
        else:
            next_look = self._clock.now() + LATER
        self._scheduler.reschedule(due, lane_key(lane), next_look)

    def _step(self, lane: Lane, observed: Observed) -> tuple[bool, datetime | None]:
        """One step. (True, when to look again) once there is nothing more to do now."""
        head, running_until = lane.head, None
        if head is not None and head.claim is not None:
            self._continue_claim(lane, head, head.claim)
            return False, None
        if head is not None and head.running is not None:
            reaction = self._reaction(lane.id, head.running)
            after = self._runs.advance(Step(head=head, reaction=reaction), observed)
            if after.reaction.final:
                return False, None  # read again: what came while it ran is decided by what is saved now
            running_until = after.reaction.next_look
        if head is not None and 0 < len(lane.pending) <= KNOWN_CHECK:
            known = self._lanes.taken(lane.id, [e.id for e in lane.pending])
            if known:
                raise AlreadyTaken(known)
        rule = self._rule(lane)
        decision = decide(rule, lane, self._rules.revision, self._clock.now())
        if isinstance(decision, Start) and rule is not None:
            return self._start(lane, rule, decision, observed)
        if isinstance(decision, Skip):
            self._skip(lane, decision)
            return False, None
        until = decision.until if isinstance(decision, Wait) else None
        return True, min((t for t in (until, running_until) if t is not None), default=None)

    def _start(self, lane: Lane, rule: Rule, decision: Start, observed: Observed) -> tuple[bool, datetime | None]:
        after = self._runs.advance(self._claim(lane, rule, decision), observed)
        left = len(lane.pending) > len(decision.events)
        if after.reaction.final or left:
            return False, None
        return True, after.reaction.next_look

    def _reaction(self, lane: str, seq: int) -> Reaction:
        reaction = self._lanes.reaction(reaction_id(lane, seq))
        if reaction is None:
            raise Stale(f"lane {lane}: its head names reaction {seq}, which is not there")
        return reaction

    def _rule(self, lane: Lane) -> Rule | None:
        name = lane.head.rule if lane.head is not None else (lane.pending[0].rule if lane.pending else "")
        return self._rules.rules.get(name)

    def _skip(self, lane: Lane, decision: Skip) -> None:
        head = replace(lane.head or self._new_head(decision.events[0]), revision=self._rules.revision)
        for part in _chunks(decision.events, LaneChange(head=head).capacity()):
            change = LaneChange(head=head, take=part, skipped=decision.reason, at=self._clock.now())
            head = self._lanes.commit(lane.id, change).head or head
        facts = {"lane": lane.id, "rule": head.rule, "reason": decision.reason, "events": len(decision.events)}
        telemetry.record(logger, "events_skipped", facts)

    def _new_head(self, event: PendingEvent) -> Head:
        return Head(rule=event.rule, key=event.key, revision=self._rules.revision)

    # --- claiming a batch ---------------------------------------------------------------------------------------------

    def _claim(self, lane: Lane, rule: Rule, decision: Start) -> Step:
        now = self._clock.now()
        head = lane.head or self._new_head(decision.events[0])
        seq = head.seq + 1
        reaction = self._new_reaction(reaction_id(lane.id, seq), rule, decision, now)
        head = replace(head, seq=seq, claimed=now, ended=None, revision=self._rules.revision)
        change = LaneChange(head=head, reaction=reaction, history=(entry_of(reaction),))
        if len(decision.events) <= change.capacity():
            head = replace(head, running=seq)
            return self._close_claim(lane.id, head, reaction, decision.events, now, opening=True)
        first = decision.events[: change.capacity()]
        room = rule.collect.max_events
        claim = Claim(seq=seq, room=None if room is None else room - len(first))
        opened = replace(
            change,
            head=replace(head, claim=claim),
            reaction=replace(reaction, events=len(first)),
            take=first,
            taken_by=seq,
            at=now,
        )
        saved = self._lanes.commit(lane.id, opened)
        rest = replace(lane, head=saved.head, pending=decision.events[len(first) :])
        return self._continue_claim(rest, saved.head or head, claim)

    def _continue_claim(self, lane: Lane, head: Head, claim: Claim) -> Step:
        """Moves the rest of a batch that one transaction does not hold. Whoever looks at the lane goes on with it."""
        reaction, now = self._reaction(lane.id, claim.seq), self._clock.now()
        # What came after the batch was decided on is for the next decision, which may be to skip it.
        of_batch = [e for e in lane.pending if head.claimed is None or e.accepted <= head.claimed]
        pending = sorted(of_batch, key=lambda e: (e.accepted, e.id))[: claim.room]
        *parts, last = _chunks(pending, LaneChange(head=head, reaction=reaction).capacity())
        for part in parts:
            room = None if claim.room is None else claim.room - len(part)
            claim = replace(claim, room=room)
            change = LaneChange(
                head=replace(head, claim=claim),
                reaction=replace(reaction, events=reaction.events + len(part)),
                take=part,
                taken_by=claim.seq,
                at=now,
            )
            saved = self._lanes.commit(lane.id, change)
            head, reaction = saved.head or head, saved.reaction or reaction
        return self._close_claim(lane.id, replace(head, claim=None, running=claim.seq), reaction, last, now)

    def _close_claim(
        self,
        lane: str,
        head: Head,
        reaction: Reaction,
        events: Sequence[PendingEvent],
        now: datetime,
        *,
        opening: bool = False,
    ) -> Step:
        count = len(events) if opening else reaction.events + len(events)
        parameters = {k: v.replace(_COUNT, str(count)) for k, v in reaction.action.parameters.items()}
        reaction = replace(reaction, events=count, action=replace(reaction.action, parameters=parameters))
        change = LaneChange(
            head=head,
            reaction=reaction,
            history=(entry_of(reaction),) if opening else (),
            take=events,
            taken_by=reaction.seq,
            at=now,
        )
        saved = self._lanes.commit(lane, change)
        self._recent.put(reaction)
        facts = {"reason": reaction.reason, "events": count, **reaction.log_context()}
        telemetry.record(logger, "reaction_pending", facts)
        return Step(head=saved.head or head, reaction=saved.reaction or reaction)

    def _new_reaction(self, new_id: str, rule: Rule, decision: Start, now: datetime) -> Reaction:
        match = rule.match(decision.events[0].event)
        captures: Mapping[str, str] = match.captures if match is not None else {}
        url = self._manifests.url(new_id)
        values = {**captures, "manifest": url, "reaction_id": new_id, "count": _COUNT}
        action = PipelineAction(
            pipeline=rule.action.pipeline,
            parameters={name: template.render(values) for name, template in rule.action.with_.items()},
            timeout=rule.timeout,
            attempts=rule.retry.attempts,
            backoff=rule.retry.backoff,
            needs_manifest=any("manifest" in t.placeholders for t in rule.action.with_.values()),
        )
        return Reaction(
            id=new_id,
            rule=rule.name,
            key=decision.events[0].key,
            revision=self._rules.revision.to_text(),
            state=State.PENDING,
            reason=decision.reason,
            action=action,
            created=now,
            changed=now,
            events=0,
            manifest_url=url if action.needs_manifest else None,
        )

    # --- the factory --------------------------------------------------------------------------------------------------

    def _follow_factory(self) -> None:
        self._scheduler.bring_forward(
            factory_key(self._factory.name), self._clock.now() + follow_interval(timedelta(0))
        )

    def _look_at_factory(self, due: Due) -> None:
        """Follows all runs of the factory with one query, and hands each lane what was seen of its run."""
        try:
            next_look = self._follow_runs()
        except (TargetBusy, TargetUnavailable, TargetRefused) as error:
            telemetry.record(logger, "factory_not_followed", {"error": str(error)}, logging.WARNING)
            next_look = self._clock.now() + LATER
        self._scheduler.reschedule(due, due.key, next_look)

    def _follow_runs(self) -> datetime | None:
        """When to look again; None if no run is left to follow."""
        now = self._clock.now()
        resource = self._permits.read(self._runs.resource)
        if not resource.permits:
            return None
        since = min(p.since for p in resource.permits) - QUERY_PADDING
        after = since if resource.cursor is None else max(resource.cursor - OVERLAP, since)
        runs = self._factory.runs_updated(after, now + QUERY_PADDING)
        runs += self._unseen(resource, runs)
        observed = _by_stamp(runs)
        failed = False
        ended: set[str] = set()
        for permit in resource.permits:
            try:
                ended |= {permit.reaction_id} if self._hand_on(permit.reaction_id, observed) else set()
            except Exception as error:  # noqa: BLE001 - one lane's trouble is not the other lanes'
                failed = True
                facts = {"reaction": permit.reaction_id, "error": repr(error)}
                telemetry.record(logger, "lane_not_looked_at", facts, logging.WARNING)
        self._cancel_strays(observed, resource)
        if ended and not failed and not self._left(ended):
            return None
        # Where a lane could not be looked at, what was seen of its run must be seen again.
        cursor = resource.cursor if failed else now
        self._permits.save_head(replace(resource, cursor=cursor, looks=resource.looks + 1))
        return now + follow_interval(now - max(p.since for p in resource.permits))

    def _unseen(self, resource: Resource, seen: Sequence[Run]) -> list[Run]:
        """A run that three looks in a row did not see is fetched singly: a quiet run's last update lies far back."""
        if resource.looks % UNSEEN_LOOKS != UNSEEN_LOOKS - 1:
            return []
        stamps = {run.stamp[0] for run in seen}
        found = []
        for permit in resource.permits:
            if permit.reaction_id not in stamps:
                reaction = self._lanes.reaction(permit.reaction_id)
                run = self._factory.run(reaction.run_id) if reaction is not None and reaction.run_id else None
                found += [run] if run is not None else []
        return found

    def _hand_on(self, reaction: str, observed: Observed) -> bool:
        """Lets the reaction's lane act on what was seen of its runs. True if a run of it has ended."""
        groups = [group for (stamped, _), group in observed.items() if stamped == reaction]
        ended = any(run.status.final for group in groups for run in group)
        if ended or any(len(group) > 1 for group in groups):
            lane = reaction.rpartition("-")[0]
            # Due now, not at the run's timeout: should this look break off after it has ended the reaction, nobody
            # would hand the lane on again.
            due = self._scheduler.set_due(lane_key(lane), self._clock.now())
            self.look_at_lane(lane, due, observed)
        elif not groups:
            self._release_leaked(reaction)
        return ended

    def _left(self, ended: set[str]) -> int:
        """How many permits are left after some runs have ended."""
        held = {p.reaction_id for p in self._permits.read(self._runs.resource).permits}
        return len(held) - sum(self._release_leaked(reaction) for reaction in held & ended)

    def _release_leaked(self, reaction: str) -> bool:
        """Releases the permit of a reaction that is final: the process that ended it died before it did so."""
        saved = self._lanes.reaction(reaction)
        if saved is not None and not saved.final:
            return False
        self._permits.release(self._runs.resource, reaction)
        return True

    def _cancel_strays(self, observed: Observed, resource: Resource) -> None:
        """A second run may come to light after its attempt ended: it is cancelled and recorded all the same."""
        held = {(p.reaction_id, str(p.attempt)) for p in resource.permits}
        for (stamped, attempt), group in observed.items():
            running = [run for run in group if not run.status.final]
            # A permit held for this attempt and a single run is the normal case: nothing to read for it.
            if not running or not attempt.isdecimal() or ((stamped, attempt) in held and len(group) == 1):
                continue
            reaction = self._lanes.reaction(stamped)
            if reaction is not None and (reaction.final or int(attempt) < reaction.attempt):
                for run in running:
                    if run.id != reaction.run_id:
                        self._runs.cancel_duplicate(reaction, run, reaction.run_id or "an earlier run")


def follow_interval(age: timedelta) -> timedelta:
    """How long until the factory is asked again: a tenth of the youngest run's age, from 5 seconds to 1 minute."""
    return min(max(age / 10, timedelta(seconds=5)), timedelta(minutes=1))


def _by_stamp(runs: Sequence[Run]) -> Observed:
    groups: dict[tuple[str, str], dict[str, Run]] = defaultdict(dict)
    for run in runs:
        groups[run.stamp][run.id] = run
    return {stamp: list(group.values()) for stamp, group in groups.items()}


def _chunks(events: Sequence[PendingEvent], size: int) -> list[tuple[PendingEvent, ...]]:
    """Parts of at most `size` events; one empty part where there are none."""
    return [tuple(events[i : i + size]) for i in range(0, max(len(events), 1), size)]
