"""The routes of monitor schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from local.machine_learning.answers import Answers, Refused, missing
from local.machine_learning.doors import Doors, json_body
from local.machine_learning.monitoring.answers import MonitoringAnswers
from local.machine_learning.monitoring.bodies import OtherSchedule, definition
from local.machine_learning.monitoring.definitions import Monitor, MonitorError, Source
from local.machine_learning.monitoring.monitoring import Monitoring
from local.machine_learning.references import BadReference
from local.machine_learning.registry.registry import UnknownAsset
from local.service import original_params

ComponentFile = Callable[[str], Path]


class MonitoringRoutes:
    """Serves the schedules of one workspace: to make, to look at, and to run once.

    Args:
        component: finds the file of a registered component; raises BadReference or UnknownAsset.
    """

    def __init__(self, monitoring: Monitoring, answers: Answers, doors: Doors, component: ComponentFile) -> None:
        self._component = component
        self._monitoring = monitoring
        self._answers = MonitoringAnswers(answers)
        self._doors = doors

    def all(self) -> Sequence[BaseRoute]:
        control = self._doors.control
        return [
            control("GET", "/schedules", self._list),
            control("GET", "/schedules/{schedule}", self._get),
            control("PUT", "/schedules/{schedule}", self._put),
            control("POST", "/schedules/{schedule}/trigger", self._run_once),
        ]

    async def _list(self, request: Request) -> Response:
        """All of them are enabled."""
        disabled = request.query_params.get("listViewType", "").lower() == "disabledonly"
        found = [] if disabled else self._monitoring.monitors()
        return JSONResponse({"value": [self._answers.schedule(monitor) for monitor in found]})

    async def _get(self, request: Request) -> Response:
        return JSONResponse(self._answers.schedule(self._monitor(request)))

    async def _put(self, request: Request) -> Response:
        """New or changed. It runs when somebody says so, whatever its trigger says: days pass quickly in a test."""
        name = original_params(request)["schedule"]
        known = self._monitoring.monitor(name) is not None
        try:
            content, reference = definition(name, await json_body(request))
            file = self._component(reference)
            monitor = self._monitoring.add(Source.of(content, component=str(file)))
        except (MonitorError, BadReference, UnknownAsset) as problem:
            raise Refused(400, "UserError", f"The schedule cannot be made: {problem}.") from problem
        except OtherSchedule as problem:
            raise Refused(501, "NotImitatedLocally", f"{problem} are not imitated.") from problem
        # In Azure an operation is begun; an answer that is Succeeded already ends the client's waiting, too.
        return JSONResponse(self._answers.schedule(monitor), status_code=200 if known else 201)

    async def _run_once(self, request: Request) -> Response:
        run = self._monitoring.start(self._monitor(request).name)
        return JSONResponse({"submissionId": run.id, "scheduleActionType": "CreateMonitor"})

    def _monitor(self, request: Request) -> Monitor:
        found = self._monitoring.monitor(request.path_params["schedule"])
        if found is None:
            raise missing(f"schedule {original_params(request)['schedule']!r}")
        return found
