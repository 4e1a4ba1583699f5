"""Whether a document of infra/adf is what Data Factory's own API describes, by the types in Microsoft's SDK.

The SDK's models take whatever they are given, and so would hide a misspelt property until somebody deploys. Its
TypedDicts say what there is: every key must be known, every required one there, every value of its type and every
word of its list. What the API describes in words only is checked by hand below.
"""

from __future__ import annotations

import enum
import functools
import re
import typing
from collections.abc import Iterator
from typing import Any

import typing_extensions
from azure.mgmt.datafactory import models, types

TIMESPAN = re.compile(r"((\d+)\.)?(\d\d):(60|([0-5][0-9])):(60|([0-5][0-9]))")
NAME = re.compile(r"[A-Za-z0-9_][^<>*#.%&:\\+?/]*")
RETRY_SECONDS = range(30, 86_401)


def pipeline_problems(document: dict[str, Any]) -> list[str]:
    found = _document_problems(document, types.Pipeline)
    if not NAME.fullmatch(document["name"]):
        found.append(f"{document['name']}: no name for a pipeline")
    return found + [problem for each in _activities(document["properties"]) for problem in _activity_problems(each)]


def linked_service_problems(document: dict[str, Any]) -> list[str]:
    return _document_problems(document, types.LinkedService)


def global_parameter_problems(document: dict[str, Any]) -> list[str]:
    return _document_problems(document, dict[str, types.GlobalParameterSpecification])


def _document_problems(document: dict[str, Any], described: Any) -> list[str]:
    """As a Git folder of Data Factory keeps it: a name and the properties."""
    unknown = [f"unknown property {key}" for key in document.keys() - {"name", "properties"}]
    return [*unknown, *_problems(document["properties"], described, document["name"])]


@functools.cache
def _hints(described: type) -> dict[str, Any]:
    return typing_extensions.get_type_hints(described, {**vars(models), **vars(types)})


def _problems(value: object, described: Any, path: str) -> Iterator[str]:
    origin, arguments = typing.get_origin(described), typing.get_args(described)
    if described is Any:
        return
    if typing_extensions.is_typeddict(described):
        yield from _object_problems(value, described, path)
    elif origin is typing.Union:
        yield from _choice_problems(value, arguments, path)
    elif origin in {list, dict}:
        yield from _contained_problems(value, origin, arguments[-1], path)
    else:
        yield from _word_problems(value, described, path)


def _word_problems(value: object, described: Any, path: str) -> Iterator[str]:
    words = typing.get_args(described)
    if isinstance(described, type) and issubclass(described, enum.Enum):
        words = tuple(member.value for member in described)
    if words and value not in words:
        yield f"{path}: {value!r} is none of {', '.join(sorted(map(str, words)))}"
    if not words and (not isinstance(value, described) or (isinstance(value, bool) and described is not bool)):
        yield f"{path}: must be of type {described.__name__}"


def _object_problems(value: object, described: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: must be an object"
        return
    hints = _hints(described)
    yield from (f"{path}: unknown property {key}" for key in value.keys() - hints.keys())
    yield from (f"{path}: {key} is missing" for key in described.__required_keys__ - value.keys())
    for key in hints.keys() & value.keys():
        yield from _problems(value[key], hints[key], f"{path}.{key}")


def _contained_problems(value: object, kind: type, described: Any, path: str) -> Iterator[str]:
    if not isinstance(value, kind):
        yield f"{path}: must be {'an array' if kind is list else 'an object'}"
        return
    entries = value.items() if isinstance(value, dict) else enumerate(typing.cast(list[Any], value))
    for key, each in entries:
        name = each.get("name", key) if isinstance(each, dict) else key
        yield from _problems(each, described, f"{path}.{name}")


def _choice_problems(value: object, choices: tuple[Any, ...], path: str) -> Iterator[str]:
    """By its type where each choice has one; a word list is written as a choice of it and any text."""
    named = {
        kind: choice
        for choice in choices
        if typing_extensions.is_typeddict(choice)
        for kind in typing.get_args(_hints(choice).get("type"))
    }
    words = [choice for choice in choices if isinstance(choice, type) and issubclass(choice, enum.Enum)]
    if named:
        kind = value.get("type") if isinstance(value, dict) else None
        if kind in named:
            yield from _problems(value, named[kind], path)
        else:
            yield f"{path}: {kind!r} is no type of it that Data Factory knows"
    elif words:
        yield from _problems(value, words[0], path)
    elif not any(not list(_problems(value, choice, path)) for choice in choices):
        yield f"{path}: is none of what it can be"


def _activities(properties: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for activity in properties.get("activities", []):
        yield activity
        inner = activity.get("typeProperties", {})
        for name in ("activities", "ifTrueActivities", "ifFalseActivities", "defaultActivities"):
            yield from _activities({"activities": inner.get(name, [])})
        for case in inner.get("cases", []):
            yield from _activities(case)


def _activity_problems(activity: dict[str, Any]) -> Iterator[str]:
    """What the API's description says of an activity in words."""
    name, properties, policy = activity["name"], activity.get("typeProperties", {}), activity.get("policy", {})
    for what, given in (
        ("policy.timeout", policy.get("timeout")),
        ("timeout", properties.get("timeout")),
        ("httpRequestTimeout", properties.get("httpRequestTimeout")),
    ):
        if isinstance(given, str) and not given.startswith("@") and not TIMESPAN.fullmatch(given):
            yield f"{name}: {what} {given!r} is no time span; write d.hh:mm:ss"
    if policy.get("retryIntervalInSeconds", 30) not in RETRY_SECONDS:
        yield f"{name}: retryIntervalInSeconds must be from 30 to 86400"
    if activity["type"] == "WebActivity" and ("body" in properties) != (properties.get("method") in {"POST", "PUT"}):
        yield f"{name}: a body is required for POST and PUT and not allowed otherwise"
