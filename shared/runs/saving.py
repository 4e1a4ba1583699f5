"""How the steps of a pipeline's run are saved, and the factory's permit is let go."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.errors import TargetBusy, TargetUnavailable
from shared.ports import Clock, DataFactory, Permits, Run, RunStatus
from shared.reactions import PipelineAction, Reaction, State
from shared.steps import Step, Steps, advised_wait, next_attempt

QUERY_PADDING: Final = timedelta(minutes=5)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


class RunSteps:
    """Steps of one run, each saved before the next is taken."""

    def __init__(self, *, permits: Permits, factory: DataFactory, clock: Clock, steps: Steps) -> None:
        self._permits = permits
        self._factory = factory
        self._clock = clock
        self._steps = steps

    @property
    def resource(self) -> str:
        return f"factory:{self._factory.name}"

    def save(self, step: Step, reaction: Reaction, *, history: bool = True) -> Step:
        return self._steps.save(step, reaction, history=history)

    def postpone(self, step: Step, error: TargetBusy | TargetUnavailable) -> Step:
        now = self._clock.now()
        why = f"the factory cannot take it now: {error}"
        waiting = step.reaction.moved_to(State.PENDING, why, now, intent=None, next_look=now + advised_wait(error))
        return self._released(self.save(step, waiting))

    def try_again(self, step: Step, why: str) -> Step:
        """The next attempt, after its back-off; or the end, where that was the last."""
        again = next_attempt(step.reaction, why, self._clock.now())
        return self.end(step, State.FAILED, why) if again is None else self._released(self.save(step, again))

    def end(self, step: Step, state: State, why: str) -> Step:
        return self._released(self._steps.end(step, state, why))

    def _released(self, step: Step) -> Step:
        """None is held while waiting, or after the end."""
        self._permits.release(self.resource, step.reaction.id)
        return step


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
