"""The HTTP API that changes something: for operators. Each call says why, and carries the id of its request."""

import re
from datetime import timedelta
from typing import Any, Final

import azure.functions as func

from functions import api
from functions.api import Answer, BadRequest, Call
from functions.operations import state_of
from shared import queries
from shared.access import Role
from shared.acts import Request
from shared.controls import Pause
from shared.errors import NotThere
from shared.queries import DAYS_AT_MOST
from shared.replays import Filter

blueprint = func.Blueprint()

_REQUEST: Final = re.compile("[A-Za-z0-9-]{8,64}")
_PLACE: Final = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}/[0-9a-f]{24}-[1-9][0-9]{0,7}")
_LONGEST_REASON: Final = 500
_LONGEST_TEXT: Final = 10_000
"""More than any place in a list has; what is done is recorded with it, in one property of a table."""


@blueprint.function_name("cancel_reaction")
@blueprint.route("reactions/{id}/cancel", methods=["POST"])
def cancel_reaction(req: func.HttpRequest) -> func.HttpResponse:
    """Ends a reaction: what waits is not started, what runs is cancelled outside. `{reason, request}`"""
    return api.answered(req, Role.OPERATOR, _cancel)


def _cancel(call: Call) -> Answer:
    request, wanted, acts = request_of(call), call.route("id"), call.app.acts
    return acts.once(request, f"cancel reaction {wanted}", lambda: call.app.cancelling.cancel(wanted, request))


@blueprint.function_name("replay_reaction")
@blueprint.route("reactions/{id}/replay", methods=["POST"])
def replay_reaction(req: func.HttpRequest) -> func.HttpResponse:
    """Has all events of a reaction acted on once more. `{reason, request}`"""
    return api.answered(req, Role.OPERATOR, _replay_reaction)


def _replay_reaction(call: Call) -> Answer:
    request, wanted = request_of(call), call.route("id")
    work = lambda: call.app.replays.reaction(wanted, request)  # noqa: E731 - named for the line below
    return call.app.acts.once(request, f"replay reaction {wanted}", work)


@blueprint.function_name("replay_event")
@blueprint.route("lanes/{lane}/events/{key}/replay", methods=["POST"])
def replay_event(req: func.HttpRequest) -> func.HttpResponse:
    """Has one event of a lane acted on once more, as `explain` names both. `{reason, request}`"""
    return api.answered(req, Role.OPERATOR, _replay_event)


def _replay_event(call: Call) -> Answer:
    request, lane, key = request_of(call), call.route("lane"), call.route("key")
    if not re.fullmatch("[0-9a-f]{24}", lane) or not re.fullmatch("[0-9a-f]{32}", key):
        raise BadRequest("a lane has 24 and an event's key 32 hexadecimal digits", "explain names both")
    what = f"replay event {key} of lane {lane}"
    return call.app.acts.once(request, what, lambda: call.app.replays.event(lane, key, request))


@blueprint.function_name("replay")
@blueprint.route("replays", methods=["POST"])
def replay(req: func.HttpRequest) -> func.HttpResponse:
    """Has the events of all reactions of a filter acted on once more, a page a call; `dry_run` counts only.

    `{since, until, rule, state, after, dry_run, reason, request}`; the answer's `next` is the next call's `after`.
    """
    return api.answered(req, Role.OPERATOR, _replay)


def _replay(call: Call) -> Answer:
    body, replays = call.body(), call.app.replays
    only(body, "since", "until", "rule", "state", "after")
    wanted = _filter(call, body)
    after = _place(body)
    if yes(body, "dry_run"):
        return {**replays.page(wanted, after, None), "dry_run": True}
    request = request_of(call)
    what = f"replay reactions since {wanted.since.isoformat()} until {wanted.until.isoformat()}"
    what += f" of rule {wanted.rule or 'any'} in state {wanted.state or 'any'} after {after or 'the beginning'}"
    return call.app.acts.once(request, what, lambda: replays.page(wanted, after, request))


def _filter(call: Call, body: dict[str, Any]) -> Filter:
    since, until = api.moment(text_of(body, "since"), "since"), api.moment(text_of(body, "until"), "until")
    now = call.app.clock.now()
    if since is None or until is None:
        raise BadRequest("since and until are missing", "say both, as in 2026-11-26T08:00:00Z")
    if not since < until <= now + timedelta(minutes=5):
        raise BadRequest("until must come after since and not be in the future", "what it replays must not come again")
    if now - since > timedelta(days=DAYS_AT_MOST + 1):  # 30 days back, told a moment ago or by an earlier call
        raise BadRequest(f"since lies more than {DAYS_AT_MOST} days back", "older reactions are not listed any more")
    rule = text_of(body, "rule")
    if rule is not None and rule not in call.app.rules.rules:
        raise NotThere(f"there is no rule {rule[:100]!r}", "GET /api/health names the rules in force")
    return Filter(since=since, until=until, rule=rule, state=state_of(text_of(body, "state")))


