"""The values of the expression language: their kinds, how they compare, and how they read as text."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Final, TypeVar

MANY: Final = None
Number = TypeVar("Number", int, float)
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

    Booleans read True and False, null reads as nothing, a whole float has no ".0", arrays and objects are compact JSON.
    """
    match value:
        case None:
            return ""
        case bool() | str():
            return str(value)
        case int():
            return str(value)
        case float():
            return _float_as_text(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _float_as_text(value: float) -> str:
    """The shortest digits that read back as the number, in .NET's spelling."""
    if value.is_integer() and abs(value) < 1e17:
        return f"{value:.0f}"
    mantissa, exponent, power = repr(value).partition("e")
    return f"{mantissa}E{power}" if exponent else mantissa


def same(left: object, right: object) -> bool:
    """Equality as `equals` has it: 1 is 1.0, but "1" is not 1, "a" is not "A" and true is not 1."""
    if is_number(left) and is_number(right):
        return left == right
    return identical(left, right)


def identical(left: object, right: object) -> bool:
    """Equality within arrays and objects, where 1 is not 1.0 either."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(identical, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(identical(left[key], right[key]) for key in left)
    return type(left) is type(right) and left == right


def bounded(number: Number) -> Number:
    """The number, if the service can hold it: 64 bits of integer, or a double that is not infinite."""
    if not math.isfinite(number) or (isinstance(number, int) and not -(2**63) <= number < 2**63):
        raise ExpressionError(f"the number {number} is out of range.")
    return number


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


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
