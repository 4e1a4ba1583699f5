"""Events as flat properties of a table row, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, Final

from shared.events.breaches import Breach
from shared.events.values import DriftDetected, Event, FileLanded, FileOverdue, ModelRegistered, RunEnded

SCHEMA: Final = 1

Value = str | int | float | bool | datetime

_KINDS: Final[dict[str, type[Event]]] = {
    FileLanded.kind: FileLanded,
    DriftDetected.kind: DriftDetected,
    ModelRegistered.kind: ModelRegistered,
    RunEnded.kind: RunEnded,
    FileOverdue.kind: FileOverdue,
}
_NAMES: Final = {kind: tuple(field.name for field in fields(cls)) for kind, cls in _KINDS.items()}


def to_record(event: Event) -> dict[str, Value]:
    """The event's fields as they are; None is left out, collections become JSON."""
    record: dict[str, Value] = {"kind": event.kind, "schema": SCHEMA}
    for name in _NAMES[event.kind]:
        value = getattr(event, name)
        if isinstance(value, tuple):
            value = _json([asdict(breach) for breach in value])
        elif isinstance(value, Mapping):
            value = _json(value)
        if value is not None:
            record[name] = value
    return record


def from_record(record: Mapping[str, Value]) -> Event:
    """The event its record was made of. Properties that are no fields of the event are passed over.

    Raises:
        ValueError: the record is of a kind this version does not know.
    """
    cls = _KINDS.get(str(record.get("kind")))
    if cls is None:
        raise ValueError(f"a record of kind {record.get('kind')!r} is not an event")
    values: dict[str, Any] = {field.name: record.get(field.name) for field in fields(cls)}
    values = {name: value for name, value in values.items() if value is not None or name == "etag"}
    for name in ("tags", "properties", "breaches", "captures"):
        if name in values:
            values[name] = json.loads(values[name])
    if "breaches" in values:
        values["breaches"] = tuple(Breach(**breach) for breach in values["breaches"])
    return cls(**values)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
