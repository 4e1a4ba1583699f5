"""Admission: what a start needs of the resources is granted all at once or not at all, and given back at the end.

Every permit is an ETag write on its resource's head. Who has to wait holds nothing meanwhile and stands in the queue of
what it waits for; a release wakes the first. A target that was too busy is left alone until its head says otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from shared import limits, telemetry
from shared.errors import InDoubt, Stale, TargetBusy, TargetUnavailable, UnreadableRow
from shared.limits import Blocked, Demand, Go
from shared.ports import Clock, Controls, Lanes, Permit, Permits, Resource, Waiter
from shared.reactions import Reaction, State
from shared.rules import FactoryLimits

logger = logging.getLogger(__name__)

CONTROLS: Final = "controls"
"""Stands among the queues of a reaction whose rule somebody has stopped: it may be looked at before its time."""
STOPPED_LOOKS: Final = timedelta(hours=1)
"""How often one who is stopped looks by itself; it is woken when it may go on."""
_TRIES: Final = 20
_SHORTLY: Final = timedelta(seconds=2)
_AT_ONCE: Final = 200
"""So many of those who were stopped are woken by one look."""
GRANT_LASTS: Final = timedelta(minutes=1)
"""Within this time after the grant the intent to start is saved, or the start has to be admitted anew."""
_LEFT_BEHIND: Final = timedelta(minutes=3)
"""A permit of a reaction that is put off, granted so long ago, is no grant of this moment: its process has died."""

TargetTrouble = TargetBusy | TargetUnavailable | InDoubt


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A start may begin, at once.

    Attributes:
        at: when it was granted.
        paid: the heads that were changed for it, before and after.
        probes: the targets it tries out.
    """

    at: datetime
    paid: tuple[tuple[Resource, Resource], ...] = ()
    probes: tuple[str, ...] = ()

    def check(self, now: datetime) -> None:
        """Before the intent is saved.

        Raises:
            Stale: it is long ago, and somebody else may have been granted the same by now.
        """
        if now >= self.at + GRANT_LASTS:
            raise Stale("this process was held up between the grant of a start and its intent")


