"""Who moves a reaction on: one mover for each kind of action, and what goes before any of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shared.jobs.mover import WorkspaceJobs
from shared.notices import Notices
from shared.observing import Observing
from shared.ports import Clock, DataFactory, Lake, Lanes, Manifests, Workspace
from shared.reactions import Action, DeployAction, JobAction, NotifyAction, PipelineAction, Reaction, State
from shared.rollouts.mover import Rollouts
from shared.runs.mover import PipelineRuns
from shared.starts import Starts
from shared.steps import Mover, Observed, Step, Steps


class Movers:
    """Moves any reaction as far as it can go now."""

    def __init__(  # noqa: PLR0913 - it is handed its parts
        self,
        *,
        lanes: Lanes,
        starts: Starts,
        manifests: Manifests,
        factory: DataFactory,
        workspace: Workspace,
        lake: Lake,
        clock: Clock,
        steps: Steps,
        topic: bool,
        follow: Callable[[], Callable[[], None]],
        look_soon: Callable[[str], None],
    ) -> None:
        """`topic`: whether there is one to tell anything. `follow`, `look_soon`: as PipelineRuns wants them."""
        self._steps = steps
        self._observing = Observing(workspace=workspace, clock=clock, steps=steps)
        self.runs = PipelineRuns(
            lanes=lanes,
            starts=starts,
            manifests=manifests,
            factory=factory,
            workspace=workspace,
            lake=lake,
            clock=clock,
            steps=steps,
            follow=follow,
            look_soon=look_soon,
        )
        jobs = WorkspaceJobs(
            lanes=lanes,
            starts=starts,
            manifests=manifests,
            workspace=workspace,
            lake=lake,
            clock=clock,
            steps=steps,
        )
        notices = Notices(
            lanes=lanes,
            starts=starts,
            manifests=manifests,
            workspace=workspace,
            clock=clock,
            steps=steps,
            topic=topic,
        )
        self.rollouts = Rollouts(starts=starts, workspace=workspace, clock=clock, steps=steps)
        self._of: Mapping[type[Action], Mover] = {
            PipelineAction: self.runs,
            JobAction: jobs,
            DeployAction: self.rollouts,
            NotifyAction: notices,
        }

    def advance(self, step: Step, observed: Observed) -> Step:
        """As Mover's."""
        reaction = step.reaction
        if reaction.observe:
            return self._observing.advance(step, observed)
        if reaction.objection is not None and reaction.state is State.PENDING:
            return self._steps.end(step, State.FAILED, reaction.objection)
        return self._of[type(reaction.action)].advance(step, observed)

    def release(self, reaction: Reaction) -> None:
        """As Mover's. What is only observed, or may not be started, has never held anything."""
        if not reaction.observe and reaction.objection is None:
            self._of[type(reaction.action)].release(reaction)
