"""A rollout's beginning: the endpoint is held, the gate decides, and the deployment is asked for once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared.errors import InDoubt, TargetBusy, TargetRefused, TargetUnavailable
from shared.models import ATTEMPT_TAG, REACTION_TAG, Deployment, Endpoint, ModelVersion, Provisioning
from shared.ports import Clock, NewDeployment, Workspace
from shared.reactions import Intent, Phase, Reaction, Rollout, State
from shared.rollouts import verdicts
from shared.rollouts.phases import Phases
from shared.rollouts.saving import PERMIT_WAIT, SHORTLY, RolloutSteps, action_of, no_endpoint, rollout_of
from shared.starts import Granted, Starts
from shared.steps import CALL_DEADLINE, Observed, Step, Steps, advised_wait, intent_in_time

LISTED_BY: Final = timedelta(minutes=10)
"""AML's list may lag; a deployment that is not in it after so long is not there."""


class Rollouts:
    """Moves one rollout on by what the clock and the workspace say, saving every step before the next."""

    def __init__(self, *, starts: Starts, workspace: Workspace, clock: Clock, steps: Steps) -> None:
        self._workspace = workspace
        self._clock = clock
        self._steps = RolloutSteps(starts=starts, clock=clock, steps=steps)
        self._phases = Phases(workspace=workspace, clock=clock, steps=self._steps)
        self._handlers: Mapping[State, Callable[[Step], Step]] = {
            State.PENDING: self._begin,
            State.STARTING: self._create,
            State.RUNNING: self._phases.follow,
        }

    def advance(self, step: Step, observed: Observed) -> Step:
        """As Mover's."""
        if self._phases.may_end(step.reaction):
            step = replace(step, reaction=replace(step.reaction, next_look=None))  # at once
        woken = bool(step.reaction.queues)  # what it queued for may be free
        while not step.reaction.final:
            if step.reaction.cancel is not None and step.reaction.state is State.PENDING:
                return self._steps.cancelled(step, "nothing was made")
            next_look = step.reaction.next_look
            if next_look is not None and self._clock.now() < next_look and not woken:
                break
            woken = False
            after = self._handlers[step.reaction.state](step)
            if after is step:
                break
            step = after
        return step

    def release(self, reaction: Reaction) -> None:
        """As Mover's."""
        self._steps.release(reaction)

    def supersede(self, step: Step, why: str) -> Step:
        """A newer version takes this rollout's place: what it made is removed."""
        if step.reaction.state is State.PENDING:
            return self._steps.end(step, State.SUPERSEDED, why)
        return self._steps.give_up(step, State.SUPERSEDED, why)

    # --- pending: may it begin? ---------------------------------------------------------------------------------------

    def _begin(self, step: Step) -> Step:
        step, granted = self._steps.admit(step)
        if granted is None:
            return step
        action = action_of(step.reaction)
        try:
            endpoint, candidate, live = verdicts.seen(self._workspace, action)
        except TargetRefused as error:
            return self._steps.end(step, State.FAILED, f"the workspace refused to tell: {error}")
        except (TargetBusy, TargetUnavailable) as error:
            return self._steps.postpone(step, error, "the workspace cannot be asked now", granted)
        if endpoint is None or endpoint.provisioning is Provisioning.FAILED:
            why = no_endpoint(action.endpoint) if endpoint is None else f"endpoint {endpoint.name} is in a failed state"
            return self._steps.end(step, State.FAILED, why)
        unsettled = _unsettled(endpoint)
        if unsettled is not None:
            return self._steps.wait(step, unsettled, PERMIT_WAIT, granted)
        return self._judge(step, endpoint, candidate, live, granted)

    def _judge(
        self,
        step: Step,
        endpoint: Endpoint,
        candidate: ModelVersion | None,
        live: ModelVersion | None,
        granted: Granted,
    ) -> Step:
        action, current = action_of(step.reaction), endpoint.live
        verdict = verdicts.judge(action, endpoint, candidate, live)
        if not verdict.passed:
            return self._steps.end(step, State.REFUSED, verdict.reason)
        now = self._clock.now()
        granted.check(now)
        rollout = Rollout(
            phase=Phase.CREATING,
            previous=current.name if current is not None else None,
            previous_model=current.model if current is not None else None,
        )
        starting = step.reaction.moved_to(
            State.STARTING,
            f"gate passed: {verdict.reason}; about to make deployment {action.deployment}",
            now,
            intent=Intent(since=now, deadline=now + CALL_DEADLINE, probe=bool(granted.probes)),
            rollout=rollout,
            next_look=now + CALL_DEADLINE,
        )
        return self._ask_for_it(self._steps.save(step, starting), endpoint, granted)

    # --- starting: the deployment is asked for ------------------------------------------------------------------------

    def _create(self, step: Step) -> Step:
        """No answer to the start was saved: the endpoint says whether the deployment is there."""
        action, now = action_of(step.reaction), self._clock.now()
        intent = step.reaction.intent or Intent(since=now, deadline=now)
        overdue = now >= intent.since + action.timeout
        unclear = f"after {action.timeout} it is still unclear whether deployment {action.deployment} was accepted"
        try:
            endpoint = self._workspace.endpoint(action.endpoint)
        except (TargetBusy, TargetUnavailable, TargetRefused) as error:
            if overdue and isinstance(error, TargetRefused):  # nothing to wait for; else it may leave one behind
                return self._steps.end(step, State.FAILED, f"{unclear}: {error}")
            return self._steps.later(step, advised_wait(error))
        if endpoint is None:
            return self._steps.end(step, State.FAILED, no_endpoint(action.endpoint))
        found = endpoint.deployment(action.deployment)
        if overdue and found is None:
            return self._steps.end(step, State.FAILED, unclear)
        if overdue and found is not None and found.reaction not in {None, step.reaction.id}:
            why = f"after {action.timeout} deployment {found.name} of reaction {found.reaction} is still in the way"
            return self._steps.end(step, State.FAILED, why)
        return self._ask_again(step, endpoint, intent)

    def _ask_again(self, step: Step, endpoint: Endpoint, intent: Intent) -> Step:
        reaction, now, name = step.reaction, self._clock.now(), action_of(step.reaction).deployment
        probe = False
        if endpoint.deployment(name) is None:
            if reaction.cancel is not None and now >= intent.since + LISTED_BY:
                return self._steps.cancelled(step, f"deployment {name} is not to be seen")
            why, until, probe = self._may_send(reaction)
            if until is not None:
                told = f"in doubt: deployment {name} is not to be seen, and {why}"
                return self._steps.save(step, reaction.moved_to(State.STARTING, told, now, next_look=until))
        again = reaction.moved_to(
            State.STARTING,
            "in doubt: looking for the deployment, or asking for it again",
            now,
            intent=replace(intent, deadline=now + CALL_DEADLINE, posted=intent.posted + 1, probe=probe),
            next_look=now + CALL_DEADLINE,
        )
        return self._ask_for_it(self._steps.save(step, again), endpoint)

    def _may_send(self, reaction: Reaction) -> tuple[str, datetime | None, bool]:
        """As TargetSteps.may_post; what somebody wants to end is not asked for again."""
        if reaction.cancel is not None:
            return "its end is wanted", self._clock.now() + PERMIT_WAIT, False
        return self._steps.may_post(reaction)

    def _ask_for_it(self, step: Step, endpoint: Endpoint, granted: Granted | None = None) -> Step:
        reaction, action = step.reaction, action_of(step.reaction)
        found = endpoint.deployment(action.deployment)
        if found is not None and found.reaction is None:
            why = f"there is a deployment {found.name} that Relearn did not make: it is left alone; rename or remove it"
            return self._steps.end(step, State.FAILED, why)
        intent = intent_in_time(reaction, self._clock.now())
        if found is not None and found.reaction == reaction.id:
            return self._accepted(step, f"deployment {found.name} adopted: it carries our tag")
        try:
            return self._clear(step, endpoint, found) if found is not None else self._send(step)
        except TargetRefused as error:
            self._steps.answered(reaction)
            return self._steps.end(step, State.FAILED, f"the workspace refused deployment {action.deployment}: {error}")
        except (TargetBusy, InDoubt, TargetUnavailable) as error:
            wait = advised_wait(error) if isinstance(error, TargetBusy) else SHORTLY
            if isinstance(error, TargetBusy) and intent.posted == 1:
                return self._steps.postpone(step, error, "the workspace cannot take it now", granted)
            if isinstance(error, InDoubt):
                self._steps.doubtful(reaction, error)
            # An earlier start may have had its effect, and be what the workspace is busy with: the endpoint stays held.
            now = self._clock.now()
            doubting = reaction.moved_to(State.STARTING, f"in doubt: {error}", now, next_look=now + wait)
            return self._steps.save(step, doubting)

    def _send(self, step: Step) -> Step:
        reaction, action = step.reaction, action_of(step.reaction)
        self._workspace.create_deployment(
            NewDeployment(
                endpoint=action.endpoint,
                name=action.deployment,
                model=action.model,
                serving=action.serving,
                tags={
                    REACTION_TAG: reaction.id,
                    ATTEMPT_TAG: str(reaction.attempt),
                    "model": action.model.name,
                    "version": action.model.version,
                },
            )
        )
        return self._accepted(step, f"deployment {action.deployment} is being made{_beside(reaction)}")

    def _clear(self, step: Step, endpoint: Endpoint, left: Deployment) -> Step:
        """An earlier rollout of the same version left its deployment behind; it must be gone first."""
        if endpoint.share(left.name) > 0:
            return self._steps.end(
                step, State.FAILED, f"deployment {left.name} of reaction {left.reaction} has traffic"
            )
        if left.provisioning is not Provisioning.DELETING:
            self._workspace.delete_deployment(endpoint.name, left.name)
        return self._steps.later(step, SHORTLY)

    def _accepted(self, step: Step, why: str) -> Step:
        reaction, action, now = step.reaction, action_of(step.reaction), self._clock.now()
        running = reaction.moved_to(
            State.RUNNING, why, now, run_id=f"{action.endpoint}/{action.deployment}", accepted=now, next_look=None
        )
        self._steps.answered(reaction)
        return self._steps.save(step, running)


def _unsettled(endpoint: Endpoint) -> str | None:
    """Why nothing can be decided about the endpoint yet. What is live must be known: else every model is the first."""
    if endpoint.provisioning is not Provisioning.SUCCEEDED:
        return f"endpoint {endpoint.name} is being changed"
    if endpoint.live is None and endpoint.traffic:
        return f"the traffic of {endpoint.name} goes to {', '.join(endpoint.traffic)}, which is not listed"
    return None


def _beside(reaction: Reaction) -> str:
    previous = rollout_of(reaction).previous
    return f" beside {previous}, which is live" if previous is not None else ": it is the first"
