"""The Event Grid extension's webhook: handshakes, and one invocation per event of a delivery.

Facts from Azure/azure-sdk-for-net, Microsoft.Azure.WebJobs.Extensions.EventGrid/src (HttpRequestProcessor.cs and
EventGridExtensionConfigProvider.cs); what nobody catches there meets azure-functions-host's ExceptionMiddleware.cs.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.host import bindings
from local.host.app import Function
from local.host.invoker import InvocationFailed, Invoker

PATH: Final = "/runtime/webhooks/eventgrid"
METHODS: Final = ("GET", "PUT", "POST", "DELETE", "OPTIONS")
PUBLIC_ORIGIN: Final = "eventgrid.azure.net"
KNOWN_ORIGINS: Final = (
    PUBLIC_ORIGIN,
    "eventgrid.azure.us",
    "eventgrid.azure.eaglex.ic.gov",
    "eventgrid.azure.microsoft.scloud",
    "eventgrid.azure.cn",
)

logger = logging.getLogger(__name__)


class NotUnderstood(ValueError):
    """The extension would throw; the host then answers 500 with an empty body, and Event Grid tries again."""


class Webhook:
    """Answers what Event Grid posts."""

    def __init__(self, functions: Sequence[Function], invoker: Invoker) -> None:
        self._functions: Mapping[str, Function] = {
            function.name: function for function in functions if function.trigger == "eventGridTrigger"
        }
        self._invoker = invoker

    async def answer(self, request: Request) -> Response:
        if not self._functions:
            # An extension bundle loads only the extensions whose bindings the app uses: there is no webhook at all.
            return Response(status_code=404)
        name = request.query_params.get("functionName", "")
        function = self._functions.get(name)
        if function is None:
            return Response(f"cannot find function: '{name}'", status_code=404, media_type="text/plain")
        try:
            return await self._process(function, request)
        except NotUnderstood as problem:
            # Checked in the sources for a body that is not JSON: JToken.Load throws JsonReaderException, neither
            # HttpRequestProcessor nor the controller catches it, and ExceptionMiddleware sets 500 and writes no body.
            logger.error("An unhandled host error has occurred. %s", problem)  # noqa: TRY400  no Python stack to show
            return Response(status_code=500)

    async def _process(self, function: Function, request: Request) -> Response:
        if request.method == "OPTIONS":
            origin = request.headers.get("WebHook-Request-Origin", PUBLIC_ORIGIN)
            allowed = origin if origin in KNOWN_ORIGINS else PUBLIC_ORIGIN
            return Response(status_code=200, headers={"Webhook-Allowed-Origin": allowed})
        kind = request.headers.get("aeg-event-type", "").lower()
        if kind == "subscriptionvalidation":
            logger.info("perform handshake with eventGrid for function: %s", function.name)
            return JSONResponse({"validationResponse": _validation_code(_parse(await request.body()))})
        if kind == "notification":
            return await self._notify(function, _parse(await request.body()))
        return Response(status_code=202 if kind == "unsubscribe" else 400)

    async def _notify(self, function: Function, content: object) -> Response:
        if not isinstance(content, (list, dict)):
            raise NotUnderstood(f"The request content should be a JSON object or array, but was {content!r:.80}.")
        events = content if isinstance(content, list) else [content]
        results = await asyncio.gather(*(self._invoke(function, event) for event in events), return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in failures:
            # Something that is no object fails before the invocation, and what fails there nobody catches.
            if not isinstance(failure, InvocationFailed):
                raise failure
        if failures:
            return Response(str(failures[0]), status_code=500, media_type="text/plain")
        return Response(status_code=202)

    async def _invoke(self, function: Function, event: object) -> None:
        if not isinstance(event, dict):
            raise NotUnderstood(f"Unable to cast {type(event).__name__} to 'Newtonsoft.Json.Linq.JObject'.")
        await self._invoker.invoke(function, bindings.event_grid(event), reason="EventGrid trigger fired")


def _parse(body: bytes) -> object:
    """The first JSON value of the body. As with the host's reader, what comes after it is not looked at.

    Newtonsoft is more lenient than this (comments, single quotes): such bodies are refused here.
    """
    text = body.decode("utf-8-sig", errors="replace").strip()
    try:
        value: object
        value, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError) as problem:
        raise NotUnderstood(f"Error reading JToken from JsonReader: {problem}") from problem
    return value


def _validation_code(content: object) -> str:
    try:
        if isinstance(content, list):
            return str(content[0]["data"]["validationCode"])
        if not isinstance(content, dict):
            raise NotUnderstood(f"The request content should be a JSON object or array, but was {content!r:.80}.")
        # In the CloudEvents form the data are JSON in a string.
        data = content["data"]
        return str((json.loads(data) if isinstance(data, str) else data)["validationCode"])
    except (json.JSONDecodeError, LookupError, TypeError) as problem:
        raise NotUnderstood(f"no data.validationCode in the handshake: {problem!r}") from problem
