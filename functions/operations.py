"""The HTTP API that reads. Health is the only route that takes no role."""

import azure.functions as func

from functions import api
from functions.api import BadRequest, Call
from shared import queries, wiring
from shared.access import Role
from shared.errors import ConfigurationError, NotThere
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
    app, rule, state = call.app, call.text("rule"), state_of(call.text("state"))
    found = app.queries.reactions(now=app.clock.now(), days=days, rule=rule, state=state, top=top)
    return {"reactions": found.reactions, "complete": found.complete, "refused": app.queries.refused()}


@blueprint.function_name("show_reaction")
@blueprint.route("reactions/{id}", methods=["GET"])
def show_reaction(req: func.HttpRequest) -> func.HttpResponse:
    """One reaction: state, history with reasons, events, run, lineage."""
    return api.answered(req, Role.READER, _reaction)


def _reaction(call: Call) -> api.Answer:
    found = call.app.queries.reaction(call.route("id"))
    if found is None:
        raise NotThere(f"there is no reaction {call.route('id')[:100]!r}", "GET /api/reactions lists them")
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
        raise NotThere(f"there is no model {name[:100]}:{version[:100]}", "the workspace lists its models")
    return found


@blueprint.function_name("explain_file")
@blueprint.route("explain", methods=["GET"])
def explain_file(req: func.HttpRequest) -> func.HttpResponse:
    """What became of a file, rule by rule, and why (`?path=CONTAINER/PATH&account=…`; one account needs no name)."""
    return api.answered(req, Role.READER, _explain_file)


def _explain_file(call: Call) -> api.Answer:
    container, _, path = (call.text("path") or "").strip("/").partition("/")
    explaining = call.app.explaining
    account = call.text("account") or (explaining.accounts[0] if len(explaining.accounts) == 1 else "")
    if not path:
        raise BadRequest("path is missing", "say ?path=CONTAINER/FOLDERS/FILE, as in lake/0-raw/a.csv")
    if account not in explaining.accounts:
        raise BadRequest(f"account must be one of {', '.join(explaining.accounts)}", "say ?account=…")
    return explaining.file(account, container, path)


@blueprint.function_name("explain_event")
@blueprint.route("explain", methods=["POST"])
def explain_event(req: func.HttpRequest) -> func.HttpResponse:
    """The same of an event as Event Grid delivers it, which is the body."""
    return api.answered(req, Role.READER, lambda call: call.app.explaining.delivered(call.raw()))


@blueprint.function_name("show_controls")
@blueprint.route("controls", methods=["GET"])
def show_controls(req: func.HttpRequest) -> func.HttpResponse:
    """What is paused or stopped, by whom, and why."""
    return api.answered(req, Role.READER, lambda call: queries.controls(call.app.controls.read()))


@blueprint.function_name("list_acts")
@blueprint.route("acts", methods=["GET"])
def list_acts(req: func.HttpRequest) -> func.HttpResponse:
    """Who had what done in the last days (`?days=1`), newest first."""
    return api.answered(req, Role.READER, _acts)


def _acts(call: Call) -> api.Answer:
    return {"acts": [queries.act(done) for done in call.app.acts.listed(call.number("days", 1, DAYS_AT_MOST))]}


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
