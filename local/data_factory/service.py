"""Data Factory's REST API, as far as the azure-mgmt-datafactory client of this project needs it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from local.data_factory import answers
from local.data_factory.definitions import BadParameters, Pipeline, read_folder, read_global_parameters
from local.data_factory.factory import AlreadyFinal, Factory, NotThere, QueueFull
from local.data_factory.interpreter import Surroundings
from local.data_factory.queries import ACTIVITY_RUNS, PIPELINE_RUNS, BadQuery, Pages, Query
from local.data_factory.request_log import RequestLog
from local.data_factory.timestamps import write
from local.data_factory.web import TokenSource, WebClient
from local.faults import Action, FaultMiddleware, Faults
from local.progress import Clock, Pause, Progress, SystemClock, real_pause
from local.service import factory_id, original_path

_BASE: Final = "/subscriptions/{subscription}/resourcegroups/{group}/providers/microsoft.datafactory"
_FACTORY: Final = _BASE + "/factories/{factory}"

Answer = Callable[[Request, Factory], Awaitable[Response]]


class DataFactory:
    """All factories of the local cloud. Give its routes to a listener that serves with `faults.ExposedHttp`.

    Args:
        requests: the JSON-lines file every request is appended to.
        ca_file, identity: whom Web activities trust, and where they get their tokens.
        clock, pause: what time it is, and how it passes inside an interpreted run.
        page_size: of query answers.
    """

    name = "data-factory"

    def __init__(
        self,
        *,
        requests: Path | None = None,
        ca_file: Path | None = None,
        identity: TokenSource | None = None,
        clock: Clock | None = None,
        pause: Pause = real_pause,
        page_size: int = 100,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.faults = Faults("adf")
        self.progress = Progress()
        self.requests = RequestLog(requests)
        self._web = WebClient(ca_file=ca_file, identity=identity)
        self._surroundings = Surroundings(now=self.clock.now, pause=pause, web=self._web)
        self._pages = Pages(page_size)
        self._factories: dict[str, Factory] = {}

    def create(
        self,
        name: str,
        pipelines_folder: Path | None = None,
        global_parameters: Mapping[str, object] | None = None,
        pipelines: Sequence[Pipeline] = (),
    ) -> Factory:
        """A factory with the pipelines of an ADF Git folder, as a deployment would make it; replaces one of this name.

        Args:
            global_parameters: values in place of the ones in the folder's globalParameters.json.

        Raises:
            InvalidPipeline: ADF would not publish one of the pipelines.
        """
        published = [*(read_folder(pipelines_folder) if pipelines_folder else ()), *pipelines]
        declared = read_global_parameters(pipelines_folder) if pipelines_folder else {}
        factory = Factory(
            factory_id(name),
            pipelines=published,
            global_parameters={**declared, **(global_parameters or {})},
            surroundings=self._surroundings,
            progress=Progress(fallback=self.progress),
        )
        replaced = self._factories.get(name.lower())
        if replaced is not None:
            replaced.close()
        self._factories[name.lower()] = factory
        return factory

    def factory(self, name: str) -> Factory:
        return self._factories[name.lower()]

    def close(self) -> None:
        for factory in list(self._factories.values()):
            factory.close()
        self._web.close()

    def state(self) -> Mapping[str, Any]:
        """For inspection: the runs of every factory."""
        factories = list(self._factories.values())
        return {factory.name: [run.shown(factory.id) for run in factory.runs()] for factory in factories}

    def reset(self) -> None:
        self.faults.clear()
        self.progress.clear()
        self.requests.clear()
        for factory in list(self._factories.values()):
            factory.reset()

    def routes(self) -> Sequence[BaseRoute]:
        table: list[tuple[str, str, Answer]] = [
            ("GET", "", answers.get_factory),
            ("GET", "/pipelines", answers.list_pipelines),
            ("GET", "/pipelines/{pipeline}", answers.get_pipeline),
            ("POST", "/pipelines/{pipeline}/createrun", answers.create_run),
            ("GET", "/pipelineruns/{run}", answers.get_run),
            ("POST", "/pipelineruns/{run}/cancel", answers.cancel_run),
            ("POST", "/querypipelineruns", self._query_runs),
            ("POST", "/pipelineruns/{run}/queryactivityruns", self._query_activities),
        ]
        routes: list[BaseRoute] = [
            Route(_FACTORY + path, self._guarded(answer), methods=[method], middleware=[self._middleware()])
            for method, path, answer in table
        ]
        # Whatever else is asked of the provider is named and refused, and is in the record as well.
        rest = Route(
            _BASE + "/{rest:path}",
            answers.not_imitated,
            methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            middleware=[self._middleware()],
        )
        return [*routes, rest]

    def _middleware(self) -> Middleware:
        return Middleware(FaultMiddleware, faults=self.faults, on_answer=self._record)

    def _record(self, scope: Scope, status: int | None, fired: Action | None) -> None:
        request = Request(scope)
        self.requests.append(
            {
                "at": write(self.clock.now()),
                "method": request.method,
                "path": original_path(request),
                "status": status,
                "fault": None if fired is None else str(fired),
                **scope.get(answers.ENTRY, {}),
            }
        )

    def _guarded(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        """Finds the factory by name, and turns every refusal into the answer it is on the wire."""

        async def endpoint(request: Request) -> Response:
            try:
                return await answer(request, self._find(request))
            except answers.Refused as refusal:
                return answers.error(refusal.status, refusal.code, str(refusal), target=refusal.target)
            except NotThere as missing:
                return answers.error(404, missing.code, str(missing), target=answers.target(request))
            except (BadParameters, BadQuery, AlreadyFinal) as bad:
                return answers.error(400, "BadRequest", str(bad), target=answers.target(request))
            except QueueFull as full:
                headers = {} if full.retry_after is None else {"Retry-After": str(full.retry_after)}
                return answers.error(429, "TooManyRequests", str(full), target=answers.target(request), headers=headers)

        return endpoint

    def _find(self, request: Request) -> Factory:
        name = request.path_params["factory"]
        factory = self._factories.get(name)
        if factory is None:
            group = request.path_params["group"]
            what = f"The Resource 'Microsoft.DataFactory/factories/{name}' under resource group '{group}'"
            raise answers.Refused(404, "ResourceNotFound", f"{what} was not found.")
        return factory

    async def _query_runs(self, request: Request, factory: Factory) -> Response:
        query = Query(PIPELINE_RUNS, await answers.body(request))
        return JSONResponse(self._pages.page(query, lambda: factory.query(query.select)))

    async def _query_activities(self, request: Request, factory: Factory) -> Response:
        query = Query(ACTIVITY_RUNS, await answers.body(request))
        run_id = request.path_params["run"]
        return JSONResponse(self._pages.page(query, lambda: query.select(factory.activities(run_id))))
