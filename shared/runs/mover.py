"""Moves a reaction that runs a pipeline, from what is saved of it to where it has to wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from shared.ports import Clock, DataFactory, Lake, Lanes, Manifests, Workspace
from shared.preparing import Preparing
from shared.reactions import State
from shared.runs.duplicates import Duplicates
from shared.runs.saving import RunSteps, oldest_first, stamp_of
from shared.runs.starting import Starting
from shared.runs.watching import Watching
from shared.starts import Starts
from shared.steps import Observed, Step, Steps
from shared.vetting import Vetting


class PipelineRuns:
    """Moves one running reaction on by what the clock and the factory say, saving every step before the next."""

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
        follow: Callable[[], Callable[[], None]],
        look_soon: Callable[[str], None],
    ) -> None:
        """`follow` makes sure of a look at the factory, before every start, and gives what makes it quick, after
        that; `look_soon` makes sure of one at a lane."""
        self._clock = clock
        saving = self._steps = RunSteps(starts=starts, factory=factory, clock=clock, steps=steps)
        preparing = Preparing(
            lanes=lanes,
            manifests=manifests,
            workspace=workspace,
            clock=clock,
            steps=saving,
            vetting=Vetting(lake=lake, clock=clock, steps=saving),
        )
        starting = Starting(factory=factory, clock=clock, steps=saving, preparing=preparing, follow=follow)
        watching = Watching(factory=factory, clock=clock, steps=saving)
        self.resource = saving.resource
        self.release = saving.release
        self.release_left_behind = saving.release_left_behind
        self.duplicates = Duplicates(lanes=lanes, factory=factory, clock=clock, steps=saving, look_soon=look_soon)
        self._handlers: Mapping[State, Callable[[Step, Observed], Step]] = {
            State.PENDING: starting.begin,
            State.STARTING: starting.resolve,
            State.RUNNING: watching.watch,
        }

    def advance(self, step: Step, observed: Observed) -> Step:
        """As Mover's."""
        runs = oldest_first(observed.get(stamp_of(step.reaction), ()))
        if step.reaction.state is State.RUNNING and len(runs) > 1:
            step = self.duplicates.keep_oldest(step, runs)
        if step.reaction.state is State.RUNNING and step.reaction.cancel is not None:
            step = replace(step, reaction=replace(step.reaction, next_look=self._clock.now()))  # not at its timeout
        while not step.reaction.final:
            if step.reaction.cancel is not None and step.reaction.state is State.PENDING:
                return self._steps.cancelled(step, "nothing was running")
            after = self._handlers[step.reaction.state](step, observed)
            if after is step or after.reaction.waits(self._clock.now()):
                return after
            step = after
        return step
