"""The HTTP API that reads. Health is the only route that takes no role."""

import azure.functions as func

from functions import api
from functions.api import BadRequest, Call, NotFound
from shared import wiring
from shared.access import Role
from shared.errors import ConfigurationError
from shared.queries import DAYS_AT_MOST
from shared.reactions import State

blueprint = func.Blueprint()


@blueprint.function_name("health")
@blueprint.route("health", methods=["GET"])
def health(req: func.HttpRequest) -> func.HttpResponse:
    """200 with the rules in force, or 503 with every problem of the configuration and its line."""
    try:
        app = wiring.app()
    except ConfigurationError as wrong:
        problems = [{"where": p.where, "line": p.line, "message": p.message} for p in wrong.problems]
        return api.answer({"status": "configuration-wrong", "problems": problems}, status=503)
    return api.answer({"status": "ok", "rules": sorted(app.rules.rules), "revision": app.rules.revision.to_text()})


@blueprint.function_name("list_reactions")
@blueprint.route("reactions", methods=["GET"])
def list_reactions(req: func.HttpRequest) -> func.HttpResponse:
    """Reactions of the last days (`?days=1&rule=…&state=…&top=100`), newest first, and what was refused."""
    return api.answered(req, Role.READER, _reactions)


def _reactions(call: Call) -> api.Answer:
    days, top = call.number("days", 1, DAYS_AT_MOST), call.number("top", 100, 1000)
    queries, now = call.app.queries, call.app.clock.now()
    found = queries.reactions(now=now, days=days, rule=call.text("rule"), state=state_of(call.text("state")), top=top)
    return {"reactions": found, "refused": queries.refused()}


@blueprint.function_name("show_reaction")
@blueprint.route("reactions/{id}", methods=["GET"])
def show_reaction(req: func.HttpRequest) -> func.HttpResponse:
    """One reaction: state, history with reasons, events, run, lineage."""
    return api.answered(req, Role.READER, _reaction)


def _reaction(call: Call) -> api.Answer:
    found = call.app.queries.reaction(call.route("id"))
    if found is None:
        raise NotFound(f"there is no reaction {call.route('id')[:100]!r}", "GET /api/reactions lists them")
    return found


@blueprint.function_name("show_model")
@blueprint.route("models/{name}/{version}", methods=["GET"])
def show_model(req: func.HttpRequest) -> func.HttpResponse:
    """One registered model: the files, events and runs behind it, what was decided about it, where it is live."""
    return api.answered(req, Role.READER, _model)


def _model(call: Call) -> api.Answer:
    name, version = call.route("name"), call.route("version")
    found = call.app.queries.model(name, version)
    if found is None:
        raise NotFound(f"there is no model {name[:100]}:{version[:100]}", "the workspace lists its models")
    return found


def state_of(text: str | None) -> State | None:
    """The state of that name; None for none.

    Raises:
        BadRequest: there is no such state.
    """
    if text is None:
        return None
    try:
        return State(text)
    except ValueError:
        raise BadRequest(f"state must be one of {', '.join(State)}, not {text[:40]!r}") from None
