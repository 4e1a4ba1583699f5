"""Two runs carry one stamp all the same: the older is kept, and the other does not go unnoticed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from shared import notifications, telemetry
from shared.errors import TargetBusy, TargetRefused, TargetUnavailable
from shared.ports import Clock, DataFactory, Lanes, Run, RunStatus
from shared.reactions import HistoryEntry, Reaction, State
from shared.runs.saving import RunSteps
from shared.steps import Step

logger = logging.getLogger(__name__)

DUPLICATE_START: Final = "duplicate-start"


class Duplicates:
    """Ends second runs. `look_soon` makes sure of a look at a lane: it has something to tell."""

    def __init__(
        self, *, lanes: Lanes, factory: DataFactory, clock: Clock, steps: RunSteps, look_soon: Callable[[str], None]
    ) -> None:
        self._lanes = lanes
        self._factory = factory
        self._clock = clock
        self._steps = steps
        self._look_soon = look_soon

    def keep_oldest(self, step: Step, runs: Sequence[Run]) -> Step:
        """Two runs carry one stamp: the older is kept, every younger one is cancelled and recorded."""
        kept, *younger = runs
        reaction = step.reaction
        if reaction.run_id != kept.id:
            adopted = reaction.moved_to(
                State.RUNNING, f"run {kept.id} is older than {reaction.run_id}", self._clock.now(), run_id=kept.id
            )
            step = self._steps.save(step, adopted)
        for run in younger:
            self.cancel(reaction, run, kept.id)
        return step

    def cancel(self, reaction: Reaction, run: Run, kept: str) -> None:
        """Cancels a second run with the reaction's stamp, and puts that into the reaction's history, once."""
        if not (run.status.final or run.status is RunStatus.CANCELING):
            try:
                self._factory.cancel(run.id)
            except (TargetBusy, TargetUnavailable, TargetRefused) as error:  # it is seen again at the next look
                facts = {"duplicate": run.id, "error": str(error), **reaction.log_context()}
                telemetry.record(logger, "cancel_failed", facts, logging.WARNING)
                return
        if any(e.what == DUPLICATE_START and e.run_id == run.id for e in self._lanes.history(reaction.id)):
            return
        entry = HistoryEntry(
            at=self._clock.now(),
            what=DUPLICATE_START,
            reason=f"run {run.id} carries the stamp of {kept} and is younger: cancelled",
            attempt=int(run.stamp[1] or 0),
            run_id=run.id,
        )
        self._lanes.add_history(reaction.id, entry, notifications.of_duplicate(reaction, run.id, entry.at))
        self._look_soon(reaction.lane)
        telemetry.record(logger, "duplicate_start", {"duplicate": run.id, **reaction.log_context()}, logging.ERROR)
