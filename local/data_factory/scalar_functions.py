"""Functions of the expression language about numbers, timestamps and conversions between types."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from local.data_factory import timestamps
from local.data_factory.values import (
    MANY,
    Entry,
    ExpressionError,
    as_text,
    kind,
    need_integer,
    need_number,
    need_text,
)


# Conversions
def _int(value: object) -> int:
    try:
        if isinstance(value, str) or (isinstance(value, int | float) and float(value).is_integer()):
            return int(value)
    except ValueError:
        pass
    raise ExpressionError(f"'int' cannot make an integer of {kind(value)} '{as_text(value)}'.")


def _float(value: object) -> float:
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return float(value)
    except ValueError:
        pass
    raise ExpressionError(f"'float' cannot make a number of {kind(value)} '{as_text(value)}'.")


def _bool(value: object) -> bool:
    if isinstance(value, bool | int | float):
        return bool(value)
    known = {"true": True, "false": False}
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    raise ExpressionError(f"'bool' cannot make a boolean of {kind(value)} '{as_text(value)}'.")


def _json(value: object) -> object:
    if value is None:
        return {}
    try:
        return json.loads(need_text(value, "json"))
    except json.JSONDecodeError as wrong:
        raise ExpressionError(f"'json' got text that is not valid JSON: {wrong}.") from wrong


# Numbers
def _arithmetic(function: str, result: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def arithmetic(left: object, right: object) -> object:
        return result(need_number(left, function), need_number(right, function))

    return arithmetic


def _div(left: int | float, right: int | float) -> int | float:
    if right == 0:
        raise ExpressionError("'div' cannot divide by zero.")
    if isinstance(left, int) and isinstance(right, int):
        whole = abs(left) // abs(right)  # towards zero, as in .NET
        return whole if (left < 0) == (right < 0) else -whole
    return left / right


def _mod(left: int | float, right: int | float) -> int | float:
    if right == 0:
        raise ExpressionError("'mod' cannot divide by zero.")
    rest = math.fmod(left, right)  # the sign of the dividend, as in .NET
    return int(rest) if isinstance(left, int) and isinstance(right, int) else rest


def _extreme(function: str, best: Callable[..., Any]) -> Callable[..., Any]:
    def extreme(*values: object) -> object:
        numbers = values[0] if len(values) == 1 and isinstance(values[0], list) else values
        if not numbers:
            raise ExpressionError(f"'{function}' got an empty array.")
        return best(need_number(number, function) for number in numbers)

    return extreme


def _range(start: object, count: object) -> list[int]:
    first = need_integer(start, "range")
    return list(range(first, first + max(need_integer(count, "range"), 0)))


# Dates
def _add_time(function: str, unit: str) -> Callable[..., str]:
    def add_time(timestamp: object, count: object, pattern: object = "o") -> str:
        step = timedelta(**{unit: need_integer(count, function)})
        return timestamps.write(timestamps.parse(need_text(timestamp, function)) + step, need_text(pattern, function))

    return add_time


def _format_date_time(timestamp: object, pattern: object = "o") -> str:
    moment = timestamps.parse(need_text(timestamp, "formatDateTime"))
    return timestamps.write(moment, need_text(pattern, "formatDateTime"))


ENTRIES: list[Entry] = [
    ("string", 1, 1, as_text),
    ("int", 1, 1, _int),
    ("float", 1, 1, _float),
    ("bool", 1, 1, _bool),
    ("json", 1, 1, _json),
    ("add", 2, 2, _arithmetic("add", lambda left, right: left + right)),
    ("sub", 2, 2, _arithmetic("sub", lambda left, right: left - right)),
    ("mul", 2, 2, _arithmetic("mul", lambda left, right: left * right)),
    ("div", 2, 2, _arithmetic("div", _div)),
    ("mod", 2, 2, _arithmetic("mod", _mod)),
    ("min", 1, MANY, _extreme("min", min)),
    ("max", 1, MANY, _extreme("max", max)),
    ("range", 2, 2, _range),
    ("formatDateTime", 1, 2, _format_date_time),
    ("addSeconds", 2, 3, _add_time("addSeconds", "seconds")),
    ("addMinutes", 2, 3, _add_time("addMinutes", "minutes")),
    ("addHours", 2, 3, _add_time("addHours", "hours")),
    ("addDays", 2, 3, _add_time("addDays", "days")),
]
