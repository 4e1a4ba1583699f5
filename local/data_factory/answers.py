"""The answers of Data Factory's REST API to single requests, and the shape of its errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.data_factory.definitions import Pipeline
from local.data_factory.factory import Factory, NotThere
from local.data_factory.timestamps import write
from local.data_factory.values import kind
from local.service import REGION, original_path

ENTRY: Final = "relearn.entry"
"""Where in the scope an answer leaves what the record of its request is to have besides."""


class Refused(Exception):
    """An answer in ARM's error shape."""

    def __init__(self, status: int, code: str, message: str, target: str | None = None) -> None:
        self.status, self.code, self.target = status, code, target
        super().__init__(message)


async def get_factory(request: Request, factory: Factory) -> Response:
    declared = {name: {"type": kind(value), "value": value} for name, value in factory.global_parameters.items()}
    properties = {
        "provisioningState": "Succeeded",
        "createTime": write(factory.created),
        "version": "2018-06-01",
        "globalParameters": declared,
    }
    return JSONResponse(
        {
            "id": factory.id,
            "name": factory.name,
            "type": "Microsoft.DataFactory/factories",
            "location": REGION,
            "identity": {"type": "SystemAssigned"},
            "properties": properties,
        }
    )


async def list_pipelines(request: Request, factory: Factory) -> Response:
    return JSONResponse({"value": [_pipeline_resource(pipeline, factory) for pipeline in factory.pipelines()]})


async def get_pipeline(request: Request, factory: Factory) -> Response:
    pipeline = factory.pipeline(request.path_params["pipeline"])
    if request.headers.get("if-none-match", "").strip('"') == pipeline.etag:
        return Response(status_code=304)
    return JSONResponse(_pipeline_resource(pipeline, factory))


def _pipeline_resource(pipeline: Pipeline, factory: Factory) -> dict[str, Any]:
    return {
        "id": f"{factory.id}/pipelines/{pipeline.name}",
        "name": pipeline.name,
        "type": "Microsoft.DataFactory/factories/pipelines",
        "properties": pipeline.properties,
        "etag": pipeline.etag,
    }


async def create_run(request: Request, factory: Factory) -> Response:
    pipeline = factory.pipeline(request.path_params["pipeline"])
    parameters = await body(request)
    entry = {"pipeline": pipeline.name, "parameters": parameters, "runId": None}
    request.scope[ENTRY] = entry  # the record shows what was asked even when it is refused
    if "startactivityname" in {name.lower() for name in request.query_params}:
        raise Refused(501, "NotImplementedLocally", "createRun with startActivityName is not imitated.")
    reference = None
    if (wanted := request.query_params.get("referencePipelineRunId")) is not None:
        try:
            reference = factory.get(wanted, poll=False)
        except NotThere as missing:
            raise Refused(
                400, "ReferencedPipelineRunNotValid", str(missing), target=f"pipeline/{pipeline.name}/"
            ) from missing
    run = factory.create_run(pipeline.name, parameters, reference)
    entry["runId"] = run.id
    return JSONResponse({"runId": run.id})


async def get_run(request: Request, factory: Factory) -> Response:
    return JSONResponse(factory.get(request.path_params["run"]).shown(factory.id))


async def cancel_run(request: Request, factory: Factory) -> Response:
    """isRecursive is accepted and has nothing to do: pipelines that call pipelines are not imitated."""
    factory.cancel(request.path_params["run"])
    return Response(status_code=200)


async def not_imitated(request: Request) -> Response:
    return error(501, "NotImplementedLocally", f"{request.method} {original_path(request)} is not imitated")


async def body(request: Request) -> dict[str, Any]:
    """The body's JSON object, whatever content type it claims: the SDK sends {} as text/plain."""
    content = await request.body()
    try:
        body = json.loads(content or b"{}")
    except ValueError as wrong:
        raise Refused(400, "BadRequest", f"The body is not JSON: {wrong}") from wrong
    if not isinstance(body, dict):
        raise Refused(400, "BadRequest", f"The body must be a JSON object, not {kind(body)}.")
    return body


def target(request: Request) -> str | None:
    pipeline, run = request.path_params.get("pipeline"), request.path_params.get("run")
    if pipeline is not None:
        return f"pipeline/{pipeline}/"
    return None if run is None else f"runid/{run}"


def error(
    status: int, code: str, message: str, *, target: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    body = {"error": {"code": code, "message": message, "target": target, "details": None}}
    return JSONResponse(body, status_code=status, headers=dict(headers or {}))
