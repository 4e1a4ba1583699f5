"""Bicep's functions and operators, those that our files may use.

What looks into a text that only Azure knows (`split` of a principal's id) gives such a text again.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import re
import uuid
from collections.abc import Callable
from os.path import normpath
from pathlib import Path
from typing import Any, Protocol

from ruamel.yaml import YAML

from tests.infra.bicep.values import Runtime, Scope, group_scope, is_runtime, joined, spelled, subscription_scope


class Failed(Exception):
    """A function refuses its arguments, or `fail` was called."""


class Context(Protocol):
    """What functions may know of where they are called."""

    scope: Scope
    folder: Path
    location: str
    subscription: str
    deployment_name: str


def _digest(values: tuple[Any, ...]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def unique_string(*values: str) -> str:
    """Thirteen letters and digits that depend on the values only, as Azure's (which are others)."""
    number = int(_digest(values), 16)
    return "".join("abcdefghijklmnopqrstuvwxyz234567"[number >> 5 * place & 31] for place in range(13))


def guid(*values: str) -> str:
    return str(uuid.UUID(_digest(values)[:32]))


def contains(container: Any, item: Any) -> bool:
    if isinstance(container, dict):
        return str(item).lower() in {key.lower() for key in container}
    return item in container


def union(*values: Any) -> Any:
    """Arrays without repetition; objects member by member, nested objects too."""
    if all(isinstance(value, dict) for value in values):
        merged: dict[str, Any] = {}
        for value in values:
            for key, item in value.items():
                both = isinstance(item, dict) and isinstance(merged.get(key), dict)
                merged[key] = union(merged[key], item) if both else item
        return merged
    if not all(isinstance(value, list) for value in values):
        raise Failed("union wants arrays or objects, not both")
    return list({json.dumps(item): item for value in values for item in value}.values())


def intersection(first: list[Any], *others: list[Any]) -> list[Any]:
    return [item for item in first if all(item in other for other in others)]


def concat(*values: Any) -> Any:
    if all(isinstance(value, list) for value in values):
        return [item for value in values for item in value]
    if any(isinstance(value, (list, dict)) for value in values):
        raise Failed("concat wants texts or arrays, not both")
    return joined(list(values))


def format_(template: str, *values: Any) -> str:
    text = re.sub(r"\{(\d+)(?::[^}]*)?\}", lambda found: spelled(values[int(found[1])]), template)
    return Runtime(text) if any(isinstance(value, Runtime) for value in (template, *values)) else text


def items(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value[key]} for key in sorted(value)]


def to_object(values: list[Any], key: Callable[..., str], value: Callable[..., Any] = lambda item: item) -> Any:
    return {key(item): value(item) for item in values}


def reduce_(values: list[Any], start: Any, step: Callable[..., Any]) -> Any:
    for item in values:
        start = step(start, item)
    return start


def filter_(values: list[Any], keep: Callable[..., bool]) -> list[Any]:
    kept = [(item, keep(item)) for item in values]
    if any(isinstance(answer, Runtime) for _, answer in kept):
        raise Failed("filter asks what only a running deployment knows")
    return [item for item, answer in kept if answer]


def first(value: Any) -> Any:
    return next(iter(value), None if isinstance(value, list) else "")


def last(value: Any) -> Any:
    return value[-1] if value else (None if isinstance(value, list) else "")


def split(text: str, delimiters: str | list[str]) -> list[str]:
    given = [delimiters] if isinstance(delimiters, str) else delimiters
    return re.split("|".join(map(re.escape, given)), text)


def sort(values: list[Any], before: Callable[[Any, Any], bool]) -> list[Any]:
    done: list[Any] = []
    for value in values:
        done.insert(next((at for at, other in enumerate(done) if before(value, other)), len(done)), value)
    return done


def empty(value: Any) -> bool:
    return not isinstance(value, Runtime) and (value is None or len(value) == 0)


