"""What every action's steps share: a reaction's next state is saved before the next step is taken."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from shared import notifications, telemetry
from shared.errors import Stale, TargetBusy
from shared.lanes import Head
from shared.notifications import Notification
from shared.ports import Clock, LaneChange, Lanes, Permits, Recent, Run, Saved
from shared.reactions import Intent, Reaction, State, entry_of

logger = logging.getLogger(__name__)

CALL_DEADLINE: Final = timedelta(seconds=30)
"""Nobody else acts on an intent for this long. The call itself gives up earlier (5 s to connect, 10 s to read)."""
BUSY_WAIT: Final = timedelta(seconds=30)
LONGEST_BACKOFF: Final = timedelta(hours=6)

_ALERTS: Final = frozenset({State.FAILED, State.TIMED_OUT})

Observed = Mapping[tuple[str, str], Sequence[Run]]
"""Runs by their stamp, as one query of the factory told them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A lane's head and its running reaction after a step was saved."""

    head: Head
    reaction: Reaction


class Mover(Protocol):
    """Takes a reaction as far as it can go now. One per kind of action."""

    def advance(self, step: Step, observed: Observed) -> Step:
        """Takes steps until the reaction is final or has to wait (its `next_look` says until when).

        Raises:
            Stale: somebody else moved the reaction; read again.
            StorageUnavailable: nothing more is known; the look is repeated.
        """


class Steps:
    """Saves steps, with what the outside is to be told of them."""

    def __init__(self, *, lanes: Lanes, recent: Recent, clock: Clock) -> None:
        self._lanes = lanes
        self._recent = recent
        self._clock = clock

    def save(
        self,
        step: Step,
        reaction: Reaction,
        *,
        head: bool = False,
        history: bool = True,
        tell: tuple[Notification, ...] = (),
    ) -> Step:
        change = LaneChange(
            head=step.head if head else None,
            reaction=reaction,
            history=(entry_of(reaction),) if history else (),
            tell=tell,
        )
        saved: Saved = self._lanes.commit(reaction.lane, change)
        after = Step(head=saved.head or step.head, reaction=saved.reaction or reaction)
        if history:
            level = logging.ERROR if reaction.state in _ALERTS else logging.INFO
            facts = {"reason": reaction.reason, **reaction.log_context()}
            telemetry.record(logger, f"reaction_{reaction.state}", facts, level)
            if reaction.final:
                self._recent.put(after.reaction)
        return after

    def end(self, step: Step, state: State, why: str) -> Step:
        """The final state, and the lane's release, in one transaction; what hangs on it follows and may be repeated."""
        now = self._clock.now()
        final = step.reaction.moved_to(state, why, now)
        head = replace(step.head, running=None, ended=now)
        return self.save(replace(step, head=head), final, head=True, tell=notifications.of_end(final))


class HeldSteps(ABC):
    """Steps of reactions that hold a permit, each saved before the next. None is held while waiting, or after the end.

    What a reaction holds is told by each kind of action.
    """

    def __init__(self, *, permits: Permits, clock: Clock, steps: Steps) -> None:
        self._permits = permits
        self._clock = clock
        self._steps = steps

    @abstractmethod
    def resource_of(self, reaction: Reaction) -> str:
        """What only so many reactions at a time may hold."""

    def save(
        self, step: Step, reaction: Reaction, *, history: bool = True, tell: tuple[Notification, ...] = ()
    ) -> Step:
        return self._steps.save(step, reaction, history=history, tell=tell)

    def later(self, step: Step, wait: timedelta) -> Step:
        """Nothing to tell; looked at again after the wait."""
        return self.save(step, replace(step.reaction, next_look=self._clock.now() + wait), history=False)

    def wait(self, step: Step, why: str, wait: timedelta) -> Step:
        """Still pending. Why is said once, however long it takes."""
        if step.reaction.state is State.PENDING and step.reaction.reason == why:
            return self.later(step, wait)
        now = self._clock.now()
        waiting = step.reaction.moved_to(State.PENDING, why, now, intent=None, rollout=None, next_look=now + wait)
        return self.save(step, waiting)

    def try_again(self, step: Step, why: str) -> Step:
        """The next attempt, after its back-off; or the end, where that was the last."""
        again = next_attempt(step.reaction, why, self._clock.now())
        return self.end(step, State.FAILED, why) if again is None else self.released(self.save(step, again))

    def end(self, step: Step, state: State, why: str) -> Step:
        return self.released(self._steps.end(step, state, why))

    def cancelled(self, step: Step, how: str) -> Step:
        """The end that somebody wanted."""
        return self.end(step, State.CANCELLED, f"cancelled by {step.reaction.cancel}; {how}")

    def released(self, step: Step) -> Step:
        """The same step, and the permit let go."""
        self._permits.release(self.resource_of(step.reaction), step.reaction.id)
        return step


def intent_in_time(reaction: Reaction, now: datetime) -> Intent:
    """The intent that a call may act on now.

    Raises:
        Stale: there is none, or its time is over and somebody else may act by now.
    """
    if reaction.intent is None or now >= reaction.intent.deadline:
        raise Stale(f"reaction {reaction.id}: this process was held up past the deadline of its intent")
    return reaction.intent


def advised_wait(error: Exception) -> timedelta:
    """How long to leave a target alone that is busy or cannot be asked."""
    advised = error.retry_after if isinstance(error, TargetBusy) else None
    return max(advised, timedelta(seconds=1)) if advised is not None else BUSY_WAIT


def next_attempt(reaction: Reaction, why: str, now: datetime) -> Reaction | None:
    """The reaction as it waits for its next attempt, twice as long each time; None if this was the last."""
    attempts = reaction.action.attempts
    if reaction.attempt >= attempts:
        return None
    doubled: timedelta = reaction.action.backoff * 2 ** (reaction.attempt - 1)
    wait = min(doubled, LONGEST_BACKOFF)
    return reaction.moved_to(
        State.PENDING,
        f"{why}; attempt {reaction.attempt + 1} of {attempts} in {wait}",
        now,
        attempt=reaction.attempt + 1,
        intent=None,
        run_id=None,
        accepted=None,
        rollout=None,
        next_look=now + wait,
    )
