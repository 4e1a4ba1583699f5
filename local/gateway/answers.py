"""Answers the gateway makes itself: scheduled faults in storage's own shape, and real answers cut short."""

from __future__ import annotations

import http
import json
import uuid
from email.utils import formatdate
from typing import Final

from local.faults import Status
from local.gateway.calls import StorageService

_CODES: Final = {
    400: "InvalidInput",
    401: "InvalidAuthenticationInfo",
    403: "AuthorizationFailure",
    404: "ResourceNotFound",
    408: "RequestTimeout",
    409: "Conflict",
    412: "ConditionNotMet",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServerBusy",
}
_OWN_CODES: Final = {
    ("table", 409): "EntityAlreadyExists",
    ("table", 412): "UpdateConditionNotSatisfied",
    ("blob", 409): "BlobAlreadyExists",
    ("blob", 404): "BlobNotFound",
}
_MESSAGE: Final = "A scheduled fault."


def error_answer(service: StorageService, status: Status, *, with_body: bool) -> bytes:
    """The bytes of an error answer; `status.body` replaces storage's usual body."""
    code = _OWN_CODES.get((service, status.code)) or _CODES.get(status.code, "InternalError")
    content_type, body = _usual_body(service, code)
    if status.body is not None:
        body = status.content()
    headers = {
        "Content-Type": content_type,
        "x-ms-error-code": code,
        "x-ms-request-id": str(uuid.uuid4()),
        "Date": formatdate(usegmt=True),
        **status.headers,
        "Content-Length": str(len(body)),
    }
    return _head(status.code, headers) + (body if with_body else b"")


def _usual_body(service: StorageService, code: str) -> tuple[str, bytes]:
    if service == "table":
        error = {"odata.error": {"code": code, "message": {"lang": "en-US", "value": _MESSAGE}}}
        return "application/json;odata=minimalmetadata;charset=utf-8", json.dumps(error).encode()
    text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{_MESSAGE}</Message></Error>'
    return "application/xml", text.encode()


def _head(status: int, headers: dict[str, str]) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Scheduled"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def half_of(head: bytes, body: bytes) -> bytes:
    """An answer cut in the middle of its body, or of its head where there is no body."""
    return head + body[: len(body) // 2] if body else head[: len(head) // 2]


def half_of_nothing() -> bytes:
    """Truncate() without the real work: half of a made-up answer."""
    body = b'{"value": "cut short"}'
    head = _head(200, {"Content-Type": "application/json", "Content-Length": str(len(body))})
    return half_of(head, body)
