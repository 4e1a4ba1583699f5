"""HTTP functions: their route templates under the prefix of host.json, and the way in and out of a function."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from local.host import bindings
from local.host.app import Function
from local.host.authentication import TokenCheck
from local.host.invoker import InvocationFailed, Invoker
from local.host.settings import HostError

CONSTRAINTS: Final = {
    "int": r"-?\d+",
    "alpha": r"[A-Za-z]+",
    "guid": r"[0-9A-Fa-f]{8}(?:-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}",
}
LITERAL, CONSTRAINED, PARAMETER, CATCH_ALL = range(4)

_PARAMETER = re.compile(r"\{(?P<star>\*{0,2})(?P<name>\w+)(?::(?P<constraint>\w+))?(?P<optional>\?)?\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One HTTP function, where it answers, and to which methods."""

    function: Function
    template: str
    methods: frozenset[str] | None
    pattern: re.Pattern[str]
    precedence: tuple[int, ...]


class HttpFunctions:
    """Answers requests to HTTP functions. Keys are not asked for: neither does Core Tools."""

    def __init__(self, routes: Sequence[Route], invoker: Invoker, check: TokenCheck | None = None) -> None:
        # Per segment a literal is tried before a parameter, and that before a catch-all.
        self._routes = sorted(routes, key=lambda route: route.precedence)
        self._invoker = invoker
        self._check = check

    async def answer(self, request: Request) -> Response:
        path = request.url.path.strip("/")
        for route in self._routes:
            match = route.pattern.fullmatch(path)
            # A method that is not listed is no match, so the answer is 404 and never 405.
            if match and (route.methods is None or request.method in route.methods):
                return await self._invoke(route.function, request, match)
        return Response(status_code=404)

    async def _invoke(self, function: Function, request: Request, match: re.Match[str]) -> Response:
        headers = _joined(request.headers.items())
        call = bindings.HttpCall(
            method=request.method,
            url=str(request.url),
            headers=headers if self._check is None else await self._check.headers(headers),
            query=_joined(QueryParams(request.url.query).multi_items()),
            route={name: value for name, value in match.groupdict().items() if value is not None},
            body=await request.body(),
        )
        try:
            answer = await self._invoker.invoke(
                function, bindings.http(call), reason="This function was programmatically called via the host APIs."
            )
        except InvocationFailed:
            return Response(status_code=500)
        assert isinstance(answer, bindings.HttpAnswer)
        response = Response(answer.body, status_code=answer.status)
        for name, value in answer.headers:
            response.headers.append(name, value)
        return response


def _joined(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The host hands a repeated name over once, its values joined with commas."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def route(function: Function, prefix: str) -> Route:
    """Where an HTTP function answers.

    Raises:
        HostError: its template uses something of ASP.NET's routing that is not imitated here.
    """
    template = str(function.options.get("route") or function.name).strip("/")
    full = f"{prefix}/{template}" if prefix else template
    pattern, precedence = "", []
    for segment in full.split("/"):
        expression, rank = _segment(segment, function.name)
        # An absent optional or catch-all segment takes its slash with it.
        absent = segment.endswith("?}") or rank == CATCH_ALL
        slash = "/" if pattern else ""
        pattern += f"(?:{slash}{expression})?" if absent else f"{slash}{expression}"
        precedence.append(rank)
    methods = function.options.get("methods")
    return Route(
        function=function,
        template=full,
        methods=frozenset(str(getattr(method, "value", method)).upper() for method in methods) if methods else None,
        pattern=re.compile(pattern, re.IGNORECASE),
        precedence=tuple(precedence),
    )


def _segment(segment: str, function: str) -> tuple[str, int]:
    match = _PARAMETER.fullmatch(segment)
    if match is None:
        if "{" in segment:
            raise HostError(f"{function}: the route segment {segment!r} is not imitated here; use HOST=func")
        return re.escape(segment), LITERAL
    if match["star"]:
        return f"(?P<{match['name']}>.*)", CATCH_ALL
    constraint = match["constraint"]
    if constraint is None:
        return f"(?P<{match['name']}>[^/]+)", PARAMETER
    if constraint not in CONSTRAINTS:
        raise HostError(f"{function}: the route constraint {constraint!r} is not imitated here; use HOST=func")
    return f"(?P<{match['name']}>{CONSTRAINTS[constraint]})", CONSTRAINED
