"""The looks at lanes: what happens next is decided from what is saved, done in steps, and each step is saved."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from shared import telemetry
from shared.errors import AlreadyTaken, Stale
from shared.following import FollowedFactory
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
from shared.looks import LATER, Scheduler, is_key, lane_key
from shared.ports import Clock, DataFactory, Due, LaneChange, Lanes, Manifests, Permits, Recent
from shared.reactions import PipelineAction, Reaction, State, entry_of, reaction_id
from shared.rules import Rule, Rules
from shared.runs import Observed, PipelineRuns, Step

logger = logging.getLogger(__name__)

STEPS_AT_MOST: Final = 200
"""Steps of one look. One that is not done by then goes on in another look, LATER."""
KNOWN_CHECK: Final = 42
"""So few pending events are checked against the taken ones before a decision; more only when they are taken."""
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
            follow=self._make_sure_of_a_look,
        )
        self._followed = FollowedFactory(
            lanes=lanes,
            permits=permits,
            factory=factory,
            clock=clock,
            scheduler=scheduler,
            runs=self._runs,
            look_at_lane=self.look_at_lane,
        )

    def _make_sure_of_a_look(self) -> None:
        self._followed.make_sure_of_a_look()

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
        elif due is not None and due.at > self._clock.now():
            self._scheduler.too_early(due)
        elif due is not None:
            self._followed.look(due)

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


def _chunks(events: Sequence[PendingEvent], size: int) -> list[tuple[PendingEvent, ...]]:
    """Parts of at most `size` events; one empty part where there are none."""
    return [tuple(events[i : i + size]) for i in range(0, max(len(events), 1), size)]
