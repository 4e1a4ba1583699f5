"""What the command line takes."""

from __future__ import annotations

import argparse
import os
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

_SPAN: Final = re.compile(r"(\d{1,6})([mhd])")
_UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def parser() -> argparse.ArgumentParser:
    every = argparse.ArgumentParser(add_help=False)
    every.add_argument("--app", default=os.environ.get("RELEARN_APP_URL"), help="the app's address; RELEARN_APP_URL")
    every.add_argument(
        "--audience", default=os.environ.get("RELEARN_API_AUDIENCE"), help="of its tokens; RELEARN_API_AUDIENCE"
    )
    every.add_argument("--json", action="store_true", help="print the app's answer as JSON")
    change = argparse.ArgumentParser(add_help=False, parents=[every])
    change.add_argument("--reason", required=True, help="why; it is kept with your name")
    change.add_argument(
        "--request", default=None, help="the id of a request that was sent before: it is then the same one"
    )
    made = argparse.ArgumentParser(prog="python -m relearn", description="Asks a Relearn app, and has it do things.")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _reading(commands, every)
    _changing(commands, change)
    _filtered(commands, change)
    _dead_letters(commands, every, change)
    return made


def _reading(commands: argparse._SubParsersAction[argparse.ArgumentParser], every: argparse.ArgumentParser) -> None:
    commands.add_parser("status", parents=[every], help="whether the app is in order, and what is paused")
    found = commands.add_parser("reactions", parents=[every], help="reactions of the last days, newest first")
    found.add_argument("--days", type=int, default=1)
    found.add_argument("--rule")
    found.add_argument("--state")
    found.add_argument("--top", type=int, default=100)
    show = commands.add_parser("show", parents=[every], help="one reaction, with its history")
    show.add_argument("id")
    model = commands.add_parser("model", parents=[every], help="where a model comes from, and where it is live")
    model.add_argument("name")
    model.add_argument("version")
    explain = commands.add_parser("explain", parents=[every], help="what became of a file or an event, and why")
    explain.add_argument("what", help="CONTAINER/PATH of a file, or a local file of one event (FILE.json; - for stdin)")
    explain.add_argument("--account", help="the storage account, where the app has several")
    acts = commands.add_parser("acts", parents=[every], help="who had what done")
    acts.add_argument("--days", type=int, default=1)


def _changing(commands: argparse._SubParsersAction[argparse.ArgumentParser], change: argparse.ArgumentParser) -> None:
    cancel = commands.add_parser("cancel", parents=[change], help="end a reaction, and what it has started")
    cancel.add_argument("id")
    for name, what in (
        ("pause", "stop the starts of a rule, or all; events still come in"),
        ("resume", "let it go on"),
    ):
        control = commands.add_parser(name, parents=[change], help=what)
        which = control.add_mutually_exclusive_group(required=True)
        which.add_argument("rule", nargs="?")
        which.add_argument("--all", action="store_true")


def _filtered(commands: argparse._SubParsersAction[argparse.ArgumentParser], change: argparse.ArgumentParser) -> None:
    replay = commands.add_parser("replay", parents=[change], help="have events acted on once more")
    replay.add_argument("id", nargs="?", help="a reaction: all of its events")
    replay.add_argument("--lane", help="with --event: one event, as explain names both")
    replay.add_argument("--event")
    replay.add_argument("--since", type=moment, help="all reactions made since: 24h, 7d, or 2026-11-26T08:00:00Z")
    replay.add_argument("--until", type=moment)
    replay.add_argument("--rule")
    replay.add_argument("--state")
    replay.add_argument("--dry-run", action="store_true", help="count only")
    replay.add_argument("--yes", action="store_true", help="do not ask before a replay of many")

    backfill = commands.add_parser("backfill", parents=[change], help="take in files of the lake that a rule missed")
    backfill.add_argument("rule")
    backfill.add_argument("--since", type=moment, required=True, help="files that landed since: 24h, 7d, or a time")


def _dead_letters(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    every: argparse.ArgumentParser,
    change: argparse.ArgumentParser,
) -> None:
    letters = commands.add_parser("dead-letters", help="what Event Grid could not deliver")
    done = letters.add_subparsers(dest="what", required=True, metavar="list|show|replay|purge")
    listed = done.add_parser("list", parents=[every], help="their names, and why they stay")
    listed.add_argument("--top", type=int, default=100)
    show = done.add_parser("show", parents=[every], help="the events of one")
    show.add_argument("name")
    for name, what in (("replay", "have them taken in once more"), ("purge", "throw them away")):
        act = done.add_parser(name, parents=[change], help=what)
        which = act.add_mutually_exclusive_group(required=True)
        which.add_argument("name", nargs="?")
        which.add_argument("--all", action="store_true", help="all that the filter takes")
        act.add_argument("--since", type=moment)
        act.add_argument("--until", type=moment)
        act.add_argument("--refused", help="a part of the reason why they stay")
        act.add_argument("--dry-run", action="store_true", help="count only")
        act.add_argument("--yes", action="store_true", help="do not ask before many are taken")


def moment(text: str) -> datetime:
    """A time with its zone, or so long ago.

    Raises:
        argparse.ArgumentTypeError: the text is neither.
    """
    span = _SPAN.fullmatch(text)
    try:
        if span is not None:
            return datetime.now(UTC) - int(span[1]) * _UNITS[span[2]]
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        found = None
    if found is None or found.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} is neither 90m, 24h or 7d, nor a time such as 2026-11-26T08:00:00Z")
    return found


def unfit(value: object) -> str | None:
    """Why an argument cannot be sent; None where it can, or is no text."""
    if not isinstance(value, str):
        return None
    if not value.strip():
        return "is empty"
    try:
        value.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8
        return "is not a text"
    return None


def request_id(given: str | None) -> str:
    return given or str(uuid.uuid4())
