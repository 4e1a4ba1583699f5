"""The online half of a workspace as one part: its assembly, and the door to it for tests and the demo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from local.machine_learning.answers import Answers, guid
from local.machine_learning.doors import Doors
from local.machine_learning.online.answering import Scoring, Script, zeros
from local.machine_learning.online.deployments import Deployments
from local.machine_learning.online.directory import Directory
from local.machine_learning.online.endpoints import Endpoints
from local.machine_learning.online.launches import Launcher
from local.machine_learning.online.operations import Ending, Operations
from local.machine_learning.online.provisioning import Provisioning
from local.machine_learning.online.scoring import Front, Scored
from local.machine_learning.online.values import Deployment, Endpoint
from local.machine_learning.store import Store
from local.progress import Clock, Outcome, Progress


class Online:
    """Online endpoints and their deployments.

    Attributes:
        creations: how making and changing a deployment goes, by its endpoint's name. With Interpret, the default, its
            server is really started; with any other policy it answers what `scoring` says.
        updates: how making and changing an endpoint goes, its traffic included, by its name.
        deletions: how deleting a deployment or an endpoint goes, by the endpoint's name.
    """

    def __init__(self, answers: Answers, doors: Doors, launcher: Launcher, *, store: Store, clock: Clock) -> None:
        self.creations = Progress()
        self.updates = Progress()
        self.deletions = Progress()
        self.directory = Directory(Operations(guid(answers.id), clock), store)
        self.front = Front(self.directory, answers, doors, clock)
        self._script = Script()
        self._launcher = launcher
        self._provisioning = Provisioning(self.directory, launcher, self._script)
        self.endpoints = Endpoints(
            self.directory, self._provisioning, updates=self.updates, deletions=self.deletions, clock=clock
        )
        self.deployments = Deployments(
            self.directory, self._provisioning, creations=self.creations, deletions=self.deletions, clock=clock
        )
        self._clock = clock
        self._restored = self.directory.restore()

    # For tests and the demo

    @property
    def scoring(self) -> Scoring:
        """scoring(endpoint, deployment, body) -> (status, body, seconds) of deployments that are not really served.

        It may be slow (a time beyond the request timeout is answered 408 at once), and it may raise, as a model may.
        """
        return self._script.scoring

    @scoring.setter
    def scoring(self, scoring: Scoring) -> None:
        self._script.scoring = scoring

    @property
    def scored(self) -> list[Scored]:
        """The newest scoring requests, oldest first: who answered, what the caller saw."""
        return self.front.scored

    def seed(self, number: int) -> None:
        """From here on the traffic is split the same way each time."""
        self.directory.dice.seed(number)

    def endpoint(self, name: str) -> Endpoint:
        """Looking at it here is not a poll. Raises KeyError."""
        found = self.directory.endpoint(name)
        if found is None:
            raise KeyError(f"there is no online endpoint {name!r}")
        return found

    def deployment(self, endpoint: str, name: str) -> Deployment:
        """Looking at it here is not a poll. Raises KeyError."""
        found = self.directory.deployment(endpoint, name)
        if found is None:
            raise KeyError(f"there is no deployment {name!r} of online endpoint {endpoint!r}")
        return found

    def end(
        self, endpoint: str, deployment: str | None = None, *, outcome: Outcome = Outcome.SUCCEEDED, message: str = ""
    ) -> None:
        """End by hand what goes on with an endpoint, or with one of its deployments. Raises KeyError."""
        found = self.endpoint(endpoint) if deployment is None else self.deployment(endpoint, deployment)
        with self.directory.lock:
            operation = self.directory.operations.get(found.operation)
            if operation is not None:
                self.directory.operations.end(operation, Ending(outcome=outcome, message=message))

    def finished(self, kind: str) -> str:
        """The id of an operation on something else than these endpoints, which is over already."""
        with self.directory.lock:
            operation_id = self.directory.operations.new_id(kind)
            ending = Ending(outcome=Outcome.SUCCEEDED)
            self.directory.operations.remember(operation_id, ending, self._clock.now())
            return operation_id

    def logs(self, deployment: Deployment, container: str = "InferenceServer") -> str:
        """What a really served deployment wrote; of one that failed, why if it has no log."""
        return self._launcher.logs(deployment, container) or deployment.message

    def resume(self) -> None:
        """Serve again, in the background, what an earlier run of the local cloud served."""
        restored, self._restored = self._restored, []
        self._provisioning.resume(restored)

    def forget(self) -> None:
        """Forget every endpoint; their servers end when their last requests have."""
        for deployment in self.directory.forget():
            self._provisioning.discard(deployment.value, deployment.instance)

    def reset(self) -> None:
        """Forget policies, the canned answers and what was asked; endpoints stay."""
        for progress in (self.creations, self.updates, self.deletions):
            progress.clear()
        self._script.scoring = zeros
        self.front.clear()

    def close(self) -> None:
        """End every launch and every server, and wait for them."""
        self._provisioning.stop()

    def state(self) -> Mapping[str, Any]:
        return {
            endpoint.name: {
                "state": endpoint.state,
                "scoringUri": self.front.uri(endpoint.name),
                "traffic": dict(endpoint.traffic),
                "deployments": [_shown(each) for each in self.directory.deployments(endpoint.name)],
            }
            for endpoint in self.directory.endpoints()
        }


def _shown(deployment: Deployment) -> dict[str, Any]:
    return {
        "name": deployment.name,
        "state": deployment.state,
        "model": deployment.model,
        "tags": dict(deployment.tags),
        "message": deployment.message,
        "server": asdict(deployment.server) if deployment.server else None,
    }
