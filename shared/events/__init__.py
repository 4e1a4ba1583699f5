"""The events: what they are, how deliveries are read and told apart, how they are kept."""

from shared.events.breaches import TAG as BREACH_TAG
from shared.events.breaches import Breach
from shared.events.envelopes import separate
from shared.events.event_grid import parse
from shared.events.records import Value, from_record, to_record
from shared.events.values import (
    DriftDetected,
    Event,
    FileLanded,
    FileOverdue,
    ModelRegistered,
    Reason,
    Refused,
    RunEnded,
    event_key,
    identity,
    model_key,
)

__all__ = [
    "BREACH_TAG",
    "Breach",
    "DriftDetected",
    "Event",
    "FileLanded",
    "FileOverdue",
    "ModelRegistered",
    "Reason",
    "Refused",
    "RunEnded",
    "Value",
    "event_key",
    "from_record",
    "identity",
    "model_key",
    "parse",
    "separate",
    "to_record",
]
