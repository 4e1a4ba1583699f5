"""The imitated workspace as one service: its assembly, and the door to it for tests and the demo."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from starlette.routing import BaseRoute

from local.faults import Faults
from local.machine_learning.answers import Answers
from local.machine_learning.datastores import Datastores
from local.machine_learning.execution import Executor
from local.machine_learning.jobs import Job, Jobs
from local.machine_learning.pipelines import load_pipeline
from local.machine_learning.routes import Routes
from local.machine_learning.workspace import DATASTORE, Workspace
from local.progress import Clock, Progress, SystemClock
from local.service import WORKSPACE


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Where the workspace lives and what it works with.

    Attributes:
        folder: the cloud's folder; jobs get theirs in `jobs` below it.
        url: the listener that serves our routes.
        python: the ML environment's Python; not resolved, or it would forget its packages.
        environment: what the process of a step may know, asked at every start.
        storage_url: the storage gateway.
        lake_url: the container behind azureml://datastores/lake.
        ca_file: the authority that vouches for the gateway.
        step_seconds: how long a step may take when its pipeline sets no limit.
    """

    folder: Path
    url: str
    python: Path
    environment: Callable[[], Mapping[str, str]]
    storage_url: str
    lake_url: str
    ca_file: Path
    workspace: str = WORKSPACE
    step_seconds: float = 900.0


class MachineLearning:
    """One workspace. Jobs really run unless `progress` says otherwise, by endpoint name."""

    name = "machine-learning"

    def __init__(self, setup: Setup, *, clock: Clock | None = None) -> None:
        self.progress = Progress()
        self.faults = Faults()
        self._answers = Answers(setup.workspace, setup.url)
        self._datastores = Datastores(
            storage_url=setup.storage_url, containers={DATASTORE: setup.lake_url}, ca_file=setup.ca_file
        )
        clock = clock or SystemClock()
        executor = Executor(
            workspace=setup.workspace,
            python=setup.python,
            environment=setup.environment,
            datastores=self._datastores,
            clock=clock,
            seconds=setup.step_seconds,
        )
        jobs = Jobs(setup.folder / "jobs", executor, clock)
        self._workspace = Workspace(setup.workspace, jobs, self.progress)

    def deploy_batch(self, endpoint: str, *, component: Path, deployment: str = "default", default: bool = True) -> str:
        """Put the pipeline component in this file behind a batch endpoint; answers the scoring URI.

        Raises:
            ComponentError: the component, or one of its steps, is wrong.
        """
        pipeline = load_pipeline(component)
        self._workspace.endpoints.deploy(endpoint, deployment, pipeline, default=default)
        return self.scoring_uri(endpoint)

    def add_datastore(self, name: str, container_url: str) -> None:
        """Let azureml://datastores/<name>/paths/… mean this container of the local cloud's storage."""
        self._datastores.add(name, container_url)

    def scoring_uri(self, endpoint: str) -> str:
        return self._answers.scoring_uri(endpoint)

    def jobs(self) -> list[Job]:
        """All jobs, in the order they were submitted. Looking at them here is not a poll."""
        return self._workspace.jobs.all()

    def job(self, name: str) -> Job:
        found = self._workspace.jobs.get(name)
        if found is None:
            raise KeyError(f"there is no job {name!r}")
        return found

    def cancel(self, name: str) -> Job:
        found = self._workspace.jobs.cancel(name)
        if found is None:
            raise KeyError(f"there is no job {name!r}")
        return found

    def state(self) -> Mapping[str, Any]:
        endpoints = {endpoint.name: self.scoring_uri(endpoint.name) for endpoint in self._workspace.endpoints.all()}
        return {"endpoints": endpoints, "jobs": [_shown(job) for job in self.jobs()]}

    def reset(self) -> None:
        """Forget jobs, policies and faults; what is deployed stays."""
        self._workspace.forget()
        self.progress.clear()
        self.faults.clear()

    def close(self) -> None:
        """End every job and wait for its process; call it while storage and listener still answer."""
        self._workspace.jobs.close()
        self._datastores.close()

    def routes(self) -> Sequence[BaseRoute]:
        return Routes(self._workspace, self._answers, self.faults).all()


def _shown(job: Job) -> dict[str, Any]:
    """A job for people: JSON types only."""
    submission = job.submission
    shown: dict[str, Any] = {
        "name": job.name,
        "endpoint": submission.endpoint,
        "deployment": submission.deployment,
        "status": job.status,
        "message": job.message,
        "inputs": {name: asdict(value) for name, value in submission.inputs.items()},
        "outputs": {name: data.uri for name, data in submission.outputs.items()},
        "folder": job.folder,
        "created": job.created,
        "started": job.started,
        "ended": job.ended,
        "steps": [asdict(step) for step in job.steps],
    }
    plain: dict[str, Any] = json.loads(json.dumps(shown, default=str))
    return plain
