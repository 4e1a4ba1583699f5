"""The two shapes an event has on the wire, and the headers that go with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from local.service import Event, now

Schema = Literal["EventGridSchema", "CloudEventSchemaV1_0"]
SCHEMAS: Final[tuple[Schema, ...]] = ("EventGridSchema", "CloudEventSchemaV1_0")
ORIGIN: Final = "eventgrid.azure.net"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """An event in Event Grid: what was published, by which topic. `source` and `extra` only for CloudEvents."""

    topic: str
    event: Event
    source: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_cloud_event(self) -> bool:
        return self.source is not None

    def envelope(self, schema: Schema) -> dict[str, Any]:
        return self._cloud_event() if schema == "CloudEventSchemaV1_0" else self._event_grid()

    def _event_grid(self) -> dict[str, Any]:
        event = self.event
        return {
            "topic": self.topic,
            "subject": event.subject,
            "eventType": event.type,
            "eventTime": wire_time(event.time),
            "id": event.id,
            "data": event.data,
            "dataVersion": event.data_version,
            "metadataVersion": "1",
        }

    def _cloud_event(self) -> dict[str, Any]:
        event = self.event
        return {
            **self.extra,
            "specversion": "1.0",
            "id": event.id,
            "source": self.source or self.topic,
            "subject": event.subject,
            "type": event.type,
            "time": wire_time(event.time),
            "data": event.data,
        }


def wire_time(moment: datetime) -> str:
    """Seven digits of a second, as the service writes them."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def body_of(schema: Schema, events: Sequence[Published], *, batched: bool) -> bytes:
    """Event Grid schema: always an array. CloudEvents: one object, an array only for batched delivery."""
    envelopes = [event.envelope(schema) for event in events]
    content = envelopes[0] if schema == "CloudEventSchemaV1_0" and not batched else envelopes
    return json.dumps(content, separators=(",", ":")).encode()


def headers_of(schema: Schema, *, subscription: str, attempt: int, event: Event, batched: bool) -> dict[str, str]:
    """The headers of one delivery; `attempt` counts from 1, the header counts what went before."""
    headers = {
        "aeg-subscription-name": subscription.upper(),
        "aeg-delivery-count": str(attempt - 1),
        "aeg-event-type": "Notification",
        "aeg-metadata-version": "1",
    }
    if schema == "CloudEventSchemaV1_0":
        kind = "cloudevents-batch" if batched else "cloudevents"
        return {
            **headers,
            "content-type": f"application/{kind}+json; charset=utf-8",
            "webhook-request-origin": ORIGIN,
        }
    return {**headers, "content-type": "application/json; charset=utf-8", "aeg-data-version": event.data_version}


class BadEvent(ValueError):
    """A published event that Event Grid answers with 400."""


def parse_published(topic: str, content: object) -> Published:
    """One element of a publish request, in either schema.

    Raises:
        BadEvent: a required property is missing or has the wrong type.
    """
    if not isinstance(content, dict):
        raise BadEvent("an event must be a JSON object")
    if "specversion" in content:
        return _parse_cloud_event(topic, content)
    event = Event(
        id=_required(content, "id"),
        type=_required(content, "eventType"),
        subject=_required(content, "subject"),
        time=_time(_required(content, "eventTime")),
        data=content.get("data"),  # type: ignore[arg-type]  # a custom event's data may be any JSON
        data_version=str(content.get("dataVersion") or ""),
    )
    return Published(topic=topic, event=event)


_CLOUD_EVENT_KEYS = {"specversion", "id", "source", "subject", "type", "time", "data"}


def _parse_cloud_event(topic: str, content: dict[str, Any]) -> Published:
    stated = content.get("time")
    event = Event(
        id=_required(content, "id"),
        type=_required(content, "type"),
        subject=str(content.get("subject") or ""),
        data=content.get("data"),  # type: ignore[arg-type]
        time=_time(stated) if stated else now(),
    )
    extra = {name: value for name, value in content.items() if name not in _CLOUD_EVENT_KEYS}
    return Published(topic=topic, event=event, source=_required(content, "source"), extra=extra)


def _required(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not value:
        raise BadEvent(f"'{name}' is missing or not a text")
    return value


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as problem:
        raise BadEvent(f"{text!r} is not an ISO 8601 time") from problem
    if moment.tzinfo is None:
        raise BadEvent(f"{text!r} has no offset")
    return moment
