"""A job is followed to its end by looks of its own, and ended where it takes too long."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from shared.errors import TargetBusy, TargetRefused, TargetUnavailable
from shared.following import follow_interval
from shared.jobs.saving import JobSteps, job_name
from shared.jobs.starting import SHOWN_BY
from shared.ports import Clock, RunStatus, Workspace, WorkspaceJob
from shared.reactions import Job, Reaction, State
from shared.steps import Step, advised_wait


class Watching:
    """Takes a reaction from running to its end, or to its next attempt."""

    def __init__(self, *, workspace: Workspace, clock: Clock, steps: JobSteps) -> None:
        self._workspace = workspace
        self._clock = clock
        self._steps = steps

    def watch(self, step: Step) -> Step:
        """From running: acts on what the workspace says of the job, and on the time it has taken."""
        reaction, now = step.reaction, self._clock.now()
        name = reaction.run_id or job_name(reaction)
        overdue = now >= _since(reaction) + reaction.action.timeout
        try:
            job = self._workspace.job(name)
        except (TargetBusy, TargetUnavailable, TargetRefused) as error:
            if isinstance(error, TargetRefused) and overdue:  # nothing to wait for
                return self._cut_short(step, name)
            # Not even the end of its time is acted on while it cannot be asked: it may have ended well.
            return self._steps.later(step, advised_wait(error, reaction))
        if job is not None and job.status.final:
            return self._ended(_with_job(step, name, job.status), job)
        if job is None and now >= _since(reaction) + SHOWN_BY:
            why = f"job {name} is no longer there"
            return self._steps.try_again(_with_job(step, name, None), why)
        if reaction.cancel is not None or overdue:
            make_way = reaction.gives_way and not overdue
            return self._make_way(step, name, job) if make_way else self._cut_short(step, name)
        wait = follow_interval(now - _since(reaction))
        return self._steps.later(step, min(wait, _since(reaction) + reaction.action.timeout - now))

    def _ended(self, step: Step, job: WorkspaceJob) -> Step:
        if job.status is RunStatus.SUCCEEDED:
            return self._steps.end(step, State.SUCCEEDED, f"job {job.name} completed")
        if job.status is RunStatus.CANCELLED:
            if step.reaction.cancel is not None:
                return self._steps.cancelled(step, f"job {job.name} is cancelled")
            if self._clock.now() >= _since(step.reaction) + step.reaction.action.timeout:
                # By this app, since its time was over, and the answer or the end was lost.
                why = f"job {job.name} took longer than {step.reaction.action.timeout}: cancelled"
                return self._steps.end(step, State.TIMED_OUT, why)
            return self._steps.end(step, State.CANCELLED, f"job {job.name} was cancelled in the workspace")
        return self._steps.try_again(step, f"job {job.name} failed: its logs in the workspace say why")

    def _make_way(self, step: Step, name: str, job: WorkspaceJob | None) -> Step:
        """Others take its place when it has really ended: else two would run side by side."""
        if job is None or job.status is not RunStatus.CANCELING:
            try:
                self._workspace.cancel_job(name)
            except (TargetBusy, TargetUnavailable, TargetRefused) as error:
                return self._steps.later(step, advised_wait(error, step.reaction))
        return self._steps.later(step, follow_interval(timedelta(0)))

    def _cut_short(self, step: Step, name: str) -> Step:
        """Its time is over, or somebody wants its end: the job is ended outside, too."""
        reaction = step.reaction
        how = "cancelled"
        try:
            self._workspace.cancel_job(name)
        except (TargetBusy, TargetUnavailable) as error:
            return self._steps.later(step, advised_wait(error, reaction))
        except TargetRefused as error:
            how = f"not cancelled, the workspace refused: {error}"
        step = _with_job(step, name, RunStatus.CANCELING)
        if reaction.cancel is not None:
            return self._steps.cancelled(step, f"job {name} {how}")
        return self._steps.end(step, State.TIMED_OUT, f"job {name} took longer than {reaction.action.timeout}: {how}")


def _since(reaction: Reaction) -> datetime:
    return reaction.accepted or reaction.changed


def _with_job(step: Step, name: str, status: RunStatus | None) -> Step:
    """Adds the job of an attempt that is over, for people to find; saved with the step that follows."""
    job = Job(run_id=name, name=name, status=str(status or "gone"))
    return replace(step, reaction=replace(step.reaction, jobs=(*step.reaction.jobs, job)))