def _place(body: dict[str, Any]) -> str | None:
    after = text_of(body, "after")
    if after is not None and not _PLACE.fullmatch(after):
        raise BadRequest(
            f"after must be what a page gave as next, not {after[:60]!r}", "leave it out for the first page"
        )
    return after


@blueprint.function_name("pause")
@blueprint.route("controls/pause", methods=["POST"])
def pause(req: func.HttpRequest) -> func.HttpResponse:
    """Stops the starts of a rule, or `{all: true}` of all; events still come in. `{rule | all, reason, request}`"""
    return api.answered(req, Role.OPERATOR, _pause)


def _pause(call: Call) -> Answer:
    request, rule = request_of(call), _controlled(call)

    def work() -> Answer:
        controls, now = call.app.controls, call.app.clock.now()
        controls.pause(rule, Pause(by=request.by, at=now, reason=request.reason))
        return queries.controls(controls.read())

    return call.app.acts.once(request, f"pause {rule or 'all starts'}", work)


@blueprint.function_name("resume")
@blueprint.route("controls/resume", methods=["POST"])
def resume(req: func.HttpRequest) -> func.HttpResponse:
    """Lets what was paused go on; whatever waited is looked at. `{rule | all, reason, request}`"""
    return api.answered(req, Role.OPERATOR, _resume)


def _resume(call: Call) -> Answer:
    request, rule = request_of(call), _controlled(call)

    def work() -> Answer:
        was = call.app.controls.resume(rule)
        call.app.upkeep.make_due("resume")
        return {**queries.controls(call.app.controls.read()), "was": str(was) if was is not None else "not paused"}

    return call.app.acts.once(request, f"resume {rule or 'all starts'}", work)


def _controlled(call: Call) -> str | None:
    """The rule that is meant; None for all starts, which has to be said."""
    body = call.body()
    rule, everything = text_of(body, "rule"), body.get("all")
    if (rule is None) == (everything is not True):
        raise BadRequest("say either the rule or all: true", '{"rule": "…"} or {"all": true}')
    if rule is not None and rule not in call.app.rules.rules and rule not in call.app.controls.read().paused:
        raise NotThere(f"there is no rule {rule[:100]!r}", "GET /api/health names the rules in force")
    return rule


def request_of(call: Call) -> Request:
    """Who asks for a change, why, and the id by which it is known when it arrives twice.

    Raises:
        BadRequest: there is no reason or no id, or nothing is to be changed at all.
    """
    body = call.body()
    if yes(body, "dry_run"):  # whoever can only count has done so before
        raise BadRequest("this cannot be tried without being done", "leave out dry_run, and it is done")
    reason, request = text_of(body, "reason"), text_of(body, "request")
    if reason is None or len(reason) > _LONGEST_REASON or not reason.isprintable():
        raise BadRequest(
            f"a change needs a reason: one line, at most {_LONGEST_REASON} characters", 'send {"reason": "…"}'
        )
    if request is None or not _REQUEST.fullmatch(request):
        raise BadRequest(
            "a change needs a request id, by which it is known when it arrives twice",
            'send {"request": "…"}: 8 to 64 letters, digits and hyphens, a new one for each change',
        )
    return Request(id=request, by=call.caller.who, reason=reason)


def only(body: dict[str, Any], *names: str) -> None:
    """Of what changes many, no part may go unread: a filter that is misspelt would be none.

    Raises:
        BadRequest: the body says something else, too.
    """
    known = {*names, "dry_run", "reason", "request"}
    others = sorted(body.keys() - known)
    if others:
        raise BadRequest(f"there is no {others[0][:40]!r} here", f"it takes {', '.join(sorted(known))}")


def yes(body: dict[str, Any], name: str) -> bool:
    """A choice of the body, which is no if it is missing.

    Raises:
        BadRequest: it is something else.
    """
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false, not {str(value)[:40]!r}")
    return value


def text_of(body: dict[str, Any], name: str) -> str | None:
    """A text of the body; None if it is missing or empty.

    Raises:
        BadRequest: it is something else, or endless.
    """
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"{name} must be a text, not {type(value).__name__}")
    if value is not None and len(value) > _LONGEST_TEXT:
        raise BadRequest(f"{name} has {len(value)} characters; {_LONGEST_TEXT} are read")
    return (value or "").strip() or None
