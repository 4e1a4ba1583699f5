"""A reaction of a rule whose mode is `observe`: what would have been done is told, and nothing is done."""

from __future__ import annotations

from typing import Final

from shared.errors import TargetBusy, TargetRefused, TargetUnavailable
from shared.ports import Clock, Workspace
from shared.reactions import TEXT, DeployAction, JobAction, NotifyAction, PipelineAction, Reaction, State
from shared.rollouts import verdicts
from shared.rollouts.saving import no_endpoint
from shared.steps import Observed, Step, Steps, advised_wait

MANIFEST: Final = "(the manifest)"
"""In place of the address of a manifest that is not written."""
_SHOWN: Final = 200
"""Characters of a parameter that are told."""


class Observing:
    """Ends observed reactions. What the workspace says of a model is asked for; it is all that is asked for."""

    def __init__(self, *, workspace: Workspace, clock: Clock, steps: Steps) -> None:
        self._workspace = workspace
        self._clock = clock
        self._steps = steps

    def advance(self, step: Step, observed: Observed) -> Step:
        """As Mover's."""
        reaction, now = step.reaction, self._clock.now()
        if reaction.final or (reaction.next_look is not None and now < reaction.next_look):
            return step
        try:
            would = self._would(reaction)
        except (TargetBusy, TargetUnavailable) as error:
            why = f"observe: the workspace cannot be asked now: {error}"
            waiting = reaction.moved_to(State.PENDING, why, now, next_look=now + advised_wait(error, reaction))
            return self._steps.save(step, waiting)
        except TargetRefused as error:
            would = f"would have asked for the model, and the workspace refuses to tell: {error}"
        return self._steps.end(step, State.OBSERVED, f"observe: {would}")

    def _would(self, reaction: Reaction) -> str:
        action = reaction.action
        if reaction.objection is not None:
            return f"would have failed: {reaction.objection}"
        if isinstance(action, DeployAction):
            return self._would_deploy(action)
        shown = _shown(action)
        if isinstance(action, NotifyAction):
            return f"would have told: {shown[TEXT]}"
        what = f"pipeline {action.pipeline}" if isinstance(action, PipelineAction) else f"a job of {action.component}"
        told = ", ".join(f"{name}={value}" for name, value in shown.items())
        return f"would have started {what} with {told or 'no parameters'}"

    def _would_deploy(self, action: DeployAction) -> str:
        endpoint, candidate, live = verdicts.seen(self._workspace, action)
        if endpoint is None:
            return f"would have failed: {no_endpoint(action.endpoint)}"
        verdict = verdicts.judge(action, endpoint, candidate, live)
        if not verdict.passed:
            return f"would have refused {action.model} on endpoint {action.endpoint}: {verdict.reason}"
        made = f"{action.model} on endpoint {action.endpoint} as {action.deployment}"
        return f"would have deployed {made}: gate passed: {verdict.reason}"


def _shown(action: PipelineAction | JobAction | NotifyAction) -> dict[str, str]:
    named = action.with_live({name: f"(the model live on {name})" for name in action.live_endpoints})
    return {name: _cut(value) for name, value in named.parameters.items()}


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
