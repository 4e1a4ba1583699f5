"""Callers of the API, as App Service Authentication announces them, and the function of a route."""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import azure.functions as func

READER, OPERATOR, APPROVER = "Relearn.Reader", "Relearn.Operator", "Relearn.Approver"
ROLE_TYPE = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"

Handler = Callable[[func.HttpRequest], func.HttpResponse]


def principal(*roles: str, name: str | None = "ada@example.com", **claims: str) -> dict[str, str]:
    """The header that names a caller with these roles."""
    named = {"preferred_username": name} if name is not None else {}
    told: dict[str, Any] = {
        "auth_typ": "aad",
        "claims": [
            *({"typ": kind, "val": value} for kind, value in {**named, **claims}.items()),
            *({"typ": "roles", "val": role} for role in roles),
        ],
        "name_typ": "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
        "role_typ": ROLE_TYPE,
    }
    return {"X-MS-CLIENT-PRINCIPAL": encoded(told)}


def encoded(told: object) -> str:
    return base64.b64encode(json.dumps(told).encode()).decode()


class HttpFunction(NamedTuple):
    """One function with one of its methods."""

    name: str
    method: str
    route: str
    level: str
    call: Handler


@functools.cache
def functions() -> tuple[Any, ...]:
    """The functions of the app, which it refuses to tell twice."""
    import function_app

    return tuple(function_app.app.get_functions())


@functools.cache
def http_functions() -> tuple[HttpFunction, ...]:
    """Those of them that answer HTTP requests, once for each method."""
    found = []
    for each in functions():
        trigger = each.get_trigger()
        assert trigger is not None
        told: Mapping[str, Any] = trigger.get_dict_repr()
        if told["type"] == "httpTrigger":
            name, call = str(each.get_function_name()), each.get_user_function()
            found += [
                HttpFunction(name, _text(m), told["route"], _text(told["authLevel"]), call) for m in told["methods"]
            ]
    return tuple(found)


def _text(value: object) -> str:
    return str(getattr(value, "value", value))


def http_function(method: str, route: str) -> tuple[Handler, dict[str, str]]:
    """The function that answers, with what its route captures: as in the host, text goes before a placeholder."""
    matches = []
    for each in http_functions():
        found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", each.route), route)
        if found is not None and each.method == method:
            matches.append((each.route.count("{"), each.call, found.groupdict()))
    assert matches, f"no function answers {method} {route}"
    _, handler, captured = min(matches, key=lambda match: match[0])
    return handler, captured
