"""What operators have done: each through the API's own functions, each request also delivered twice."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.scenarios.stage import PIPELINE, RULES, Stage

pytestmark = pytest.mark.cloud

ONCE_AND_TWICE = pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
FAILING: dict[str, Any] = {
    **PIPELINE,
    "properties": {
        **PIPELINE["properties"],  # type: ignore[dict-item]
        "activities": [{"name": "No", "type": "Fail", "typeProperties": {"message": "no luck", "errorCode": "7"}}],
    },
}
WAITING: dict[str, Any] = {
    **PIPELINE,
    "properties": {
        **PIPELINE["properties"],  # type: ignore[dict-item]
        "activities": [{"name": "Sit", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 3600}}],
    },
}


def asked(reason: str = "the reason", **more: object) -> dict[str, object]:
    return {"reason": reason, "request": str(uuid.uuid4()), **more}


def send(stage: Stage, copies: int, route: str, body: object) -> dict[str, Any]:
    """The same request so many times: the answer is the same, but says that it is repeated."""
    first, *others = [stage.post(route, body) for _ in range(copies)]
    assert first[0] == 200, first
    assert all(other == (200, {**first[1], "repeated": True}) for other in others)
    found: dict[str, Any] = first[1]
    return found


def operators(stage: Stage, reaction: str) -> list[str]:
    history = stage.get(f"reactions/{reaction}")[1]["history"]
    return [line["reason"] for line in history if line["what"] == "operator"]


# --- cancel -----------------------------------------------------------------------------------------------------------


@ONCE_AND_TWICE
def test_what_runs_is_cancelled_outside_too(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = stage_with(pipelines=(WAITING,))
    stage.deliver(stage.land("in/b1/a.csv"))
    [reaction] = stage.reactions()
    assert (reaction["state"], len(stage.running())) == ("running", 1)
    told = send(stage, copies, f"reactions/{reaction['id']}/cancel", asked("wrong file"))
    assert (told["was"], told["reaction"]) == ("running", reaction["id"])
    stage.settle(stage.all_final)
    [after] = stage.reactions()
    assert after["state"] == "cancelled"
    assert "cancelled by ada@example.com: wrong file" in after["reason"]
    assert stage.running() == []
    assert operators(stage, reaction["id"]) == ["ada@example.com: cancelled: wrong file"]
    stage.settle()
    assert len(stage.starts()) == 1
    status, told = stage.post(f"reactions/{reaction['id']}/cancel", asked())
    assert (status, "is cancelled since" in told["error"], told["what_to_do"][:9]) == (409, True, "replay it")


@ONCE_AND_TWICE
def test_what_waits_for_its_next_attempt_is_not_started_again(stage_with: Callable[..., Stage], copies: int) -> None:
    rules = RULES + "    retry: {attempts: 3, backoff: 3m}\n"
    stage = stage_with(pipelines=(FAILING,), rules=rules)
    stage.deliver(stage.land("in/b1/a.csv"))
    stage.settle(lambda: stage.states() == ["pending"])
    [reaction] = stage.reactions()
    send(stage, copies, f"reactions/{reaction['id']}/cancel", asked())
    stage.settle()
    assert stage.states() == ["cancelled"]
    assert len(stage.starts()) == 1
    assert stage.get(f"reactions/{reaction['id']}")[1]["history"][-1]["reason"].endswith("nothing was running")


# --- replay -----------------------------------------------------------------------------------------------------------


@ONCE_AND_TWICE
def test_a_reactions_events_are_acted_on_once_more(stage: Stage, copies: int) -> None:
    stage.deliver(stage.land("in/b1/a.csv"))
    stage.settle(stage.all_final)
    [first] = stage.reactions()
    stage.clock.advance(timedelta(seconds=1))
    told = send(stage, copies, f"reactions/{first['id']}/replay", asked("the pipeline was wrong"))
    assert (told["replayed"], told["new"], told["left_out"]) == (1, 1, 0)
    stage.settle(lambda: stage.states() == ["succeeded", "succeeded"])
    stage.settle()
    second = stage.reactions()[-1]
    assert len(stage.starts()) == 2
    [event] = stage.get(f"reactions/{second['id']}")[1]["events"]
    assert event["path"] == "in/b1/a.csv"
    assert event["replay"].endswith(": ada@example.com: the pipeline was wrong")
    assert operators(stage, first["id"]) == ["ada@example.com: replayed: the pipeline was wrong"]
    # Another request is another replay.
    assert send(stage, copies, f"reactions/{first['id']}/replay", asked())["new"] == 1
    stage.settle(lambda: len(stage.starts()) == 3)


@ONCE_AND_TWICE
def test_a_skipped_event_is_acted_on_although_its_time_was_over(stage: Stage, copies: int) -> None:
    old = json.loads(stage.land("in/b1/a.csv"))
    old["eventTime"] = (stage.clock.now() - timedelta(days=40)).isoformat()
    stage.deliver(json.dumps(old))
    stage.settle()
    [told] = stage.get("explain", path="lake/in/b1/a.csv")[1]["rules"]
    assert (told["state"], told["reason"], stage.reactions()) == ("skipped", "too-old", [])
    key = stage.get("explain", path="lake/in/b1/a.csv")[1]["key"]
    send(stage, copies, f"lanes/{told['lane']}/events/{key}/replay", asked("it came back from the archive"))
    stage.settle(stage.all_final)
    stage.settle()
    assert (stage.states(), len(stage.starts())) == (["succeeded"], 1)


@ONCE_AND_TWICE
def test_a_replay_by_filter_counts_first_and_takes_what_the_filter_takes(
    stage_with: Callable[..., Stage], copies: int
) -> None:
    stage = stage_with(pipelines=(FAILING,))
    since = stage.clock.now()
    stage.deliver(*(stage.land(f"in/b{n}/a.csv") for n in range(3)))
    stage.settle(stage.all_final)
    stage.factory.publish(PIPELINE)
    stage.deliver(stage.land("in/b9/a.csv"))
    stage.settle(stage.all_final)
    stage.clock.advance(timedelta(seconds=5))
    body = asked(since=since.isoformat(), until=stage.clock.now().isoformat(), state="failed", rule="score")
    status, counted = stage.post("replays", {**body, "dry_run": True})
    assert (status, counted["reactions"], counted["events"], counted["next"]) == (200, 3, 3, None)
    assert len(stage.starts()) == 4
    told = send(stage, copies, "replays", body)
    assert (told["reactions"], told["events"], told["new"]) == (3, 3, 3)
    stage.settle(lambda: sorted(stage.states()) == ["failed"] * 3 + ["succeeded"] * 4)
    stage.settle()
    assert len(stage.starts()) == 7


def test_what_cannot_be_replayed_says_why(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(pipelines=(WAITING,))
    stage.deliver(stage.land("in/b1/a.csv"))
    [reaction] = stage.reactions()
    status, told = stage.post(f"reactions/{reaction['id']}/replay", asked())
    assert (status, "is running" in told["error"], "cancel it first" in told["what_to_do"]) == (409, True, True)
    assert stage.post(f"reactions/{'0' * 24}-1/replay", asked())[0] == 404
    assert stage.post("reactions/nonsense/cancel", asked())[0] == 404
    assert stage.post(f"lanes/{'0' * 24}/events/{'0' * 32}/replay", asked())[0] == 404
    assert stage.post("lanes/x/events/y/replay", asked())[0] == 400
    stage.post(f"reactions/{reaction['id']}/cancel", asked())
    stage.settle(stage.all_final)
    stage.restart(RULES.replace("lake/in/", "lake/elsewhere/"))
    status, told = stage.post(f"reactions/{reaction['id']}/replay", asked())
    assert (status, "was changed and does not take it" in told["error"]) == (409, True)


# --- pause and resume -------------------------------------------------------------------------------------------------


@ONCE_AND_TWICE
@pytest.mark.parametrize("what", [{"rule": "score"}, {"all": True}], ids=["rule", "all"])
def test_who_paused_what_is_told_until_it_is_resumed(stage: Stage, copies: int, what: dict[str, object]) -> None:
    pause = asked("the factory is being changed", **what)
    told = send(stage, copies, "controls/pause", pause)
    [found] = told["paused"] or [told["all_starts"]]
    assert (found["by"], found["reason"]) == ("ada@example.com", "the factory is being changed")
    assert stage.get("controls")[1] == told
    resumed = send(stage, copies, "controls/resume", asked(**what))
    assert (resumed["all_starts"], resumed["paused"]) == (None, [])
    assert "the factory is being changed" in resumed["was"]
    # The first request arrives once more, late: it was done, and is not done again.
    assert stage.post("controls/pause", pause)[1]["repeated"]
    assert stage.get("controls")[1] == {"all_starts": None, "paused": []}
    acts = stage.get("acts")[1]["acts"]
    assert sorted(act["what"].split()[0] for act in acts) == ["pause", "resume"]
    assert {act["by"] for act in acts} == {"ada@example.com"}


# --- what is asked of every change ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "needs a reason"),
        ({"reason": " ", "request": "12345678"}, "needs a reason"),
        ({"reason": "a\nb", "request": "12345678"}, "needs a reason"),
        ({"reason": "x" * 501, "request": "12345678"}, "needs a reason"),
        ({"reason": 7, "request": "12345678"}, "reason must be a text"),
        ({"reason": "x"}, "needs a request id"),
        ({"reason": "x", "request": "short"}, "needs a request id"),
        ({"reason": "x", "request": "1234 5678"}, "needs a request id"),
        ([], "not a JSON object"),
    ],
)
def test_a_change_says_why_and_which_request_it_is(stage: Stage, body: object, error: str) -> None:
    status, told = stage.post("controls/pause", body)
    assert (status, error in told["error"], bool(told["what_to_do"])) == (400, True, True)
    assert stage.get("controls")[1] == {"all_starts": None, "paused": []}


@pytest.mark.parametrize(
    "what", [{}, {"rule": "score", "all": True}, {"all": "yes"}, {"all": False}], ids=["nothing", "both", "text", "no"]
)
def test_all_starts_are_stopped_only_if_that_is_said(stage: Stage, what: dict[str, object]) -> None:
    assert stage.post("controls/pause", asked(**what))[0] == 400
    assert stage.post("controls/pause", asked(rule="nobodys"))[0] == 404


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"since": "yesterday"}, 400),
        ({"since": "2026-11-26T08:00:00"}, 400),
        ({"until": None}, 400),
        ({"until": "2999-01-01T00:00:00Z"}, 400),
        ({"since": "2020-01-01T00:00:00Z"}, 400),
        ({"state": "lost"}, 400),
        ({"rule": "nobodys"}, 404),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(stage: Stage, change: dict[str, object], status: int) -> None:
    now = stage.clock.now()
    body = asked(since=(now - timedelta(hours=1)).isoformat(), until=now.isoformat())
    assert stage.post("replays", {**body, **change})[0] == status
    assert stage.post("replays", body)[0] == 200


def test_readers_and_nobody_change_nothing(stage: Stage) -> None:
    assert stage.call("POST", "controls/pause", role="Relearn.Reader", body=asked(all=True))[0] == 403
    assert stage.call("POST", "controls/pause", role=None, body=asked(all=True))[0] == 401
    assert stage.get("controls", role="Relearn.Approver")[1] == {"all_starts": None, "paused": []}
    assert stage.get("controls", role=None)[0] == 401


# --- explain ----------------------------------------------------------------------------------------------------------

TWO = (
    RULES
    + """\
  score-models:
    when: {model-registered: {model: "clf", tags: {stage: candidate}}}
    run-pipeline: score
    with: {batch: "{version}"}
  gather:
    when: {file-landed: {path: "lake/in/{batch}/*.csv", exclude: ["_*"]}}
    collect: {by: "{batch}", all-of: [a.csv, b.csv]}
    run-pipeline: score
    with: {batch: "{batch}"}
