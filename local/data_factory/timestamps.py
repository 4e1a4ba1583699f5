"""Timestamps of the expression language: reading them, and .NET's date format strings."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from local.data_factory.values import ExpressionError

_US_DATE_FORMATS = ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)


def _offset(at: datetime) -> str:
    offset = at.utcoffset()
    if offset is None:
        return ""
    minutes = int(offset.total_seconds()) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


# One standard letter stands for a whole custom format (invariant culture).
_STANDARD = {
    "o": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "O": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "s": "yyyy-MM-ddTHH:mm:ss",
    "u": "yyyy-MM-dd HH:mm:ssZ",
    "r": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "R": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "d": "MM/dd/yyyy",
    "D": "dddd, MMMM d, yyyy",
    "t": "HH:mm",
    "T": "HH:mm:ss",
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
    "zzz": _offset,
    "K": lambda at: "Z" if at.tzinfo is UTC else _offset(at),
}
_TOKEN = re.compile(r"'[^']*'|\"[^\"]*\"|\\.|(?P<letters>([A-Za-z])\2*)|.", re.DOTALL)


def parse(text: str) -> datetime:
    """Reads ISO 8601, or the invariant culture's 03/15/2018 12:00:00."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return _parse_us(text)
    return read.replace(tzinfo=UTC) if read.utcoffset() == timedelta(0) else read


def _parse_us(text: str) -> datetime:
    for pattern in _US_DATE_FORMATS:
        try:
            return datetime.strptime(text, pattern)  # noqa: DTZ007  # it has no zone, and shows none
        except ValueError:
            continue
    raise ExpressionError(f"'{text}' is not a timestamp.")


def write(at: datetime, pattern: str = "o") -> str:
    """Formats like .NET's DateTime.ToString; what is not imitated is refused, not guessed."""
    if len(pattern) == 1:
        if pattern not in _STANDARD:
            raise ExpressionError(f"the date format '{pattern}' is not imitated here.")
        pattern = _STANDARD[pattern]
    return "".join(_part(at, match) for match in _TOKEN.finditer(pattern))


def _part(at: datetime, match: re.Match[str]) -> str:
    token, letters = match.group(), match.group("letters")
    if letters is None:
        return token[1:-1] if token[0] in "'\"" else token.removeprefix("\\")
    if letters in {"T", "Z"}:
        return letters  # no specifiers in .NET either: they stand for themselves
    if letters[0] in "fF" and len(letters) <= 7:
        digits = f"{at.microsecond:06}0"[: len(letters)]
        return digits if letters[0] == "f" else digits.rstrip("0")
    if letters not in _CUSTOM:
        raise ExpressionError(f"'{letters}' in a date format is not imitated here.")
    return _CUSTOM[letters](at)
