"""The list of all jobs, a monitor's runs among them, and the run history of their steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from local.machine_learning.answers import PROVIDER, Answers, Refused, missing, system_data
from local.machine_learning.batch.announcements import PIPELINE_RUN
from local.machine_learning.batch.answers import BatchAnswers
from local.machine_learning.batch.jobs import Jobs
from local.machine_learning.batch.records import Job
from local.machine_learning.doors import HISTORY_PATH, Doors
from local.machine_learning.events import Run
from local.machine_learning.monitoring.evaluation import TAG
from local.machine_learning.monitoring.monitoring import Monitoring
from local.machine_learning.monitoring.runs import STEP_RUN, MonitorRun, root_tags, step_of
from local.service import original_params, original_path

_VIEWS: Final = ("activeonly", "archivedonly", "all")
_KNOWN: Final = frozenset({"api-version", "jobtype", "tag", "listviewtype", "$skip"})


class JobLists:
    """Serves them.

    Attributes:
        page: how many jobs an answer lists; the others follow under its nextLink.
        steps_listed: whether the step of a monitor's run that found a breach is in the list, too. AML does not say
            whether it lists steps; azure-ai-ml asks the run history for them.
    """

    def __init__(
        self, jobs: Jobs, monitoring: Monitoring, workspace: Answers, batch: BatchAnswers, doors: Doors
    ) -> None:
        self.page = 100
        self.steps_listed = False
        self._jobs = jobs
        self._monitoring = monitoring
        self._workspace = workspace
        self._batch = batch
        self._doors = doors

    def routes(self) -> Sequence[BaseRoute]:
        return [
            self._doors.control("GET", "/jobs", self._list),
            self._doors.control("GET", f"{HISTORY_PATH}/runs/{{run}}/children", self._children),
        ]

    async def _list(self, request: Request) -> Response:
        """The newest first."""
        asked = {name.lower(): value for name, value in request.query_params.items()}
        if unknown := asked.keys() - _KNOWN:
            raise Refused(501, "NotImitatedLocally", f"Filtering by {', '.join(sorted(unknown))} is not imitated.")
        view, start = asked.get("listviewtype", "ActiveOnly").lower(), asked.get("$skip", "0")
        if view not in _VIEWS or not start.isdecimal():
            raise Refused(400, "UserError", f"listViewType {view!r} or $skip {start!r} is not possible.")
        found = [] if view == "archivedonly" else [job for job in self._all() if _wanted(job, asked)]
        found.sort(key=lambda job: str(job["systemData"]["createdAt"]), reverse=True)
        end = int(start) + self.page
        answer: dict[str, Any] = {"value": found[int(start) : end]}
        if end < len(found):
            query = urlencode({**request.query_params, "$skip": end})
            answer["nextLink"] = f"{self._workspace.url}{original_path(request)}?{query}"
        return JSONResponse(answer)

    def _all(self) -> list[dict[str, Any]]:
        jobs = {job.name: self._batch.job(job) for job in reversed(self._jobs.all())}
        runs = self._monitoring.runs()
        jobs |= {run.id: self._root(run) for run in reversed(runs) if run.id not in jobs}
        steps = [self._step(run) for run in reversed(runs) if run.breached] if self.steps_listed else []
        return [*jobs.values(), *steps]

    def _root(self, run: MonitorRun) -> dict[str, Any]:
        """An evaluation without a job, which is a job in AML like every other run."""
        return self._shown(run, run.id, "Pipeline", root_tags(run, run.text), {"azureml.runsource": PIPELINE_RUN})

    def _step(self, run: MonitorRun) -> dict[str, Any]:
        step = step_of(run, {TAG: run.text})
        return self._shown(run, step.id, "Command", step.tags, step.properties)

    def _shown(
        self, run: MonitorRun, name: str, kind: str, tags: Mapping[str, str], properties: Mapping[str, str]
    ) -> dict[str, Any]:
        return {
            "id": f"{self._workspace.id}/jobs/{name}",
            "name": name,
            "type": f"{PROVIDER}/jobs",
            "systemData": system_data(run.started),
            "properties": {
                "jobType": kind,
                "status": run.status,
                "displayName": run.monitor,
                "experimentName": run.monitor,
                "tags": dict(tags),
                "properties": dict(properties),
                "isArchived": False,
                "services": {},
            },
        }

    async def _children(self, request: Request) -> Response:
        """The steps of a job; of a monitor's run the step that evaluates, too."""
        name = original_params(request)["run"]
        job, monitored = self._jobs.get(name), self._monitoring.find(name)
        if job is None and monitored is None:
            raise missing(f"run {name!r}")
        shown = [_step_run(job, step.name, step.run_id) for step in job.steps] if job is not None else []
        if monitored is not None:
            step = step_of(monitored, {TAG: monitored.text} if monitored.breached else {})
            shown.append(_history(step, monitored.id, monitored.started, monitored.ended, monitored.status))
        return JSONResponse({"value": shown, "continuationToken": None, "nextLink": None})


def _wanted(job: Mapping[str, Any], asked: Mapping[str, str]) -> bool:
    properties = job["properties"]
    kind = asked.get("jobtype", properties["jobType"])
    return kind.lower() == properties["jobType"].lower() and asked.get("tag") in (None, *properties["tags"])


def _step_run(job: Job, name: str, run_id: str) -> dict[str, Any]:
    run = Run(id=run_id, experiment=job.submission.experiment, type=STEP_RUN)
    return _history(run, job.name, job.created, job.ended, job.status) | {"displayName": name}


def _history(run: Run, parent: str, began: datetime, ended: datetime | None, status: str) -> dict[str, Any]:
    """A run as the run history tells it; a step's own times are taken for those of the whole."""
    return {
        "runId": run.id,
        "parentRunId": parent,
        "rootRunId": parent,
        "experimentId": run.experiment_id,
        "runType": run.type,
        "status": status,
        "createdUtc": began.isoformat(),
        "startTimeUtc": began.isoformat(),
        "endTimeUtc": ended.isoformat() if ended is not None else None,
        "tags": dict(run.tags),
        "properties": dict(run.properties),
    }
