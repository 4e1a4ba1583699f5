"""Event subscriptions: read from the file that Bicep loads too, and refused when Azure would refuse them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from local.event_grid.envelopes import SCHEMAS, Published, Schema
from local.event_grid.filters import BadSubscription, Filter, parse_filter, refuse_unknown

Source = Literal["lake", "workspace"]
SOURCES: Final[tuple[Source, ...]] = ("lake", "workspace")
Choice = TypeVar("Choice", bound=str)
_FUNCTION: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,126}")
_QUEUE: Final = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")
FILE: Final = Path(__file__).resolve().parents[2] / "infra" / "event-subscriptions.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    max_attempts: int = 30
    time_to_live_minutes: int = 1440


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What to deliver, in which shape and how often to try; not yet where.

    The file names a function and a queue for each: which of the two it is, is decided by whoever deploys.
    """

    name: str
    source: str
    schema: Schema = "EventGridSchema"
    filter: Filter = field(default_factory=Filter)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    dead_letter_container: str | None = None
    function: str | None = None  # an Azure Functions destination; None: any webhook
    queue: str | None = None
    max_events_per_batch: int = 1
    preferred_batch_kilobytes: int = 64

    @property
    def for_resource(self) -> bool:
        """Whether it is delivered to a resource of Azure (a function, a queue), not to any webhook."""
        return self.function is not None or self.queue is not None

    def wants(self, published: Published) -> bool:
        """Whether this event is to be delivered. A CloudEvent cannot be put into the Event Grid schema."""
        if published.is_cloud_event and self.schema == "EventGridSchema":
            return False
        event = published.event
        envelope = published.envelope("CloudEventSchemaV1_0" if published.is_cloud_event else "EventGridSchema")
        return self.filter.matches(envelope, event_type=event.type, subject=event.subject)


def load_subscriptions(file: Path = FILE) -> list[Subscription]:
    """Every subscription of the file.

    Raises:
        BadSubscription: says which subscription and what is wrong with it.
    """
    try:
        content = json.loads(file.read_text())
    except ValueError as problem:
        raise BadSubscription(f"{file.name}: not JSON: {problem}") from problem
    refuse_unknown(content, {"subscriptions"}, file.name)
    subscriptions = [parse_subscription(item, file.name) for item in content["subscriptions"]]
    names = [subscription.name for subscription in subscriptions]
    if len(set(names)) != len(names):
        raise BadSubscription(f"{file.name}: two subscriptions have the same name")
    return subscriptions


def parse_subscription(content: Mapping[str, Any], file: str) -> Subscription:
    where = f"{file}: {content.get('name', '(no name)')}"
    known = {"name", "source", "eventDeliverySchema", "filter", "retryPolicy", "deadLetter", "destination"}
    refuse_unknown(content, known, where)
    for name in ("name", "source", "destination"):
        if not content.get(name):
            raise BadSubscription(f"{where}: '{name}' is missing")
    destination = content["destination"]
    refuse_unknown(
        destination, {"function", "maxEventsPerBatch", "preferredBatchSizeInKilobytes", "queue"}, f"{where}.destination"
    )
    dead_letter = content.get("deadLetter") or {}
    refuse_unknown(dead_letter, {"container"}, f"{where}.deadLetter")
    return Subscription(
        name=content["name"],
        source=_one_of(content["source"], SOURCES, f"{where}.source"),
        schema=_one_of(content.get("eventDeliverySchema", SCHEMAS[0]), SCHEMAS, f"{where}.eventDeliverySchema"),
        filter=parse_filter(content.get("filter") or {}, f"{where}.filter"),
        retry=_retry(content.get("retryPolicy") or {}, f"{where}.retryPolicy"),
        dead_letter_container=dead_letter.get("container"),
        function=_text(destination, "function", _FUNCTION, f"{where}.destination"),
        queue=_text(destination, "queue", _QUEUE, f"{where}.destination"),
        max_events_per_batch=_number(destination, "maxEventsPerBatch", 1, 5000, f"{where}.destination"),
        preferred_batch_kilobytes=_number(
            destination, "preferredBatchSizeInKilobytes", 64, 1024, f"{where}.destination"
        ),
    )


def _retry(content: Mapping[str, Any], where: str) -> RetryPolicy:
    refuse_unknown(content, {"maxDeliveryAttempts", "eventTimeToLiveInMinutes"}, where)
    return RetryPolicy(
        max_attempts=_number(content, "maxDeliveryAttempts", 30, 30, where),
        time_to_live_minutes=_number(content, "eventTimeToLiveInMinutes", 1440, 1440, where),
    )


def _number(content: Mapping[str, Any], name: str, default: int, most: int, where: str) -> int:
    value = content.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise BadSubscription(f"{where}.{name}: {value!r} is not a whole number from 1 to {most}")
    return value


def _text(content: Mapping[str, Any], name: str, allowed: re.Pattern[str], where: str) -> str:
    value = content.get(name)
    if not isinstance(value, str) or allowed.fullmatch(value) is None:
        raise BadSubscription(f"{where}.{name}: {value!r} is not the name of a {name}")
    return value


def _one_of(value: object, allowed: tuple[Choice, ...], where: str) -> Choice:
    for choice in allowed:
        if value == choice:
            return choice
    raise BadSubscription(f"{where}: {value!r} is not one of {', '.join(allowed)}")
