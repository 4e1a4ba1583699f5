"""Opens both Event Grid envelopes and reads their untrusted fields: any letter case, any type, any length."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

MAX_TEXT: Final = 32 * 1024
"""UTF-8 bytes kept of one text: never more than the 32 Ki UTF-16 units that a table property holds."""

_MAX_LABEL: Final = 1024  # of what is refused, the last thousand are kept
_MAX_INTEGER: Final = 2**63 - 1  # a table's Int64
_EARLIEST: Final = datetime(1601, 1, 1, tzinfo=UTC)  # a table keeps no time before it
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?", re.ASCII | re.IGNORECASE)

# JSON can spell control characters and half a surrogate pair; tables and hashes take neither.
_UNSTORABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class Malformed(Exception):
    """The text is not an event that can be read; the message says what is wrong with it."""


class Fields:
    """One JSON object, read without regard to the case of its keys.

    Attributes:
        truncated: a note was longer than allowed and has been cut.
    """

    def __init__(self, name: str, values: Mapping[str, object]) -> None:
        self._name = name
        self._values: dict[str, object] = {}
        self.truncated = False
        for key, value in values.items():
            self._values.setdefault(key.casefold(), value)

    def get(self, key: str) -> object:
        return self._values.get(key.casefold())

    def text(self, key: str) -> str | None:
        """A text that identifies something: never cut, so that two never become one. None if absent or empty."""
        value = self.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise Malformed(f"{self._of(key)} is not text")
        if _UNSTORABLE.search(value):
            raise Malformed(f"{self._of(key)} holds a control character or half a surrogate pair")
        if len(value.encode()) > MAX_TEXT:
            raise Malformed(f"{self._of(key)} is longer than {MAX_TEXT // 1024} KB")
        return value

    def text_or_integer(self, key: str) -> str | None:
        """For what is documented as text and shown as a number."""
        value = self.get(key)
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else self.text(key)

    def required(self, key: str) -> str:
        value = self.text(key)
        if value is None:
            raise Malformed(f"{self._of(key)} is missing or empty")
        return value

    def note(self, key: str) -> str | None:
        """A text that only explains: anything is taken as text, and a long one is cut."""
        value = self.get(key)
        if value is None:
            return None
        data = storable(as_text(value)).encode()
        self.truncated = self.truncated or len(data) > MAX_TEXT
        return data[:MAX_TEXT].decode(errors="ignore")

    def label(self, key: str) -> str | None:
        """A text of any kind, made fit for a record of what was refused."""
        value = self.get(key)
        return printable(value) if isinstance(value, str) else None

    def integer(self, key: str) -> int | None:
        value = self.get(key)
        if value is None:
            return None
        if isinstance(value, str) and re.fullmatch(r"\d{1,19}", value, re.ASCII):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_INTEGER:
            raise Malformed(f"{self._of(key)} is not a whole number from 0 to {_MAX_INTEGER}")
        return value

    def number(self, key: str) -> float | None:
        return as_number(self.get(key))

    def nested(self, key: str) -> Fields:
        return Fields(self._of(key), self._object(key))

    def mapping(self, key: str) -> dict[str, str]:
        """A dictionary of texts, such as tags, whose own keys keep their case. What is too much is left out."""
        kept: dict[str, str] = {}
        room = MAX_TEXT
        for name, value in self._object(key).items():
            entry = {storable(name): storable(as_text(value))}
            room -= len(json.dumps(entry))
            if room < 0:
                self.truncated = True
                break
            kept |= entry
        return kept

    def _object(self, key: str) -> dict[str, object]:
        """Null and absent are empty, so that what an object lacks is what is found missing."""
        value = self.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise Malformed(f"{self._of(key)} is not an object")
        return value

    def _of(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What every event says about itself, whichever schema it was delivered in."""

    id: str
    type: str
    source: str
    subject: str
    time: datetime
    outer: Fields

    @classmethod
    def of(cls, outer: Fields) -> Envelope:
        version = outer.get("specversion")
        if version is not None and version != "1.0":
            raise Malformed("specversion is not 1.0")
        type_, source, time = ("eventType", "topic", "eventTime") if version is None else ("type", "source", "time")
        return cls(
            id=outer.required("id"),
            type=outer.required(type_),
            source=outer.text(source) or "",
            subject=outer.text("subject") or "",
            time=_time(outer.required(time)),
            outer=outer,
        )

    def data(self) -> Fields:
        return self.outer.nested("data")


def opened(raw: str) -> Fields:
    """The one event in the text: an object, or an array of one.

    Raises:
        Malformed: it is not JSON, or not one event.
    """
    try:
        value = json.loads(raw)
    except ValueError as error:
        raise Malformed(f"not JSON: {error}") from None
    if isinstance(value, list):
        if len(value) != 1:
            raise Malformed(f"an array of {len(value)} events, not of one")
        value = value[0]
    if not isinstance(value, dict):
        raise Malformed("not a JSON object")
    return Fields("", value)


def separate(raw: str) -> list[str]:
    """Each event of an array as a text of its own; anything else as it came. Never raises, whatever the text."""
    try:
        value = json.loads(raw)
        return [json.dumps(each) for each in value] if isinstance(value, list) and len(value) > 1 else [raw]
    except (ValueError, RecursionError):
        return [raw]


def storable(text: str) -> str:
    return _UNSTORABLE.sub("\ufffd", text)


def printable(text: str) -> str:
    """A text about something refused, whatever it holds, fit for a record and a log."""
    return storable(text).encode()[:_MAX_LABEL].decode(errors="ignore")


def as_text(value: object) -> str:
    """A JSON value as a tag spells it: null is empty, everything but text is JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


def as_number(value: object) -> float | None:
    """A finite number, None for anything else: NaN does not come back from a table as it was."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _time(text: str) -> datetime:
    """An ISO 8601 time in UTC; storage writes seven digits of a second, of which six are kept."""
    if not _TIME.fullmatch(text):
        raise Malformed("the event's time is not an ISO 8601 date and time")
    try:
        time = datetime.fromisoformat(text.upper())
        time = (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Malformed(f"there is no such time as {text}") from None
    if time < _EARLIEST:
        raise Malformed("the event's time is before the year 1601")
    return time