"""
)


def test_explain_says_of_each_rule_what_became_of_a_file(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(rules=TWO)
    event = stage.land("in/b1/a.csv")
    stage.deliver(event)
    stage.settle(stage.all_final)
    status, told = stage.get("explain", path="lake/in/b1/a.csv")
    assert status == 200
    by_rule = {rule["rule"]: rule for rule in told["rules"]}
    assert (by_rule["score"]["state"], by_rule["score"]["reaction_state"]) == ("taken", "succeeded")
    assert by_rule["score"]["reaction"] == stage.reactions()[0]["id"]
    assert by_rule["score-models"]["why_not"] == "it waits for model-registered, and this is file-landed"
    assert (by_rule["gather"]["state"], by_rule["gather"]["waits"]) == ("pending", "waiting for b.csv")
    assert stage.call("POST", "explain", role="Relearn.Reader", body=json.loads(event))[1]["rules"] == told["rules"]


def test_explain_says_what_was_never_taken_in(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(rules=TWO)
    event = json.loads(stage.land("in/b1/_a.csv"))
    told = stage.get("explain", path="lake/in/b1/_a.csv")[1]
    by_rule = {rule["rule"]: rule for rule in told["rules"]}
    assert by_rule["gather"]["why_not"] == "excluded by _*"
    assert (by_rule["score"]["state"], "never came" in told["outcome"]) == (None, True)
    elsewhere = stage.get("explain", path="secrets/in/b1/a.csv")[1]
    assert elsewhere["note"] == "no rule waits for files of container secrets"
    assert not any(rule["matches"] for rule in elsewhere["rules"])
    gone = stage.get("explain", path="lake/in/b1/gone.csv")[1]
    assert "not there now" in gone["note"]
    assert [rule["matches"] for rule in gone["rules"]] == [True, False, True]
    refused = stage.call("POST", "explain", role="Relearn.Reader", body={**event, "eventType": "Nobody.Knows"})[1]
    assert (refused["refused"], refused["rules"]) == ("unknown-type", [])
    assert stage.get("explain")[0] == 400
    assert stage.get("explain", path="lake")[0] == 400
    assert stage.get("explain", path="lake/x", account="foreign")[0] == 400


def test_explain_tells_of_a_pause(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(rules=TWO)
    stage.deliver(stage.land("in/b1/a.csv"))
    stage.post("controls/pause", asked("holiday", rule="gather"))
    by_rule = {rule["rule"]: rule for rule in stage.get("explain", path="lake/in/b1/a.csv")[1]["rules"]}
    assert "rule gather is paused by ada@example.com" in by_rule["gather"]["waits"]
