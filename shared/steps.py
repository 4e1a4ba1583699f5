"""What every action's steps share: a reaction's next state is saved before the next step is taken."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from shared import limits, notifications, telemetry
from shared.errors import Stale, TargetBusy
from shared.lanes import Head, TakenEvent
from shared.limits import Demand
from shared.notifications import Notification
from shared.ports import Clock, LaneChange, Lanes, Recent, Run, Saved
from shared.reactions import Intent, Reaction, State, entry_of
from shared.starts import Granted, Starts, TargetTrouble

logger = logging.getLogger(__name__)

CALL_DEADLINE: Final = timedelta(seconds=30)
"""Nobody else acts on an intent for this long. The call itself gives up earlier (5 s to connect, 10 s to read)."""
WORKSPACE: Final = "workspace"
"""The machine learning workspace as a target."""
BUSY_WAIT: Final = timedelta(seconds=30)
STOPPED_RESEND: Final = timedelta(minutes=5)
"""How often an unclear start is looked at whose rule somebody has stopped."""
LONGEST_BACKOFF: Final = timedelta(hours=6)

_ALERTS: Final = frozenset({State.FAILED, State.TIMED_OUT})

Observed = Mapping[tuple[str, str], Sequence[Run]]
"""Runs by their stamp, as one query of the factory told them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A lane's head and its running reaction after a step was saved.

    `cleared`: in this look it was asked whether somebody has stopped the rule, and nobody has. `taken`: all its events,
    where this look has taken them. `listed`: it is on its day's list for certain.
    """

    head: Head
    reaction: Reaction
    listed: bool
    cleared: bool = False
    taken: tuple[TakenEvent, ...] | None = None


def step_of(head: Head, reaction: Reaction) -> Step:
    """As they were read. Who claimed the reaction, or wanted to start it, may have died before it was listed."""
    fresh = reaction.intent is not None and reaction.intent.doubt_since is None
    begun = reaction.state is State.PENDING or (reaction.state is State.STARTING and fresh)
    return Step(head=head, reaction=reaction, listed=not begun)


class Mover(Protocol):
    """Takes a reaction as far as it can go now. One per kind of action."""

    def advance(self, step: Step, observed: Observed) -> Step:
        """Takes steps until the reaction is final or has to wait (its `next_look` says until when).

        Raises:
            Stale: somebody else moved the reaction; read again.
            StorageUnavailable: nothing more is known; the look is repeated.
        """

    def release(self, reaction: Reaction) -> None:
        """Lets go what a reaction holds that has ended, or whose attempt has. Idempotent."""


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
        list_later: bool = False,
    ) -> Step:
        """Saves a reaction's next state, and before that, once, that there is this reaction: on its day's list.

        Args:
            head: the lane's head is saved as well.
            list_later: a call is to follow, and the next step lists it (`step_of` sees to it where there is none).
        """
        if not step.listed and not list_later:
            self._recent.put(step.reaction)
            step = replace(step, listed=True)
        change = LaneChange(
            head=step.head if head else None,
            reaction=reaction,
            history=(entry_of(reaction),) if history else (),
            tell=tell,
        )
        saved: Saved = self._lanes.commit(reaction.lane, change)
        after = replace(step, head=saved.head or step.head, reaction=saved.reaction or reaction)
        if history:
            level = logging.ERROR if reaction.state in _ALERTS else logging.INFO
            facts = {"reason": reaction.reason, **reaction.log_context()}
            telemetry.record(logger, f"reaction_{reaction.state}", facts, level)
        return after

    def end(self, step: Step, state: State, why: str) -> Step:
        """The final state, and the lane's release, in one transaction; what hangs on it follows and may be repeated.

        One that gives way is superseded, however it ended, unless it succeeded: the next one has its events as well.
        """
        now, gives_way = self._clock.now(), step.reaction.gives_way and state is not State.SUCCEEDED
        final = step.reaction.moved_to(State.SUPERSEDED if gives_way else state, why, now)
        inherits = final.seq if gives_way else step.head.inherits
        head = replace(step.head, running=None, ended=now, inherits=inherits)
        return self.save(replace(step, head=head), final, head=True, tell=notifications.of_end(final))


class HeldSteps(ABC):
    """Steps of reactions whose start has to be admitted, each saved before the next.

    Nothing is held while one waits, or after the end. What a start needs, beside what its rule's limits say, is told by
    each kind of action.
    """

    def __init__(self, *, starts: Starts, clock: Clock, steps: Steps) -> None:
        self._starts = starts
        self._clock = clock
        self._steps = steps

    @abstractmethod
    def demands_of(self, reaction: Reaction) -> Sequence[Demand]:
        """What a start of this kind needs: its target, and what only so many reactions at a time may hold."""

    def admit(self, step: Step) -> tuple[Step, Granted | None]:
        """From pending: everything the start needs is held; or it waits, saved as such, and None is granted."""
        verdict = self._starts.admit(step.reaction, self.demands_of(step.reaction), cleared=step.cleared)
        if isinstance(verdict, Granted):
            return replace(step, reaction=replace(step.reaction, queues=())), verdict
        queued = replace(step.reaction, queues=verdict.queues)
        return self._wait(replace(step, reaction=queued), verdict.why, verdict.until), None

    def save(
        self, step: Step, reaction: Reaction, *, history: bool = True, tell: tuple[Notification, ...] = ()
    ) -> Step:
        return self._steps.save(step, reaction, history=history, tell=tell)

    def later(self, step: Step, wait: timedelta) -> Step:
        """Nothing to tell; looked at again after the wait."""
        return self.save(step, replace(step.reaction, next_look=self._clock.now() + wait), history=False)

    def wait(self, step: Step, why: str, wait: timedelta, granted: Granted | None = None) -> Step:
        """Still pending, for a time, and holding nothing. What was granted for a start that is none is given back.

        Not before the wait is saved: another worker may have gone on with the same grant.
        """
        until = self._clock.now() + wait
        waiting = replace(step, reaction=replace(step.reaction, queues=()))
        queues = step.reaction.queues
        after = self._wait(waiting, why, until)
        self._starts.refund(granted)
        if granted is not None or queues:
            self._put_off(replace(after.reaction, queues=queues), granted)
        return after

    def busy(self, step: Step, target: str, error: TargetTrouble, why: str, granted: Granted | None = None) -> Step:
        """The target has started nothing and wants to be left alone: by everybody, and then this is looked at again."""
        intent = step.reaction.intent
        probe = intent.probe if intent is not None else granted is not None and target in granted.probes
        until = self._starts.busy(target, step.reaction, error, probe=probe)
        after = self._wait(step, why, until)
        self._starts.refund(granted)
        self._put_off(after.reaction, granted)
        return after

    def _wait(self, step: Step, why: str, until: datetime) -> Step:
        """Why is said once, however long it takes."""
        if step.reaction.state is State.PENDING and step.reaction.reason == why:
            return self.save(step, replace(step.reaction, next_look=until), history=False)
        now = self._clock.now()
        waiting = step.reaction.moved_to(State.PENDING, why, now, intent=None, rollout=None, next_look=until)
        return self.save(step, waiting)

    def try_again(self, step: Step, why: str) -> Step:
        """The next attempt, after its back-off; or the end, where that was the last. It lets go as there."""
        again = next_attempt(step.reaction, why, self._clock.now())
        return self.end(step, State.FAILED, why) if again is None else self.save(step, again)

    def end(self, step: Step, state: State, why: str) -> Step:
        """What it holds is let go by whoever carries the look on: see Mover.release."""
        return self._steps.end(step, state, why)

    def cancelled(self, step: Step, how: str) -> Step:
        """The end that somebody wanted."""
        wanted = "" if step.reaction.gives_way else "cancelled by "
        return self.end(step, State.CANCELLED, f"{wanted}{step.reaction.cancel}; {how}")

    def release(self, reaction: Reaction) -> None:
        """As Mover's."""
        if reaction.final:
            self._starts.release(reaction, self.demands_of(reaction))
        else:
            self._put_off(reaction)

    def _put_off(self, reaction: Reaction, granted: Granted | None = None) -> None:
        self._starts.put_off(reaction, self.demands_of(reaction), granted)


