"""Event Grid's subscription filters: types, subject, and the advanced operators, checked when they are loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

MAX_FILTERS = 25
MAX_VALUES = 25
MAX_TEXT = 512

Compare = Callable[[Any, Any], bool]


class BadSubscription(ValueError):
    """A subscription that Event Grid would refuse to create, or that we do not imitate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """How one operator compares. `negated`: every value must differ; `absent`: the answer for a missing key."""

    compare: Compare
    value_type: type | tuple[type, ...]
    negated: bool = False
    absent: bool = False
    single: bool = False


def _text(compare: Callable[[str, str], bool]) -> Compare:
    return lambda found, wanted: compare(found.lower(), wanted.lower())


_NUMBER: Final = (int, float)
_EQUAL_TEXT: Final = _text(lambda found, wanted: found == wanted)
_CONTAINS: Final = _text(lambda found, wanted: wanted in found)
_BEGINS: Final = _text(str.startswith)
_ENDS: Final = _text(str.endswith)


def _in_range(found: float, wanted: Sequence[float]) -> bool:
    return wanted[0] <= found <= wanted[1]


OPERATORS: Final[Mapping[str, Operator]] = {
    "StringIn": Operator(compare=_EQUAL_TEXT, value_type=str),
    "StringNotIn": Operator(compare=_EQUAL_TEXT, value_type=str, negated=True, absent=True),
    "StringContains": Operator(compare=_CONTAINS, value_type=str),
    "StringNotContains": Operator(compare=_CONTAINS, value_type=str, negated=True),
    "StringBeginsWith": Operator(compare=_BEGINS, value_type=str),
    "StringNotBeginsWith": Operator(compare=_BEGINS, value_type=str, negated=True),
    "StringEndsWith": Operator(compare=_ENDS, value_type=str),
    "StringNotEndsWith": Operator(compare=_ENDS, value_type=str, negated=True),
    "NumberIn": Operator(compare=lambda found, wanted: bool(found == wanted), value_type=_NUMBER),
    "NumberNotIn": Operator(
        compare=lambda found, wanted: bool(found == wanted), value_type=_NUMBER, negated=True, absent=True
    ),
    "NumberInRange": Operator(compare=_in_range, value_type=_NUMBER),
    "NumberNotInRange": Operator(compare=_in_range, value_type=_NUMBER, negated=True),
    "NumberLessThan": Operator(compare=lambda found, wanted: bool(found < wanted), value_type=_NUMBER, single=True),
    "NumberLessThanOrEquals": Operator(
        compare=lambda found, wanted: bool(found <= wanted), value_type=_NUMBER, single=True
    ),
    "NumberGreaterThan": Operator(compare=lambda found, wanted: bool(found > wanted), value_type=_NUMBER, single=True),
    "NumberGreaterThanOrEquals": Operator(
        compare=lambda found, wanted: bool(found >= wanted), value_type=_NUMBER, single=True
    ),
    "BoolEquals": Operator(compare=lambda found, wanted: found is wanted, value_type=bool, single=True),
}
PRESENCE: Final[Mapping[str, bool]] = {"IsNullOrUndefined": True, "IsNotNull": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvancedFilter:
    """One condition on one key of the event."""

    operator: str
    key: str
    values: tuple[Any, ...] = ()

    def matches(self, event: Mapping[str, Any], *, arrays: bool) -> bool:
        found = value_at(event, self.key)
        if self.operator in PRESENCE:
            return (found is None) is PRESENCE[self.operator]
        operator = OPERATORS[self.operator]
        if found is None:
            return operator.absent
        candidates = [item for item in _candidates(found, arrays=arrays) if _is(item, operator.value_type)]
        hit = any(operator.compare(item, value) for item in candidates for value in self.values)
        return not hit if operator.negated else hit


def _candidates(found: object, *, arrays: bool) -> Iterable[object]:
    if isinstance(found, list):
        return found if arrays else ()
    return (found,)


def _is(item: object, wanted: type | tuple[type, ...]) -> bool:
    if isinstance(item, bool):  # for Python a bool is an int, for Event Grid it is not a number
        return wanted is bool
    return isinstance(item, wanted)


def value_at(event: Mapping[str, Any], key: str) -> object:
    """The value under a dotted key, ignoring the case of names; None when it is not there."""
    found: object = event
    for part in key.split("."):
        if not isinstance(found, Mapping):
            return None
        found = next((value for name, value in found.items() if name.lower() == part.lower()), None)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Everything a subscription asks of an event; all of it must hold."""

    event_types: frozenset[str] | None = None
    subject_begins_with: str = ""
    subject_ends_with: str = ""
    case_sensitive: bool = False
    arrays: bool = False
    advanced: tuple[AdvancedFilter, ...] = ()

    def matches(self, event: Mapping[str, Any], *, event_type: str, subject: str) -> bool:
        if self.event_types is not None and event_type.lower() not in self.event_types:
            return False
        begins, ends = self.subject_begins_with, self.subject_ends_with
        if not self.case_sensitive:
            subject, begins, ends = subject.lower(), begins.lower(), ends.lower()
        if not (subject.startswith(begins) and subject.endswith(ends)):
            return False
        return all(condition.matches(event, arrays=self.arrays) for condition in self.advanced)


def parse_filter(content: Mapping[str, Any], where: str) -> Filter:
    """A filter in ARM's spelling.

    Raises:
        BadSubscription: an unknown property or operator, a value of the wrong type, or a limit passed.
    """
    known = {
        "includedEventTypes",
        "subjectBeginsWith",
        "subjectEndsWith",
        "isSubjectCaseSensitive",
        "enableAdvancedFilteringOnArrays",
        "advancedFilters",
    }
    refuse_unknown(content, known, where)
    advanced = tuple(_parse_advanced(item, where) for item in content.get("advancedFilters") or ())
    _check_limits(advanced, where)
    types = content.get("includedEventTypes")
    return Filter(
        event_types=None if types is None else frozenset(name.lower() for name in types),
        subject_begins_with=content.get("subjectBeginsWith") or "",
        subject_ends_with=content.get("subjectEndsWith") or "",
        case_sensitive=bool(content.get("isSubjectCaseSensitive", False)),
        arrays=bool(content.get("enableAdvancedFilteringOnArrays", False)),
        advanced=advanced,
    )


def refuse_unknown(content: Mapping[str, Any], known: set[str], where: str) -> None:
    for name in content:
        if name not in known:
            raise BadSubscription(f"{where}: unknown property '{name}' (known: {', '.join(sorted(known))})")


def _parse_advanced(content: Mapping[str, Any], where: str) -> AdvancedFilter:
    refuse_unknown(content, {"operatorType", "key", "value", "values"}, where)
    name, key = str(content.get("operatorType")), content.get("key")
    if not isinstance(key, str) or not key:
        raise BadSubscription(f"{where}: an advanced filter without a key")
    if name in PRESENCE:
        return AdvancedFilter(operator=name, key=key)
    if name not in OPERATORS:
        raise BadSubscription(f"{where}: unknown operator '{name}' for key '{key}'")
    operator = OPERATORS[name]
    property_name = "value" if operator.single else "values"
    if property_name not in content:
        raise BadSubscription(f"{where}: {name} on '{key}' needs '{property_name}'")
    values = (content["value"],) if operator.single else tuple(content["values"])
    for value in values:
        _check_value(name, operator, value, f"{where}: {name} on '{key}'")
    return AdvancedFilter(operator=name, key=key, values=values)


def _check_value(name: str, operator: Operator, value: object, where: str) -> None:
    if name.endswith("InRange"):
        if not (isinstance(value, list) and len(value) == 2 and all(_is(end, _NUMBER) for end in value)):
            raise BadSubscription(f"{where}: {value!r} is not a range [low, high]")
    elif not _is(value, operator.value_type):
        raise BadSubscription(f"{where}: {value!r} has the wrong type")
    elif isinstance(value, str) and len(value) > MAX_TEXT:
        raise BadSubscription(f"{where}: a value of {len(value)} characters; {MAX_TEXT} is the limit")


def _check_limits(advanced: Sequence[AdvancedFilter], where: str) -> None:
    if len(advanced) > MAX_FILTERS:
        raise BadSubscription(f"{where}: {len(advanced)} advanced filters; {MAX_FILTERS} is the limit")
    values = sum(len(condition.values) for condition in advanced)
    if values > MAX_VALUES:
        raise BadSubscription(f"{where}: {values} filter values in all; {MAX_VALUES} is the limit")
