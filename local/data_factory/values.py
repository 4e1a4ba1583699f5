"""The values of the expression language: their kinds, how they compare, and how they read as text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

MANY: Final = None
Entry = tuple[str, int, int | None, Callable[..., Any]]
"""A function: its name, the fewest and the most (MANY: no limit) arguments it takes, and what it does."""


class ExpressionError(Exception):
    """An expression that cannot be evaluated. The text says why and, once it left the evaluator, which one."""


_KINDS = ((bool, "Boolean"), (int, "Integer"), (float, "Float"), (str, "String"), (list, "Array"), (dict, "Object"))


def kind(value: object) -> str:
    """The type of a value as ADF names it in its messages."""
    return next((name for type_, name in _KINDS if isinstance(value, type_)), "Null")


def as_text(value: object) -> str:
    """What `string`, `concat` and @{…} make of a value.

    From memory of the service: booleans read True and False, null reads as nothing, a whole float has no ".0",
    arrays and objects are compact JSON.
    """
    match value:
        case None:
            return ""
        case bool() | str():
            return str(value)
        case float() if value.is_integer():
            return str(int(value))
        case int() | float():
            return str(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def same(left: object, right: object) -> bool:
    """Equality as `equals` has it: "1" is not 1 and "a" is not "A"; true equals 1, as Microsoft's page says."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def _expected(what: str, value: object, function: str) -> ExpressionError:
    return ExpressionError(f"'{function}' expects {what}, not {kind(value)} '{as_text(value)}'.")


def need_text(value: object, function: str) -> str:
    if not isinstance(value, str):
        raise _expected("a string", value, function)
    return value


def need_boolean(value: object, function: str) -> bool:
    if not isinstance(value, bool):
        raise _expected("a boolean", value, function)
    return value


def need_number(value: object, function: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _expected("a number", value, function)
    return value


def need_integer(value: object, function: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _expected("an integer", value, function)
    return value


def need_array(value: object, function: str) -> list[Any]:
    if not isinstance(value, list):
        raise _expected("an array", value, function)
    return value
