"""Moves a reaction that runs a job, from what is saved of it to where it has to wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shared.jobs.saving import JobSteps
from shared.jobs.starting import Starting
from shared.jobs.watching import Watching
from shared.ports import Clock, Lake, Lanes, Manifests, Workspace
from shared.preparing import Preparing
from shared.reactions import State
from shared.starts import Starts
from shared.steps import Observed, Step, Steps
from shared.vetting import Vetting


class WorkspaceJobs:
    """Moves one reaction on by what the clock and the workspace say, saving every step before the next."""

    def __init__(
        self,
        *,
        lanes: Lanes,
        starts: Starts,
        manifests: Manifests,
        workspace: Workspace,
        lake: Lake,
        clock: Clock,
        steps: Steps,
    ) -> None:
        saving = JobSteps(starts=starts, clock=clock, steps=steps)
        preparing = Preparing(
            lanes=lanes,
            manifests=manifests,
            workspace=workspace,
            clock=clock,
            steps=saving,
            vetting=Vetting(lake=lake, clock=clock, steps=saving),
        )
        starting = Starting(workspace=workspace, clock=clock, steps=saving, preparing=preparing)
        watching = Watching(workspace=workspace, clock=clock, steps=saving)
        self._clock = clock
        self._steps = saving
        self.release = saving.release
        self._watch = watching.watch
        self._handlers: Mapping[State, Callable[[Step], Step]] = {
            State.PENDING: starting.begin,
            State.STARTING: starting.resolve,
            State.RUNNING: watching.watch,
        }

    def advance(self, step: Step, observed: Observed) -> Step:
        """As Mover's."""
        if step.reaction.cancel is not None and step.reaction.state is State.RUNNING:
            step = self._watch(step)  # whatever its time
        woken = bool(step.reaction.queues)  # what it queued for may be free
        while not step.reaction.final:
            if step.reaction.cancel is not None and step.reaction.state is State.PENDING:
                return self._steps.cancelled(step, "nothing was running")
            next_look = step.reaction.next_look
            if next_look is not None and self._clock.now() < next_look and not woken:
                break
            woken = False
            step = self._handlers[step.reaction.state](step)
        return step
