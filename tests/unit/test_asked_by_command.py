"""The command line by itself: what it sends, what it refuses to send, and where it says what."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relearn import arguments, tables
from relearn.__main__ import main
from relearn.client import CallFailed, Client
from relearn.commands import run


class Said(Client):
    """Keeps what would be sent; everything has one page."""

    def __init__(self) -> None:
        super().__init__("https://app.example.com", "api://app", lambda: "token")
        self.sent: list[tuple[str, Any]] = []

    def post(self, route: str, body: object) -> dict[str, Any]:
        self.sent.append((route, body))
        return {"reactions": 2, "events": 3, "dead_letters": 2, "next": None}

    def post_bytes(self, route: str, content: bytes) -> dict[str, Any]:
        self.sent.append((route, content))
        return {"rules": []}


def said(*given: str) -> Said:
    client = Said()
    run(client, arguments.parser().parse_args(given))
    return client


@pytest.mark.parametrize(
    "given",
    [
        "dead-letters purge a.json --dry-run",
        "dead-letters purge a.json --since 1h",
        "dead-letters replay a.json --refused malformed",
        "replay 6fe86a780edb5a3881f6aebe-1 --dry-run",
        "replay 6fe86a780edb5a3881f6aebe-1 --state failed",
        "replay --lane a --event b --dry-run",
    ],
)
def test_one_that_is_named_is_not_tried(given: str) -> None:
    client = Said()
    with pytest.raises(CallFailed, match="only where many are meant") as failed:
        run(client, arguments.parser().parse_args([*given.split(), "--reason", "r"]))
    assert (failed.value.exit_code, client.sent) == (2, [])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def yes() -> Iterator[None]:
    """Somebody at a terminal, who says so."""
    before, sys.stdin = sys.stdin, Terminal("y\n")
    yield
    sys.stdin = before


@pytest.mark.usefixtures("yes")
def test_what_is_asked_is_beside_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    said("replay", "--since", "1h", "--reason", "r", "--json")
    told = capsys.readouterr()
    assert json.loads(told.out)["events"] == 3
    assert "replay 3 event(s) of 2 reaction(s)? [y/N]" in told.err


def test_what_is_gone_on_with_has_the_same_times(capsys: pytest.CaptureFixture[str]) -> None:
    first = said("replay", "--since", "1h", "--reason", "r", "--yes").sent[-1]
    hint = capsys.readouterr().err.partition("say the same with ")[2].partition(",")[0].split()
    assert said("replay", *hint, "--reason", "r", "--yes").sent[-1] == first
    capsys.readouterr()
    first = said("backfill", "score", "--since", "7d", "--reason", "r").sent[-1]
    hint = capsys.readouterr().err.partition("say the same with ")[2].partition(",")[0].split()
    assert said("backfill", "score", *hint, "--reason", "r").sent[-1] == first


def test_a_file_is_sent_as_it_is(tmp_path: Path) -> None:
    content = '{"id": "ü"}'.encode("utf-16")
    (tmp_path / "event.json").write_bytes(content)
    assert said("explain", str(tmp_path / "event.json")).sent == [("explain", content)]


@pytest.mark.parametrize("since", ["999999d", "0h0", "2026-11-26T08:00:00", ""])
def test_a_time_that_is_none_is_a_wrong_argument(since: str) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments.parser().parse_args(["backfill", "score", "--reason", "r", "--since", since])
    assert ended.value.code == 2


def test_an_address_that_is_none_is_a_wrong_argument() -> None:
    with pytest.raises(CallFailed) as failed:
        Client("https://[app", "api://app")
    assert failed.value.exit_code == 2


def test_nothing_that_a_terminal_would_obey_is_printed() -> None:
    assert tables.cell("in/\x1b[2J\x9bb\u202ecsv\n x") == "in/?[2J?b?csv x"


@pytest.mark.parametrize("given", [["show", ""], ["explain", "lake/\udcff.csv"], ["cancel", " ", "--reason", "r"]])
def test_what_cannot_be_sent_is_a_wrong_argument(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*given, "--app", "https://app.example.com", "--audience", "api://app"])
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err
