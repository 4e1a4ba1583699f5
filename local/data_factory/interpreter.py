"""Runs a pipeline: order and conditions of its activities, retries, and how the run ends by ADF's leaf rule."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local.data_factory import activities
from local.data_factory.activities import ActivityFailed
from local.data_factory.definitions import Activity, Pipeline, every
from local.data_factory.scopes import ActivityRun, Scope, Variables
from local.data_factory.values import ExpressionError
from local.data_factory.web import WebClient
from local.progress import Interpret, Outcome, Pause

_DEFAULT_RETRY_SECONDS = 30


class Cancelled(Exception):
    """The run was cancelled from outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a run needs of the outside: the time, a way to let it pass, and HTTP."""

    now: Callable[[], datetime]
    pause: Pause
    web: WebClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    outcome: Outcome
    message: str = ""


def _ignore(run: ActivityRun) -> None:
    pass


class Execution:
    """One run of one pipeline. Blocks its thread; branches and ForEach batches run on threads of their own.

    Args:
        system: what pipeline() gives, with the run's bound parameters and the factory's global ones.
        seen: told of every activity run when it starts and when it ends.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        system: Mapping[str, Any],
        surroundings: Surroundings,
        policy: Interpret | None = None,
        cancelled: threading.Event | None = None,
        seen: Callable[[ActivityRun], None] = _ignore,
    ) -> None:
        self.surroundings = surroundings
        self.cancelled = cancelled or threading.Event()
        self._pipeline = pipeline
        self._system = system
        self._policy = policy or Interpret()
        self._seen = seen
        self._places = threading.Lock()
        self._place = 0

    def run(self) -> Ending:
        for activity in every(self._pipeline.activities):
            if activity["type"] not in activities.HANDLERS:
                # Before anything starts, and whatever the pipeline would do about a failure: it must not pass.
                reason = f"activity '{activity['name']}' is of type '{activity['type']}', which is not imitated here."
                return Ending(outcome=Outcome.FAILED, message=f"Pipeline '{self._pipeline.name}': {reason}")
        variables = Variables(self._pipeline.variables)
        scope = Scope(system=self._system, variables=variables, now=self.surroundings.now)
        try:
            failed = self.run_all(self._pipeline.activities, scope)
        except Cancelled:
            return Ending(outcome=Outcome.CANCELLED)
        if not failed:
            return Ending(outcome=Outcome.SUCCEEDED)
        message = ", ".join(f"Operation on target {run.name} failed: {run.message}" for run in failed)
        return Ending(outcome=Outcome.FAILED, message=message)

    def run_all(self, listed: Sequence[Activity], scope: Scope) -> list[ActivityRun]:
        """Runs a list of activities in the order of their dependencies; gives the failures that decide."""
        waiting = list(listed)
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(max_workers=len(waiting) or 1) as pool:
            while waiting or running:
                ready = [activity for activity in waiting if _is_ready(activity, scope)]
                for activity in ready:
                    waiting.remove(activity)
                    if _is_wanted(activity, scope):
                        running.add(pool.submit(self._run_one, activity, scope))
                    else:
                        self._skip(activity, scope)
                if running and not ready:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()  # Cancelled comes out here
        return _deciding_failures(listed, scope)

    def _skip(self, activity: Activity, scope: Scope) -> None:
        now = self.surroundings.now()
        run = ActivityRun(name=activity["name"], type=activity["type"], status="Skipped", start=now, end=now)
        scope.runs[run.name] = run
        self._seen(run)

    def _run_one(self, activity: Activity, scope: Scope) -> None:
        policy = activity.get("policy", {})
        retries = int(scope.resolve(policy.get("retry", 0)))
        with self._places:
            self._place += 1
            place = self._place
        for attempt in range(retries + 1):
            run = self._attempt(activity, scope, place=place, attempt=attempt)
            if run.status == "Succeeded":
                break
            if attempt < retries:
                self._pause(float(policy.get("retryIntervalInSeconds", _DEFAULT_RETRY_SECONDS)))
        scope.runs[run.name] = run

    def _attempt(self, activity: Activity, scope: Scope, *, place: int, attempt: int) -> ActivityRun:
        self.check_cancelled()
        now = self.surroundings.now
        run = ActivityRun(name=activity["name"], type=activity["type"], start=now(), attempt=attempt)
        self._seen(run)
        try:
            run.output = self._perform(activity, scope, run, place)
            run.status = "Succeeded"
        except ExpressionError as wrong:
            _fail(run, ActivityFailed(str(wrong), code="InvalidTemplate"))
        except ActivityFailed as failure:
            _fail(run, failure)
        except Cancelled:
            run.status = "Cancelled"
            raise
        finally:
            run.end = now()
            self._seen(run)
        return run

    def _perform(self, activity: Activity, scope: Scope, run: ActivityRun, place: int) -> Mapping[str, Any]:
        if self._policy.fails(run.name, place):
            raise ActivityFailed(self._policy.message, code="ToldToFail")
        return activities.HANDLERS[run.type](self, scope, activity, run)

    def wait(self, seconds: float, scope: Scope) -> None:
        """Lets time pass, but not beyond the timeout of a loop around it."""
        if scope.deadline is not None:
            left = (scope.deadline - self.surroundings.now()).total_seconds()
            if left < seconds:
                self._pause(max(left, 0.0))
                raise ActivityFailed("The loop around this activity ran out of time.", code="ActivityTimeout")
        self._pause(seconds)

    def _pause(self, seconds: float) -> None:
        self.surroundings.pause(seconds, self.cancelled)
        self.check_cancelled()

    def check_cancelled(self) -> None:
        if self.cancelled.is_set():
            raise Cancelled


def _fail(run: ActivityRun, failure: ActivityFailed) -> None:
    run.status = "Failed"
    run.output = failure.output
    run.error = {
        "errorCode": failure.code,
        "message": str(failure),
        "failureType": "UserError",
        "target": run.name,
        "details": "",
    }


def _is_ready(activity: Activity, scope: Scope) -> bool:
    return all(dependency["activity"] in scope.runs for dependency in activity.get("dependsOn", []))


def _is_wanted(activity: Activity, scope: Scope) -> bool:
    """All dependencies hold, each by any of its conditions. Completed means run to an end: not skipped."""
    return all(
        any(_holds(condition, scope.runs[dependency["activity"]]) for condition in dependency["dependencyConditions"])
        for dependency in activity.get("dependsOn", [])
    )


def _holds(condition: str, run: ActivityRun) -> bool:
    return run.status in {"Succeeded", "Failed"} if condition == "Completed" else run.status == condition


def _deciding_failures(listed: Sequence[Activity], scope: Scope) -> list[ActivityRun]:
    """ADF's rule: the leaves decide, and in place of a skipped one the activities it depends on.

    A list succeeds only if all of these succeeded. So a failure that a Failed branch handles is forgiven, unless
    a Succeeded branch beside it was skipped: the skipped leaf leads back to the failure.
    """
    parents = {
        activity["name"]: [dependency["activity"] for dependency in activity.get("dependsOn", [])]
        for activity in listed
    }
    depended_on = {parent for wanted in parents.values() for parent in wanted}
    open_names = [name for name in parents if name not in depended_on]
    failed: dict[str, ActivityRun] = {}
    while open_names:
        run = scope.runs[open_names.pop()]
        if run.status == "Skipped":
            open_names += parents[run.name]
        elif run.status != "Succeeded":
            failed[run.name] = run
    return [failed[name] for name in parents if name in failed]
