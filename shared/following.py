"""The look at the factory: all of its runs are followed with one query, and each lane is told what was seen of its run.

ADF raises no event when a pipeline run ends. The permits of the factory name the reactions whose runs are followed.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared import telemetry
from shared.errors import TargetBusy, TargetRefused, TargetUnavailable, UnreadableRow
from shared.looks import LATER, Scheduler, factory_key, lane_key
from shared.ports import Clock, DataFactory, Due, Lanes, Permit, Permits, Resource, Run
from shared.reactions import Reaction
from shared.runs.mover import PipelineRuns
from shared.runs.saving import QUERY_PADDING
from shared.steps import Observed

logger = logging.getLogger(__name__)

OVERLAP: Final = timedelta(minutes=10)
"""How far each query reaches back behind the one before: runs may show up late."""
UNSEEN_LOOKS: Final = 3

LookAtLane = Callable[[str, Due | None, Observed | None], None]


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

    def make_sure_of_a_look(self) -> None:
        """Called before every start, so that no run goes unfollowed."""
        key = factory_key(self._factory.name)
        self._scheduler.bring_forward(key, self._clock.now() + follow_interval(timedelta(0)))

    def look(self, due: Due) -> None:
        try:
            next_look = self._follow()
        except (TargetBusy, TargetUnavailable, TargetRefused) as error:
            telemetry.record(logger, "factory_not_followed", {"error": str(error)}, logging.WARNING)
            next_look = self._clock.now() + LATER
        self._scheduler.reschedule(due, due.key, next_look)

    def _follow(self) -> datetime | None:
        """When to look again; None if no run is left to follow."""
        now = self._clock.now()
        resource = self._permits.read(self._runs.resource)
        if not resource.permits:
            return None
        since = min(p.since for p in resource.permits) - QUERY_PADDING
        after = since if resource.cursor is None else max(resource.cursor - OVERLAP, since)
        runs = self._factory.runs_updated(after, now + QUERY_PADDING)
        observed = _by_stamp(runs + self._unseen(resource, runs))
        ended, failed = self._hand_on_all(resource, observed)
        self._cancel_strays(observed, resource)
        if ended and not failed and not self._left(ended):
            return None
        # Where a lane could not be looked at, what was seen of its run must be seen again.
        self._save(resource, resource.cursor if failed else now)
        return now + follow_interval(now - max(p.since for p in resource.permits))

    def _save(self, seen: Resource, cursor: datetime | None) -> None:
        """A start that was granted meanwhile has written the head; somebody else who follows has moved the cursor."""
        head = seen
        while (head.cursor, head.looks) == (seen.cursor, seen.looks):
            if self._permits.save_head(replace(head, cursor=cursor, looks=seen.looks + 1)):
                return
            head = self._permits.read(seen.name)

    def _unseen(self, resource: Resource, seen: Sequence[Run]) -> list[Run]:
        """Every third look, what it did not see is fetched singly: a quiet run's last update lies far back."""
        if resource.looks % UNSEEN_LOOKS != UNSEEN_LOOKS - 1:
            return []
        stamps = {run.stamp for run in seen}
        found = []
        for permit in resource.permits:
            if _stamp(permit) not in stamps:
                reaction = self._readable(permit.reaction_id)
                run = self._factory.run(reaction.run_id) if reaction is not None and reaction.run_id else None
                found += [run] if run is not None else []
        return found

    def _hand_on_all(self, resource: Resource, observed: Observed) -> tuple[set[str], bool]:
        """The reactions whose run has ended, and whether a lane could not be looked at."""
        ended: set[str] = set()
        failed = False
        for permit in resource.permits:
            try:
                if self._hand_on(permit, observed):
                    ended.add(permit.reaction_id)
            except Exception as error:  # noqa: BLE001 - one lane's trouble is not the other lanes'
                failed = True
                facts = {"reaction": permit.reaction_id, "error": repr(error)}
                telemetry.record(logger, "lane_not_looked_at", facts, logging.WARNING)
        return ended, failed

    def _hand_on(self, permit: Permit, observed: Observed) -> bool:
        """Lets the reaction's lane act on what was seen of its run. True if the run has ended."""
        runs = observed.get(_stamp(permit), ())
        ended = any(run.status.final for run in runs)
        if ended or len(runs) > 1:
            lane = permit.reaction_id.rpartition("-")[0]
            # Due now, not at the run's timeout: should this look break off after it has ended the reaction, nobody
            # would hand the lane on again.
            due = self._scheduler.set_due(lane_key(lane), self._clock.now())
            self._look_at_lane(lane, due, observed)
        elif not runs:
            self._release_leaked(permit.reaction_id)
        return ended

    def _left(self, ended: set[str]) -> int:
        """How many permits are left after some runs have ended."""
        held = {p.reaction_id for p in self._permits.read(self._runs.resource).permits}
        return len(held) - sum(self._release_leaked(reaction) for reaction in held & ended)

    def _release_leaked(self, reaction: str) -> bool:
        """Releases the permit of a reaction that is final: the process that ended it died before it did so."""
        try:
            saved = self._lanes.reaction(reaction)
        except UnreadableRow:
            return False
        if saved is not None and not saved.final:
            return False
        self._runs.release(reaction, saved)
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
