"""Timestamps of the expression language: reading them, and .NET's date format strings."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

from local.data_factory.values import ExpressionError

_US_DATE_FORMATS = ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)


_ISO = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6}(?P<seventh>\d)?)?)?(?:Z|[+-]\d{2}(?::?\d{2})?)?)?",
    re.ASCII,
)
_HERE = timezone(timedelta(0), "the service's clock")
"""What a timestamp with an offset is moved to. It is written +00:00, a timestamp in UTC is written Z."""


def _offset(at: datetime) -> str:
    offset = at.utcoffset()
    if offset is None:
        return ""
    minutes = int(offset.total_seconds()) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


# One standard letter stands for a whole custom format. Of those that depend on a culture only D is here: Microsoft's
# page shows it. The service's culture is not documented beyond that.
_STANDARD = {
    "o": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "O": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "s": "yyyy-MM-ddTHH:mm:ss",
    "u": "yyyy-MM-dd HH:mm:ssZ",
    "r": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "R": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "D": "dddd, MMMM d, yyyy",
}
_CUSTOM: dict[str, Callable[[datetime], str]] = {
    "yyyy": lambda at: f"{at.year:04}",
    "yy": lambda at: f"{at.year % 100:02}",
    "MMMM": lambda at: _MONTHS[at.month - 1],
    "MMM": lambda at: _MONTHS[at.month - 1][:3],
    "MM": lambda at: f"{at.month:02}",
    "M": lambda at: str(at.month),
    "dddd": lambda at: _DAYS[at.weekday()],
    "ddd": lambda at: _DAYS[at.weekday()][:3],
    "dd": lambda at: f"{at.day:02}",
    "d": lambda at: str(at.day),
    "HH": lambda at: f"{at.hour:02}",
    "H": lambda at: str(at.hour),
    "hh": lambda at: f"{(at.hour - 1) % 12 + 1:02}",
    "h": lambda at: str((at.hour - 1) % 12 + 1),
    "mm": lambda at: f"{at.minute:02}",
    "m": lambda at: str(at.minute),
    "ss": lambda at: f"{at.second:02}",
    "s": lambda at: str(at.second),
    "tt": lambda at: "AM" if at.hour < 12 else "PM",
    "zzz": lambda at: _offset(at) or _offset(at.replace(tzinfo=_HERE)),
    "K": lambda at: "Z" if at.tzinfo is UTC else _offset(at),
}
_TOKEN = re.compile(r"'[^']*'|\"[^\"]*\"|\\.|(?P<letters>([A-Za-z])\2*)|.", re.DOTALL)


def parse(text: str) -> datetime:
    """Reads ISO 8601, or the invariant culture's 03/15/2018 12:00:00."""
    if not _ISO.fullmatch(text):
        return _parse_us(text)
    try:
        read = datetime.fromisoformat(text)
        return read if text.endswith("Z") or read.tzinfo is None else read.astimezone(_HERE)
    except (ValueError, OverflowError) as wrong:
        raise ExpressionError(f"'{text}' is not a timestamp.") from wrong


def seventh_digit(text: str) -> int:
    """The digit of a timestamp's fraction that a datetime has no room for."""
    match = _ISO.fullmatch(text)
    return int(match["seventh"] or 0) if match else 0


def _parse_us(text: str) -> datetime:
    for pattern in _US_DATE_FORMATS:
        try:
            return datetime.strptime(text, pattern)  # noqa: DTZ007  # it has no zone, and shows none
        except ValueError:
            continue
    raise ExpressionError(f"'{text}' is not a timestamp.")


def write(at: datetime, pattern: str = "o", seventh_digit: int = 0) -> str:
    """Formats like .NET's DateTime.ToString; what is not imitated is refused, not guessed."""
    if len(pattern) < 2:
        if pattern not in _STANDARD:
            raise ExpressionError(f"the date format '{pattern}' is not imitated here.")
        pattern = _STANDARD[pattern]
    return "".join(_part(at, seventh_digit, match) for match in _TOKEN.finditer(pattern))


def _part(at: datetime, seventh_digit: int, match: re.Match[str]) -> str:
    token, letters = match.group(), match.group("letters")
    if token == "%":
        return ""  # says that a letter alone is a custom format
    if letters is None:
        return token[1:-1] if token[0] in "'\"" else token.removeprefix("\\")
    if letters in {"T", "Z"}:
        return letters  # no specifiers in .NET either: they stand for themselves
    if letters[0] in "fF" and len(letters) <= 7:
        digits = f"{at.microsecond:06}{seventh_digit}"[: len(letters)]
        return digits if letters[0] == "f" else digits.rstrip("0")
    if letters not in _CUSTOM:
        raise ExpressionError(f"'{letters}' in a date format is not imitated here.")
    return _CUSTOM[letters](at)
