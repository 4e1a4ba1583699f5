"""Dead letters and backfill by operators: through the API's own functions, each request also delivered twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

from shared.settings import DEAD_LETTER_CONTAINER
from tests.scenarios.stage import RULES, Stage
from tests.scenarios.test_operators import ONCE_AND_TWICE, asked, send

pytestmark = pytest.mark.cloud
LATE = {"deadLetterReason": "MaxDeliveryAttemptsExceeded", "deliveryAttempts": 30, "lastDeliveryOutcome": "NotFound"}


def dead(stage: Stage, name: str, *events: str) -> str:
    """Event Grid gives up these events."""
    content = json.dumps([{**json.loads(event), **LATE} for event in events])
    with BlobServiceClient(stage.account.blob, credential=stage.credential) as service:
        service.get_blob_client(DEAD_LETTER_CONTAINER, name).upload_blob(content)
    return name


def names(stage: Stage) -> dict[str, str]:
    listed = stage.get("dead-letters")[1]["dead_letters"]
    return {each["name"]: each["refused"] for each in listed}


def unmatched(stage: Stage) -> str:
    return stage.land("elsewhere/a.csv")


def test_dead_letters_are_listed_and_shown_with_what_event_grid_says(stage: Stage) -> None:
    dead(stage, "t/s/2026/11/26/8/a.json", stage.land("in/b1/a.csv"), unmatched(stage))
    assert names(stage) == {"t/s/2026/11/26/8/a.json": "not read yet"}
    status, told = stage.get("dead-letters/content", name="t/s/2026/11/26/8/a.json")
    assert (status, told["events_left_out"], len(told["events"])) == (200, 0, 2)
    first = told["events"][0]
    assert {name: first[name] for name in LATE} == LATE
    assert first["event"]["eventType"] == "Microsoft.Storage.BlobCreated"
    assert not LATE.keys() & first["event"].keys()
    assert stage.get("dead-letters/content", name="nothing")[0] == 404
    assert stage.get("dead-letters/content")[0] == 400


@ONCE_AND_TWICE
def test_one_is_taken_in_once_more_and_goes(stage: Stage, copies: int) -> None:
    name = dead(stage, "a.json", stage.land("in/b1/a.csv"))
    told = send(stage, copies, "dead-letters/replay", asked(name=name))
    assert told == {"name": name, "refused": []}
    stage.settle(stage.all_final)
    assert (stage.states(), names(stage), len(stage.starts())) == (["succeeded"], {}, 1)
    assert stage.post("dead-letters/replay", asked(name=name))[0] == 404


@ONCE_AND_TWICE
def test_one_with_an_event_that_is_refused_stays_until_the_rules_take_it(stage: Stage, copies: int) -> None:
    name = dead(stage, "a.json", stage.land("in/b1/a.csv"), unmatched(stage))
    told = send(stage, copies, "dead-letters/replay", asked(name=name))
    assert told["refused"] == ["unmatched: no rule waits for it"]
    assert names(stage) == {name: "unmatched: no rule waits for it"}
    stage.settle(stage.all_final)
    stage.restart(
        RULES + RULES.partition("reactions:\n")[2].replace("score:", "other:").replace("in/{batch}", "{batch}")
    )
    assert send(stage, copies, "dead-letters/replay", asked(name=name))["refused"] == []
    stage.settle(lambda: len(stage.starts()) == 2 and stage.all_final())
    assert names(stage) == {}
    stage.settle()
    assert len(stage.starts()) == 2


@ONCE_AND_TWICE
def test_those_of_a_filter_are_counted_then_thrown_away(stage: Stage, copies: int) -> None:
    good = dead(stage, "good.json", stage.land("in/b1/a.csv"))
    for number in range(3):
        stage.post("dead-letters/replay", asked(name=dead(stage, f"bad{number}.json", unmatched(stage))))
    body = asked(all=True, refused="unmatched")
    assert stage.post("dead-letters/purge", {**body, "dry_run": True})[1]["dead_letters"] == 3
    assert len(names(stage)) == 4
    assert send(stage, copies, "dead-letters/purge", body)["dead_letters"] == 3
    assert names(stage) == {good: "not read yet"}
    assert send(stage, copies, "dead-letters/replay", asked(all=True))["taken_in"] == 1
    assert send(stage, copies, "dead-letters/purge", asked(name=dead(stage, "c.json", unmatched(stage))))["purged"]
    assert names(stage) == {}


def test_many_are_meant_only_if_that_is_said(stage: Stage) -> None:
    name = dead(stage, "a.json", unmatched(stage))
    for body in ({}, {"name": name, "all": True}, {"all": "yes"}, {"refused": "x"}):
        assert stage.post("dead-letters/purge", asked(**body))[0] == 400
    assert stage.post("dead-letters/purge", asked(all=True, since="soon"))[0] == 400
    assert stage.call("POST", "dead-letters/purge", role="Relearn.Reader", body=asked(all=True))[0] == 403
    later = (stage.clock.now() + timedelta(hours=1)).isoformat()
    assert stage.post("dead-letters/purge", asked(all=True, since=later))[1]["dead_letters"] == 0
    assert names(stage) == {name: "not read yet"}


@ONCE_AND_TWICE
def test_a_rules_files_are_taken_in_from_the_lake(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = stage_with(rules=RULES.replace('{by: "{batch}"}', '{by: "{batch}", quiet: 30s}'))
    for number in range(3):
        stage.land(f"in/b1/{number}.csv")
    body: dict[str, Any] = asked(since=(stage.clock.now() - timedelta(hours=1)).isoformat())
    told = send(stage, copies, "rules/score/backfill", body)
    assert (told["matched"], told["new"], told["known"], told["next"]) == (3, 3, 0, None)
    again = send(stage, copies, "rules/score/backfill", {**body, "request": "another-one"})
    assert (again["new"], again["known"]) == (0, 3)
    stage.settle(stage.all_final)
    assert [(r["state"], r["event_count"]) for r in stage.reactions()] == [("succeeded", 3)]


def test_what_cannot_be_backfilled_says_why(stage: Stage) -> None:
    since = (stage.clock.now() - timedelta(hours=1)).isoformat()
    assert stage.post("rules/nobodys/backfill", asked(since=since))[0] == 404
    assert stage.post("rules/score/backfill", asked())[0] == 400
    status, told = stage.post("rules/score/backfill", asked(since=since, after="nonsense"))
    assert (status, bool(told["what_to_do"])) == (409, True)
