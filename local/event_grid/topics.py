"""The publish endpoint of custom topics, as the azure-eventgrid client calls it."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from local.event_grid.envelopes import BadEvent, Published, parse_published
from local.faults import FaultMiddleware, Faults
from local.service import error, original_params, resource_id

MOST_BYTES = 1024 * 1024
MOST_EVENTS = 5000


def topic_id(name: str) -> str:
    return resource_id("Microsoft.EventGrid", "topics", name)


class TopicEndpoint:
    """POST /topics/{name}/api/events; any name is a topic."""

    def __init__(self, key: str, accept: Callable[[Published], None], faults: Faults) -> None:
        self._key = key
        self._faults = faults
        self._accept = accept

    def route(self) -> Route:
        door = Middleware(FaultMiddleware, faults=self._faults)
        return Route("/topics/{name}/api/events", self._publish, methods=["POST"], middleware=[door])

    async def _publish(self, request: Request) -> Response:
        if not self._allowed(request):
            return error(401, "Unauthorized", "aeg-sas-key is missing or wrong, and there is no bearer token")
        body = await request.body()
        if len(body) > MOST_BYTES:
            return error(413, "RequestEntityTooLarge", f"{len(body)} bytes; {MOST_BYTES} is the limit")
        try:
            events = self._parse(topic_id(original_params(request)["name"]), body)
        except (BadEvent, ValueError) as problem:
            return error(400, "BadRequest", str(problem))
        for event in events:
            self._accept(event)
        return Response(status_code=200)

    def _allowed(self, request: Request) -> bool:
        if request.headers.get("authorization", "").lower().startswith("bearer "):
            return True
        return hmac.compare_digest(request.headers.get("aeg-sas-key", ""), self._key)

    def _parse(self, topic: str, body: bytes) -> list[Published]:
        content = json.loads(body)
        items = content if isinstance(content, list) else [content]
        if len(items) > MOST_EVENTS:
            raise BadEvent(f"{len(items)} events in one request; {MOST_EVENTS} is the limit")
        return [parse_published(topic, item) for item in items]
