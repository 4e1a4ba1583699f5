"""Who may start now: permits, rates, and targets that are left alone for a while. Pure: resources in, a verdict out.

A start needs something of several resources at once. All of them are looked at first: where one says no, nothing is
taken of any. Who waits is ordered by (priority, since), and nobody who comes later passes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from shared.ports.ledger import Resource, Waiter
from shared.rules import Rate

UNSEEN: Final = timedelta(minutes=15)
"""A waiter that nobody has looked at for so long counts no more: its reaction has ended, or its row was left behind."""
FIRST_LOOKS: Final = timedelta(minutes=4)
"""How often the first of those who wait looks by itself: a release that died before it woke anybody is made good."""
OTHERS_LOOK: Final = timedelta(minutes=10)
FIRST_WAIT: Final = timedelta(seconds=30)
LONGEST_WAIT: Final = timedelta(minutes=10)
"""Of the waits that double while a target that advises nothing stays busy."""
PROBE: Final = timedelta(seconds=30)
"""For so long nobody else calls a target that one start is trying out: the deadline of its call."""
JITTER: Final = 0.2


# --- rates ------------------------------------------------------------------------------------------------------------
#
# A token bucket is one time: when it will be full again. Each start moves it on by the time that one token takes.


def interval(rate: Rate) -> timedelta:
    """How long one token takes, rounded up: never more than the rate says."""
    return -(-rate.per // rate.count)


def tokens(rate: Rate, full_at: datetime | None, now: datetime) -> int:
    """How many starts the bucket still holds."""
    missing = _settled(rate, full_at, now) - now
    return rate.count - -(-missing // interval(rate))


def charged(rate: Rate, full_at: datetime | None, now: datetime) -> datetime:
    """The bucket after a start."""
    return _settled(rate, full_at, now) + interval(rate)


def next_token(rate: Rate, full_at: datetime | None, now: datetime, ahead: int = 0) -> datetime:
    """When there is a token for somebody with `ahead` others before them."""
    return max(now, _settled(rate, full_at, now) - (rate.count - 1 - ahead) * interval(rate))


def _settled(rate: Rate, full_at: datetime | None, now: datetime) -> datetime:
    """A bucket is never more than full, and never emptier than empty: the rate may have been another one before."""
    return min(max(full_at or now, now), now + rate.count * interval(rate))


# --- targets that are left alone --------------------------------------------------------------------------------------


def jitter(name: str, turn: int) -> float:
    """From 0 to 0.2, the same for the same name and turn: those who wait alike do not all come back at once."""
    digest = hashlib.sha256(f"{name}\0{turn}".encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32 * JITTER


def tripped(target: Resource, now: datetime, reaction_id: str, advised: timedelta | None, *, probe: bool) -> Resource:
    """The target after it was too busy for a start: until `next_attempt` nobody calls it to start anything.

    Args:
        advised: how long it asked to be left alone.
        probe: whether that start was the one that tried it out.
    """
    waiting = target.next_attempt is not None and now < target.next_attempt
    # Starts that were under way when the first of them came back busy are no news of their own.
    failures = target.failures if waiting and not probe else target.failures + 1
    own = min(FIRST_WAIT * 2 ** min(failures - 1, 10), LONGEST_WAIT)
    wait = max(advised, timedelta(seconds=1)) if advised is not None else own
    until = now + wait * (1 + jitter(reaction_id, failures))
    if waiting and not probe and target.next_attempt is not None:
        until = max(until, target.next_attempt)
    return replace(target, next_attempt=until, failures=failures)


def recovered(target: Resource) -> Resource:
    """The target after it took the start that tried it out."""
    return replace(target, next_attempt=None, failures=0)


# --- may a start begin? -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a start needs of one resource.

    Attributes:
        limit: so many permits there are; None: any number.
        rate: so many starts; None: any number.
        holds: whether a permit is held until the end. Else the start only counts, or the resource is only a target.
        target: whether the start calls it, so that it may be too busy.
        every: how often one who waits looks again, where nobody queues.
    """

    resource: str
    limit: int | None = None
    rate: Rate | None = None
    holds: bool = True
    target: bool = False
    every: timedelta | None = None

    @property
    def limited(self) -> bool:
        """Whether it may say no to a start for what others have started."""
        return self.limit is not None or self.rate is not None

    @property
    def queued(self) -> bool:
        """Whether those who wait for it stand in a row. A busy target alone is waited for by the clock."""
        return self.limited and self.every is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """It may start. `heads` are to be saved, each if it has not changed since.

    `probes`: the targets that this start tries out.
    """

    heads: Mapping[str, Resource]
    probes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """It has to wait.

    Attributes:
        resource: the one that says no, the first by name where several do; `why`, in words.
        until: when to look again, if nobody wakes it before.
        queues: the resources where it now has to queue.
        first: those of them whose permits are all held, with nobody else before it.
    """

    resource: str
    why: str
    until: datetime
    queues: tuple[str, ...] = ()
    first: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _No:
    """One resource's refusal. `until`: by the clock; None: until somebody releases a permit."""

    demand: Demand
    why: str
    until: datetime | None
    ahead: int = 0
    busy: bool = False
    full: bool = False

    @property
    def waits(self) -> bool:
        """Whether one queues for it."""
        return self.demand.queued and not self.busy


