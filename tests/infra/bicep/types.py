"""Whether a value fits what a parameter or an output declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.infra.bicep import tree
from tests.infra.bicep.values import Runtime

PRIMITIVES: dict[str, type] = {"string": str, "int": int, "bool": bool, "object": dict, "array": list}


def misfits(value: Any, kind: tree.Type, names: Mapping[str, tree.Type]) -> Iterator[str]:
    """What is wrong with the value, in words. A value that only Azure knows fits everything."""
    if isinstance(value, Runtime) or kind.kind == "any":
        return
    if kind.kind == "name":
        yield from misfits(value, names[kind.value], names)
    elif kind.kind == "nullable":
        if value is not None:
            yield from misfits(value, kind.parts[0], names)
    elif kind.kind in ("literal", "union"):
        allowed = [part.value for part in kind.parts] if kind.kind == "union" else [kind.value]
        if value not in allowed:
            yield f"{value!r} is none of {', '.join(map(repr, allowed))}"
    else:
        yield from STRUCTURED.get(kind.kind, _primitive_misfits)(value, kind, names)


def _primitive_misfits(value: Any, kind: tree.Type, names: Mapping[str, tree.Type]) -> Iterator[str]:
    wanted = PRIMITIVES[kind.kind]
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        yield f"{value!r} is not of type {kind.kind}"


def _object_misfits(value: Any, kind: tree.Type, names: Mapping[str, tree.Type]) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{value!r} is not of type object"
    elif kind.properties:
        for name, part in kind.properties:
            if name in value:
                yield from (f"{name}: {problem}" for problem in misfits(value[name], part, names))
            elif part.kind != "nullable":
                yield f"{name} is missing in {value!r}"
        known = {name for name, _ in kind.properties}
        yield from (f"nothing is known of {name}" for name in value if name not in known)


def _array_misfits(value: Any, kind: tree.Type, names: Mapping[str, tree.Type]) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{value!r} is not of type array"
    elif kind.parts:
        for item in value:
            yield from misfits(item, kind.parts[0], names)


STRUCTURED = {"array": _array_misfits, "object": _object_misfits}


def _length(value: Any) -> int:
    return value if isinstance(value, int) else len(value)


def broken_limits(value: Any, limits: Mapping[str, Any]) -> Iterator[str]:
    """`@allowed`, `@minLength` and their like; `limits` has their arguments."""
    if isinstance(value, Runtime) or value is None:
        return
    if "allowed" in limits and value not in limits["allowed"]:
        yield f"{value!r} is none of the allowed values {', '.join(map(repr, limits['allowed']))}"
    for name in ("minLength", "minValue"):
        if name in limits and _length(value) < limits[name]:
            yield f"{value!r} is below {name} {limits[name]}"
    for name in ("maxLength", "maxValue"):
        if name in limits and _length(value) > limits[name]:
            yield f"{value!r} is above {name} {limits[name]}"
