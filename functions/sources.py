"""The HTTP API about what never came in: dead letters, and the files of the lake."""

from dataclasses import asdict
from typing import Any, Final

import azure.functions as func

from functions import api
from functions.api import Answer, BadRequest, Call
from functions.commands import only, request_of, text_of, yes
from shared.access import Role
from shared.undelivered import Which

blueprint = func.Blueprint()

_WHICH: Final = 'send {"name": "…"}, or {"all": true} with since, until or refused as you like'


@blueprint.function_name("list_dead_letters")
@blueprint.route("dead-letters", methods=["GET"])
def list_dead_letters(req: func.HttpRequest) -> func.HttpResponse:
    """What Event Grid could not deliver, by name (`?top=100&after=…`), and why it stays."""
    return api.answered(
        req, Role.READER, lambda call: call.app.undelivered.listed(call.number("top", 100, 1000), call.text("after"))
    )


@blueprint.function_name("show_dead_letter")
@blueprint.route("dead-letters/content", methods=["GET"])
def show_dead_letter(req: func.HttpRequest) -> func.HttpResponse:
    """One dead letter's events, with what Event Grid says of their delivery (`?name=…`)."""
    return api.answered(req, Role.READER, _show)


def _show(call: Call) -> Answer:
    name = call.text("name")
    if name is None:
        raise BadRequest("name is missing", "GET /api/dead-letters names them")
    return call.app.undelivered.shown(name)


@blueprint.function_name("replay_dead_letters")
@blueprint.route("dead-letters/replay", methods=["POST"])
def replay_dead_letters(req: func.HttpRequest) -> func.HttpResponse:
    """Has them taken in once more, a page a call. `{name | all, since, until, refused, after, dry_run, …}`"""
    return api.answered(req, Role.OPERATOR, lambda call: _change(call, "replay"))


@blueprint.function_name("purge_dead_letters")
@blueprint.route("dead-letters/purge", methods=["POST"])
def purge_dead_letters(req: func.HttpRequest) -> func.HttpResponse:
    """Throws them away, a page a call. `{name | all, since, until, refused, after, dry_run, reason, request}`"""
    return api.answered(req, Role.OPERATOR, lambda call: _change(call, "purge"))


def _change(call: Call, do: str) -> Answer:
    body, undelivered = call.body(), call.app.undelivered
    only(body, "name", "all", "since", "until", "refused", "after")
    name, after = text_of(body, "name"), text_of(body, "after")
    if (name is None) == (body.get("all") is not True):
        raise BadRequest("say either the name or all: true", _WHICH)
    which = _which(body)
    if name is not None and (which != Which() or after is not None):
        raise BadRequest("since, until, refused and after choose among all, not one that is named", _WHICH)
    if yes(body, "dry_run") and name is None:
        return {**undelivered.count(which, after), "dry_run": True}
    request = request_of(call)
    if name is not None:
        one = undelivered.replay if do == "replay" else undelivered.purge
        return call.app.acts.once(request, f"{do} dead letter {name}", lambda: one(name))
    many = undelivered.replay_page if do == "replay" else undelivered.purge_page
    what = f"{do} dead letters {_told(body)}after {after or 'the beginning'}"
    return call.app.acts.once(request, what, lambda: many(which, after))


def _which(body: dict[str, Any]) -> Which:
    return Which(
        since=api.moment(text_of(body, "since"), "since"),
        until=api.moment(text_of(body, "until"), "until"),
        refused=text_of(body, "refused"),
    )


def _told(body: dict[str, Any]) -> str:
    return "".join(f"{name} {body[name]} " for name in ("since", "until", "refused") if body.get(name))


@blueprint.function_name("backfill")
@blueprint.route("rules/{rule}/backfill", methods=["POST"])
def backfill(req: func.HttpRequest) -> func.HttpResponse:
    """Takes in files of the lake that a rule would have had, a page a call. `{since, after, reason, request}`"""
    return api.answered(req, Role.OPERATOR, _backfill)


def _backfill(call: Call) -> Answer:
    body, rule, request = call.body(), call.route("rule"), request_of(call)
    only(body, "since", "after")
    since, after = api.moment(text_of(body, "since"), "since"), text_of(body, "after")
    if since is None:
        raise BadRequest("since is missing", "say from when on, as in 2026-11-26T08:00:00Z")

    def work() -> Answer:
        page = asdict(call.app.backfill.page(rule, since, after))
        following = page.pop("continuation")
        return {**page, "next": following}

    what = f"backfill rule {rule} since {since.isoformat()} after {after or 'the beginning'}"
    return call.app.acts.once(request, what, work)
