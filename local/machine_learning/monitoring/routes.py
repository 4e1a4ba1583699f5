"""The routes of monitor schedules."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from local.machine_learning.answers import Answers, missing
from local.machine_learning.doors import Doors
from local.machine_learning.monitoring.answers import MonitoringAnswers
from local.machine_learning.monitoring.definitions import Monitor
from local.machine_learning.monitoring.monitoring import Monitoring
from local.service import original_params


class MonitoringRoutes:
    """Serves the schedules of one workspace: to look at, and to run once."""

    def __init__(self, monitoring: Monitoring, answers: Answers, doors: Doors) -> None:
        self._monitoring = monitoring
        self._answers = MonitoringAnswers(answers)
        self._doors = doors

    def all(self) -> Sequence[BaseRoute]:
        control = self._doors.control
        return [
            control("GET", "/schedules", self._list),
            control("GET", "/schedules/{schedule}", self._get),
            control("POST", "/schedules/{schedule}/trigger", self._run_once),
        ]

    async def _list(self, request: Request) -> Response:
        """All of them are enabled."""
        disabled = request.query_params.get("listViewType", "").lower() == "disabledonly"
        found = [] if disabled else self._monitoring.monitors()
        return JSONResponse({"value": [self._answers.schedule(monitor) for monitor in found]})

    async def _get(self, request: Request) -> Response:
        return JSONResponse(self._answers.schedule(self._monitor(request)))

    async def _run_once(self, request: Request) -> Response:
        run = self._monitoring.start(self._monitor(request).name)
        return JSONResponse({"submissionId": run.id, "scheduleActionType": "CreateMonitor"})

    def _monitor(self, request: Request) -> Monitor:
        found = self._monitoring.monitor(request.path_params["schedule"])
        if found is None:
            raise missing(f"schedule {original_params(request)['schedule']!r}")
        return found
