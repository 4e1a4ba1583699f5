"""How the steps of a pipeline's run are saved, and the factory's permit is let go."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.errors import TargetBusy, TargetUnavailable
from shared.ports import Clock, DataFactory, Permits, Run, RunStatus
from shared.reactions import PipelineAction, Reaction, State
from shared.steps import HeldSteps, Step, Steps, advised_wait

QUERY_PADDING: Final = timedelta(minutes=5)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


class RunSteps(HeldSteps):
    """Steps of one run."""

    def __init__(self, *, permits: Permits, factory: DataFactory, clock: Clock, steps: Steps) -> None:
        super().__init__(permits=permits, clock=clock, steps=steps)
        self.resource = f"factory:{factory.name}"

    def resource_of(self, reaction: Reaction) -> str:
        return self.resource

    def postpone(self, step: Step, error: TargetBusy | TargetUnavailable) -> Step:
        now = self._clock.now()
        why = f"the factory cannot take it now: {error}"
        waiting = step.reaction.moved_to(State.PENDING, why, now, intent=None, next_look=now + advised_wait(error))
        return self.released(self.save(step, waiting))


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
