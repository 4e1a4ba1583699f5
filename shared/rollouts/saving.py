"""How a rollout's steps are saved, and the endpoint's permit is let go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from shared.reactions import DeployAction, Phase, Reaction, Rollout, State
from shared.steps import HeldSteps, Step

PERMIT_WAIT: Final = timedelta(seconds=15)
SHORTLY: Final = timedelta(seconds=2)
"""When a small change that was asked for is looked at."""


class RolloutSteps(HeldSteps):
    """Steps of one rollout."""

    def resource_of(self, reaction: Reaction) -> str:
        """AML does not tell upper from lower case."""
        return f"endpoint:{action_of(reaction).endpoint.lower()}"

    def move(self, step: Step, rollout: Rollout, why: str, wait: timedelta | None = None) -> Step:
        """On to another phase (or try), at once or after a wait."""
        now = self._clock.now()
        next_look = now + wait if wait is not None else None
        return self.save(step, step.reaction.moved_to(State.RUNNING, why, now, rollout=rollout, next_look=next_look))

    def postpone(self, step: Step, why: str, wait: timedelta) -> Step:
        """Waits, and holds nothing meanwhile."""
        return self.released(self.wait(step, why, wait))

    def give_up(self, step: Step, ends: State, why: str) -> Step:
        """Towards an end that is not the one hoped for: first what was made is removed."""
        removing = replace(rollout_of(step.reaction), phase=Phase.REMOVING, ends=ends, why=why, tries=0)
        return self.move(step, removing, f"{why}; removing deployment {action_of(step.reaction).deployment}")


def action_of(reaction: Reaction) -> DeployAction:
    if not isinstance(reaction.action, DeployAction):
        raise TypeError(f"reaction {reaction.id} deploys no model")
    return reaction.action


def rollout_of(reaction: Reaction) -> Rollout:
    return reaction.rollout or Rollout(phase=Phase.CREATING)


def no_endpoint(name: str) -> str:
    return f"there is no online endpoint {name}: make it, or correct the name in the rule or its setting"