class Starts:
    """Who may start, for every kind of action alike."""

    def __init__(
        self,
        *,
        permits: Permits,
        lanes: Lanes,
        controls: Controls,
        clock: Clock,
        factory: FactoryLimits,
        resources: Mapping[str, int],
        look_soon: Callable[[str], None],
    ) -> None:
        """`factory` and `resources` as the rules file has them; `look_soon` makes sure of a look at a lane."""
        self._permits = permits
        self._lanes = lanes
        self._controls = controls
        self._clock = clock
        self._resources = resources
        self._look_soon = look_soon
        self.factory = factory

    # --- people -------------------------------------------------------------------------------------------------------

    def stopped(self, rule: str, lane: str) -> str | None:
        """Why the rule may start nothing now; its lane is looked at when it may."""
        why = self._controls.read().holds(rule)
        if why is None:
            return None
        self._controls.wait(rule, lane)
        return self._controls.read().holds(rule)  # it may be over since, and those who waited have been woken

    def resume(self) -> datetime | None:
        """Wakes the lanes that may go on, some at a time. The chore `resume` of the upkeep."""
        waiting = self._controls.waiting(_AT_ONCE)
        for each in waiting:
            self._look_soon(each.lane)
        self._controls.woken(waiting)
        return self._clock.now() if len(waiting) == _AT_ONCE else None

    # --- admission ----------------------------------------------------------------------------------------------------

    def admit(self, reaction: Reaction, own: Sequence[Demand], *, cleared: bool = False) -> Granted | Blocked:
        """Grants a start all it needs; or nothing, and then it stands in the queues that the answer names.

        Args:
            own: what this kind of action needs, beside what its rule says.
            cleared: the controls have been asked a moment ago.
        """
        me, demands = self._place(reaction), self._demands(reaction, own)
        why = None if cleared else self.stopped(reaction.rule, reaction.lane)
        verdict = self._try(reaction, demands, me) if why is None else _stopped(why, me.seen)
        if isinstance(verdict, Granted):
            kept = {demand.resource for demand in demands}  # its place went with the grant
        else:
            kept = set(verdict.queues)
            for resource in kept - {CONTROLS}:
                self._permits.wait(resource, me)
        self._leave(me, [resource for resource in reaction.queues if resource not in kept])
        return verdict

    def _place(self, reaction: Reaction) -> Waiter:
        return Waiter(
            name=reaction.id,
            priority=reaction.action.limits.priority,
            since=reaction.created,
            seen=self._clock.now(),
        )

    def _demands(self, reaction: Reaction, own: Sequence[Demand]) -> list[Demand]:
        """In the order of their names, which is everybody's."""
        ruled = reaction.action.limits
        demands = list(own)
        if ruled.concurrency is not None or ruled.rate is not None:
            name = f"rule:{reaction.rule}"
            holds = ruled.concurrency is not None
            demands.append(Demand(resource=name, limit=ruled.concurrency, rate=ruled.rate, holds=holds))
        for name, size in ruled.resources.items():
            # The size is the file's: all who share it go by the same. One that is gone from there is as it was.
            demands.append(Demand(resource=f"resource:{name}", limit=self._resources.get(name, size)))
        return sorted(demands, key=lambda demand: demand.resource)

    def _try(self, reaction: Reaction, demands: Sequence[Demand], me: Waiter) -> Granted | Blocked:
        unseen = {demand.resource for demand in demands if demand.holds and not demand.limited}
        for _ in range(_TRIES):
            seen = {d.resource: self._permits.read(d.resource) for d in demands if d.resource not in unseen}
            verdict = limits.decide(demands, seen, me, self._clock.now())
            if isinstance(verdict, Blocked):
                if self._freed(seen, verdict.first):
                    continue
                self._forget_stale(seen, verdict)
                return verdict
            granted = self._grant(reaction, demands, seen, verdict, me, unseen)
            if granted is not None:
                self._wake_others(demands, seen, me)
                return granted
        busy = demands[0].resource if demands else ""
        return Blocked(resource=busy, why=f"too many start at once ({busy})", until=self._clock.now() + _SHORTLY)

    def _grant(
        self,
        reaction: Reaction,
        demands: Sequence[Demand],
        seen: Mapping[str, Resource],
        go: Go,
        me: Waiter,
        unseen: set[str],
    ) -> Granted | None:
        """Takes everything; or gives back what it took, where somebody was quicker with the rest.

        What has no limit is taken last, so that it never has to be given back.
        """
        permit = _permit(reaction, self._clock.now())
        taken: list[Demand] = []
        paid: list[tuple[Resource, Resource]] = []
        for demand in sorted(demands, key=lambda demand: demand.resource in unseen):
            name = demand.resource
            if name in unseen:
                done = self._permits.hold(name, permit)
                if not done:
                    unseen.discard(name)
            elif demand.holds or go.heads[name] != seen[name]:
                done = self._permits.grant(go.heads[name], permit if demand.holds else None, me)
                paid += [(seen[name], go.heads[name])] if done else []
            else:
                done = True
            if not done:
                self._give_back(permit, taken, paid, seen)
                return None
            taken += [demand] if demand.holds else []
        return Granted(at=permit.since, paid=tuple(paid), probes=go.probes)

    def _give_back(
        self,
        permit: Permit,
        taken: Sequence[Demand],
        paid: Sequence[tuple[Resource, Resource]],
        seen: Mapping[str, Resource],
    ) -> None:
        """What was granted for a start that cannot begin, unless another worker goes on with the same reaction."""
        relied_on: set[str] = set()
        for demand in taken:
            name = demand.resource
            before = seen.get(name)
            there = before is not None and limits.holds(before, permit.reaction_id)
            if there or not self._permits.take_back(name, permit):
                relied_on.add(name)
        back = tuple((before, after) for before, after in paid if after.name not in relied_on)
        self.refund(Granted(at=permit.since, paid=back))

    def refund(self, granted: Granted | None) -> None:
        """Gives back what a start has paid that was none, where nobody else has been granted a start since."""
        for before, after in granted.paid if granted is not None else ():
            if after != before:
                refunded = limits.refunded(self._permits.read(after.name), before, after)
                if refunded is not None:
                    self._permits.save_head(refunded)

    def release(self, reaction: Reaction, own: Sequence[Demand]) -> None:
        """Lets go what the reaction holds and leaves its queues; whoever is next is woken. Idempotent.

        The factory comes last: as long as a permit of it is held, the look at the factory sees to the others.
        """
        for demand in reversed(self._demands(reaction, own)):
            self.let_go(demand, reaction.id)
        self._leave(self._place(reaction), reaction.queues)

    def put_off(self, reaction: Reaction, own: Sequence[Demand], granted: Granted | None = None) -> None:
        """The same for one that is to start later, once that is saved. Idempotent.

        By then another worker may have been granted its next start: only what this one was granted is let go, or what
        the attempt holds.
        """
        for demand in self._demands(reaction, own):
            if demand.holds:
                held = _permit(reaction, granted.at) if granted is not None else self._held(demand.resource, reaction)
                if held is not None and self._permits.take_back(demand.resource, held) and demand.queued:
                    self._wake(demand.resource)
        self._leave(self._place(reaction), reaction.queues)

    def _held(self, resource: str, reaction: Reaction) -> Permit | None:
        permits = self._permits.read(resource).permits
        return next((p for p in permits if (p.reaction_id, p.attempt) == (reaction.id, reaction.attempt)), None)

    def let_go(self, demand: Demand, reaction_id: str) -> None:
        """One permit, if the reaction holds it. Nobody can wait where there is no limit."""
        if demand.holds:
            self._permits.release(demand.resource, reaction_id)
            if demand.queued:
                self._wake(demand.resource)

    def _leave(self, me: Waiter, queues: Sequence[str]) -> None:
        for resource in queues:
            if resource != CONTROLS:
                self._permits.leave(resource, me)
                self._wake(resource)

    def _wake(self, resource: str) -> None:
        """The first who waits is looked at; one that nobody has seen for long, and the one behind it."""
        now = self._clock.now()
        for waiter in self._permits.waiting(resource, 1):
            self._look_soon(waiter.lane)
            if not limits.stale(waiter, now):
                return
            self._permits.leave(resource, waiter)

    def _wake_others(self, demands: Sequence[Demand], seen: Mapping[str, Resource], me: Waiter) -> None:
        """Two releases at once may both have woken this one: what is left is for the next."""
        for demand in demands:
            resource = seen.get(demand.resource)
            if resource is None or demand.limit is None or not demand.queued:
                continue
            others = [waiter for waiter in resource.waiters if waiter != me]
            if others and len(resource.permits) + 1 < demand.limit:
                self._look_soon(others[0].lane)

    def _forget_stale(self, seen: Mapping[str, Resource], verdict: Blocked) -> None:
        now = self._clock.now()
        for resource in verdict.queues:
            for waiter in seen[resource].waiters:
                if limits.stale(waiter, now):
                    self._permits.leave(resource, waiter)

    # --- what was left behind -----------------------------------------------------------------------------------------

    def _freed(self, seen: Mapping[str, Resource], full: Sequence[str]) -> bool:
        """Whether a permit was released that a dead process has left behind. Looked for by the first in the queue.

        The lane of whoever held it is looked at: the permit may have been all that led there, to what waits behind it.
        """
        freed = False
        for name in full:
            for permit in seen[name].permits:
                if not self._leaked(permit):
                    continue
                self._look_soon(permit.reaction_id.rpartition("-")[0])
                if self._permits.take_back(name, permit):
                    telemetry.record(logger, "permit_freed", {"resource": name, "reaction": permit.reaction_id})
                    freed = True
        return freed

    def _leaked(self, permit: Permit) -> bool:
        try:
            holder = self._lanes.reaction(permit.reaction_id)
        except UnreadableRow:
            return False  # of a later version, which knows how it is
        if holder is None or holder.final:
            return True
        return holder.state is State.PENDING and permit.since + _LEFT_BEHIND <= self._clock.now()

    # --- targets ------------------------------------------------------------------------------------------------------

    def busy(self, target: str, reaction: Reaction, error: TargetTrouble, *, probe: bool) -> datetime:
        """The target could not take a start: until the time given nobody calls it to start anything."""
        now = self._clock.now()
        for _ in range(_TRIES):
            before = self._permits.read(target)
            after = limits.tripped(before, now, reaction.id, error.retry_after, probe=probe)
            if self._permits.save_head(after):
                facts = {"target": target, "until": str(after.next_attempt), "failures": after.failures}
                telemetry.record(logger, "target_busy", facts, logging.WARNING)
                break
        return after.next_attempt or now

    def recovered(self, targets: Sequence[str]) -> None:
        """The targets took the start that tried them out."""
        for target in targets:
            for _ in range(_TRIES):
                before = self._permits.read(target)
                if before.failures == 0 or self._permits.save_head(limits.recovered(before)):
                    break

    def may_call(self, target: str) -> tuple[datetime | None, bool]:
        """When a start that is under way may be sent once more (None: now), and whether it is a probe."""
        now = self._clock.now()
        for _ in range(_TRIES):
            head = self._permits.read(target)
            if head.next_attempt is not None and now < head.next_attempt:
                return head.next_attempt, False
            if head.failures == 0 or self._permits.save_head(replace(head, next_attempt=now + limits.PROBE)):
                return None, head.failures > 0
        return now + _SHORTLY, False


def _permit(reaction: Reaction, since: datetime) -> Permit:
    until = since + reaction.action.timeout
    return Permit(reaction_id=reaction.id, since=since, attempt=reaction.attempt, until=until)


def _stopped(why: str, now: datetime) -> Blocked:
    return Blocked(resource=CONTROLS, why=why, until=now + STOPPED_LOOKS, queues=(CONTROLS,))
