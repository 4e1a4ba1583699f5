"""What all routes of the API share: who may call, what was sent, and how answers and errors look."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import azure.functions as func

from shared import access, wiring
from shared.access import Denied, Principal, Role
from shared.errors import NotPossible, NotThere, Stale, TargetBusy, TargetRefused, TargetUnavailable, UnreadableRow

Answer = dict[str, Any]
LARGEST_BODY: Final = 1_000_000


class BadRequest(Exception):
    """What was sent cannot be understood; the message says what, `todo` what would be."""

    def __init__(self, error: str, todo: str = "docs/operations.md lists the routes and what each takes") -> None:
        self.todo = todo
        super().__init__(error)


_STATUS: Final[Mapping[type[Exception], int]] = {BadRequest: 400, NotThere: 404, NotPossible: 409}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One admitted call."""

    app: wiring.App
    caller: Principal
    request: func.HttpRequest

    def route(self, name: str) -> str:
        return str(self.request.route_params.get(name, ""))

    def text(self, name: str) -> str | None:
        """A parameter of the query; None if it is missing or empty."""
        return str(self.request.params.get(name, "")).strip() or None

    def number(self, name: str, default: int, most: int) -> int:
        text = self.request.params.get(name, str(default))
        if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= most:
            raise BadRequest(f"{name} must be a whole number from 1 to {most}, not {text[:40]!r}")
        return int(text)

    def raw(self) -> str:
        """The text that was sent."""
        sent: bytes = self.request.get_body()
        if not sent or len(sent) > LARGEST_BODY:
            raise BadRequest(f"the body has {len(sent)} bytes; 1 to {LARGEST_BODY} are read")
        return sent.decode("utf-8-sig", errors="replace")

    def body(self) -> Answer:
        """The JSON object that was sent."""
        try:
            found = json.loads(self.raw())
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"the body is not JSON: {str(error)[:200]}", "send a JSON object") from error
        if not isinstance(found, dict):
            raise BadRequest("the body is not a JSON object", "send a JSON object")
        return found


def answered(req: func.HttpRequest, role: Role, work: Callable[[Call], Answer]) -> func.HttpResponse:
    """Does the work for a caller who has the role; whatever stands in the way is told as JSON with what to do.

    Raises:
        ConfigurationError: settings or rules are wrong; /api/health tells everything about it.
        StorageUnavailable: the ledger cannot be reached; the call may be repeated.
    """
    app = wiring.app()
    headers = {name.lower(): value for name, value in req.headers.items()}
    caller = access.admitted(headers, role, platform_authenticates=app.platform_authenticates)
    if isinstance(caller, Denied):
        return told(caller.status, caller.error, caller.todo)
    try:
        return answer(work(Call(app=app, caller=caller, request=req)))
    except (BadRequest, NotThere, NotPossible) as wrong:
        return told(_STATUS[type(wrong)], str(wrong), wrong.todo)
    except UnreadableRow as unreadable:
        return told(503, str(unreadable), "docs/deploy.md, Upgrade, and back: go one version at a time")
    except Stale as lost:
        return told(409, str(lost), "send the same request again")
    except (TargetBusy, TargetUnavailable, TargetRefused) as error:
        return told(502, f"Azure does not answer as it should: {error}", "try again later, or look at the resource")


def answer(body: object, status: int = 200) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(body, indent=2), status_code=status, mimetype="application/json")


def told(status: int, error: str, todo: str) -> func.HttpResponse:
    return answer({"error": error, "what_to_do": todo}, status)


def moment(text: str | None, name: str) -> datetime | None:
    """A time with its zone, as in 2026-11-26T08:00:00Z; given in UTC, whose days are those of the lists.

    Raises:
        BadRequest: the text is no such time.
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    try:
        found = found.astimezone(UTC) if found is not None and found.tzinfo is not None else None
    except OverflowError:
        found = None
    if found is None:
        raise BadRequest(f"{name} must be a time with its zone, such as 2026-11-26T08:00:00Z, not {text[:40]!r}")
    return found
