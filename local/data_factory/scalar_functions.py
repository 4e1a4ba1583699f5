"""Functions of the expression language about numbers, timestamps and conversions between types."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from local.data_factory import timestamps
from local.data_factory.values import (
    MANY,
    Entry,
    ExpressionError,
    as_text,
    bounded,
    is_number,
    kind,
    need_integer,
    need_number,
    need_text,
)

# Conversions. The service reads a few more spellings: 1,000 and 1e3 as integers, True with spaces around it.
_WHOLE = re.compile(r"\s*[+-]?[0-9]+\s*")
_DECIMAL = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")
_LONGEST_RANGE = 100_000


def _int(value: object) -> int:
    try:
        if isinstance(value, str) and _WHOLE.fullmatch(value):
            return bounded(int(value))
        if isinstance(value, int | float) and value == int(value):
            return bounded(int(value))
    except OverflowError:
        pass
    raise ExpressionError(f"'int' cannot make an integer of {kind(value)} '{as_text(value)}'.")


def _float(value: object) -> float:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return bounded(float(value))
    if is_number(value):
        return float(need_number(value, "float"))
    raise ExpressionError(f"'float' cannot make a number of {kind(value)} '{as_text(value)}'.")


def _bool(value: object) -> bool:
    if isinstance(value, bool | int | float):
        return bool(value)
    known = {"true": True, "false": False}
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    raise ExpressionError(f"'bool' cannot make a boolean of {kind(value)} '{as_text(value)}'.")


def _json(value: object) -> object:
    try:
        return json.loads(need_text(value, "json"), parse_constant=_no_constant)
    except json.JSONDecodeError as wrong:
        raise ExpressionError(f"'json' got text that is not valid JSON: {wrong}.") from wrong


def _no_constant(name: str) -> object:
    raise ExpressionError(f"'json' got {name}, which is not JSON.")


# Numbers
def _arithmetic(function: str, result: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def arithmetic(left: object, right: object) -> object:
        return bounded(result(need_number(left, function), need_number(right, function)))

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
        extreme = best(need_number(number, function) for number in numbers)
        return float(extreme) if any(isinstance(number, float) for number in numbers) else extreme

    return extreme


def _range(start: object, count: object) -> list[int]:
    first, size = need_integer(start, "range"), need_integer(count, "range")
    if not 0 <= size <= _LONGEST_RANGE:
        raise ExpressionError(f"'range' cannot make {size} numbers, only 0 to {_LONGEST_RANGE}.")
    return list(range(first, first + size))


# Dates
def _add_time(function: str, unit: str) -> Callable[..., str]:
    def add_time(timestamp: object, count: object, pattern: object = "o") -> str:
        text, count_ = need_text(timestamp, function), need_integer(count, function)
        try:
            moment = timestamps.parse(text) + timedelta(**{unit: count_})
        except OverflowError as wrong:
            raise ExpressionError(f"'{function}' leaves the years 1 to 9999 with {count_}.") from wrong
        return timestamps.write(moment, need_text(pattern, function), timestamps.seventh_digit(text))

    return add_time


def _format_date_time(timestamp: object, pattern: object = "o") -> str:
    text = need_text(timestamp, "formatDateTime")
    digit = timestamps.seventh_digit(text)
    return timestamps.write(timestamps.parse(text), need_text(pattern, "formatDateTime"), digit)


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