def decide(demands: Sequence[Demand], seen: Mapping[str, Resource], me: Waiter, now: datetime) -> Go | Blocked:
    """Whether a start may begin that needs all of `demands`.

    Args:
        seen: the resources as they are, those that have to be asked.
        me: the reaction that would start, and its place in every queue.
    """
    asked = sorted((demand for demand in demands if demand.resource in seen), key=lambda demand: demand.resource)
    refusals = [no for demand in asked if (no := _refusal(demand, seen[demand.resource], me, now)) is not None]
    if refusals:
        return _blocked(asked, refusals, now)
    probes = tuple(d.resource for d in asked if d.target and seen[d.resource].failures > 0)
    return Go(heads={d.resource: _taken(d, seen[d.resource], me, now) for d in asked}, probes=probes)


def ahead(resource: Resource, me: Waiter, now: datetime) -> int:
    """How many wait for the resource and are before `me`."""
    return sum(1 for waiter in resource.waiters if waiter.order < me.order and not stale(waiter, now))


def stale(waiter: Waiter, now: datetime) -> bool:
    return waiter.seen + UNSEEN <= now


def holds(resource: Resource, name: str) -> bool:
    return any(permit.reaction_id == name for permit in resource.permits)


def _refusal(demand: Demand, resource: Resource, me: Waiter, now: datetime) -> _No | None:
    if holds(resource, me.name):
        # It was granted, and could not go on: its process died, or another look at the lane was quicker. Asked first:
        # the one that tries out a busy target would otherwise have to wait for its own try.
        return None
    if demand.target and resource.next_attempt is not None and now < resource.next_attempt:
        later = (resource.next_attempt - now) * jitter(me.name, resource.failures)
        why = f"{demand.resource} takes no starts now"
        return _No(demand=demand, why=why, until=resource.next_attempt + later, busy=True)
    before = ahead(resource, me, now)
    free = demand.limit - len(resource.permits) if demand.limit is not None else None
    if free is not None and free <= before:
        until = now + demand.every if demand.every is not None else None
        return _No(demand=demand, why=_full(demand, resource), until=until, ahead=before, full=free <= 0)
    if demand.rate is not None and tokens(demand.rate, resource.full_at, now) <= before:
        until = next_token(demand.rate, resource.full_at, now, before)
        why = f"{demand.resource} may start {demand.rate}, which is used up"
        return _No(demand=demand, why=why, until=until, ahead=before)
    return None


def _full(demand: Demand, resource: Resource) -> str:
    if demand.limit == 1 and resource.permits:
        return f"{demand.resource} is held by reaction {resource.permits[0].reaction_id}"
    return f"{demand.resource} has {demand.limit} permit(s), all held or waited for"


def _blocked(asked: Sequence[Demand], refusals: Sequence[_No], now: datetime) -> Blocked:
    waits = [no for no in refusals if no.waits]
    foremost = bool(waits) and all(no.ahead == 0 for no in waits)
    # Who is first everywhere it has to wait keeps its place everywhere else, too: otherwise others, who need less,
    # could take the one while it waits for the other, for ever.
    queues = (demand for demand in asked if demand.queued) if foremost else (no.demand for no in waits)
    return Blocked(
        resource=refusals[0].demand.resource,
        why=refusals[0].why,
        until=_until(refusals, now + (FIRST_LOOKS if foremost else OTHERS_LOOK)),
        queues=tuple(demand.resource for demand in queues),
        first=tuple(no.demand.resource for no in refusals if no.full and no.ahead == 0),
    )


def _until(refusals: Sequence[_No], poll: datetime) -> datetime:
    """Who queues must be seen from time to time; a target alone is left alone as long as that takes."""
    latest = max(no.until or poll for no in refusals)
    return min(latest, poll) if any(no.waits for no in refusals) else latest


def _taken(demand: Demand, resource: Resource, me: Waiter, now: datetime) -> Resource:
    """The resource's head once the start is granted."""
    if demand.rate is not None and not holds(resource, me.name):
        resource = replace(resource, full_at=charged(demand.rate, resource.full_at, now))
    if demand.target and resource.failures > 0:
        resource = replace(resource, next_attempt=now + PROBE)
    return resource


def refunded(resource: Resource, before: Resource, granted: Resource) -> Resource | None:
    """The head as if a start had never been granted; None where there is nothing to give back.

    A token is gone once others have been granted one since: to give it back all the same might let more start than the
    rate allows.
    """
    back = resource
    if resource.full_at == granted.full_at != before.full_at:
        back = replace(back, full_at=before.full_at)
    if resource.next_attempt == granted.next_attempt != before.next_attempt:
        back = replace(back, next_attempt=before.next_attempt)
    return back if back != resource else None
