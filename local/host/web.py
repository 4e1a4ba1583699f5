"""Which part of the host answers a request. Paths are compared without regard to case, as in the real host."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from local.host import webhook
from local.host.admin import Admin
from local.host.http import HttpFunctions
from local.host.webhook import Webhook

ANY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class Web:
    """The host's HTTP side as one ASGI application."""

    def __init__(self, *, admin: Admin, hook: Webhook, functions: HttpFunctions) -> None:
        self._admin = admin
        self._hook = hook
        self._functions = functions
        self.application = Starlette(routes=[Route("/{path:path}", self._answer, methods=ANY_METHOD)])

    async def _answer(self, request: Request) -> Response:
        path = request.url.path.lower().rstrip("/")
        if path == webhook.PATH and request.method in webhook.METHODS:
            return await self._hook.answer(request)
        if path.startswith("/admin/"):
            return await self._answer_admin(request, path)
        if not path:
            return PlainTextResponse("Your function host is up and running.\n")
        return await self._functions.answer(request)

    async def _answer_admin(self, request: Request, path: str) -> Response:
        collection = "/admin/functions"
        if request.method == "POST" and path.startswith(f"{collection}/"):
            return await self._admin.invoke(request, path.removeprefix(f"{collection}/"))
        if request.method in ("GET", "HEAD"):
            if path == "/admin/host/status":
                return self._admin.status()
            if path == collection:
                return self._admin.list()
        return Response(status_code=404)
