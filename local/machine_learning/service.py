"""The imitated workspace as one service: its assembly, and the door to it for tests and the demo."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from local.faults import Faults
from local.machine_learning.answers import DISCOVERY, Answers
from local.machine_learning.batch.announcements import announcing
from local.machine_learning.batch.answers import BatchAnswers, shown_job
from local.machine_learning.batch.batch import DATASTORE, Batch
from local.machine_learning.batch.bodies import Publication
from local.machine_learning.batch.execution import Executor
from local.machine_learning.batch.jobs import Jobs
from local.machine_learning.batch.pipelines import load_pipeline
from local.machine_learning.batch.records import Job
from local.machine_learning.batch.routes import BatchRoutes
from local.machine_learning.batch.submissions import Submissions
from local.machine_learning.datastores import Datastores
from local.machine_learning.doors import Doors
from local.machine_learning.job_lists import JobLists
from local.machine_learning.monitoring.definitions import Monitor, Source
from local.machine_learning.monitoring.evaluation import Metric
from local.machine_learning.monitoring.monitoring import Monitoring
from local.machine_learning.monitoring.routes import MonitoringRoutes
from local.machine_learning.monitoring.runs import Announcer, MonitorRun
from local.machine_learning.online.answers import OnlineAnswers
from local.machine_learning.online.launches import Launcher
from local.machine_learning.online.online import Online
from local.machine_learning.online.routes import OnlineRoutes
from local.machine_learning.registry.codes import Codes
from local.machine_learning.registry.registry import Registry, UnknownAsset
from local.machine_learning.registry.routes import RegistryRoutes
from local.machine_learning.requests import RequestLog
from local.machine_learning.setup import Setup
from local.progress import Clock, Outcome, Progress, SystemClock


class MachineLearning:
    """One workspace.

    Attributes:
        progress: how jobs go, by the name of their batch endpoint, component or monitor; by default they really run.
        registry: models, codes and environments.
        online: online endpoints and their deployments.
        monitoring: model monitors and their runs.
        job_lists: the list of all jobs, and the run history.
        requests: what was asked of the workspace, and what was answered.
    """

    name = "machine-learning"

    def __init__(self, setup: Setup, *, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        self.progress = Progress()
        self.faults = Faults("aml")
        self.requests = RequestLog()
        self._answers = Answers(setup.workspace, setup.url)
        self._batch_answers = BatchAnswers(self._answers)
        self._doors = Doors(setup.workspace, faults=self.faults, requests=self.requests, clock=clock)
        self._datastores = Datastores(
            storage_url=setup.storage_url, containers={DATASTORE: setup.lake_url}, ca_file=setup.ca_file
        )
        self.registry = Registry(setup.workspace, clock=clock, publish=setup.publish, store=setup.store("registry"))
        self._codes = Codes(
            folder=setup.folder / "workspace" / "codes", datastores=self._datastores, uploads=setup.uploads
        )
        self._batch = self._make_batch(setup, clock)
        self._submissions = Submissions(
            find=self.registry.find_asset,
            find_model=self.registry.find_model,
            folder=setup.folder / "workspace" / "submitted",
        )
        self.online = self._make_online(setup, clock)
        self.monitoring = Monitoring(
            self._batch.jobs,
            self._datastores,
            self.progress,
            announcer=Announcer(publish=setup.publish, clock=clock),
            store=setup.store("monitors"),
        )
        self.job_lists = JobLists(self._batch.jobs, self.monitoring, self._answers, self._batch_answers, self._doors)

    # Batch

    def deploy_batch(self, endpoint: str, *, component: Path, deployment: str = "default", default: bool = True) -> str:
        """Put the pipeline component in this file behind a batch endpoint; answers the scoring URI.

        Raises:
            ComponentError: the component, or one of its steps, is wrong.
        """
        pipeline = load_pipeline(component)
        self._batch.endpoints.deploy(endpoint, deployment, pipeline, default=default)
        return self.scoring_uri(endpoint)

    def add_datastore(self, name: str, container_url: str) -> None:
        """Let azureml://datastores/<name>/paths/… mean this container of the local cloud's storage."""
        self._datastores.add(name, container_url)

    def scoring_uri(self, endpoint: str) -> str:
        """Where a batch endpoint is invoked."""
        return self._batch_answers.scoring_uri(endpoint)

    def jobs(self) -> list[Job]:
        """All jobs, in the order they were submitted. Looking at them here is not a poll."""
        return self._batch.jobs.all()

    def job(self, name: str) -> Job:
        found = self._batch.jobs.get(name)
        if found is None:
            raise KeyError(f"there is no job {name!r}")
        return found

    def wait(self, name: str, seconds: float) -> Job:
        """The job when it is over. Raises KeyError: there is none; TimeoutError: it is not over after so long."""
        return self._batch.jobs.wait(name, seconds)

    def finish(self, name: str, outcome: Outcome, message: str = "") -> Job:
        """Ends, by hand, a job that does not really run. Raises KeyError: there is none."""
        return self._batch.jobs.finish(name, outcome, message)

    def cancel(self, name: str) -> Job:
        found = self._batch.jobs.cancel(name)
        if found is None:
            raise KeyError(f"there is no job {name!r}")
        return found

    # The whole

    def routes(self) -> Sequence[BaseRoute]:
        online = OnlineAnswers(self._answers)
        return [
            self._doors.control("GET", "", self._get_workspace),
            self._doors.open("GET", DISCOVERY, self._discover),
            *BatchRoutes(
                self._batch,
                self._batch_answers,
                self._doors,
                publication=self._publication(online),
                submissions=self._submissions,
            ).all(),
            *RegistryRoutes(self.registry, self._codes, self._answers, self._doors).all(),
            *self.job_lists.routes(),
            *MonitoringRoutes(self.monitoring, self._answers, self._doors, self._component_file).all(),
            *OnlineRoutes(self.online, online, self._doors).all(),
            *self.online.front.routes(),
        ]

    def resume(self) -> None:
        """Go on, in the background, with what an earlier start left; call it when the listener answers."""
        self.online.resume()

    # Monitors

    def add_monitor(
        self,
        definition: Path | Mapping[str, Any],
        *,
        name: str | None = None,
        baseline: str | None = None,
        target: str | None = None,
        newest_report: str | None = None,
        component: Path | None = None,
        every: timedelta | None = None,
    ) -> Monitor:
        """Add a monitor from AML's YAML, or from what stands in it; one of the same name is replaced.

        Args:
            definition: the file, or its content.
            name, baseline, target: in place of what the definition says; the latter two are URIs.
            newest_report: the component's input of this name, an https address.
            component: the component's file; by default the one the definition names, a registered one
                being looked for in ../components/*/component.yml from the definition's folder.
            every: run by itself so often; by default it runs only when somebody says so.

        Raises:
            MonitorError: the definition is wrong, or uses something that is not imitated.
        """
        changes = {
            "name": name,
            "baseline": baseline,
            "target": target,
            "newest_report": newest_report,
            "component": None if component is None else str(component),
            "every_seconds": None if every is None else every.total_seconds(),
        }
        return self.monitoring.add(Source.of(definition, **changes))

    def run_monitor(self, name: str, *, metrics: Sequence[Metric] | None = None, seconds: float = 600.0) -> MonitorRun:
        """Run a monitor now, to its end.

        Args:
            metrics: what its component is taken to have found, which is then not run; the events are the same.

        Raises:
            KeyError: there is no monitor of this name.
            TimeoutError: it is not over after so many seconds.
        """
        if metrics is not None:
            return self.monitoring.evaluate(name, metrics)
        return self.monitoring.wait(self.monitoring.start(name).id, seconds)

    def state(self) -> Mapping[str, Any]:
        endpoints = {endpoint.name: self.scoring_uri(endpoint.name) for endpoint in self._batch.endpoints.all()}
        models = [asdict(model) for versions in self.registry.models() for model in versions]
        shown = {
            "endpoints": endpoints,
            "jobs": [shown_job(job) for job in self.jobs()],
            "models": models,
            "online": self.online.state(),
            "monitors": [monitor.name for monitor in self.monitoring.monitors()],
            "monitorRuns": [asdict(run) for run in self.monitoring.runs()],
        }
        plain: dict[str, Any] = json.loads(json.dumps(shown, default=str))
        return plain

    def reset(self) -> None:
        """Forget jobs, policies, faults and requests; what is deployed or registered stays."""
        self._batch.forget()
        self.monitoring.reset()
        self.online.reset()
        self.progress.clear()
        self.faults.clear()
        self.requests.clear()

    def close(self) -> None:
        """End every job and server and wait for their processes; call it while storage and listener still answer."""
        self.monitoring.close()
        self._batch.jobs.close()
        self.online.close()
        self._datastores.close()

    def _make_batch(self, setup: Setup, clock: Clock) -> Batch:
        executor = Executor(
            workspace=setup.workspace,
            url=self._answers.url,
            python=setup.python,
            environment=setup.environment,
            datastores=self._datastores,
            find_model=self.registry.find_model,
            clock=clock,
            seconds=setup.step_seconds,
        )
        jobs = Jobs(setup.folder / "jobs", executor, clock, announcing(setup.publish, clock))
        return Batch(jobs, self.progress, self.registry.find_model)

    def _make_online(self, setup: Setup, clock: Clock) -> Online:
        launcher = Launcher(
            folder=setup.folder / "online",
            python=setup.python,
            environment=setup.environment,
            datastores=self._datastores,
            registry=self.registry,
            seconds=setup.serve_seconds,
        )
        return Online(self._answers, self._doors, launcher, store=setup.store("online"), clock=clock)

    def _publication(self, online: OnlineAnswers) -> Publication:
        return Publication(
            component=lambda text: load_pipeline(self._component_file(text)),
            finished=lambda kind: online.status_url(self.online.finished(kind)),
        )

    def _component_file(self, text: str) -> Path:
        """Raises BadReference or UnknownAsset."""
        folder = self.registry.find_asset("components", text).folder
        if folder is None:
            raise UnknownAsset(f"{text!r} is not on this machine")
        return folder / "component.yml"

    async def _discover(self, request: Request) -> Response:
        return JSONResponse(self._answers.discovery())

    async def _get_workspace(self, request: Request) -> Response:
        return JSONResponse(self._answers.workspace())
