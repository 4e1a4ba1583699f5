"""The phases of a running rollout: each reads how the endpoint is, and does what is missing.

Doing one twice, or after a crash, changes nothing. Making a deployment takes minutes, so none waits for AML: the next
look sees how far it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from shared import notifications, telemetry
from shared.errors import InDoubt, TargetBusy, TargetRefused, TargetUnavailable
from shared.models import Deployment, Endpoint, Provisioning
from shared.ports import Clock, Workspace
from shared.reactions import DeployAction, Phase, Reaction, Rollout, State
from shared.rollouts import smoke
from shared.rollouts.saving import PERMIT_WAIT, SHORTLY, RolloutSteps, action_of, no_endpoint, rollout_of
from shared.steps import CALL_DEADLINE, Step, advised_wait

logger = logging.getLogger(__name__)

_ALL: Final = 100
_LISTED_WITHIN: Final = timedelta(minutes=1)
"""AML's list of an endpoint's deployments may lag behind what it has accepted."""
_REMOVAL_LOOKS: Final = 200
"""What is not gone by then (it may be locked) stays, and keeps the endpoint from nobody any more."""
_QUICK_LOOKS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A rollout's step, and how its endpoint is now.

    Attributes:
        mine: the deployment it made.
        until: how long this may be acted on. A process that was held up for longer looks again: others went on.
    """

    step: Step
    action: DeployAction
    rollout: Rollout
    endpoint: Endpoint
    mine: Deployment
    until: datetime


