"""Moves a reaction that tells something: its text goes out by the lane's outbox, in the transaction that ends it."""

from __future__ import annotations

from collections.abc import Sequence

from shared.limits import Demand
from shared.ports import Clock, Lanes, Manifests, Workspace
from shared.preparing import Preparing
from shared.reactions import NotifyAction, Reaction, State
from shared.starts import Starts
from shared.steps import HeldSteps, Observed, Step, Steps

NO_TOPIC = (
    "nobody can be told, because the app has no topic: set RELEARN_EVENTS_TOPIC_ENDPOINT to the endpoint of an Event "
    "Grid custom topic"
)


class NoticeSteps(HeldSteps):
    """A notice needs nothing of its own; what its rule's limits say holds for it, too."""

    def demands_of(self, reaction: Reaction) -> Sequence[Demand]:
        return ()


class Notices:
    """There is nothing to start or to follow. `topic`: whether the app has one to publish on."""

    def __init__(
        self,
        *,
        lanes: Lanes,
        starts: Starts,
        manifests: Manifests,
        workspace: Workspace,
        clock: Clock,
        steps: Steps,
        topic: bool,
    ) -> None:
        self._clock = clock
        self._steps = NoticeSteps(starts=starts, clock=clock, steps=steps)
        self.release = self._steps.release
        self._topic = topic
        self._preparing = Preparing(
            lanes=lanes, manifests=manifests, workspace=workspace, clock=clock, steps=self._steps
        )

    def advance(self, step: Step, observed: Observed) -> Step:
        """As Mover's."""
        woken = bool(step.reaction.queues)  # what it queued for may be free
        while not step.reaction.final:
            if step.reaction.cancel is not None:
                return self._steps.cancelled(step, "nothing was told")
            next_look = step.reaction.next_look
            if next_look is not None and self._clock.now() < next_look and not woken:
                break
            woken = False
            step = self._tell(step)
        return step

    def _tell(self, step: Step) -> Step:
        if not self._topic:
            return self._steps.end(step, State.FAILED, NO_TOPIC)
        step, granted = self._preparing.admit(step, action_of(step.reaction))
        if granted is None:
            return step
        granted.check(self._clock.now())
        return self._steps.end(step, State.SUCCEEDED, f"told: {action_of(step.reaction).text}")


def action_of(reaction: Reaction) -> NotifyAction:
    if not isinstance(reaction.action, NotifyAction):
        raise TypeError(f"reaction {reaction.id} tells nothing")
    return reaction.action
