"""Turns what a trigger brought into the argument of a function, with azure-functions' own converters."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from azure.functions import HttpResponse, get_binding_registry
from azure.functions.decorators.core import Trigger
from azure.functions.http import HttpResponseConverter
from azure.functions.meta import Datum, InConverter

TRIGGERS: Final = ("httpTrigger", "eventGridTrigger", "queueTrigger", "timerTrigger")
NEVER: Final = "9999-12-31T23:59:59.9999999+00:00"


class WrongAnnotation(TypeError):
    """A parameter's annotation and its binding do not go together; the worker refuses such a function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What goes over from the host to the worker for one invocation."""

    datum: Datum
    metadata: Mapping[str, Datum] = field(default_factory=dict)


def check_annotation(function: str, trigger: Trigger, annotation: object) -> None:
    """The worker's check at indexing.

    Raises:
        WrongAnnotation: the annotated type cannot carry what the trigger brings.
    """
    if annotation is None or annotation in (str, bytes):
        return
    if isinstance(annotation, type) and _in(str(trigger.type)).check_input_type_annotation(annotation):
        return
    raise WrongAnnotation(
        f"cannot load the {function} function: type of {trigger.name} binding in the binding decorator "
        f'"{trigger.type}" does not match its Python annotation "{getattr(annotation, "__name__", annotation)}"'
    )


def decode(trigger: str, annotation: type | None, payload: Payload) -> object:
    """The argument. A parameter annotated `str` or `bytes` gets the raw value: the worker's generic binding.

    Raises:
        TypeError: the converter does not support this data.
    """
    if annotation in (str, bytes):
        if payload.datum.type not in ("string", "bytes", "json"):
            raise ValueError('unexpected type of data received for the "generic" binding ', repr(payload.datum.type))
        return payload.datum.value
    try:
        return _in(trigger).decode(payload.datum, trigger_metadata=payload.metadata)
    except NotImplementedError as problem:
        raise TypeError(
            "unable to decode incoming TypedData: unsupported combination of TypedData field "
            f"{payload.datum.type!r} and expected binding type {trigger}"
        ) from problem


def event_grid(event: Mapping[str, Any]) -> Payload:
    """One event. The host sends a JSON object on without white space, whatever the sender wrote."""
    return Payload(datum=Datum(json.dumps(event, separators=(",", ":"), ensure_ascii=False), "json"))


def timer(*, past_due: bool, status: Mapping[str, str] | None) -> Payload:
    info = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": status, "IsPastDue": past_due}
    return Payload(datum=Datum(json.dumps(info), "json"))


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMessage:
    """The facts of a message that go into the trigger metadata."""

    body: str
    id: str = ""
    dequeue_count: int = 0
    pop_receipt: str = ""
    inserted: datetime | None = None
    expires: datetime | None = None
    next_visible: datetime | None = None


def queue(message: QueueMessage) -> Payload:
    """A queue message, with the host's trap: a JSON object's own members replace metadata of the same name."""
    metadata = {
        "Id": Datum(message.id, "string"),
        "DequeueCount": Datum(str(message.dequeue_count), "json"),
        "PopReceipt": Datum(message.pop_receipt, "string"),
        "InsertionTime": _moment(message.inserted or datetime.now(UTC)),
        "ExpirationTime": _moment(message.expires),
        "NextVisibleTime": _moment(message.next_visible),
    }
    spelling = {name.lower(): name for name in metadata}
    for name, value in _members(message.body).items():
        metadata[spelling.get(name.lower(), name)] = value
    return Payload(datum=Datum(message.body, "string"), metadata=metadata)


def _moment(moment: datetime | None) -> Datum:
    return Datum(json.dumps(moment.astimezone(UTC).isoformat() if moment else NEVER), "json")


def _members(body: str) -> dict[str, Datum]:
    """Top-level members that are not arrays: scalars as text, objects as JSON."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {
        name: Datum(json.dumps(value), "json") if isinstance(value, dict) else Datum(_as_text(value), "string")
        for name, value in content.items()
        if value is not None and not isinstance(value, list)
    }


def _as_text(value: object) -> str:
    # .NET writes a boolean as True and a number in its shortest form, as Python's str does.
    return value if isinstance(value, str) else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCall:
    """An HTTP request as the host hands it to the worker."""

    method: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    route: Mapping[str, str]
    body: bytes


def http(call: HttpCall) -> Payload:
    value = {
        "method": Datum(call.method, "string"),
        "url": Datum(call.url, "string"),
        "headers": {name.lower(): Datum(value, "string") for name, value in call.headers.items()},
        # Without the nullable-values capability the host leaves empty query values out.
        "query": {name: Datum(value, "string") for name, value in call.query.items() if value},
        "params": {name: Datum(value, "string") for name, value in call.route.items()},
        "body": Datum(call.body, "bytes"),
    }
    return Payload(datum=Datum(value, "http"))


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


def http_answer(value: object) -> HttpAnswer:
    """What an HTTP function returned, as the answer to send.

    Raises:
        TypeError: neither an HttpResponse nor a str.
    """
    try:
        datum = HttpResponseConverter.encode(value, expected_type=HttpResponse)
    except NotImplementedError:
        raise TypeError(
            f'unable to encode outgoing TypedData: unsupported type "http" for Python type "{type(value).__name__}"'
        ) from None
    if datum.type == "string":
        body = str(datum.value).encode()
        return HttpAnswer(status=200, headers=[("content-type", "text/plain; charset=utf-8")], body=body)
    answer = datum.value
    headers = [(str(name), str(text.value)) for name, text in answer["headers"].items()]
    cookies = [("set-cookie", morsel.OutputString()) for jar in answer["cookies"] or [] for morsel in jar.values()]
    return HttpAnswer(status=int(answer["status_code"].value), headers=headers + cookies, body=answer["body"].value)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """The worker's trace context; this host has no distributed trace to pass on."""

    trace_state: str = ""
    trace_parent: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryContext:
    """Event Grid and queue functions have no retries of their own, so nothing was tried before."""

    retry_count: int = 0
    max_retry_count: int = 0
    exception: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationContext:
    """What a `context: func.Context` parameter gets. As in the worker, it is no subclass of func.Context."""

    function_name: str
    function_directory: str
    invocation_id: str
    thread_local_storage: threading.local
    trace_context: TraceContext = TraceContext()
    retry_context: RetryContext = RetryContext()


def _in(binding: str) -> type[InConverter]:
    converter: type[InConverter] = get_binding_registry().get(binding)
    return converter
