"""Tells what happens in the system as it happens: files, deliveries, reactions, runs, activities, jobs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import httpx

from local.machine_learning.jobs import Job
from local.system import LocalSystem
from shared.reactions import TRANSITIONS

FINAL: Final = frozenset(str(state) for state, after in TRANSITIONS.items() if not after)
POLL_SECONDS: Final = 0.25


class Story:
    """Watches the app's own HTTP API, the factory's runs and the workspace's jobs, and prints every change once."""

    def __init__(self, system: LocalSystem, say: Callable[[str], None]) -> None:
        self._system = system
        self._say = say
        self._began = time.monotonic()
        earlier = system.cloud.machine_learning.jobs()
        self._told: set[tuple[object, ...]] = {(job.name, str(job.status)) for job in earlier}
        self._api = httpx.Client(base_url=system.host.url, trust_env=False, timeout=30)

    def close(self) -> None:
        self._api.close()

    def tell(self, what: str, text: str) -> None:
        self._say(f"{time.monotonic() - self._began:7.1f} s  {what:<9} {text}")

    def get(self, route: str) -> Any:  # noqa: ANN401 - the API's JSON
        answer = self._api.get(f"/api/{route}")
        answer.raise_for_status()
        return answer.json()

    def reactions(self) -> list[dict[str, Any]]:
        return sorted(self.get("reactions?days=2")["reactions"], key=lambda r: str(r["created"]))

    def until(self, done: Callable[[list[dict[str, Any]]], bool], seconds: float, waiting_for: str) -> None:
        """Tells what happens until `done` holds of the reactions.

        Raises:
            TimeoutError: it did not hold in time.
        """
        deadline = time.monotonic() + seconds
        while True:
            reactions = self.reactions()
            self._tell_all(reactions)
            if done(reactions):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {seconds:.0f} s still waiting for {waiting_for}; log: {self._log()}")
            time.sleep(POLL_SECONDS)

    def _log(self) -> str:
        return str(self._system.host.log_file)

    def _tell_all(self, reactions: list[dict[str, Any]]) -> None:
        for reaction in reactions:
            for entry in self.get(f"reactions/{reaction['id']}")["history"]:
                fact = (reaction["id"], entry["at"], entry["what"], entry["reason"])
                label = f"{reaction['rule']} [{reaction['key']}]"
                self._once(fact, "reaction", f"{label}: {entry['what']} - {entry['reason']}")
        for run in self._system.factory.runs():
            for activity in self._system.factory.activities(run.id):
                if activity["status"] != "InProgress" and activity["activityName"].startswith(("Start", "Fail")):
                    text = f"{run.pipeline} {activity['activityName']}: {activity['status']}"
                    self._once((run.id, activity["activityRunId"]), "activity", text)
            self._once((run.id, run.status.value), "run", f"ADF {run.pipeline} {run.id[:8]}: {run.status.value}")
        for job in self._system.cloud.machine_learning.jobs():
            if job.status.is_final:
                self._once((job.name, str(job.status)), "job", _job(job))

    def _once(self, fact: tuple[object, ...], what: str, text: str) -> None:
        if fact not in self._told:
            self._told.add(fact)
            self.tell(what, text)


def _job(job: Job) -> str:
    steps = ", ".join(f"{step.name} pid {step.pid} exit {step.exit_code}" for step in job.steps)
    return f"AML {job.submission.endpoint} {job.name}: {job.status} ({steps})" + (
        f" - {job.message}" if job.message else ""
    )
