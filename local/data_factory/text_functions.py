"""Functions of the expression language about strings and collections."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote_plus

from local.data_factory.values import (
    MANY,
    Entry,
    ExpressionError,
    as_text,
    identical,
    kind,
    need_array,
    need_integer,
    need_text,
)


# Strings. Microsoft's page: startsWith, endsWith and indexOf ignore case, replace and contains do not.
def _replace(text: object, old: object, new: object) -> str:
    wanted = need_text(old, "replace")
    if not wanted:
        raise ExpressionError("'replace' cannot replace an empty string.")
    return need_text(text, "replace").replace(wanted, need_text(new, "replace"))


def _split(text: object, delimiter: object) -> list[str]:
    whole, mark = need_text(text, "split"), need_text(delimiter, "split")
    return whole.split(mark) if mark else [whole]


def _substring(text: object, start: object, length: object = None) -> str:
    whole, first = need_text(text, "substring"), need_integer(start, "substring")
    size = len(whole) - first if length is None else need_integer(length, "substring")
    if not 0 <= first < len(whole) or size < 0 or first + size > len(whole):
        raise ExpressionError(f"'substring' of {size} character(s) from {first} leaves '{whole}'.")
    return whole[first : first + size]


def _starts_with(text: object, part: object) -> bool:
    return need_text(text, "startsWith").lower().startswith(need_text(part, "startsWith").lower())


def _ends_with(text: object, part: object) -> bool:
    return need_text(text, "endsWith").lower().endswith(need_text(part, "endsWith").lower())


def _index_of(text: object, part: object) -> int:
    return need_text(text, "indexOf").lower().find(need_text(part, "indexOf").lower())


def _last_index_of(text: object, part: object) -> int:
    whole, wanted = need_text(text, "lastIndexOf").lower(), need_text(part, "lastIndexOf").lower()
    return whole.rfind(wanted) if wanted else max(len(whole) - 1, 0)


def _to_upper(text: object) -> str:
    """Letter by letter, as in .NET: ß has no single capital, and stays."""
    return "".join(c.upper() if len(c.upper()) == 1 else c for c in need_text(text, "toUpper"))


def _guid(form: object = "D") -> str:
    new = uuid.uuid4()
    forms = {"N": new.hex, "D": str(new), "B": f"{{{new}}}", "P": f"({new})"}
    if form not in forms:
        raise ExpressionError(f"the guid format '{as_text(form)}' is not imitated here.")
    return forms[form]


# Collections
def _contains(collection: object, item: object) -> bool:
    match collection:
        case str():
            return need_text(item, "contains") in collection
        case list():
            return any(identical(each, item) for each in collection)
        case dict():
            return need_text(item, "contains").lower() in {key.lower() for key in collection}
    raise ExpressionError(f"'contains' expects a string, an array or an object, not {kind(collection)}.")


def _sized(collection: object, function: str) -> str | list[Any]:
    if isinstance(collection, str | list):
        return collection
    raise ExpressionError(f"'{function}' expects a string or an array, not {kind(collection)}.")


def _end(function: str, index: int) -> Callable[[Any], Any]:
    def end(collection: object) -> object:
        sized = _sized(collection, function)
        if len(sized) == 0:
            return "" if isinstance(sized, str) else None
        return sized[index]

    return end


def _empty(collection: object) -> bool:
    if collection is None or isinstance(collection, dict):
        return not collection
    return len(_sized(collection, "empty")) == 0


def _length(collection: object) -> int:
    """A character beyond the first 65,536 counts twice, as in .NET; the other functions here do not cut them up."""
    sized = _sized(collection, "length")
    return len(sized.encode("utf-16-le", "surrogatepass")) // 2 if isinstance(sized, str) else len(sized)


def _count(count: object, function: str) -> int:
    wanted = need_integer(count, function)
    if wanted < 0:
        raise ExpressionError(f"'{function}' cannot {function} {wanted}.")
    return wanted


def _take(collection: object, count: object) -> object:
    return _sized(collection, "take")[: _count(count, "take")]


def _skip(collection: object, count: object) -> object:
    return _sized(collection, "skip")[_count(count, "skip") :]


def _join(items: object, delimiter: object) -> str:
    return need_text(delimiter, "join").join(as_text(item) for item in need_array(items, "join"))


def _from_base64(text: object) -> str:
    try:
        return base64.b64decode(need_text(text, "base64ToString"), validate=True).decode()
    except ValueError as wrong:
        raise ExpressionError(f"'base64ToString' got text that is not base64: {wrong}.") from wrong


ENTRIES: list[Entry] = [
    ("concat", 1, MANY, lambda *parts: "".join(map(as_text, parts))),
    ("replace", 3, 3, _replace),
    ("split", 2, 2, _split),
    ("substring", 2, 3, _substring),
    ("startsWith", 2, 2, _starts_with),
    ("endsWith", 2, 2, _ends_with),
    ("indexOf", 2, 2, _index_of),
    ("lastIndexOf", 2, 2, _last_index_of),
    ("toLower", 1, 1, lambda text: need_text(text, "toLower").lower()),
    ("toUpper", 1, 1, _to_upper),
    ("trim", 1, 1, lambda text: need_text(text, "trim").strip()),
    ("guid", 0, 1, _guid),
    ("contains", 2, 2, _contains),
    ("empty", 1, 1, _empty),
    ("first", 1, 1, _end("first", 0)),
    ("last", 1, 1, _end("last", -1)),
    ("length", 1, 1, _length),
    ("skip", 2, 2, _skip),
    ("take", 2, 2, _take),
    ("join", 2, 2, _join),
    ("array", 1, 1, lambda value: value if isinstance(value, list) else [value]),
    ("createArray", 1, MANY, lambda *values: list(values)),
    ("base64", 1, 1, lambda text: base64.b64encode(need_text(text, "base64").encode()).decode()),
    ("base64ToString", 1, 1, _from_base64),
    ("uriComponent", 1, 1, lambda text: quote(need_text(text, "uriComponent"), safe="")),
    ("uriComponentToString", 1, 1, lambda text: unquote_plus(need_text(text, "uriComponentToString"))),
]
