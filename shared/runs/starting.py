"""Start or adopt: a pipeline is started once per attempt.

ADF's createRun has no idempotency token. So the intent is saved before the call, the call carries the stamp
(reaction id, attempt) as pipeline parameters, and while it is unclear whether a run was started, the factory is asked
for a run with our stamp before the start is ever sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared.errors import InDoubt, TargetBusy, TargetRefused, TargetUnavailable
from shared.ports import Clock, DataFactory
from shared.preparing import Preparing
from shared.reactions import Intent, PipelineAction, State
from shared.runs.saving import QUERY_PADDING, RunSteps, action_of, oldest_first, stamp_of
from shared.starts import Granted
from shared.steps import CALL_DEADLINE, Observed, Step, advised_wait, intent_in_time

DOUBT_QUERIES: Final = tuple(timedelta(seconds=s) for s in (0, 15, 45, 120))
"""When, after doubt arose, the factory is asked for a run with our stamp; then the start is sent again."""
LONGEST_DOUBT_WAIT: Final = timedelta(minutes=10)


class Starting:
    """Takes a reaction from pending to running."""

    def __init__(
        self,
        *,
        factory: DataFactory,
        clock: Clock,
        steps: RunSteps,
        preparing: Preparing,
        follow: Callable[[], Callable[[], None]],
    ) -> None:
        self._factory = factory
        self._preparing = preparing
        self._clock = clock
        self._steps = steps
        self._follow = follow

    def begin(self, step: Step, _observed: Observed) -> Step:
        """From pending: the live model, what the start needs of the resources, the manifest, the pipeline's parameters.

        One that stands in a queue may have been woken before its time.
        """
        reaction = step.reaction
        if reaction.waits(self._clock.now()) and not reaction.queues:
            return step
        step, granted = self._preparing.admit(step, action_of(reaction))
        return step if granted is None else self._start(step, action_of(step.reaction), granted)

    def _start(self, step: Step, action: PipelineAction, granted: Granted) -> Step:
        try:
            declared = self._factory.declared_parameters(action.pipeline)
        except TargetRefused as error:
            return self._steps.end(step, State.FAILED, f"pipeline {action.pipeline}: {error}")
        except (TargetBusy, TargetUnavailable) as error:
            return self._steps.postpone(step, error, granted)
        undeclared = sorted({"reaction_id", "attempt", *action.parameters} - declared)
        if undeclared:
            return self._steps.end(
                step,
                State.FAILED,
                f"pipeline {action.pipeline} does not declare the parameter(s) {', '.join(undeclared)}: "
                "not started, because ADF would refuse them and a run without the stamp cannot be recognised",
            )
        wake = self._follow()
        try:
            return self._post(self._steps.intend(step, granted, f"pipeline {action.pipeline}"), granted)
        finally:
            wake()  # not before: the run would begin so much later, and the look is due whether it is waked or not

    def _post(self, step: Step, granted: Granted | None = None) -> Step:
        reaction = step.reaction
        action = action_of(reaction)
        intent = intent_in_time(reaction, self._clock.now())
        stamp = {"reaction_id": reaction.id, "attempt": str(reaction.attempt)}
        try:
            run_id = self._factory.create_run(action.pipeline, {**action.parameters, **stamp})
        except TargetRefused as error:
            self._steps.answered(reaction)
            return self._steps.end(step, State.FAILED, f"the factory refused the start of {action.pipeline}: {error}")
        except TargetBusy as error:
            if intent.posted == 1:
                return self._steps.postpone(step, error, granted)
            self._steps.doubtful(reaction, error)  # an earlier start may have had its effect
            return self._doubt(step, str(error))
        except InDoubt as error:
            self._steps.doubtful(reaction, error)
            return self._doubt(step, str(error))
        return self._accepted(step, run_id, f"run {run_id} started", since=self._clock.now())

    def resolve(self, step: Step, _observed: Observed) -> Step:
        """From starting: the factory is asked for a run with our stamp before the start is sent again."""
        reaction, now = step.reaction, self._clock.now()
        intent = reaction.intent
        if intent is None or (reaction.next_look is not None and now < reaction.next_look):
            return step
        if intent.doubt_since is None:
            return self._doubt(step, "no answer to the start was saved")
        try:
            runs = self._factory.runs_updated(
                intent.since - QUERY_PADDING, now + QUERY_PADDING, pipeline=action_of(reaction).pipeline
            )
        except (TargetBusy, TargetUnavailable, TargetRefused) as error:
            long = now >= intent.doubt_since + DOUBT_QUERIES[-1]
            if isinstance(error, TargetRefused) and reaction.cancel is not None and long:
                return self._steps.cancelled(step, f"it is unclear whether a run was started: {error}")
            waiting = reaction.moved_to(
                State.STARTING,
                f"in doubt, and the factory cannot be asked: {error}",
                now,
                next_look=now + max(advised_wait(error), min((now - intent.doubt_since) / 4, LONGEST_DOUBT_WAIT)),
            )
            return self._steps.save(step, waiting)
        ours = oldest_first(run for run in runs if run.stamp == stamp_of(reaction))
        if ours:
            return self._accepted(step, ours[0].id, f"run {ours[0].id} adopted: it carries our stamp", since=now)
        return self._not_found(step, intent, now)

    def _not_found(self, step: Step, intent: Intent, now: datetime) -> Step:
        queries = intent.queries + 1
        if queries < len(DOUBT_QUERIES) and intent.doubt_since is not None:
            asked = step.reaction.moved_to(
                State.STARTING,
                f"in doubt: query {queries} of {len(DOUBT_QUERIES)} found no run with our stamp",
                now,
                intent=replace(intent, queries=queries),
                next_look=max(intent.doubt_since + DOUBT_QUERIES[queries], now + timedelta(seconds=1)),
            )
            return self._steps.save(step, asked)
        if step.reaction.cancel is not None:
            return self._steps.cancelled(step, "it is unclear whether a run was started; none with our stamp was found")
        waiting, until, probe = self._steps.may_post(step.reaction)
        if until is not None:
            waiting = f"no run with our stamp was found, and {waiting}"
            return self._steps.save(step, step.reaction.moved_to(State.STARTING, waiting, now, next_look=until))
        again = replace(
            intent, deadline=now + CALL_DEADLINE, posted=intent.posted + 1, doubt_since=None, queries=0, probe=probe
        )
        posting = step.reaction.moved_to(
            State.STARTING,
            f"no run with our stamp was found: sending the start again ({again.posted}), same stamp",
            now,
            intent=again,
            next_look=again.deadline,
        )
        return self._post(self._steps.save(step, posting))

    def _doubt(self, step: Step, why: str) -> Step:
        now = self._clock.now()
        intent = step.reaction.intent or Intent(since=now, deadline=now)
        doubting = step.reaction.moved_to(
            State.STARTING,
            f"in doubt: {why}",
            now,
            intent=replace(intent, doubt_since=now, queries=0, probe=False),
            next_look=now,
        )
        return self._steps.save(step, doubting)

    def _accepted(self, step: Step, run_id: str, why: str, *, since: datetime) -> Step:
        running = step.reaction.moved_to(
            State.RUNNING,
            why,
            since,
            run_id=run_id,
            accepted=since,
            next_look=since + step.reaction.action.timeout,
        )
        self._steps.answered(step.reaction)
        return self._steps.save(step, running)
