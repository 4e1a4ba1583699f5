"""The host's own API: whether it runs, what it runs, and running a function by hand."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.host import bindings
from local.host.app import Function
from local.host.invoker import InvocationFailed, Invoker
from local.host.timers import Timer

logger = logging.getLogger(__name__)


class Admin:
    """Everything under /admin. Local tools ask for no key, and this host is only reachable from this machine."""

    def __init__(
        self,
        *,
        host_id: str,
        functions: Sequence[Function],
        timers: Mapping[str, Timer],
        invoker: Invoker,
        errors: Sequence[str],
    ) -> None:
        self._host_id = host_id
        self._functions = {function.name.lower(): function for function in functions}
        self._timers = timers
        self._invoker = invoker
        self._started = time.monotonic()
        self._background: set[asyncio.Task[None]] = set()
        self._errors = list(errors)

    def status(self) -> Response:
        uptime = round((time.monotonic() - self._started) * 1000)
        status: dict[str, Any] = {"id": self._host_id, "state": "Running", "processUptime": uptime}
        if self._errors:
            status["errors"] = self._errors
        return JSONResponse(status)

    def list(self) -> Response:
        return JSONResponse(
            [
                {"name": function.name, "isDisabled": function.disabled, "trigger": function.trigger}
                for function in self._functions.values()
            ]
        )

    async def invoke(self, request: Request, name: str) -> Response:
        """Starts a function and answers 202 at once; how it ends is in the log."""
        try:
            content = json.loads(await request.body())
        except ValueError:
            return Response(status_code=400)
        if not isinstance(content, dict):
            return Response(status_code=400)
        function = self._functions.get(name.lower())
        if function is None:
            return Response(status_code=404)
        if function.trigger == "httpTrigger":
            return Response(f"{function.name} is an HTTP function: call its route", status_code=400)
        text = content.get("input")
        task = asyncio.create_task(self._run(function, text if isinstance(text, str) else json.dumps(text)))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return Response(status_code=202)

    async def _run(self, function: Function, text: str) -> None:
        if function.trigger == "timerTrigger":
            timer = self._timers.get(function.name)
            if timer is not None:
                await timer.run_once()
            return
        payload = bindings.queue(bindings.QueueMessage(body=text))
        if function.trigger == "eventGridTrigger":
            try:
                event = json.loads(text)
            except ValueError:
                event = None
            if not isinstance(event, dict):
                logger.error("Functions.%s: unable to parse the input to a JSON object", function.name)
                return
            payload = bindings.event_grid(event)
        try:
            await self._invoker.invoke(
                function, payload, reason="This function was programmatically called via the host APIs."
            )
        except InvocationFailed:
            return
