"""Gets a factory's runs on: starts queued ones, asks their policy, interprets them on threads, ends them once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from local.data_factory.interpreter import Ending, Execution, Surroundings
from local.data_factory.runs import STATUS_OF, Run, Status
from local.data_factory.scopes import ActivityRun
from local.progress import Interpret, Outcome


class Runner:
    """The runs of one factory. Whoever calls it or looks at a run holds `changed`, which wakes up at every end.

    Args:
        system: what pipeline() gives in the expressions of a run.
    """

    def __init__(self, *, surroundings: Surroundings, system: Callable[[Run], Mapping[str, Any]]) -> None:
        self.changed = threading.Condition()
        self.runs: dict[str, Run] = {}
        self._surroundings = surroundings
        self._system = system
        self._threads: list[threading.Thread] = []

    def add(self, run: Run) -> None:
        self.runs[run.id] = run
        self._start_queued(run.pipeline)

    def advance(self, run: Run, *, polled: bool = False) -> None:
        """Lets the run's policy decide; `polled`: because somebody asked."""
        if run.status is Status.CANCELING:
            run.canceling_polls -= polled
            if run.canceling_polls < 0:
                self.end(run, Outcome.CANCELLED)
        if run.status is not Status.IN_PROGRESS:
            return
        run.polls += polled
        elapsed = (self._surroundings.now() - run.start).total_seconds()
        outcome = run.policy.verdict(polls=run.polls, elapsed=elapsed)
        if outcome is not None:
            self.end(run, outcome, run.policy.message)

    def cancel(self, run: Run, *, canceling_polls: int = 0) -> None:
        """Stops it. The first `canceling_polls` times somebody asks, the service is still at it."""
        run.cancelled.set()
        run.canceling_polls = canceling_polls
        run.status = Status.CANCELING
        run.updated = self._surroundings.now()
        if canceling_polls == 0:
            self.end(run, Outcome.CANCELLED)

    def end(self, run: Run, outcome: Outcome, message: str = "") -> None:
        """Does nothing to a run that has ended: final states never change."""
        if run.is_final:
            return
        run.status = STATUS_OF[outcome]
        run.message = message
        run.end = run.updated = self._surroundings.now()
        run.cancelled.set()
        self.changed.notify_all()
        self._start_queued(run.pipeline)

    def stop(self) -> None:
        """Tells everything that is still interpreted to stop."""
        with self.changed:
            for run in self.runs.values():
                run.cancelled.set()

    def close(self) -> None:
        """Stops everything and waits for it. Not to be called while holding `changed`, nor by the listener's loop."""
        self.stop()
        with self.changed:
            threads, self._threads = self._threads, []
        for thread in threads:
            thread.join(timeout=5)

    def _start_queued(self, pipeline: str) -> None:
        """Starts as many queued runs as the pipeline's concurrency (by default: no limit) has room for."""
        while (run := self._next_to_start(pipeline)) is not None:
            run.status = Status.IN_PROGRESS
            if isinstance(run.policy, Interpret):
                self._interpret(run, run.policy)
            else:
                self.advance(run)

    def _next_to_start(self, pipeline: str) -> Run | None:
        mine = [run for run in self.runs.values() if run.pipeline == pipeline]
        run = next((run for run in mine if run.status is Status.QUEUED), None)
        if run is None or run.definition.concurrency is None:
            return run
        active = sum(each.status in {Status.IN_PROGRESS, Status.CANCELING} for each in mine)
        return run if active < run.definition.concurrency else None

    def _interpret(self, run: Run, policy: Interpret) -> None:
        execution = Execution(
            run.definition,
            system=self._system(run),
            surroundings=self._surroundings,
            policy=policy,
            cancelled=run.cancelled,
            seen=lambda activity: self._saw(run, activity),
        )
        thread = threading.Thread(target=self._carry_out, args=(run, execution), name=f"run-{run.id}", daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def _carry_out(self, run: Run, execution: Execution) -> None:
        ending = Ending(outcome=Outcome.FAILED, message="The local interpreter broke; its error is in the log.")
        try:
            ending = execution.run()
        finally:
            with self.changed:
                # A cancelled run may still be shown as Canceling; its thread's end does not cut that short.
                if run.status is Status.IN_PROGRESS:
                    self.end(run, ending.outcome, ending.message)

    def _saw(self, run: Run, activity: ActivityRun) -> None:
        with self.changed:
            if not any(each is activity for each in run.activities):
                run.activities.append(activity)
            if not run.is_final:
                run.updated = self._surroundings.now()