class Phases:
    """Moves a running rollout on by what the clock and the workspace say."""

    def __init__(self, *, workspace: Workspace, clock: Clock, steps: RolloutSteps) -> None:
        self._workspace = workspace
        self._clock = clock
        self._steps = steps
        self._phases: Mapping[Phase, Callable[[_Seen], Step]] = {
            Phase.CREATING: self._await_creation,
            Phase.SMOKE_TEST: self._test,
            Phase.TRAFFIC: self._shift,
            Phase.RETIRING: self._retire,
            Phase.REMOVING: self._remove,
        }

    def follow(self, step: Step) -> Step:
        try:
            return self._follow(step)
        except (TargetBusy, TargetUnavailable, TargetRefused, InDoubt) as error:
            facts = {"error": str(error), **step.reaction.log_context()}
            telemetry.record(logger, "rollout_not_moved", facts, logging.WARNING)
            return self._steps.later(step, advised_wait(error) if isinstance(error, TargetBusy) else PERMIT_WAIT)

    def _follow(self, step: Step) -> Step:
        action, rollout = action_of(step.reaction), rollout_of(step.reaction)
        until = self._clock.now() + CALL_DEADLINE
        endpoint = self._workspace.endpoint(action.endpoint)
        if endpoint is None:
            return self._steps.end(step, State.FAILED, no_endpoint(action.endpoint))
        mine = endpoint.deployment(action.deployment)
        if mine is not None and mine.reaction == step.reaction.id:
            seen = _Seen(step=step, action=action, rollout=rollout, endpoint=endpoint, mine=mine, until=until)
            if self.may_end(step.reaction) and not _being_promoted(seen):
                why = f"cancelled by {step.reaction.cancel}; production was not touched"
                return self._steps.give_up(step, State.CANCELLED, why)
            return self._phases[rollout.phase](seen)
        if mine is None and self._may_be_listed_yet(step.reaction.accepted, rollout):
            return self._steps.later(step, SHORTLY)
        if rollout.phase is Phase.REMOVING:
            return self._removed(step, rollout, rollout.why)
        why = f"deployment {action.deployment} was removed or replaced by somebody"
        return self._steps.end(step, State.FAILED, why)

    def _may_be_listed_yet(self, accepted: datetime | None, rollout: Rollout) -> bool:
        """What has been seen once, or has been asked to go, is gone if it is not listed."""
        unseen = rollout.phase in {Phase.CREATING, Phase.REMOVING} and rollout.tries == 0
        return unseen and accepted is not None and self._clock.now() < accepted + _LISTED_WITHIN

    @staticmethod
    def may_end(reaction: Reaction) -> bool:
        """Whether somebody wants the end of a running rollout that has taken nothing live yet."""
        early = reaction.phase in {Phase.CREATING, Phase.SMOKE_TEST, Phase.TRAFFIC}
        return early and reaction.cancel is not None and reaction.state is State.RUNNING

    # --- towards live -------------------------------------------------------------------------------------------------

    def _await_creation(self, seen: _Seen) -> Step:
        step, name = seen.step, seen.mine.name
        if seen.mine.provisioning is Provisioning.SUCCEEDED:
            ready = replace(seen.rollout, phase=Phase.SMOKE_TEST)
            return self._steps.move(step, ready, f"deployment {name} is ready: smoke test")
        if seen.mine.provisioning is Provisioning.FAILED:
            why = f"deployment {name} could not be made: {self._why_not(seen)}"
            return self._steps.give_up(step, State.FAILED, why)
        left = self._time_left(seen)
        if left <= timedelta(0):
            why = f"deployment {name} was not ready after {seen.action.timeout}"
            return self._steps.give_up(step, State.TIMED_OUT, why)
        return self._steps.later(step, min(poll_interval(seen.action.timeout - left), left))

    def _why_not(self, seen: _Seen) -> str:
        """AML's reason, if it can be had in the rollout's time. What failed is removed in any case."""
        try:
            return self._workspace.failure(seen.endpoint.name, seen.mine.name)
        except TargetRefused as error:
            return f"AML does not tell why: {error}"
        except (TargetBusy, TargetUnavailable) as error:
            if self._time_left(seen) > timedelta(0):
                raise
            return f"AML cannot be asked why: {error}"

    def _test(self, seen: _Seen) -> Step:
        request, name = seen.action.smoke_test, seen.mine.name
        try:
            answer = self._workspace.score(seen.endpoint, name, request)
        except TargetRefused as error:
            return self._steps.give_up(seen.step, State.ROLLED_BACK, f"smoke test: {error}")
        except TargetUnavailable as error:  # busy is the workspace that has the key, not the deployment
            return self._test_again(seen, str(error))
        if smoke.unclear(answer):
            return self._test_again(seen, f"answered {answer.status}: {answer.body[:500].strip()}")
        verdict = smoke.judge(request, name, answer)
        if not verdict.passed:
            return self._steps.give_up(seen.step, State.ROLLED_BACK, f"smoke test: {verdict.reason}")
        moving = replace(seen.rollout, phase=Phase.TRAFFIC)
        return self._steps.move(seen.step, moving, f"smoke test passed: {verdict.reason}")

    def _test_again(self, seen: _Seen, why: str) -> Step:
        tries = seen.rollout.tries + 1
        if tries >= smoke.TRIES:
            return self._steps.give_up(seen.step, State.ROLLED_BACK, f"smoke test, tried {tries} times: {why}")
        again = replace(seen.rollout, tries=tries)
        told = f"smoke test, try {tries} of {smoke.TRIES}: {why}"
        return self._steps.move(seen.step, again, told, wait=PERMIT_WAIT)

    def _shift(self, seen: _Seen) -> Step:
        step, endpoint, share = seen.step, seen.endpoint, seen.endpoint.share(seen.mine.name)
        if endpoint.provisioning is Provisioning.SUCCEEDED and share == _ALL:
            return self._promoted(seen)
        if not share and self._time_left(seen) <= timedelta(0):
            why = f"the traffic of {endpoint.name} could not be moved within {seen.action.timeout}"
            return self._steps.give_up(step, State.TIMED_OUT, why)
        being_changed = endpoint.provisioning in {Provisioning.UNDER_WAY, Provisioning.DELETING}
        if being_changed or self._clock.now() >= seen.until:
            return self._steps.later(step, SHORTLY)
        live, judged = endpoint.live, (seen.rollout.previous, seen.rollout.previous_model)
        if live != seen.mine and (live and live.name, live and live.model) != judged:
            now_live = f"{live.name}, which serves {live.model}" if live is not None else "nothing"
            why = f"somebody moved the traffic to {now_live}: the gate had compared with another model"
            return self._steps.give_up(step, State.REFUSED, why)
        try:
            self._workspace.set_traffic(endpoint.name, {seen.mine.name: _ALL})
        except TargetRefused as error:
            return self._steps.give_up(step, State.FAILED, f"the workspace refused the traffic: {error}")
        return self._steps.later(step, SHORTLY)

    def _promoted(self, seen: _Seen) -> Step:
        action, now = seen.action, self._clock.now()
        live = seen.step.reaction.moved_to(
            State.RUNNING,
            f"{action.model} is live: all traffic of {action.endpoint} goes to {seen.mine.name}",
            now,
            rollout=replace(seen.rollout, phase=Phase.RETIRING, promoted=now, tries=0),
            next_look=now + action.keep_previous if seen.rollout.previous else None,
        )
        return self._steps.save(seen.step, live, tell=notifications.of_promotion(live))

    def _retire(self, seen: _Seen) -> Step:
        step, endpoint, previous = seen.step, seen.endpoint, seen.rollout.previous
        told = f"{seen.action.model} is live as {seen.mine.name}"
        before = endpoint.deployment(previous) if previous is not None else None
        if before is None:
            return self._steps.end(step, State.SUCCEEDED, told)
        if before.reaction is None:
            why = f"{told}; {before.name} was not made by Relearn and stays, without traffic: remove it yourself"
            return self._steps.end(step, State.SUCCEEDED, why)
        if endpoint.share(before.name) > 0:
            return self._steps.end(step, State.SUCCEEDED, f"{told}; {before.name} has traffic again and stays")
        return self._delete(seen, before, lambda why: self._steps.end(step, State.SUCCEEDED, f"{told}; {why}"))

    # --- and back -----------------------------------------------------------------------------------------------------

    def _remove(self, seen: _Seen) -> Step:
        """Production is as it was; what the rollout made goes, because even a failed deployment holds quota."""
        mine, why = seen.mine, seen.rollout.why
        if seen.endpoint.share(mine.name) > 0:
            return self._removed(seen.step, seen.rollout, f"{why}; {mine.name} has traffic and stays")
        return self._delete(seen, mine, lambda left: self._removed(seen.step, seen.rollout, f"{why}; {left}"))

    def _delete(self, seen: _Seen, deployment: Deployment, refused: Callable[[str], Step]) -> Step:
        left, wait = "is still there", SHORTLY if seen.rollout.tries < _QUICK_LOOKS else PERMIT_WAIT
        if deployment.provisioning is not Provisioning.DELETING and self._clock.now() < seen.until:
            try:
                self._workspace.delete_deployment(seen.endpoint.name, deployment.name)
            except TargetRefused as error:
                return refused(f"{deployment.name} could not be removed: {error}")
            except TargetBusy as error:
                left, wait = f"could not be removed: {error}", advised_wait(error)
        again = replace(seen.rollout, tries=seen.rollout.tries + 1)
        if again.tries >= _REMOVAL_LOOKS:
            return refused(f"{deployment.name} {left}, after {again.tries} looks: see to it yourself")
        return self._steps.later(replace(seen.step, reaction=replace(seen.step.reaction, rollout=again)), wait)

    def _removed(self, step: Step, rollout: Rollout, why: str) -> Step:
        ends = rollout.ends or State.FAILED
        return self._steps.try_again(step, why) if ends is State.FAILED else self._steps.end(step, ends, why)

    def _time_left(self, seen: _Seen) -> timedelta:
        """Until the traffic has moved: what is live is not ended for being slow."""
        since = seen.step.reaction.accepted or seen.step.reaction.changed
        return since + seen.action.timeout - self._clock.now()


def _being_promoted(seen: _Seen) -> bool:
    """Whether the traffic has moved, or may be moving."""
    if seen.rollout.phase is not Phase.TRAFFIC:
        return False
    return seen.endpoint.share(seen.mine.name) > 0 or seen.endpoint.provisioning is not Provisioning.SUCCEEDED


def poll_interval(age: timedelta) -> timedelta:
    """How long until a deployment is asked about again: a tenth of its age, from 5 to 30 seconds."""
    return min(max(age / 10, timedelta(seconds=5)), timedelta(seconds=30))
