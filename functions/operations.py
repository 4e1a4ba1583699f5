"""The HTTP API for people and tools. Health is the only anonymous route."""

import json
import re
from collections.abc import Mapping

import azure.functions as func

from shared import wiring
from shared.errors import ConfigurationError, TargetBusy, TargetRefused, TargetUnavailable
from shared.queries import DAYS_AT_MOST
from shared.reactions import State

blueprint = func.Blueprint()


@blueprint.function_name("health")
@blueprint.route("health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def health(req: func.HttpRequest) -> func.HttpResponse:
    """200 with the rules in force, or 503 with every problem of the configuration and its line."""
    try:
        app = wiring.app()
    except ConfigurationError as wrong:
        problems = [{"where": p.where, "line": p.line, "message": p.message} for p in wrong.problems]
        return _answer({"status": "configuration-wrong", "problems": problems}, status=503)
    return _answer({"status": "ok", "rules": sorted(app.rules.rules), "revision": app.rules.revision.to_text()})


@blueprint.function_name("list_reactions")
@blueprint.route("reactions", methods=["GET"])
def list_reactions(req: func.HttpRequest) -> func.HttpResponse:
    """Reactions of the last days (`?days=1&rule=…&state=…&top=100`), newest first, and what was refused."""
    app = wiring.app()
    try:
        days, top = _number(req.params, "days", 1, DAYS_AT_MOST), _number(req.params, "top", 100, 1000)
        state = _state(req.params.get("state"))
    except ValueError as error:
        return _answer({"error": str(error)}, status=400)
    found = app.queries.reactions(now=app.clock.now(), days=days, rule=req.params.get("rule"), state=state, top=top)
    return _answer({"reactions": found, "refused": app.queries.refused()})


@blueprint.function_name("show_reaction")
@blueprint.route("reactions/{id}", methods=["GET"])
def show_reaction(req: func.HttpRequest) -> func.HttpResponse:
    """One reaction: state, history with reasons, events, run, lineage."""
    reaction_id = req.route_params.get("id", "")
    found = wiring.app().queries.reaction(reaction_id)
    if found is None:
        return _answer({"error": f"there is no reaction {reaction_id!r}"}, status=404)
    return _answer(found)


@blueprint.function_name("show_model")
@blueprint.route("models/{name}/{version}", methods=["GET"])
def show_model(req: func.HttpRequest) -> func.HttpResponse:
    """One registered model: the files, events and runs behind it, what was decided about it, where it is live."""
    name, version = req.route_params.get("name", ""), req.route_params.get("version", "")
    try:
        found = wiring.app().queries.model(name, version)
    except (TargetBusy, TargetUnavailable, TargetRefused) as error:
        return _answer({"error": f"the workspace does not tell of model {name}:{version}: {error}"}, status=502)
    if found is None:
        return _answer({"error": f"there is no model {name}:{version}"}, status=404)
    return _answer(found)


def _number(params: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = params.get(name, str(default))
    if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most}, not {text[:40]!r}")
    return int(text)


def _state(text: str | None) -> State | None:
    if text is None:
        return None
    try:
        return State(text)
    except ValueError:
        raise ValueError(f"state must be one of {', '.join(State)}, not {text[:40]!r}") from None


def _answer(body: object, status: int = 200) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(body, indent=2), status_code=status, mimetype="application/json")
