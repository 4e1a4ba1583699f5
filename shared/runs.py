"""A reaction's run: started once per attempt or adopted, followed to its end, bounded in time.

ADF's createRun has no idempotency token. So the intent is saved before the call, the call carries the stamp
(reaction id, attempt) as pipeline parameters, and while it is unclear whether a run was started, the factory is asked
for a run with our stamp before the start is ever sent again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from shared import notifications, telemetry
from shared.errors import InDoubt, Stale, TargetBusy, TargetRefused, TargetUnavailable
from shared.ports import (
    Clock,
    DataFactory,
    Lanes,
    Manifests,
    Permit,
    Permits,
    Run,
    RunStatus,
    Workspace,
)
from shared.reactions import HistoryEntry, Intent, Job, PipelineAction, Reaction, State
from shared.steps import CALL_DEADLINE, Observed, Step, Steps, advised_wait, backoff

logger = logging.getLogger(__name__)

DOUBT_QUERIES: Final = tuple(timedelta(seconds=s) for s in (0, 15, 45, 120))
"""When, after doubt arose, the factory is asked for a run with our stamp; then the start is sent again."""
DUPLICATE_START: Final = "duplicate-start"
QUERY_PADDING: Final = timedelta(minutes=5)
LONGEST_DOUBT_WAIT: Final = timedelta(minutes=10)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
NOT_LIVE_WAIT: Final = timedelta(minutes=1)
"""How often an endpoint is asked again that has no live model yet."""


class PipelineRuns:
    """Moves one running reaction on by what the clock and the factory say, saving every step before the next."""

    def __init__(  # noqa: PLR0913 - it is handed its parts
        self,
        *,
        lanes: Lanes,
        permits: Permits,
        manifests: Manifests,
        factory: DataFactory,
        workspace: Workspace,
        clock: Clock,
        steps: Steps,
        follow: Callable[[], None],
        look_soon: Callable[[str], None],
    ) -> None:
        """`follow` makes sure that a look at the factory is due, before every start; `look_soon`, one at a lane."""
        self._lanes = lanes
        self._permits = permits
        self._manifests = manifests
        self._factory = factory
        self._workspace = workspace
        self._clock = clock
        self._steps = steps
        self._follow = follow
        self._look_soon = look_soon
        self._handlers: Mapping[State, Callable[[Step, Observed], Step]] = {
            State.PENDING: self._begin,
            State.STARTING: self._resolve,
            State.RUNNING: self._watch,
        }

    @property
    def resource(self) -> str:
        return f"factory:{self._factory.name}"

    def advance(self, step: Step, observed: Observed) -> Step:
        """As Mover's."""
        runs = _oldest_first(observed.get(_stamp(step.reaction), ()))
        if step.reaction.state is State.RUNNING and len(runs) > 1:
            step = self._keep_oldest(step, runs)
        while not step.reaction.final:
            after = self._handlers[step.reaction.state](step, observed)
            if after is step:
                break
            step = after
        return step

    # --- pending ------------------------------------------------------------------------------------------------------

    def _begin(self, step: Step, _observed: Observed) -> Step:
        reaction, now = step.reaction, self._clock.now()
        if reaction.next_look is not None and now < reaction.next_look:
            return step
        action = _action(reaction)
        if action.live_endpoints:
            return self._settle_live(step, action)
        if action.needs_manifest and not reaction.manifest_written:
            self._manifests.write(reaction, self._lanes.events_of(reaction.id))
            reaction = replace(reaction, manifest_written=True)
            step = replace(step, reaction=reaction)
        try:
            declared = self._factory.declared_parameters(action.pipeline)
        except TargetRefused as error:
            return self._end(step, State.FAILED, f"pipeline {action.pipeline}: {error}")
        except (TargetBusy, TargetUnavailable) as error:
            return self._postpone(step, error)
        undeclared = sorted({"reaction_id", "attempt", *action.parameters} - declared)
        if undeclared:
            return self._end(
                step,
                State.FAILED,
                f"pipeline {action.pipeline} does not declare the parameter(s) {', '.join(undeclared)}: "
                "not started, because ADF would refuse them and a run without the stamp cannot be recognised",
            )
        self._permits.hold(self.resource, Permit(reaction_id=reaction.id, since=now, attempt=reaction.attempt))
        self._follow()
        intent = Intent(since=now, deadline=now + CALL_DEADLINE)
        starting = reaction.moved_to(
            State.STARTING,
            f"attempt {reaction.attempt}: about to start pipeline {action.pipeline}",
            now,
            intent=intent,
            next_look=intent.deadline,
        )
        return self._post(self._save(step, starting))

    def _settle_live(self, step: Step, action: PipelineAction) -> Step:
        """Which model is live is asked until one is, and from then on fixed in the reaction, whatever the attempt."""
        reaction, now = step.reaction, self._clock.now()
        try:
            found = {name: self._workspace.live_model(name) for name in action.live_endpoints}
        except TargetRefused as error:
            return self._end(step, State.FAILED, f"the live model cannot be asked for: {error}")
        except (TargetBusy, TargetUnavailable) as error:
            return self._wait_for_live(step, f"the live model cannot be asked for: {error}", advised_wait(error))
        missing = [name for name, model in found.items() if model is None]
        if missing:
            return self._wait_for_live(step, f"no model is live on endpoint {', '.join(missing)} yet", NOT_LIVE_WAIT)
        live = {name: model for name, model in found.items() if model is not None}
        told = ", ".join(f"{model.ref} is live on {name}" for name, model in live.items())
        settled = action.with_live({name: model.asset for name, model in live.items()})
        return self._save(step, reaction.moved_to(State.PENDING, told, now, action=settled, next_look=None))

    def _wait_for_live(self, step: Step, why: str, wait: timedelta) -> Step:
        reaction, now = step.reaction, self._clock.now()
        if reaction.reason == why:  # said once, however often it is asked
            return self._save(step, replace(reaction, next_look=now + wait), history=False)
        return self._save(step, reaction.moved_to(State.PENDING, why, now, next_look=now + wait))

    # --- starting -----------------------------------------------------------------------------------------------------

    def _post(self, step: Step) -> Step:
        reaction = step.reaction
        action = _action(reaction)
        if reaction.intent is None or self._clock.now() >= reaction.intent.deadline:
            raise Stale(f"reaction {reaction.id}: this process was held up past the deadline of its intent")
        stamp = {"reaction_id": reaction.id, "attempt": str(reaction.attempt)}
        try:
            run_id = self._factory.create_run(action.pipeline, {**action.parameters, **stamp})
        except TargetRefused as error:
            return self._end(step, State.FAILED, f"the factory refused the start of {action.pipeline}: {error}")
        except TargetBusy as error:
            return self._postpone(step, error)
        except InDoubt as error:
            return self._doubt(step, str(error))
        return self._accepted(step, run_id, f"run {run_id} started", since=self._clock.now())

    def _resolve(self, step: Step, _observed: Observed) -> Step:
        reaction, now = step.reaction, self._clock.now()
        intent = reaction.intent
        if intent is None or (reaction.next_look is not None and now < reaction.next_look):
            return step
        if intent.doubt_since is None:
            return self._doubt(step, "no answer to the start was saved")
        try:
            runs = self._factory.runs_updated(
                intent.since - QUERY_PADDING, now + QUERY_PADDING, pipeline=_action(reaction).pipeline
            )
        except (TargetBusy, TargetUnavailable, TargetRefused) as error:
            waiting = reaction.moved_to(
                State.STARTING,
                f"in doubt, and the factory cannot be asked: {error}",
                now,
                next_look=now + max(advised_wait(error), min((now - intent.doubt_since) / 4, LONGEST_DOUBT_WAIT)),
            )
            return self._save(step, waiting)
        ours = _oldest_first(run for run in runs if run.stamp == _stamp(reaction))
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
            return self._save(step, asked)
        again = replace(intent, deadline=now + CALL_DEADLINE, posted=intent.posted + 1, doubt_since=None, queries=0)
        posting = step.reaction.moved_to(
            State.STARTING,
            f"no run with our stamp was found: sending the start again ({again.posted}), same stamp",
            now,
            intent=again,
            next_look=again.deadline,
        )
        return self._post(self._save(step, posting))

    def _doubt(self, step: Step, why: str) -> Step:
        now = self._clock.now()
        intent = step.reaction.intent or Intent(since=now, deadline=now)
        doubting = step.reaction.moved_to(
            State.STARTING, f"in doubt: {why}", now, intent=replace(intent, doubt_since=now, queries=0), next_look=now
        )
        return self._save(step, doubting)

    def _accepted(self, step: Step, run_id: str, why: str, *, since: datetime) -> Step:
        running = step.reaction.moved_to(
            State.RUNNING,
            why,
            since,
            run_id=run_id,
            accepted=since,
            next_look=since + step.reaction.action.timeout,
        )
        return self._save(step, running)

    # --- running ------------------------------------------------------------------------------------------------------

    def _watch(self, step: Step, observed: Observed) -> Step:
        reaction, now = step.reaction, self._clock.now()
        runs = _oldest_first(observed.get(_stamp(reaction), ()))
        overdue = reaction.next_look is not None and now >= reaction.next_look
        run = next((r for r in runs if r.id == reaction.run_id), None)
        if run is None and overdue and reaction.run_id is not None:
            try:
                run = self._factory.run(reaction.run_id)
            except (TargetBusy, TargetUnavailable, TargetRefused) as error:
                return self._save(step, replace(reaction, next_look=now + advised_wait(error)), history=False)
        if run is not None and run.status.final:
            return self._ended(step, run)
        return self._time_out(step) if overdue else step

    def _ended(self, step: Step, run: Run) -> Step:
        step = self._with_jobs(step, run.id)
        reaction, now = step.reaction, self._clock.now()
        if run.status is RunStatus.SUCCEEDED:
            return self._end(step, State.SUCCEEDED, f"run {run.id} succeeded")
        if run.status is RunStatus.CANCELLED:
            return self._end(step, State.CANCELLED, f"run {run.id} was cancelled in the factory")
        why = f"run {run.id} failed: {run.message or 'the factory gave no message'}"
        if reaction.attempt >= reaction.action.attempts:
            return self._end(step, State.FAILED, why)
        wait = backoff(reaction)
        again = reaction.moved_to(
            State.PENDING,
            f"{why}; attempt {reaction.attempt + 1} of {reaction.action.attempts} in {wait}",
            now,
            attempt=reaction.attempt + 1,
            intent=None,
            run_id=None,
            accepted=None,
            next_look=now + wait,
        )
        saved = self._save(step, again)
        self._permits.release(self.resource, reaction.id)  # none is held while waiting
        return saved

    def _time_out(self, step: Step) -> Step:
        reaction = step.reaction
        cancelled = "cancelled"
        if reaction.run_id is not None:
            try:
                self._factory.cancel(reaction.run_id)
            except (TargetBusy, TargetUnavailable) as error:
                waiting = replace(reaction, next_look=self._clock.now() + advised_wait(error))
                return self._save(step, waiting, history=False)
            except TargetRefused as error:
                cancelled = f"not cancelled, the factory refused: {error}"
            step = self._with_jobs(step, reaction.run_id)
        return self._end(
            step, State.TIMED_OUT, f"run {reaction.run_id} took longer than {reaction.action.timeout}: {cancelled}"
        )

    def _with_jobs(self, step: Step, run_id: str) -> Step:
        """Adds the jobs the run started, saved with the step that follows. That waits for nothing: asked once only."""
        reaction = step.reaction
        window = reaction.created - QUERY_PADDING, self._clock.now() + QUERY_PADDING
        try:
            jobs = self._factory.jobs_of(run_id, *window)
        except (TargetBusy, TargetUnavailable, TargetRefused) as error:
            facts = {"error": str(error), **reaction.log_context()}
            telemetry.record(logger, "jobs_unknown", facts, logging.WARNING)
            jobs = (Job(run_id=run_id),)
        return replace(step, reaction=replace(reaction, jobs=(*reaction.jobs, *jobs)))

    def _keep_oldest(self, step: Step, runs: Sequence[Run]) -> Step:
        """Two runs carry one stamp: the older is kept, every younger one is cancelled and recorded."""
        kept, *younger = runs
        reaction = step.reaction
        if reaction.run_id != kept.id:
            adopted = reaction.moved_to(
                State.RUNNING, f"run {kept.id} is older than {reaction.run_id}", self._clock.now(), run_id=kept.id
            )
            step = self._save(step, adopted)
        for run in younger:
            self.cancel_duplicate(reaction, run, kept.id)
        return step

    def cancel_duplicate(self, reaction: Reaction, run: Run, kept: str) -> None:
        """Cancels a second run with the reaction's stamp, and puts that into the reaction's history, once."""
        if not (run.status.final or run.status is RunStatus.CANCELING):
            try:
                self._factory.cancel(run.id)
            except (TargetBusy, TargetUnavailable, TargetRefused) as error:  # it is seen again at the next look
                facts = {"duplicate": run.id, "error": str(error), **reaction.log_context()}
                telemetry.record(logger, "cancel_failed", facts, logging.WARNING)
                return
        if any(e.what == DUPLICATE_START and e.run_id == run.id for e in self._lanes.history(reaction.id)):
            return
        entry = HistoryEntry(
            at=self._clock.now(),
            what=DUPLICATE_START,
            reason=f"run {run.id} carries the stamp of {kept} and is younger: cancelled",
            attempt=int(run.stamp[1] or 0),
            run_id=run.id,
        )
        self._lanes.add_history(reaction.id, entry, notifications.of_duplicate(reaction, run.id, entry.at))
        self._look_soon(reaction.lane)
        telemetry.record(logger, "duplicate_start", {"duplicate": run.id, **reaction.log_context()}, logging.ERROR)

    # --- saving -------------------------------------------------------------------------------------------------------

    def _postpone(self, step: Step, error: TargetBusy | TargetUnavailable) -> Step:
        now = self._clock.now()
        waiting = step.reaction.moved_to(
            State.PENDING,
            f"the factory cannot take it now: {error}",
            now,
            intent=None,
            next_look=now + advised_wait(error),
        )
        saved = self._save(step, waiting)
        self._permits.release(self.resource, step.reaction.id)
        return saved

    def _end(self, step: Step, state: State, why: str) -> Step:
        saved = self._steps.end(step, state, why)
        self._permits.release(self.resource, saved.reaction.id)
        return saved

    def _save(self, step: Step, reaction: Reaction, *, history: bool = True) -> Step:
        return self._steps.save(step, reaction, history=history)


def _action(reaction: Reaction) -> PipelineAction:
    if not isinstance(reaction.action, PipelineAction):
        raise TypeError(f"reaction {reaction.id} runs no pipeline")
    return reaction.action


def _stamp(reaction: Reaction) -> tuple[str, str]:
    return reaction.id, str(reaction.attempt)


def _oldest_first(runs: Iterable[Run]) -> list[Run]:
    """Oldest first; what is cancelled comes last, so that it cannot become the one to keep when it gets its start."""
    gone = {RunStatus.CANCELING, RunStatus.CANCELLED}
    return sorted(runs, key=lambda r: (r.status in gone, r.started is None, r.started or _NEVER, r.id))
