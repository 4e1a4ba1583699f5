"""One data factory's state: its pipelines and runs, what its REST API does with them, and what tests may do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local.data_factory.definitions import Pipeline, parse
from local.data_factory.interpreter import Surroundings
from local.data_factory.runner import Runner
from local.data_factory.runs import Run, Status
from local.data_factory.timestamps import write
from local.progress import Outcome, Progress

QUEUE_LIMIT = 100
Row = Mapping[str, Any]


class NotThere(Exception):
    """No such pipeline or run (404). The service's own codes are not documented; match on the status."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class QueueFull(Exception):
    """The pipeline has as many queued runs as the service keeps (429)."""

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class AlreadyFinal(Exception):
    """The run is over and cannot be cancelled."""


@dataclass(slots=True, kw_only=True)
class _Hiding:
    runs: int
    polls: int
    from_get: bool


class Factory:
    """The state behind one factory name. Safe from any thread."""

    def __init__(
        self,
        resource_id: str,
        *,
        pipelines: Sequence[Pipeline],
        global_parameters: Mapping[str, object],
        surroundings: Surroundings,
        progress: Progress,
    ) -> None:
        self.id = resource_id
        self.name = resource_id.rsplit("/", 1)[-1]
        self.progress = progress
        self.global_parameters = dict(global_parameters)
        self.created = surroundings.now()
        self._now = surroundings.now
        self._pipelines = {pipeline.name.lower(): pipeline for pipeline in pipelines}
        self._runner = Runner(surroundings=surroundings, system=self._system)
        self._changed = self._runner.changed
        self._hiding: list[_Hiding] = []
        self._refusals: list[int | None] = []
        self._slow_cancels: list[int] = []

    # Pipelines
    def pipelines(self) -> list[Pipeline]:
        with self._changed:
            return list(self._pipelines.values())

    def pipeline(self, name: str) -> Pipeline:
        with self._changed:
            found = self._pipelines.get(name.lower())
        if found is None:
            raise NotThere("PipelineNotFound", f"The pipeline '{name}' was not found in the factory '{self.name}'.")
        return found

    def publish(self, document: Mapping[str, Any]) -> Pipeline:
        """Adds or replaces a pipeline, as a deployment would.

        Raises:
            InvalidPipeline: ADF would refuse to publish it.
        """
        pipeline = parse(document)
        with self._changed:
            self._pipelines[pipeline.name.lower()] = pipeline
        return pipeline

    # Runs, as the REST API handles them
    def create_run(self, name: str, parameters: Mapping[str, object], reference: Run | None = None) -> Run:
        """Starts a run. With a reference run its parameters are used and it joins its group.

        Raises:
            NotThere, BadParameters, QueueFull
        """
        pipeline = self.pipeline(name)
        bound = pipeline.bind(parameters) if reference is None else dict(reference.parameters)
        now = self._now()
        with self._changed:
            self._check_queue(pipeline)
            run = Run(
                definition=pipeline,
                parameters=bound,
                status=Status.QUEUED,
                start=now,
                updated=now,
                policy=self.progress.take(pipeline.name),
            )
            if reference is not None:
                self._join_group(run, reference)
            self._hide(run)
            self._runner.add(run)
        return run

    def get(self, run_id: str, *, poll: bool = True) -> Run:
        """Raises NotThere for an unknown run and, when it counts as a poll, for one that is hidden from GET."""
        with self._changed:
            run = self._runner.runs.get(run_id.lower())
            if run is None or (poll and run.hidden_from_get and run.hidden_polls > 0):
                raise NotThere("PipelineRunNotFound", f"The pipeline run '{run_id}' was not found.")
            self._runner.advance(run, polled=poll)
            return run

    def query(self, select: Callable[[Sequence[Row]], list[Row]]) -> list[Row]:
        """The runs a query finds. For every run it would have found, this is one more poll."""
        with self._changed:
            asked = {row["runId"] for row in select([run.shown(self.id) for run in self.runs()])}
            visible: list[Row] = []
            for run in self.runs():
                if run.id in asked and run.hidden_polls > 0:
                    run.hidden_polls -= 1
                    continue
                self._runner.advance(run, polled=run.id in asked)
                visible.append(run.shown(self.id))
            return select(visible)

    def activities(self, run_id: str) -> list[dict[str, Any]]:
        with self._changed:
            return self.get(run_id, poll=False).shown_activities()

    def cancel(self, run_id: str) -> None:
        """Raises NotThere or AlreadyFinal. Whether the service refuses the latter is not documented."""
        with self._changed:
            run = self.get(run_id, poll=False)
            if run.is_final:
                raise AlreadyFinal(f"The pipeline run '{run_id}' has ended: {run.status.value}.")
            self._runner.cancel(run, canceling_polls=self._slow_cancels.pop(0) if self._slow_cancels else 0)

    # For tests and inspection: nothing here is a poll
    def runs(self, pipeline: str | None = None) -> list[Run]:
        """All runs (of a pipeline), oldest first."""
        with self._changed:
            for run in list(self._runner.runs.values()):
                self._runner.advance(run)
            found = [run for run in self._runner.runs.values() if pipeline in (None, run.pipeline)]
            return sorted(found, key=lambda run: run.start)

    def start(self, pipeline: str, parameters: Mapping[str, object], at: datetime | None = None) -> Run:
        """Starts a run behind the API's back (no request, no log line), e.g. a second one with the same stamp."""
        with self._changed:
            run = self.create_run(pipeline, parameters)
            run.start = at or run.start
            return run

    def finish(self, run_id: str, outcome: Outcome = Outcome.SUCCEEDED, message: str = "") -> None:
        """Ends a run by hand."""
        with self._changed:
            self._runner.end(self.get(run_id, poll=False), outcome, message)

    def fail(self, run_id: str, message: str = "Failed by hand.") -> None:
        self.finish(run_id, Outcome.FAILED, message)

    def hide(self, *, next_runs: int = 1, polls: int = 1, from_get: bool = False) -> None:
        """The next runs are not found by the first `polls` queries that ask for them (nor by GET until then)."""
        with self._changed:
            self._hiding.append(_Hiding(runs=next_runs, polls=polls, from_get=from_get))

    def queue_full(self, *, times: int = 1, retry_after: int | None = None) -> None:
        """The next createRuns are refused as if 100 runs were queued."""
        with self._changed:
            self._refusals += [retry_after] * times

    def slow_cancel(self, *, polls: int = 1) -> None:
        """The next cancelled run is Canceling for so many polls."""
        with self._changed:
            self._slow_cancels.append(polls)

    def wait_until_final(self, run_id: str, seconds: float = 30.0) -> Run:
        """Waits for a run that is really interpreted."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not (run := self.get(run_id, poll=False)).is_final:
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"The run {run_id} of '{run.pipeline}' is still {run.status.value}.")
            return run

    def reset(self) -> None:
        """Forgets all runs and everything tests asked for; pipelines stay. Does not wait for what is interpreted."""
        self._runner.stop()
        self.progress.clear()
        with self._changed:
            self._runner.runs.clear()
            self._hiding.clear()
            self._refusals.clear()
            self._slow_cancels.clear()

    def close(self) -> None:
        """Stops what is still interpreted, and waits for it."""
        self._runner.close()

    def _check_queue(self, pipeline: Pipeline) -> None:
        full = f"The pipeline '{pipeline.name}' has {QUEUE_LIMIT} queued runs."
        if self._refusals:
            raise QueueFull(full, self._refusals.pop(0))
        mine = [run for run in self._runner.runs.values() if run.pipeline == pipeline.name]
        if sum(run.status is Status.QUEUED for run in mine) >= QUEUE_LIMIT:
            raise QueueFull(full)

    def _join_group(self, run: Run, reference: Run) -> None:
        run.group_id = reference.group_id or reference.id
        for older in self._runner.runs.values():
            if run.group_id in {older.group_id, older.id}:
                older.is_latest = False

    def _hide(self, run: Run) -> None:
        if self._hiding:
            hiding = self._hiding[0]
            run.hidden_polls, run.hidden_from_get = hiding.polls, hiding.from_get
            hiding.runs -= 1
            if hiding.runs == 0:
                del self._hiding[0]

    def _system(self, run: Run) -> dict[str, Any]:
        return {
            "DataFactory": self.name,
            "Pipeline": run.pipeline,
            "RunId": run.id,
            "GroupId": run.group_id or run.id,
            "TriggerType": "Manual",
            "TriggerId": run.id,
            "TriggerName": "Manual",
            "TriggerTime": write(run.start),
            "parameters": dict(run.parameters),
            "globalParameters": dict(self.global_parameters),
        }
