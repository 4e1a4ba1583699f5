"""How a rollout's steps are saved, and the endpoint's permit is let go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from shared.errors import TargetBusy
from shared.limits import Demand
from shared.reactions import DeployAction, Phase, Reaction, Rollout, State
from shared.starts import Granted, TargetTrouble
from shared.steps import WORKSPACE, Step, TargetSteps, advised_wait

PERMIT_WAIT: Final = timedelta(seconds=15)
SHORTLY: Final = timedelta(seconds=2)
"""When a small change that was asked for is looked at."""


class RolloutSteps(TargetSteps):
    """Steps of one rollout."""

    target = WORKSPACE

    def demands_of(self, reaction: Reaction) -> Sequence[Demand]:
        """The endpoint, which is no queue: of those who wait for it the newest has precedence. AML does not tell upper
        from lower case.
        """
        endpoint = f"endpoint:{action_of(reaction).endpoint.lower()}"
        return [
            Demand(resource=endpoint, limit=1, every=PERMIT_WAIT),
            Demand(resource=WORKSPACE, holds=False, target=True),
        ]

    def move(self, step: Step, rollout: Rollout, why: str, wait: timedelta | None = None) -> Step:
        """On to another phase (or try), at once or after a wait."""
        now = self._clock.now()
        next_look = now + wait if wait is not None else None
        return self.save(step, step.reaction.moved_to(State.RUNNING, why, now, rollout=rollout, next_look=next_look))

    def postpone(self, step: Step, error: TargetTrouble, why: str, granted: Granted | None) -> Step:
        """Waits, and holds nothing meanwhile. Where only the endpoint is busy, everybody else goes on."""
        told = f"{why}: {error}"
        if isinstance(error, TargetBusy) and error.status == 409:
            return self.wait(step, told, advised_wait(error, step.reaction), granted)
        return self.busy(step, WORKSPACE, error, told, granted)

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
