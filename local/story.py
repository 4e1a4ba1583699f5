"""Tells what happens in the system as it happens: reactions, runs, jobs, models, the endpoint, lifecycle events."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple, Protocol

import httpx

from local.machine_learning import Job
from local.system import ENDPOINT, LocalSystem
from shared.reactions import TRANSITIONS

FINAL: Final = frozenset(str(state) for state, after in TRANSITIONS.items() if not after)
POLL_SECONDS: Final = 0.25
TOKEN_SECONDS: Final = 1800.0
LONGEST: Final = 220
_FIGURES: Final = ("Accuracy", "live.Accuracy")

Reactions = list[dict[str, Any]]


class Listener(Protocol):
    """Whom the story is told to."""

    def line(self, text: str) -> None: ...

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """Shows what is waited for, as long as the context lasts."""


class Told(NamedTuple):
    """Something that is told once: `fact` says whether it has been."""

    fact: tuple[object, ...]
    what: str
    text: str


class Story:
    """Watches the app's own HTTP API, the factory, the workspace and the topic, and tells every change once."""

    def __init__(self, system: LocalSystem, listener: Listener) -> None:
        self._system = system
        self._listener = listener
        self._began = time.monotonic()
        self._told: set[tuple[object, ...]] = set()
        self._ended: set[str] = set()  # reactions and runs of which all is told
        self._endpoint_shown = ""
        self._api = httpx.Client(base_url=system.host.url, trust_env=False, timeout=30)
        self._token, self._token_until = "", 0.0

    def close(self) -> None:
        self._api.close()

    def tell(self, what: str, text: str) -> None:
        told = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
        self._listener.line(f"{time.monotonic() - self._began:7.1f} s  {what:<9} {' '.join(told.split())}")

    def get(self, route: str) -> Any:  # noqa: ANN401 - the API's JSON
        if time.monotonic() > self._token_until:  # a token lasts an hour
            self._token, self._token_until = self._system.api_token(), time.monotonic() + TOKEN_SECONDS
        answer = self._api.get(f"/api/{route}", headers={"Authorization": f"Bearer {self._token}"})
        answer.raise_for_status()
        return answer.json()

    def reactions(self, rule: str | None = None) -> Reactions:
        """In the order of their creation."""
        found = self.get("reactions?days=2")["reactions"]
        return sorted((r for r in found if rule in (None, r["rule"])), key=lambda r: str(r["created"]))

    def until(self, done: Callable[[Reactions], bool], seconds: float, waiting_for: str) -> None:
        """Tells what happens until `done` holds of the reactions.

        Raises:
            TimeoutError: it did not hold in time.
        """
        deadline = time.monotonic() + seconds
        with self._listener.waiting(f"waiting for {waiting_for}"):
            while True:
                reactions = self.reactions()
                self._tell_all(reactions)
                if done(reactions):
                    return
                if time.monotonic() > deadline:
                    log = self._system.host.log_file
                    raise TimeoutError(f"after {seconds:.0f} s still waiting for {waiting_for}; log: {log}")
                time.sleep(POLL_SECONDS)

    def _tell_all(self, reactions: Reactions) -> None:
        watched = (self._of_reactions(reactions), self._of_runs(), self._of_workspace(), self._of_topic())
        for told in itertools.chain(*watched):
            if told.fact not in self._told:
                self._told.add(told.fact)
                self.tell(told.what, told.text)

    def _of_reactions(self, reactions: Reactions) -> Iterator[Told]:
        for reaction in reactions:
            if reaction["id"] in self._ended:
                continue
            for entry in self.get(f"reactions/{reaction['id']}")["history"]:
                fact = (reaction["id"], entry["at"], entry["what"], entry["reason"])
                label = f"{reaction['rule']} [{reaction['key']}]"
                yield Told(fact, "reaction", f"{label}: {entry['what']} - {entry['reason']}")
            if reaction["state"] in FINAL:
                self._ended.add(reaction["id"])

    def _of_runs(self) -> Iterator[Told]:
        for run in self._system.factory.runs():
            if run.id in self._ended:
                continue
            status, ended = run.status.value, run.is_final
            for activity in self._system.factory.activities(run.id):
                if activity["status"] != "InProgress" and activity["activityName"].startswith(("Start", "Fail")):
                    text = f"{run.pipeline} {activity['activityName']}: {activity['status']}"
                    yield Told((run.id, activity["activityRunId"]), "activity", text)
            yield Told((run.id, status), "run", f"ADF {run.pipeline} {run.id[:8]}: {status}")
            if ended:
                self._ended.add(run.id)

    def _of_workspace(self) -> Iterator[Told]:
        learning = self._system.cloud.machine_learning
        for job in learning.jobs():
            if job.status.is_final:
                yield Told((job.name, "job"), "job", _job(job))
        for versions in learning.registry.models():
            for model in versions:
                figures = ", ".join(f"{n} {model.properties[n]:.6}" for n in _FIGURES if n in model.properties)
                yield Told((model.name, model.version), "model", f"{model.name}:{model.version} registered ({figures})")
        yield from self._of_endpoint()

    def _of_endpoint(self) -> Iterator[Told]:
        endpoint = self._system.cloud.machine_learning.online.state().get(ENDPOINT)
        if endpoint is None:
            return
        there = ", ".join(_deployment(each) for each in endpoint["deployments"]) or "none"
        traffic = ", ".join(f"{share} % to {name}" for name, share in endpoint["traffic"].items()) or "none"
        shown = f"{ENDPOINT}: deployments {there}; traffic {traffic}"
        if self._endpoint_shown != shown:
            self._endpoint_shown = shown
            yield Told((time.monotonic(), shown), "endpoint", shown)

    def _of_topic(self) -> Iterator[Told]:
        for published in self._system.published():
            event = published.event
            yield Told((event.id,), "published", f"{event.type} {event.subject}: {event.data.get('reason', '')}")


def _job(job: Job) -> str:
    steps = ", ".join(f"{step.name} pid {step.pid} exit {step.exit_code}" for step in job.steps)
    return f"AML {job.submission.endpoint} {job.name}: {job.status} ({steps})" + (
        f" - {job.message}" if job.message else ""
    )


def _deployment(shown: Mapping[str, Any]) -> str:
    state = str(shown["state"])
    return shown["name"] if state == "Succeeded" else f"{shown['name']} ({state})"