def coalesce(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def to_json(value: Any) -> str:
    return str(value) if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def fail(message: str) -> None:
    raise Failed(message)


def _range(start: int, count: int) -> list[int]:
    return list(range(start, start + count))


def _pad(text: Any, width: int, filler: str = " ") -> str:
    return spelled(text).rjust(width, filler)


def _join(values: list[Any], between: str) -> str:
    return joined(values, between)


def _int(value: Any) -> int:
    return int(value)


def _length(value: Any) -> int:
    return len(value)


def _json(text: str) -> Any:
    return json.loads(text)


def _keys(value: dict[str, Any]) -> list[str]:
    return sorted(value)


def _flatten(values: list[list[Any]]) -> list[Any]:
    return [item for value in values for item in value]


def _chunks(values: list[Any], size: int) -> list[list[Any]]:
    return [values[at : at + size] for at in range(0, len(values), size)]


# These are what they say whatever is inside their arguments.
TRANSPARENT: dict[str, Callable[..., Any]] = {
    "any": lambda value: value,
    "array": lambda value: value if isinstance(value, list) else [value],
    "coalesce": coalesce,
    "concat": concat,
    "empty": empty,
    "fail": fail,
    "filter": filter_,
    "format": format_,
    "guid": guid,
    "items": items,
    "map": lambda values, change: [change(item) for item in values],
    "mapValues": lambda value, change: {key: change(item) for key, item in value.items()},
    "groupBy": lambda values, key: {k: [v for v in values if key(v) == k] for k in dict.fromkeys(map(key, values))},
    "reduce": reduce_,
    "sort": sort,
    "toObject": to_object,
    "union": union,
    "uniqueString": unique_string,
    "join": _join,
    "objectKeys": _keys,
    "shallowMerge": lambda values: {key: item for value in values for key, item in value.items()},
    "flatten": _flatten,
    "range": _range,
}
PLAIN: dict[str, Callable[..., Any]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64ToString": lambda text: base64.b64decode(text).decode(),
    "bool": lambda value: value if isinstance(value, bool) else str(value).lower() in ("true", "1"),
    "contains": contains,
    "endsWith": lambda text, end: text.lower().endswith(end.lower()),
    "first": first,
    "indexOf": lambda value, item: value.index(item) if item in value else -1,
    "int": _int,
    "intersection": intersection,
    "json": _json,
    "last": last,
    "length": _length,
    "max": lambda *values: max(values[0] if isinstance(values[0], list) else values),
    "min": lambda *values: min(values[0] if isinstance(values[0], list) else values),
    "padLeft": _pad,
    "replace": lambda text, old, new: text.replace(old, new),
    "skip": lambda value, count: value[max(count, 0) :],
    "split": split,
    "startsWith": lambda text, start: text.lower().startswith(start.lower()),
    "string": to_json,
    "substring": lambda text, start, length=None: text[start:] if length is None else text[start : start + length],
    "take": lambda value, count: value[: max(count, 0)],
    "toLower": lambda text: text.lower(),
    "toUpper": lambda text: text.upper(),
    "trim": lambda text: text.strip(),
    "uri": lambda base, rest: base.rstrip("/") + "/" + rest.lstrip("/"),
    "uriComponent": lambda text: text,
    "tryGet": lambda value, key: value.get(key) if isinstance(value, dict) else dict(enumerate(value)).get(key),
    "chunk": _chunks,
}


def _identifier(prefix: str, kind: str, names: tuple[str, ...]) -> str:
    provider, *types = kind.split("/")
    if len(types) != len(names):
        raise Failed(f"a resource id of {kind} wants {len(types)} names, not {len(names)}")
    pairs = "/".join(f"{each}/{name}" for each, name in zip(types, names, strict=True))
    found = f"{prefix}/providers/{provider}/{pairs}"
    return Runtime(found) if is_runtime([prefix, *names]) else found


def _resource_id(context: Context, *given: str) -> str:
    """resourceId([subscription], [group], type, names…)"""
    at = next(place for place, text in enumerate(given) if "/" in text)
    *where, kind = given[: at + 1]
    group = where[-1] if where else context.scope.get("name")
    subscription = where[0] if len(where) == 2 else context.subscription
    prefix = f"/subscriptions/{subscription}" + (f"/resourceGroups/{group}" if group else "")
    return _identifier(prefix, kind, given[at + 1 :])


def _subscription_resource_id(context: Context, *given: str) -> str:
    own = (context.subscription, *given) if "/" in given[0] else given
    return _identifier(f"/subscriptions/{own[0]}", own[1], own[2:])


def _group(context: Context, *given: str) -> Scope:
    if not given and context.scope.kind != "resourceGroup":
        raise Failed("resourceGroup() has no meaning in a deployment to a subscription")
    if not given:
        return context.scope
    subscription = given[0] if len(given) == 2 else context.subscription
    return group_scope(subscription, given[-1], context.location)


def _subscription(context: Context, subscription: str = "") -> Scope:
    return subscription_scope(subscription or context.subscription)


def _deployment(context: Context) -> dict[str, Any]:
    return {"name": context.deployment_name, "location": context.location, "properties": {}}


def beside(folder: Path, path: str) -> Path:
    """A file by its path from a folder; `..` is the folder above, also where the folder is a link."""
    return Path(normpath(folder / path))


def _load_json(context: Context, path: str) -> Any:
    return json.loads(beside(context.folder, path).read_text())


def _load_yaml(context: Context, path: str) -> Any:
    return YAML(typ="safe", pure=True).load(beside(context.folder, path))


def _load_text(context: Context, path: str, encoding: str = "utf-8") -> str:
    return beside(context.folder, path).read_text(encoding)


def _load_base64(context: Context, path: str) -> str:
    return base64.b64encode(beside(context.folder, path).read_bytes()).decode()


def _environment(context: Context) -> dict[str, Any]:
    return {
        "name": "AzureCloud",
        "resourceManager": "https://management.azure.com/",
        "authentication": {"loginEndpoint": "https://login.microsoftonline.com/"},
        "suffixes": {
            "storage": "core.windows.net",
            "keyvaultDns": ".vault.azure.net",
            "acrLoginServer": ".azurecr.io",
            "sqlServerHostname": ".database.windows.net",
        },
    }


def _reference(context: Context, target: str, version: str = "", full: str = "") -> Runtime:
    return Runtime.of(f"{target}.full" if full else f"{target}.properties")


def _extension_id(context: Context, base: str, kind: str, *names: str) -> str:
    return _identifier(base, kind, names)


def _tenant_id(context: Context, kind: str, *names: str) -> str:
    return _identifier("", kind, names)


CONTEXTUAL: dict[str, Callable[..., Any]] = {
    "deployment": _deployment,
    "environment": _environment,
    "extensionResourceId": _extension_id,
    "loadFileAsBase64": _load_base64,
    "loadJsonContent": _load_json,
    "loadTextContent": _load_text,
    "loadYamlContent": _load_yaml,
    "reference": _reference,
    "resourceGroup": _group,
    "resourceId": _resource_id,
    "subscription": _subscription,
    "subscriptionResourceId": _subscription_resource_id,
    "tenant": lambda context: Scope("tenant", ""),
    "tenantResourceId": _tenant_id,
}
LOADERS = {"loadFileAsBase64", "loadJsonContent", "loadTextContent", "loadYamlContent"}
# Their answers change from deployment to deployment: only allowed as the default of a parameter.
ONLY_AS_DEFAULT: dict[str, Callable[..., Any]] = {
    "newGuid": lambda: guid("new"),
    "utcNow": lambda form="": "2026-11-22T04:10:00Z",
}
TABLE = {**TRANSPARENT, **PLAIN, **CONTEXTUAL, **ONLY_AS_DEFAULT}


def is_list_function(name: str) -> bool:
    """`listKeys` and the like: what a resource gives to whoever may ask for its secrets."""
    return re.fullmatch(r"list[A-Z]\w*", name) is not None


def arity(name: str) -> tuple[int, int | None]:
    """How many arguments a function takes, at least and at most."""
    given = list(inspect.signature(TABLE[name]).parameters.values())
    given = given[1:] if name in CONTEXTUAL else given
    least = sum(each.default is each.empty and each.kind is not each.VAR_POSITIONAL for each in given)
    endless = any(each.kind is each.VAR_POSITIONAL for each in given)
    return least, None if endless else len(given)


def call(name: str, context: Context, arguments: list[Any]) -> Any:
    """
    Raises:
        Failed: the arguments cannot be used, or the deployment refuses itself.
    """
    if is_list_function(name):
        return Runtime.of(f"{name}({arguments[0]})")
    if name in PLAIN and any(isinstance(each, Runtime) for each in arguments):
        return Runtime.of(f"{name}({', '.join(map(spelled, arguments))})")
    try:
        return TABLE[name](context, *arguments) if name in CONTEXTUAL else TABLE[name](*arguments)
    except (AttributeError, IndexError, KeyError, OSError, TypeError, ValueError) as problem:
        raise Failed(f"{name}: {problem}") from problem


def _compare(change: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def compared(left: Any, right: Any) -> Any:
        if not isinstance(left, Runtime) and not isinstance(right, Runtime):
            return change(left, right)
        known = {None, ""} & {each for each in (left, right) if each is None or each == ""}
        # What Azure will know is never nothing.
        return change("something", known.pop()) if known else Runtime.of(f"{left} compared with {right}")

    return compared


def _number(change: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def counted(left: Any, right: Any) -> Any:
        if isinstance(left, Runtime) or isinstance(right, Runtime):
            return Runtime.of(f"{left} with {right}")
        if not all(type(each) is int for each in (left, right)):
            raise Failed(f"not numbers: {left!r} and {right!r}")
        return change(left, right)

    return counted


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": _compare(lambda left, right: left == right),
    "!=": _compare(lambda left, right: left != right),
    "=~": _compare(lambda left, right: str(left).lower() == str(right).lower()),
    "!~": _compare(lambda left, right: str(left).lower() != str(right).lower()),
    "<": _compare(lambda left, right: left < right),
    "<=": _compare(lambda left, right: left <= right),
    ">": _compare(lambda left, right: left > right),
    ">=": _compare(lambda left, right: left >= right),
    "+": _number(lambda left, right: left + right),
    "-": _number(lambda left, right: left - right),
    "*": _number(lambda left, right: left * right),
    "/": _number(lambda left, right: int(left / right)),
    "%": _number(lambda left, right: left % right),
}
