"""How the steps of a pipeline's run are saved, and the factory's permit is let go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.limits import Demand
from shared.ports import Clock, DataFactory, Run, RunStatus
from shared.reactions import PipelineAction, Reaction
from shared.starts import Granted, Starts, TargetTrouble
from shared.steps import Step, Steps, TargetSteps

QUERY_PADDING: Final = timedelta(minutes=5)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


class RunSteps(TargetSteps):
    """Steps of one run. Its permit of the factory is held in any case: these are the runs that are followed."""

    def __init__(self, *, starts: Starts, factory: DataFactory, clock: Clock, steps: Steps) -> None:
        super().__init__(starts=starts, clock=clock, steps=steps)
        self.resource = self.target = f"factory:{factory.name}"

        of_all = starts.factory
        self.demand = Demand(resource=self.resource, limit=of_all.concurrency, rate=of_all.start_rate, target=True)

    def demands_of(self, reaction: Reaction) -> Sequence[Demand]:
        return [self.demand]

    def postpone(self, step: Step, error: TargetTrouble, granted: Granted | None = None) -> Step:
        return self.busy(step, self.resource, error, f"the factory cannot take it now: {error}", granted)

    def release_left_behind(self, reaction_id: str, reaction: Reaction | None) -> None:
        """Whatever a reaction still holds that is final or was never there: its process died before it let go."""
        if reaction is not None:
            self.release(reaction)
        else:
            self._starts.let_go(self.demand, reaction_id)


def action_of(reaction: Reaction) -> PipelineAction:
    if not isinstance(reaction.action, PipelineAction):
        raise TypeError(f"reaction {reaction.id} runs no pipeline")
    return reaction.action


def stamp_of(reaction: Reaction) -> tuple[str, str]:
    return reaction.id, str(reaction.attempt)


def oldest_first(runs: Iterable[Run]) -> list[Run]:
    """Oldest first; what is cancelled comes last, so that it cannot become the one to keep when it gets its start."""
    gone = {RunStatus.CANCELING, RunStatus.CANCELLED}
    return sorted(runs, key=lambda r: (r.status in gone, r.started is None, r.started or _NEVER, r.id))