class TargetSteps(HeldSteps):
    """Steps of reactions that start something outside. `target`: where, as a resource."""

    target: str

    def intend(self, step: Step, granted: Granted, what: str) -> Step:
        """The will to start, saved before the call.

        Raises:
            Stale: this process was held up since the start was granted.
        """
        now = self._clock.now()
        granted.check(now)
        intent = Intent(since=now, deadline=now + CALL_DEADLINE, probe=bool(granted.probes))
        why = f"attempt {step.reaction.attempt}: about to start {what}"
        starting = step.reaction.moved_to(State.STARTING, why, now, intent=intent, next_look=intent.deadline)
        return self._steps.save(step, starting, list_later=True)

    def answered(self, reaction: Reaction) -> None:
        """The target has taken a start, or refused it for good: if that was to try it out, it is well again."""
        if reaction.intent is not None and reaction.intent.probe:
            self._starts.recovered([self.target])

    def doubtful(self, reaction: Reaction, error: TargetTrouble) -> None:
        """A start may have been lost in a target that is not well: the others leave it alone."""
        probe = reaction.intent is not None and reaction.intent.probe
        self._starts.busy(self.target, reaction, error, probe=probe)

    def may_post(self, reaction: Reaction) -> tuple[str, datetime | None, bool]:
        """Whether a start that is unclear may be sent once more.

        Why not; when to ask again, None if it may be sent; and whether it tries out the target.
        """
        stopped = self._starts.stopped(reaction.rule, reaction.lane)
        if stopped is not None:
            return stopped, self._clock.now() + STOPPED_RESEND, False
        return f"{self.target} takes no starts now", *self._starts.may_call(self.target)


def intent_in_time(reaction: Reaction, now: datetime) -> Intent:
    """The intent that a call may act on now.

    Raises:
        Stale: there is none, or its time is over and somebody else may act by now.
    """
    if reaction.intent is None or now >= reaction.intent.deadline:
        raise Stale(f"reaction {reaction.id}: this process was held up past the deadline of its intent")
    return reaction.intent


def advised_wait(error: Exception, reaction: Reaction | None = None) -> timedelta:
    """How long to leave a target alone that is busy or cannot be asked; by a bit longer for each reaction."""
    advised = error.retry_after if isinstance(error, TargetBusy) else None
    wait = max(advised, timedelta(seconds=1)) if advised is not None else BUSY_WAIT
    return wait if reaction is None else wait * (1 + limits.jitter(reaction.id, reaction.attempt))


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
