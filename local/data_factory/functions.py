"""The table of functions that need nothing but their arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from local.data_factory import scalar_functions, text_functions
from local.data_factory.values import MANY, Entry, ExpressionError, need_boolean, need_number, same


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function and how many arguments it takes (`most` None: any number)."""

    name: str
    least: int
    most: int | None
    call: Callable[..., Any]

    def __call__(self, arguments: list[Any]) -> object:
        if len(arguments) < self.least or (self.most is not None and len(arguments) > self.most):
            raise ExpressionError(f"'{self.name}' takes {self._arity()}, not {len(arguments)}.")
        return self.call(*arguments)

    def _arity(self) -> str:
        if self.most is None:
            return f"at least {self.least} argument(s)"
        if self.least == self.most:
            return f"{self.least} argument(s)"
        return f"{self.least} to {self.most} arguments"


# Logic. Every argument is evaluated before the function is called. Where the service is lazier than that, a
# pipeline that works here works there as well; the other way round it would not.
def _if(condition: object, when_true: object, when_false: object) -> object:
    return when_true if need_boolean(condition, "if") else when_false


def _and(left: object, right: object) -> bool:
    return all([need_boolean(left, "and"), need_boolean(right, "and")])


def _or(left: object, right: object) -> bool:
    return any([need_boolean(left, "or"), need_boolean(right, "or")])


def _compare(function: str, holds: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: object, right: object) -> bool:
        if isinstance(left, str) and isinstance(right, str):
            return holds(left, right)
        return holds(need_number(left, function), need_number(right, function))

    return compare


def _coalesce(*values: object) -> object:
    return next((value for value in values if value is not None), None)


_LOGIC: list[Entry] = [
    ("equals", 2, 2, same),
    ("greater", 2, 2, _compare("greater", lambda left, right: left > right)),
    ("greaterOrEquals", 2, 2, _compare("greaterOrEquals", lambda left, right: left >= right)),
    ("less", 2, 2, _compare("less", lambda left, right: left < right)),
    ("lessOrEquals", 2, 2, _compare("lessOrEquals", lambda left, right: left <= right)),
    ("if", 3, 3, _if),
    ("and", 2, 2, _and),
    ("or", 2, 2, _or),
    ("not", 1, 1, lambda value: not need_boolean(value, "not")),
    ("coalesce", 1, MANY, _coalesce),
]


def named(entries: Iterable[Entry]) -> dict[str, Function]:
    """By lower-case name: the language does not mind the case of a function."""
    return {name.lower(): Function(name=name, least=least, most=most, call=call) for name, least, most, call in entries}


TABLE = named([*_LOGIC, *text_functions.ENTRIES, *scalar_functions.ENTRIES])
