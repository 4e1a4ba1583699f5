"""What each command asks of the app, and how its answer is shown."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from relearn import tables
from relearn.arguments import request_id
from relearn.client import Answer, CallFailed, Client


class NothingDone(Exception):
    """The command ends without having had anything done; the message says why."""


def run(client: Client, asked: argparse.Namespace) -> None:
    """Does what the arguments say.

    Raises:
        CallFailed: the app did not do it.
        NothingDone: there was nothing to do, or nobody confirmed it.
    """
    _COMMANDS[asked.command](client, asked)


def _shown(asked: argparse.Namespace, answer: Answer, show: Callable[[Answer], None]) -> None:
    if asked.json:
        print(json.dumps(answer, indent=2))
    else:
        show(answer)


# --- reading ----------------------------------------------------------------------------------------------------------


def _status(client: Client, asked: argparse.Namespace) -> None:
    health = client.health()
    if health.get("status") != "ok":
        _shown(asked, health, lambda told: tables.show(told["problems"], ("where", "line", "message")))
        raise NothingDone("the app's configuration is wrong: nothing is decided until it is mended")
    _shown(asked, {**health, **client.get("controls")}, _show_status)


def _show_status(told: Answer) -> None:
    tables.facts({name: told[name] for name in ("status", "rules", "revision", "all_starts") if name in told})
    _show_controls(told)


def _show_controls(told: Answer) -> None:
    stopped = told.get("all_starts")
    if stopped:
        print(f"all starts are stopped by {stopped['by']} since {tables.cell(stopped['at'])}: {stopped['reason']}")
    tables.show(told["paused"], ("rule", "by", "at", "reason"), none="no rule is paused")


def _reactions(client: Client, asked: argparse.Namespace) -> None:
    answer = client.get("reactions", days=asked.days, rule=asked.rule, state=asked.state, top=asked.top)
    _shown(asked, answer, _show_reactions)


def _show_reactions(told: Answer) -> None:
    columns = ("id", "rule", "key", "state", "created", "event_count", "reason")
    tables.show(told["reactions"], columns, none="no reactions")
    if not told.get("complete", True):
        _say("there are older ones that were not looked at: ask for fewer days")
    counts = told["refused"]["counts"]
    if counts:
        print(f"\nrefused events: {tables.cell(counts)}")


def _show(client: Client, asked: argparse.Namespace) -> None:
    _shown(asked, client.get(f"reactions/{quote(asked.id, safe='')}"), _show_reaction)


def _show_reaction(told: Answer) -> None:
    names = ("id", "rule", "key", "state", "reason", "created", "ended", "event_count", "cancel", "manifest")
    tables.facts({name: told[name] for name in names})
    print()
    tables.show(told["history"], ("at", "what", "attempt", "reason"))
    print()
    events = [{**event, "what": event.get("path") or event.get("subject")} for event in told["events"]]
    tables.show(events, ("key", "accepted", "what", "replay"), none="no events")
    if told["events_left_out"]:
        print(f"and {told['events_left_out']} more; --json has the manifest's address")


def _model(client: Client, asked: argparse.Namespace) -> None:
    found = client.get(f"models/{quote(asked.name, safe='')}/{quote(asked.version, safe='')}")
    _shown(asked, found, tables.facts)


def _explain(client: Client, asked: argparse.Namespace) -> None:
    if asked.what == "-":
        answer = client.post_bytes("explain", sys.stdin.buffer.read())
    elif asked.what.endswith(".json") and Path(asked.what).is_file():
        answer = client.post_bytes("explain", _content_of(asked.what))
    else:
        answer = client.get("explain", path=asked.what, account=asked.account)
    _shown(asked, answer, _show_explained)


def _content_of(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise CallFailed(f"{file} cannot be read: {error}", exit_code=2) from error


def _show_explained(told: Answer) -> None:
    tables.facts({name: value for name, value in told.items() if name != "rules"})
    for rule in told["rules"]:
        print(f"\nrule {rule['rule']}: " + ("matches" if rule["matches"] else f"no - {rule['why_not']}"))
        if rule["matches"]:
            tables.facts({f"  {name}": value for name, value in rule.items() if name not in ("rule", "matches")})


def _acts(client: Client, asked: argparse.Namespace) -> None:
    columns = ("at", "by", "what", "reason")
    _shown(asked, client.get("acts", days=asked.days), lambda told: tables.show(told["acts"], columns))


# --- changing ---------------------------------------------------------------------------------------------------------


def _change(client: Client, asked: argparse.Namespace, route: str, **more: object) -> Answer:
    return client.post(route, {"reason": asked.reason, "request": request_id(asked.request), **more})


def _cancel(client: Client, asked: argparse.Namespace) -> None:
    _shown(asked, _change(client, asked, f"reactions/{quote(asked.id, safe='')}/cancel"), tables.facts)


def _control(client: Client, asked: argparse.Namespace) -> None:
    what: dict[str, object] = {"all": True} if asked.all else {"rule": asked.rule}
    _shown(asked, _change(client, asked, f"controls/{asked.command}", **what), _show_controls)


def _replay(client: Client, asked: argparse.Namespace) -> None:
    one_event = asked.lane is not None and asked.event is not None
    half = (asked.lane is None) != (asked.event is None)
    if half or sum((asked.id is not None, one_event, asked.since is not None)) != 1:
        raise CallFailed("replay what? A reaction's id, --lane and --event, or --since", "see --help", 2)
    if asked.since is None:
        _only_of_many(asked, "until", "rule", "state", "dry_run")
    if asked.id is not None:
        _shown(asked, _change(client, asked, f"reactions/{quote(asked.id, safe='')}/replay"), tables.facts)
    elif one_event:
        route = f"lanes/{quote(asked.lane, safe='')}/events/{quote(asked.event, safe='')}/replay"
        _shown(asked, _change(client, asked, route), tables.facts)
    else:
        _replay_many(client, asked)


def _only_of_many(asked: argparse.Namespace, *names: str) -> None:
    """One that is named is not chosen, nor counted: whoever says so would be surprised that it is done."""
    said = [f"--{name.replace('_', '-')}" for name in names if getattr(asked, name)]
    if said:
        raise CallFailed(f"{', '.join(said)}: only where many are meant", "leave that out, and it is done", 2)


def _replay_many(client: Client, asked: argparse.Namespace) -> None:
    """Counted first; then, if that is confirmed, page by page under one request id."""
    asked.until = asked.until or datetime.now(UTC)
    wanted: dict[str, object] = {"since": asked.since.isoformat(), "until": asked.until.isoformat()}
    wanted |= {name: value for name, value in (("rule", asked.rule), ("state", asked.state)) if value is not None}
    counted = _summed(_pages(client, "replays", {**wanted, "dry_run": True}, "counting"))
    if asked.dry_run or not counted["reactions"]:
        _shown(asked, counted, tables.facts)
        return
    _confirm(asked, f"replay {counted['events']} event(s) of {counted['reactions']} reaction(s)?")
    _shown(asked, _summed(_pages(client, "replays", {**wanted, **_request(asked)}, "replaying")), tables.facts)


def _dead_letters(client: Client, asked: argparse.Namespace) -> None:
    if asked.what == "list":
        answer = client.get("dead-letters", top=asked.top)
        _shown(asked, answer, lambda told: tables.show(told["dead_letters"], ("name", "at", "size", "refused")))
        if answer.get("next"):
            _say("there are more: ask for them with --top")
    elif asked.what == "show":
        _shown(asked, client.get("dead-letters/content", name=asked.name), _show_dead_letter)
    elif asked.name is not None:
        _only_of_many(asked, "since", "until", "refused", "dry_run")
        _shown(asked, _change(client, asked, f"dead-letters/{asked.what}", name=asked.name), tables.facts)
    else:
        _dead_letters_all(client, asked)


def _show_dead_letter(told: Answer) -> None:
    tables.facts({"name": told["name"], "events": len(told["events"]), "left out": told["events_left_out"]})
    for each in told["events"]:
        print(f"\n{json.dumps(each, indent=2)}")


def _dead_letters_all(client: Client, asked: argparse.Namespace) -> None:
    route = f"dead-letters/{asked.what}"
    times = {name: at.isoformat() for name, at in (("since", asked.since), ("until", asked.until)) if at is not None}
    wanted: dict[str, object] = {"all": True, **times}
    if asked.refused:
        wanted["refused"] = asked.refused
    counted = _summed(_pages(client, route, {**wanted, "dry_run": True}, "counting"))
    if asked.dry_run or not counted["dead_letters"]:
        _shown(asked, counted, tables.facts)
        return
    _confirm(asked, f"{asked.what} {counted['dead_letters']} dead letter(s)?")
    _shown(asked, _summed(_pages(client, route, {**wanted, **_request(asked)}, asked.what)), tables.facts)


def _backfill(client: Client, asked: argparse.Namespace) -> None:
    body = {"since": asked.since.isoformat(), **_request(asked)}
    route = f"rules/{quote(asked.rule, safe='')}/backfill"
    _shown(asked, _summed(_pages(client, route, body, "backfill")), tables.facts)


# --- page by page -----------------------------------------------------------------------------------------------------


def _request(asked: argparse.Namespace) -> dict[str, object]:
    """One request for all pages, told so that it can be gone on with."""
    request = request_id(asked.request)
    times = ((name, getattr(asked, name, None)) for name in ("since", "until"))
    again = "".join(f" --{name} {at.isoformat()}" for name, at in times if at is not None)  # 24h is another time then
    _say(f"should this be interrupted, say the same with{again} --request {request}, and it goes on")
    return {"reason": asked.reason, "request": request}


def _pages(client: Client, route: str, body: Mapping[str, object], doing: str) -> Iterator[Answer]:
    """Each page's answer names where the next begins."""
    after: str | None = None
    for number in itertools.count(1):
        page = client.post(route, {**body, "after": after} if after else body)
        yield page
        after = page.get("next")
        if after is None:
            return
        _say(f"{doing}: {number} page(s), the last: {tables.cell({k: v for k, v in page.items() if type(v) is int})}")


def _summed(pages: Iterator[Answer]) -> Answer:
    numbers: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for page in pages:
        numbers.update({name: value for name, value in page.items() if type(value) is int})
        left.update(page.get("left_out") or {})
    return {**numbers, **({"left_out": dict(left)} if left else {})}


def _confirm(asked: argparse.Namespace, question: str) -> None:
    if asked.yes:
        return
    if not sys.stdin.isatty():
        raise NothingDone(f"{question} Nobody is there to say so: add --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)  # beside the answer, as all that is said
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise NothingDone("nothing was done")


def _say(text: str) -> None:
    """Beside the answer, which may be read by a program."""
    print(text, file=sys.stderr, flush=True)


_COMMANDS: Final[Mapping[str, Callable[[Client, argparse.Namespace], Any]]] = {
    "status": _status,
    "reactions": _reactions,
    "show": _show,
    "model": _model,
    "explain": _explain,
    "acts": _acts,
    "cancel": _cancel,
    "pause": _control,
    "resume": _control,
    "replay": _replay,
    "dead-letters": _dead_letters,
    "backfill": _backfill,
}
