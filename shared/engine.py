"""The looks at lanes: what happens next is decided from what is saved, done in steps, and each step is saved."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from shared import telemetry
from shared.claims import Claims, chunks, new_head
from shared.decisions import decide, overdue
from shared.errors import AlreadyTaken, Stale, UnreadableRow
from shared.following import FollowedFactory
from shared.kept import Kept
from shared.lanes import Decision, Expect, Lane, Replace, Skip, SkipReason, Start, Wait
from shared.looks import LATER, Scheduler, Turns, is_key, lane_key
from shared.memory import Remembered
from shared.movers import Movers
from shared.outbox import Outbox
from shared.overdue import Overdue
from shared.ports import (
    Clock,
    Controls,
    DataFactory,
    Due,
    Lake,
    LaneChange,
    Lanes,
    Manifests,
    Notifier,
    Permits,
    Recent,
    Workspace,
)
from shared.reactions import Reaction, reaction_id
from shared.replacing import Replacing
from shared.rollouts.candidates import Standing
from shared.rollouts.standing import standing_of
from shared.rules import Rule, Rules
from shared.starts import STOPPED_LOOKS, Starts
from shared.steps import Observed, Step, Steps, step_of
from shared.upkeep import Upkeep

logger = logging.getLogger(__name__)

STEPS_AT_MOST: Final = 200
"""Steps of one look. One that is not done by then goes on in another look, LATER."""
UNREADABLE_WAIT: Final = timedelta(minutes=10)
"""How often a lane is tried again of which a later version has written a row: that version's workers see to it."""
KNOWN_CHECK: Final = 42
"""So few pending events are checked against the taken ones before a decision; more only when they are taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stepped:
    """What a step came to.

    Attributes:
        done: whether there is nothing more to do before `next_look`.
        over: the reaction that has ended, or whose attempt has; what it holds is still to be let go.
    """

    done: bool = False
    next_look: datetime | None = None
    over: Reaction | None = None


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
        workspace: Workspace,
        lake: Lake,
        notifier: Notifier | None,
        clock: Clock,
        scheduler: Scheduler,
        upkeep: Upkeep,
        controls: Controls,
        remembered: Remembered,
    ) -> None:
        self._rules = rules
        self._remembered = remembered
        self._kept: Kept[Step] = Kept()
        self._turns = Turns()
        self._upkeep = upkeep
        self._lanes = lanes
        self._factory = factory
        self._workspace = workspace
        self._clock = clock
        self._scheduler = scheduler
        self._outbox = Outbox(lanes=lanes, notifier=notifier, clock=clock)
        self._claims = Claims(
            lanes=lanes,
            recent=recent,
            manifests=manifests,
            clock=clock,
            rules=rules,
            numbers=remembered.numbers,
        )
        self._starts = Starts(
            permits=permits,
            lanes=lanes,
            controls=controls,
            clock=clock,
            factory=rules.factory,
            resources=rules.resources,
            look_soon=self.look_soon,
        )
        upkeep.add("resume", self._starts.resume, regular=False)
        self._movers = Movers(
            lanes=lanes,
            starts=self._starts,
            manifests=manifests,
            factory=factory,
            workspace=workspace,
            lake=lake,
            clock=clock,
            steps=Steps(lanes=lanes, recent=recent, clock=clock),
            topic=notifier is not None,
            follow=self._make_sure_of_a_look,
            look_soon=self.look_soon,
        )
        self._overdue = Overdue(rules=rules, lanes=lanes, clock=clock, scheduler=scheduler, numbers=remembered.numbers)
        upkeep.add("overdue", self._overdue.make_sure, regular=bool(self._overdue.always))
        self._replacing = Replacing(lanes=lanes, clock=clock, rollouts=self._movers.rollouts, mode=rules.mode)
        self._followed = FollowedFactory(
            lanes=lanes,
            permits=permits,
            factory=factory,
            clock=clock,
            scheduler=scheduler,
            runs=self._movers.runs,
            look_at_lane=self.look_at_lane,
        )

    def look_soon(self, lane: str) -> None:
        """Makes sure of a look at a lane."""
        self._scheduler.bring_forward(lane_key(lane), self._clock.now())

    def _make_sure_of_a_look(self) -> Callable[[], None]:
        return self._followed.make_sure_of_a_look()

    def look(self, key: str) -> None:
        """Looks at what a wake-up names.

        A lane is looked at whatever its due row says: intake may rely on this very wake-up for an event that the look
        which moved the row did not see. A factory is looked at, and a chore is done, only when that is due.
        """
        kind, _, name = key.partition(":")
        if not is_key(key) or (kind == "factory" and name != self._factory.name):
            telemetry.record(logger, "unknown_wake_up", {"key": ascii(key[:200])}, logging.ERROR)
            if is_key(key):
                self._scheduler.reschedule(self._scheduler.get(key), key, None)
            return
        self._turns.take(key, lambda: self._look(kind, name, key))

    def _look(self, kind: str, name: str, key: str) -> None:
        if kind == "lane":
            self.look_at_lane(name, self._scheduler.get(key))
            return
        due = self._scheduler.due_by_now(key) if kind == "factory" else self._scheduler.get(key)
        if due is not None and due.at > self._clock.now():
            self._scheduler.too_early(due)
        elif due is not None and kind == "upkeep":
            self._upkeep.look(due)
        elif due is not None:
            self._followed.look(due)

    # --- lanes --------------------------------------------------------------------------------------------------------

    def look_at_lane(self, lane: str, due: Due | None = None, observed: Observed | None = None) -> frozenset[str]:
        """Takes the lane as far as it can go now, and makes sure of the next look.

        Args:
            due: the lane's due row as read before the look; it is replaced or removed only if it is unchanged.
            observed: runs by stamp, where the factory has just been asked.

        Returns:
            The reactions that hold nothing any more, because they, or their attempts, have ended in this look.
        """
        gone: set[str] = set()
        over: Reaction | None = None
        next_look: datetime | None = None
        for number in range(STEPS_AT_MOST):
            try:
                stepped = self._from_memory(lane, observed) if number == 0 else None
                if stepped is None:
                    read = self._lanes.read(lane)
                    if over is not None:
                        read, due = self._let_go(over, read, due)
                        gone.add(over.id)
                        over = None
                    stepped = self._step(read, observed or {})
            except Stale:
                continue
            except AlreadyTaken as known:
                self._lanes.drop_pending(lane, known.event_ids)
                continue
            except UnreadableRow as unreadable:
                telemetry.record(logger, "lane_not_readable", {"lane": lane, "error": str(unreadable)}, logging.ERROR)
                next_look = self._clock.now() + UNREADABLE_WAIT
                break
            if stepped.done:
                next_look = _earliest(stepped.next_look, self._overdue_at(read))
                break
            over = stepped.over
        else:
            next_look = self._clock.now() + LATER
        self._scheduler.reschedule(due, lane_key(lane), next_look)
        return frozenset(gone)

    def _from_memory(self, lane: str, observed: Observed | None) -> _Stepped | None:
        """The end of a run, seen by the process that has saved its reaction last: that need not be read again."""
        kept = self._kept.take(lane) if observed else None
        if kept is None or observed is None:
            return None
        reaction = kept.reaction
        runs = observed.get((reaction.id, str(reaction.attempt)), ())
        if len(runs) != 1 or runs[0].id != reaction.run_id or not runs[0].status.final:
            return None
        return _Stepped(over=_if_over(reaction, self._movers.advance(kept, observed).reaction))

    def _let_go(self, over: Reaction, read: Lane, due: Due | None) -> tuple[Lane, Due | None]:
        """What a reaction held, now that its lane is read once more; gives the lane, and its due row.

        Whoever holds something is looked at until he does not. So what else there is to do in the lane is due before.
        """
        if due is None and (read.pending or read.outbox or not over.final):
            due = self._scheduler.set_due(lane_key(over.lane), self._clock.now())
            # It may have replaced the row of an event that came after the lane was read, and goes when this look ends.
            read = self._lanes.read(over.lane)
        self._movers.release(over)
        return read, due

    def _overdue_at(self, lane: Lane) -> datetime | None:
        """When the lane's next file is overdue. A time that is over already was not for this worker to act on."""
        at = overdue.due(self._rule(lane), lane.head)
        return at if at is None or at > self._clock.now() else self._clock.now() + LATER

    def _step(self, lane: Lane, observed: Observed) -> _Stepped:
        """One step."""
        head = lane.head
        if head is not None and head.claim is not None:
            self._claims.go_on(lane, head, head.claim, self._reaction(lane.id, head.claim.seq))
            return _Stepped()
        running = None
        if head is not None and head.running is not None:
            before = self._reaction(lane.id, head.running)
            running = self._movers.advance(step_of(head, before), observed)
            over = _if_over(before, running.reaction)
            if over is not None or running.reaction.phase is not before.phase:
                # Read again: what came while it ran, and what is now to be told, is decided by what is saved now.
                return _Stepped(over=over)
        return self._act(lane, running, observed)

    def _act(self, lane: Lane, running: Step | None, observed: Observed) -> _Stepped:
        """Carries out what is decided about the pending events."""
        rule = self._rule(lane)
        reaction = running.reaction if running is not None else None
        standing = standing_of(self._workspace, rule, lane, reaction)
        memory = self._remembered.of(lane.pending)
        decision = decide(rule, lane, self._rules.revision, self._clock.now(), standing, memory=memory)
        if not _proves_itself(decision, lane):
            self._drop_known(lane)
        if isinstance(decision, Start | Replace) and rule is not None:
            decision = self._unless_held(lane, rule, decision, running)
        if isinstance(decision, Start) and rule is not None:
            return self._start(lane, rule, decision, standing, observed)
        if isinstance(decision, Skip):
            self._skip(lane, rule, decision)
            return _Stepped()
        if isinstance(decision, Expect) and rule is not None:
            self._overdue.note(lane, rule, decision)
            return _Stepped()
        if isinstance(decision, Replace) and running is not None:
            after = self._replacing.give_way(lane, running, decision)
            return _Stepped(over=_if_over(running.reaction, after))
        until = decision.until if isinstance(decision, Wait) else None
        return self._waits(lane.id, running, until, self._outbox.empty(lane))

    def _drop_known(self, lane: Lane) -> None:
        """Raises AlreadyTaken where pending events are late deliveries."""
        if lane.head is not None and 0 < len(lane.pending) <= KNOWN_CHECK:
            known = self._lanes.taken(lane.id, [e.id for e in lane.pending])
            if known:
                raise AlreadyTaken(known)

    def _waits(self, lane: str, running: Step | None, *until: datetime | None) -> _Stepped:
        """Nothing more to do before one of the times."""
        if running is None:
            return _Stepped(done=True, next_look=_earliest(*until))
        if running.reaction.own_look is None:
            self._kept.put(lane, replace(running, cleared=False, taken=None))  # by then somebody may have stopped it
        return _Stepped(done=True, next_look=_earliest(running.reaction.own_look, *until))

    def _unless_held(self, lane: Lane, rule: Rule, decision: Start | Replace, running: Step | None) -> Decision:
        """The decision, unless something stands in its way that is not the lane's own affair."""
        if isinstance(decision, Replace) and running is not None:
            stays = self._replacing.stays(rule, running.reaction)
            if stays is not None:
                return stays
        why = self._starts.stopped(rule.name, lane.id)
        if why is None:
            return decision
        facts = {"lane": lane.id, "rule": rule.name, "reason": why, "events": len(lane.pending)}
        telemetry.record(logger, "lane_held", facts)
        return Wait(until=self._clock.now() + STOPPED_LOOKS, reason=why)

    def _start(
        self, lane: Lane, rule: Rule, decision: Start, standing: Standing | None, observed: Observed
    ) -> _Stepped:
        claimed = replace(self._claims.claim(lane, rule, decision, standing), cleared=True)
        after = self._movers.advance(claimed, observed)
        left = len(lane.pending) > len(decision.events)
        if after.reaction.final or left or lane.outbox:
            return _Stepped(over=_if_over(claimed.reaction, after.reaction))
        return self._waits(lane.id, after)

    def _reaction(self, lane: str, seq: int) -> Reaction:
        reaction = self._lanes.reaction(reaction_id(lane, seq))
        if reaction is None:
            raise Stale(f"lane {lane}: its head names reaction {seq}, which is not there")
        return reaction

    def _rule(self, lane: Lane) -> Rule | None:
        if lane.head is None and not lane.pending:
            return self._overdue.always.get(lane.id)
        return self._rules.rules.get(lane.head.rule if lane.head is not None else lane.pending[0].rule)

    def _skip(self, lane: Lane, rule: Rule | None, decision: Skip) -> None:
        revision = self._rules.revision
        head = lane.head or new_head(decision.events[0], revision, after=self._remembered.numbers())
        head = replace(head, revision=revision)
        if rule is not None and decision.reason is SkipReason.ARRIVED:
            head = replace(head, expected=overdue.arrived(rule, head, decision.events))
        for part in chunks(decision.events, LaneChange(head=head).capacity()):
            change = LaneChange(head=head, take=part, skipped=decision.reason, at=self._clock.now())
            head = self._lanes.commit(lane.id, change).head or head
        facts = {"lane": lane.id, "rule": head.rule, "reason": decision.reason, "events": len(decision.events)}
        telemetry.record(logger, "events_skipped", facts)


def _if_over(before: Reaction, after: Reaction) -> Reaction | None:
    """The reaction as whoever lets go what it holds wants it: as it has ended, or as its attempt was."""
    if after.final:
        return after
    return before if after.attempt > before.attempt else None


def _proves_itself(decision: Decision, lane: Lane) -> bool:
    """Whether carrying it out finds every late delivery among the pending events, in its one transaction."""
    if not isinstance(decision, Start | Skip):
        return False
    return len(decision.events) == len(lane.pending) <= KNOWN_CHECK


def _earliest(*times: datetime | None) -> datetime | None:
    return min((at for at in times if at is not None), default=None)
