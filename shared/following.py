"""The look at the factory: all of its runs are followed with one query, and each lane is told what was seen of its run.

ADF raises no event when a pipeline run ends. The permits of the factory name the reactions whose runs are followed.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from shared import telemetry
from shared.errors import TargetBusy, TargetRefused, TargetUnavailable, UnreadableRow
from shared.looks import LATER, Scheduler, factory_key
from shared.ports import Clock, DataFactory, Due, Lanes, Permit, Permits, Resource, Run
from shared.reactions import Reaction
from shared.runs.mover import PipelineRuns
from shared.runs.saving import QUERY_PADDING
from shared.steps import Observed

logger = logging.getLogger(__name__)

OVERLAP: Final = timedelta(minutes=10)
"""How far each query reaches back behind the one before: runs may show up late."""
LATE: Final = timedelta(seconds=5)
ALONE: Final = timedelta(seconds=10)
"""A look that comes so LATE is made by one process ALONE for so long: the others are about to do the same work."""
UNSEEN_LOOKS: Final = 3
CURSOR_EVERY: Final = timedelta(minutes=5)
"""How far the cursor may lag behind: it is saved that seldom, and each query reaches back further meanwhile."""

LookAtLane = Callable[[str, Due | None, Observed | None], frozenset[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """The resource as a look has left it, and the due row it has written then.

    Whoever holds a permit has written that row before his start. So as long as it is unchanged, nobody else holds one;
    and a look that replaces it, or removes it, finds out whether it is.
    """

    etag: str
    resource: Resource


class FollowedFactory:
    def __init__(
        self,
        *,
        lanes: Lanes,
        permits: Permits,
        factory: DataFactory,
        clock: Clock,
        scheduler: Scheduler,
        runs: PipelineRuns,
        look_at_lane: LookAtLane,
    ) -> None:
        self._lanes = lanes
        self._permits = permits
        self._factory = factory
        self._clock = clock
        self._scheduler = scheduler
        self._runs = runs
        self._look_at_lane = look_at_lane
        self._seen: _Seen | None = None
        self._unseen_looks: dict[tuple[str, str], int] = {}
        self._begun: set[tuple[str, str]] = set()

    def make_sure_of_a_look(self) -> Callable[[], None]:
        """Called before every start, so that no run goes unfollowed; what it gives, after that."""
        key = factory_key(self._factory.name)
        return self._scheduler.make_due(key, self._clock.now() + follow_interval(timedelta(0)))

    def look(self, due: Due) -> None:
        seen, self._seen = self._seen, None
        known = seen.resource if seen is not None and seen.etag == due.etag else None
        if self._clock.now() - due.at > LATE:
            taken = self._scheduler.take_over(due, self._clock.now() + ALONE)
            if taken is None:
                return
            due, known = taken, None  # the row may be another process's by now, and what it has granted is not known
        resource = known or self._permits.read(self._runs.resource)
        try:
            left = self._follow(resource) if resource.permits else resource
        except (TargetBusy, TargetUnavailable, TargetRefused) as error:
            telemetry.record(logger, "factory_not_followed", {"error": str(error)}, logging.WARNING)
            self._scheduler.reschedule(due, due.key, self._clock.now() + LATER)
            return
        if not left.permits:
            self._scheduler.reschedule(due, due.key, None)
            return
        written = self._scheduler.reschedule(due, due.key, self._next_look(resource))
        # Of one whose run has not been seen to go on it is not known whether it still holds its permit.
        known_to_run = {_stamp(permit) for permit in left.permits} <= self._begun
        if known_to_run and written is not None and written.etag is not None:
            self._seen = _Seen(etag=written.etag, resource=left)

    def _next_look(self, resource: Resource) -> datetime:
        """By the youngest run's age, or when the time of one is over."""
        now = self._clock.now()
        next_look = now + follow_interval(now - max(permit.since for permit in resource.permits))
        return min([next_look, *(p.until for p in resource.permits if p.until is not None and p.until > now)])

    def _follow(self, resource: Resource) -> Resource:
        """One query for all runs; gives the resource with what is still held of it."""
        now = self._clock.now()
        since = min(p.since for p in resource.permits) - QUERY_PADDING
        after = since if resource.cursor is None else max(resource.cursor - OVERLAP, since)
        runs = self._factory.runs_updated(after, now + QUERY_PADDING)
        observed = _by_stamp(runs + self._unseen(resource, runs))
        gone, failed = self._hand_on_all(resource, observed)
        self._cancel_strays(observed, resource)
        left = replace(resource, permits=tuple(p for p in resource.permits if p.reaction_id not in gone))
        self._begun &= {_stamp(permit) for permit in left.permits}
        # Where a lane could not be looked at, what was seen of its run must be seen again.
        if left.permits and not failed and now - (resource.cursor or since) >= CURSOR_EVERY:
            left = self._save(left, now)
        return left

    def _save(self, seen: Resource, cursor: datetime) -> Resource:
        """A start that was granted meanwhile has written the head; somebody else who follows has moved the cursor."""
        head = seen
        while head.cursor == seen.cursor:
            if self._permits.save_head(replace(head, cursor=cursor)):
                break
            head = self._permits.read(seen.name)
        return replace(seen, cursor=cursor)

    def _unseen(self, resource: Resource, seen: Sequence[Run]) -> list[Run]:
        """What three looks of this process have not seen is fetched singly: a quiet run's last update lies far back."""
        stamps = {run.stamp for run in seen}
        missed = {
            _stamp(permit): self._unseen_looks.get(_stamp(permit), 0) + 1
            for permit in resource.permits
            if _stamp(permit) not in stamps
        }
        found: list[Run] = []
        for stamp in [stamp for stamp, looks in missed.items() if looks >= UNSEEN_LOOKS]:
            del missed[stamp]
            reaction = self._readable(stamp[0])
            run = self._factory.run(reaction.run_id) if reaction is not None and reaction.run_id else None
            found += [run] if run is not None else []
        self._unseen_looks = missed
        return found

    def _hand_on_all(self, resource: Resource, observed: Observed) -> tuple[set[str], bool]:
        """The reactions that hold nothing any more, and whether one could not be looked at."""
        gone: set[str] = set()
        failed = False
        for permit in resource.permits:
            try:
                if self._concerns(permit, observed):
                    gone |= self._hand_on(permit, observed)
            except Exception as error:  # noqa: BLE001 - one lane's trouble is not the other lanes'
                failed = True
                facts = {"reaction": permit.reaction_id, "error": repr(error)}
                telemetry.record(logger, "lane_not_looked_at", facts, logging.WARNING)
        return gone, failed

    def _concerns(self, permit: Permit, observed: Observed) -> bool:
        """Whether there is something to act on: the run has ended, or takes too long, or is not alone, or is not there.

        An earlier release's permit does not say when its time is over: the reaction does.
        """
        runs = observed.get(_stamp(permit), ())
        overdue = permit.until is None or permit.until <= self._clock.now()
        if overdue or len(runs) > 1 or any(run.status.final for run in runs):
            return True
        if runs and _stamp(permit) in self._begun:
            return False
        return not self._goes_on(permit)

    def _goes_on(self, permit: Permit) -> bool:
        """Whether a reaction whose run is not seen, or is seen for the first time, needs no look for now.

        One that is being started has a look of its own, unless the process has died that was to make sure of it.
        """
        try:
            reaction = self._lanes.reaction(permit.reaction_id)
        except UnreadableRow:
            return True  # whoever can read it sees to it
        if reaction is None or reaction.final:
            return False
        if reaction.own_look is None:
            self._begun.add(_stamp(permit))
        return reaction.own_look is None or self._clock.now() < reaction.own_look

    def _hand_on(self, permit: Permit, observed: Observed) -> frozenset[str]:
        """Lets the reaction's lane act on what was seen of its run; gives the reactions that hold nothing any more.

        Should this break off after a reaction has ended, its permit is still there, and the next look sees to it.
        """
        gone = self._look_at_lane(permit.reaction_id.rpartition("-")[0], None, observed)
        if permit.reaction_id not in gone and self._release_leaked(permit.reaction_id):
            gone |= {permit.reaction_id}
        return gone

    def _release_leaked(self, reaction: str) -> bool:
        """Releases the permit of a reaction that is final: the process that ended it died before it did so."""
        try:
            saved = self._lanes.reaction(reaction)
        except UnreadableRow:
            return False
        if saved is not None and not saved.final:
            return False
        self._runs.release_left_behind(reaction, saved)
        return True

    def _readable(self, reaction_id: str) -> Reaction | None:
        """None also for one of a later version: whoever can read it sees to it."""
        try:
            return self._lanes.reaction(reaction_id)
        except UnreadableRow:
            return None

    def _cancel_strays(self, observed: Observed, resource: Resource) -> None:
        """A second run may come to light after its attempt ended: it is cancelled and recorded all the same."""
        held = {_stamp(permit) for permit in resource.permits}
        for (stamped, attempt), group in observed.items():
            running = [run for run in group if not run.status.final]
            # A permit held for this attempt and a single run is the normal case: nothing to read for it.
            if not running or not attempt.isdecimal() or ((stamped, attempt) in held and len(group) == 1):
                continue
            reaction = self._readable(stamped)
            if reaction is not None and (reaction.final or int(attempt) < reaction.attempt):
                for run in running:
                    if run.id != reaction.run_id:
                        self._runs.duplicates.cancel(reaction, run, reaction.run_id or "an earlier run")


def follow_interval(age: timedelta) -> timedelta:
    """How long until the factory is asked again: a tenth of the youngest run's age, from 5 seconds to 1 minute."""
    return min(max(age / 10, timedelta(seconds=5)), timedelta(minutes=1))


def _stamp(permit: Permit) -> tuple[str, str]:
    return permit.reaction_id, str(permit.attempt)


def _by_stamp(runs: Sequence[Run]) -> Observed:
    groups: dict[tuple[str, str], dict[str, Run]] = defaultdict(dict)
    for run in runs:
        groups[run.stamp][run.id] = run
    return {stamp: list(group.values()) for stamp, group in groups.items()}
