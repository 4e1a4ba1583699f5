"""A run is followed to its end, and ended where it takes too long."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from typing import Final

from shared import telemetry
from shared.errors import TargetBusy, TargetRefused, TargetUnavailable
from shared.ports import Clock, DataFactory, Run, RunStatus
from shared.reactions import Job, Reaction, State
from shared.runs.saving import QUERY_PADDING, RunSteps, oldest_first, stamp_of
from shared.steps import BUSY_WAIT, Observed, Step, advised_wait

logger = logging.getLogger(__name__)

_CANCELLED: Final = "cancelled"


class Watching:
    """Takes a reaction from running to its end, or to its next attempt."""

    def __init__(self, *, factory: DataFactory, clock: Clock, steps: RunSteps) -> None:
        self._factory = factory
        self._clock = clock
        self._steps = steps

    def watch(self, step: Step, observed: Observed) -> Step:
        """From running: acts on what the factory said of the run, and on the time it has taken."""
        reaction, now = step.reaction, self._clock.now()
        runs = oldest_first(observed.get(stamp_of(reaction), ()))
        overdue = reaction.next_look is not None and now >= reaction.next_look
        run = next((r for r in runs if r.id == reaction.run_id), None)
        if run is None and overdue and reaction.run_id is not None:
            try:
                run = self._factory.run(reaction.run_id)
            except (TargetBusy, TargetUnavailable, TargetRefused) as error:
                return self._steps.later(step, advised_wait(error))
        if run is not None and run.status.final:
            return self._ended(step, run)
        if not overdue:
            return step
        return self._time_out(step) if reaction.cancel is None else self._cancel(step)

    def _ended(self, step: Step, run: Run) -> Step:
        step = self._with_jobs(step, run.id)
        if run.status is RunStatus.SUCCEEDED:
            return self._steps.end(step, State.SUCCEEDED, f"run {run.id} succeeded")
        if run.status is RunStatus.CANCELLED:
            return self._found_cancelled(step, run)
        why = f"run {run.id} failed: {run.message or 'the factory gave no message'}"
        return self._steps.try_again(step, why)

    def _found_cancelled(self, step: Step, run: Run) -> Step:
        """By somebody; or by this app, since its time was over, and the answer or the end was lost."""
        reaction = step.reaction
        if reaction.cancel is None and self._clock.now() >= self._times_out(reaction):
            why = f"run {run.id} took longer than {reaction.action.timeout}: {_CANCELLED}"
            return self._steps.end(step, State.TIMED_OUT, why)
        return self._steps.end(step, State.CANCELLED, f"run {run.id} was cancelled in the factory")

    def _time_out(self, step: Step) -> Step:
        reaction = step.reaction
        try:
            cancelled = self._cancel_run(reaction)
        except (TargetBusy, TargetUnavailable) as error:
            return self._steps.later(step, advised_wait(error))
        if reaction.run_id is not None:
            step = self._with_jobs(step, reaction.run_id)
        return self._steps.end(
            step, State.TIMED_OUT, f"run {reaction.run_id} took longer than {reaction.action.timeout}: {cancelled}"
        )

    def _cancel(self, step: Step) -> Step:
        """Its end is wanted."""
        reaction = step.reaction
        try:
            how = self._cancel_run(reaction)
            run = self._factory.run(reaction.run_id) if reaction.run_id is not None else None
        except (TargetBusy, TargetUnavailable) as error:
            return self._steps.later(step, advised_wait(error))
        except TargetRefused:
            run = None
        if run is not None and run.status is RunStatus.SUCCEEDED:  # by itself, in the moment before
            return self._ended(step, run)
        if how != _CANCELLED and reaction.gives_way and self._clock.now() < self._times_out(reaction):
            return self._steps.later(step, BUSY_WAIT)  # two would run side by side
        if reaction.run_id is not None:
            step = self._with_jobs(step, reaction.run_id)
        return self._steps.cancelled(step, f"run {reaction.run_id} {how}")

    @staticmethod
    def _times_out(reaction: Reaction) -> datetime:
        return (reaction.accepted or reaction.changed) + reaction.action.timeout

    def _cancel_run(self, reaction: Reaction) -> str:
        """Raises TargetBusy or TargetUnavailable: not now."""
        if reaction.run_id is None:
            return _CANCELLED
        try:
            self._factory.cancel(reaction.run_id)
        except TargetRefused as error:
            return f"not cancelled, the factory refused: {error}"
        return _CANCELLED

    def _with_jobs(self, step: Step, run_id: str) -> Step:
        """Adds the jobs the run started, saved with the step that follows. That waits for nothing: asked once only."""
        reaction = step.reaction
        window = reaction.created - QUERY_PADDING, self._clock.now() + QUERY_PADDING
        try:
            jobs = self._factory.jobs_of(run_id, *window)
        except (TargetBusy, TargetUnavailable, TargetRefused) as error:
            facts = {"error": str(error), **reaction.log_context()}
            telemetry.record(logger, "jobs_unknown", facts, logging.WARNING)
            jobs = (Job(run_id=run_id),)
        return replace(step, reaction=replace(reaction, jobs=(*reaction.jobs, *jobs)))
