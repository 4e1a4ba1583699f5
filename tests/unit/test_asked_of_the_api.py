"""What is sent to the API: what cannot be meant changes nothing, and a trial is never the real thing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest

from functions import api
from functions.api import BadRequest
from shared import wiring
from shared.acts import Acts
from shared.replays import Replays
from shared.undelivered import SHOWN, TAKEN_IN, Undelivered
from tests.callers import OPERATOR, http_function, principal
from tests.fakes import FakeDeadLetters
from tests.world import World, rules_of

ASKED = {"reason": "why", "request": "12345678"}


class Desk:
    def __init__(self) -> None:
        self.world = World()
        self.letters = FakeDeadLetters()
        self.letters.put("a.json", json.dumps([{"id": "1"}]))
        self.app: Any = SimpleNamespace(
            platform_authenticates=True,
            clock=self.world.clock,
            rules=rules_of(self.world.rules),
            acts=Acts(recent=self.world.recent, clock=self.world.clock),
            undelivered=Undelivered(letters=self.letters, intake=self.world.intake),
            replays=Replays(
                rules=rules_of(self.world.rules),
                lanes=self.world.lanes,
                recent=self.world.recent,
                scheduler=self.world.scheduler,
                clock=self.world.clock,
            ),
        )

    def post(self, route: str, **body: object) -> tuple[int, Any]:
        handler, captured = http_function("POST", route)
        sent = json.dumps({**ASKED, **body}).encode()
        told = handler(
            func.HttpRequest(
                "POST", f"/api/{route}", headers=principal(OPERATOR), route_params=captured, params={}, body=sent
            )
        )
        return told.status_code, json.loads(told.get_body())


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    wiring.use(made.app)
    yield made
    wiring.use(None)


@pytest.mark.parametrize(
    "body",
    [
        {"name": "a.json", "dry_run": True},
        {"name": "a.json", "dry_run": "yes"},
        {"all": True, "dry_run": "true"},
        {"all": True, "dry_run": 1},
        {"all": True, "refusd": "malformed"},
        {"all": True, "Until": "2026-11-26T08:00:00Z"},
        {"name": "a.json", "since": "2026-11-26T08:00:00Z"},
        {"name": "a.json", "refused": "malformed"},
        {"all": True, "refused": "x" * 20_000},
        {"all": True, "since": "0001-01-01T00:00:00+23:59"},
    ],
)
@pytest.mark.parametrize("do", ["purge", "replay"])
def test_dead_letters_stay_where_it_is_not_clear_that_they_are_meant(desk: Desk, do: str, body: dict[str, Any]) -> None:
    status, told = desk.post(f"dead-letters/{do}", **body)
    assert (status, bool(told["what_to_do"])) == (400, True)
    assert desk.letters.blobs["a.json"][0].refused is None
    assert desk.app.acts.listed(1) == []


def test_a_trial_counts_and_is_no_change(desk: Desk) -> None:
    assert desk.post("dead-letters/purge", all=True, dry_run=True) == (
        200,
        {"dead_letters": 1, "next": None, "dry_run": True},
    )
    assert desk.post("dead-letters/purge", all=True, dry_run=False)[1]["dead_letters"] == 1
    assert desk.letters.blobs == {}


@pytest.mark.parametrize(
    "more", [{"after": "nonsense"}, {"after": "2026-11-26/x"}, {"dry_run": "no"}, {"rul": "score"}]
)
def test_a_replay_of_many_is_refused_for_what_it_does_not_know(desk: Desk, more: dict[str, Any]) -> None:
    now = desk.world.clock.now()
    times = {"since": now.replace(hour=0).isoformat(), "until": now.isoformat()}
    assert desk.post("replays", **times)[0] == 200
    assert desk.post("replays", **times, **more)[0] == 400


def test_thirty_days_back_may_have_been_told_a_while_ago(desk: Desk) -> None:
    now = desk.world.clock.now()
    for days, status in ((30.5, 200), (31.5, 400)):
        times = {"since": (now - timedelta(days=days)).isoformat(), "until": now.isoformat()}
        assert desk.post("replays", **times, dry_run=True)[0] == status


@pytest.mark.parametrize(
    "route", ["reactions/x/cancel", "reactions/x/replay", "controls/pause", "rules/score/backfill"]
)
def test_what_cannot_be_tried_says_so(desk: Desk, route: str) -> None:
    status, told = desk.post(route, dry_run=True)
    assert (status, told["error"]) == (400, "this cannot be tried without being done")


def test_a_dead_letter_with_many_refused_events_is_answered_with_some_of_them(desk: Desk) -> None:
    desk.letters.put("many.json", json.dumps([{"id": str(number)} for number in range(2000)]))
    status, told = desk.post("dead-letters/replay", name="many.json")
    assert (status, len(told["refused"]), told["refused_more"]) == (200, SHOWN, 2000 - SHOWN)
    [act] = desk.app.acts.listed(1)
    assert len(act.answer) < 32 * 1024  # or the table would not keep it


def test_a_time_is_told_in_utc_or_is_none() -> None:
    found = api.moment("2026-11-26T00:30:00+02:00", "since")
    assert found is not None
    assert found.isoformat() == "2026-11-25T22:30:00+00:00"
    for wrong in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-26T08:00:00", "soon"):
        with pytest.raises(BadRequest):
            api.moment(wrong, "since")


def test_what_takes_long_goes_by_short_pages(desk: Desk) -> None:
    for number in range(2 * TAKEN_IN):
        desk.letters.put(f"b{number:02}.json", json.dumps({"id": str(number)}))
    pages = [desk.post("dead-letters/replay", all=True)[1]]
    while pages[-1]["next"] is not None:
        pages.append(desk.post("dead-letters/replay", all=True, after=pages[-1]["next"])[1])
    assert [page["stay"] for page in pages] == [TAKEN_IN, TAKEN_IN, 1]
    assert desk.post("dead-letters/replay", all=True)[1] == {**pages[0], "repeated": True}
