"""How a rollout's steps are saved, and the endpoint's permit is let go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from shared.notifications import Notification
from shared.ports import Clock, Permits
from shared.reactions import DeployAction, Phase, Reaction, Rollout, State
from shared.steps import Step, Steps, next_attempt

PERMIT_WAIT: Final = timedelta(seconds=15)
SHORTLY: Final = timedelta(seconds=2)
"""When a small change that was asked for is looked at."""


class RolloutSteps:
    """Steps of one rollout, each saved before the next is taken."""

    def __init__(self, *, permits: Permits, clock: Clock, steps: Steps) -> None:
        self._permits = permits
        self._clock = clock
        self._steps = steps

    def save(self, step: Step, reaction: Reaction, *, tell: tuple[Notification, ...] = ()) -> Step:
        return self._steps.save(step, reaction, tell=tell)

    def move(self, step: Step, rollout: Rollout, why: str, wait: timedelta | None = None) -> Step:
        """On to another phase (or try), at once or after a wait."""
        now = self._clock.now()
        next_look = now + wait if wait is not None else None
        return self.save(step, step.reaction.moved_to(State.RUNNING, why, now, rollout=rollout, next_look=next_look))

    def later(self, step: Step, wait: timedelta) -> Step:
        """Nothing to tell; looked at again after the wait."""
        return self._steps.save(step, replace(step.reaction, next_look=self._clock.now() + wait), history=False)

    def wait(self, step: Step, why: str, wait: timedelta) -> Step:
        """Still pending. Why is said once, however long it takes."""
        if step.reaction.state is State.PENDING and step.reaction.reason == why:
            return self.later(step, wait)
        now = self._clock.now()
        waiting = step.reaction.moved_to(State.PENDING, why, now, intent=None, rollout=None, next_look=now + wait)
        return self.save(step, waiting)

    def postpone(self, step: Step, why: str, wait: timedelta) -> Step:
        """Waits, and holds nothing meanwhile."""
        return self._released(self.wait(step, why, wait))

    def give_up(self, step: Step, ends: State, why: str) -> Step:
        """Towards an end that is not the one hoped for: first what was made is removed."""
        removing = replace(rollout_of(step.reaction), phase=Phase.REMOVING, ends=ends, why=why, tries=0)
        return self.move(step, removing, f"{why}; removing deployment {action_of(step.reaction).deployment}")

    def end(self, step: Step, state: State, why: str) -> Step:
        return self._released(self._steps.end(step, state, why))

    def try_again(self, step: Step, why: str) -> Step:
        """The next attempt, after its back-off; or the end, where that was the last."""
        again = next_attempt(step.reaction, why, self._clock.now())
        return self.end(step, State.FAILED, why) if again is None else self._released(self.save(step, again))

    def _released(self, step: Step) -> Step:
        self._permits.release(resource_of(step.reaction), step.reaction.id)
        return step


def action_of(reaction: Reaction) -> DeployAction:
    if not isinstance(reaction.action, DeployAction):
        raise TypeError(f"reaction {reaction.id} deploys no model")
    return reaction.action


def rollout_of(reaction: Reaction) -> Rollout:
    return reaction.rollout or Rollout(phase=Phase.CREATING)


def resource_of(reaction: Reaction) -> str:
    """What only one rollout at a time may hold. AML does not tell upper from lower case."""
    return f"endpoint:{action_of(reaction).endpoint.lower()}"


def no_endpoint(name: str) -> str:
    return f"there is no online endpoint {name}: make it, or correct the name in the rule or its setting"
