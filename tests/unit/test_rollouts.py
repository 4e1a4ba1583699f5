"""Rollouts on the fakes: a registered model goes live once, if it passes the gate and is the one that is next."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import InDoubt, TargetBusy, TargetUnavailable
from shared.models import ModelRef, deployment_name
from tests.endpoint import (
    D1,
    D2,
    D3,
    ENDPOINT,
    GOOD,
    MINUTE,
    RULES,
    V1,
    V2,
    candidate,
    failing,
    in_phase,
    skipped,
    standing,
    with_live,
    world,
)
from tests.fakes import T0, registered

# --- live -------------------------------------------------------------------------------------------------------------


def test_the_first_model_goes_live_without_a_comparison() -> None:
    made = world()
    made.workspace.register("clf", "1", Accuracy="0.5")
    made.deliver(registered("clf", "1"))
    made.settle()
    [reaction] = made.reactions()
    reasons = [entry.reason for entry in made.lanes.history(reaction.id)]
    assert (str(reaction.state), standing(made)) == ("succeeded", ([D1], {D1: 100}))
    assert any("first-model" in reason for reason in reasons)
    assert made.notifier.kinds == ["ModelPromoted"]
    assert made.permits.held["endpoint:ep1"] == {}


def test_a_better_model_takes_all_traffic_and_the_one_before_is_removed() -> None:
    made = with_live()
    candidate(made)
    made.settle()
    assert made.states() == ["succeeded", "succeeded"]
    assert standing(made) == ([D2], {D2: 100})
    assert made.workspace.writes == [f"create {D2}", f"traffic {{'{D2}': 100}}", f"delete {D1}"]
    reaction = made.reactions()[-1]
    tags = made.workspace.endpoints[ENDPOINT][D2].deployment.tags
    assert (tags["relearn_reaction"], tags["model"], tags["version"]) == (reaction.id, "clf", "2")


def test_the_one_before_is_kept_as_long_as_the_rule_says() -> None:
    made = with_live(RULES.replace("keep-previous: 10s", "keep-previous: 7m"))
    candidate(made)
    while standing(made)[1] != {D2: 100}:
        assert made.look_when_due()
    promoted = made.clock.now()
    while D1 in standing(made)[0]:
        assert made.look_when_due()
    assert made.clock.now() >= promoted + timedelta(minutes=7)


def test_a_model_is_live_when_aml_has_done_with_its_endpoint() -> None:
    made = with_live()
    made.workspace.update = timedelta(minutes=10)
    candidate(made)
    while not in_phase(made, "traffic"):
        assert made.look_when_due()
    asked = made.clock.now()
    while not in_phase(made, "retiring"):
        assert made.look_when_due()
    assert made.clock.now() >= asked + timedelta(minutes=10)


def test_production_is_not_touched_before_the_smoke_test_has_passed() -> None:
    made = with_live()
    candidate(made)
    seen = []
    made.workspace.hooks["score"] = lambda: seen.append(dict(made.workspace.traffic[ENDPOINT]))
    made.settle()
    assert seen == [{D1: 100}]


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_a_model_registered_is_deployed_once(copies: int) -> None:
    made = with_live()
    for _ in range(copies):
        candidate_event = registered("clf", "2")
        made.workspace.register("clf", "2", made.clock.now() + MINUTE, **GOOD)
        made.deliver(candidate_event)
    made.settle()
    made.deliver(registered("clf", "2"))
    made.settle()
    assert made.workspace.writes.count(f"create {D2}") == 1


def test_the_event_of_another_model_or_tag_matches_no_rule() -> None:
    made = world()
    made.workspace.register("clf", "1")
    made.deliver(registered("clf", "1", tags={"stage": "archive"}), registered("clf2", "1"))
    made.settle()
    assert made.reactions() == []
    assert made.recent.counts == {"unmatched": 2}


# --- the gate ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({**GOOD, "Accuracy": "0.7819"}, "at least 0.002 is needed"),
        ({**GOOD, "Accuracy": "0.70"}, "-0.0800"),
        ({k: v for k, v in GOOD.items() if k != "Accuracy"}, "Accuracy: the candidate was registered with no such"),
        ({k: v for k, v in GOOD.items() if k != "live__Accuracy"}, "live.Accuracy: the candidate was registered with"),
        ({**GOOD, "Accuracy": "very good"}, "which is no number"),
        ({**GOOD, "Accuracy": "NaN"}, "which is no number"),
        ({k: v for k, v in GOOD.items() if k != "live__version"}, "was not compared with clf:1"),
        ({**GOOD, "live__version": "0"}, "stale comparison: the candidate was compared with clf:0"),
        ({**GOOD, "live__name": "other"}, "stale comparison"),
    ],
)
def test_the_gate_refuses_and_nothing_is_made(properties: dict[str, str], said: str) -> None:
    made = with_live()
    candidate(made, **properties)
    made.settle()
    reaction = made.reactions()[-1]
    assert (str(reaction.state), made.workspace.writes) == ("refused", [])
    assert said in reaction.reason
    assert made.notifier.kinds == ["ReactionRefused"]
    assert made.permits.held["endpoint:ep1"] == {}


def test_the_gate_reads_decimals_as_they_are_written() -> None:
    made = with_live()
    candidate(made, **{**GOOD, "Accuracy": "0.782", "live__Accuracy": "0.780"})  # as floats this is less than 0.002
    made.settle()
    assert made.states()[-1] == "succeeded"


def test_a_model_that_was_deleted_meanwhile_is_skipped() -> None:
    made = world()
    made.deliver(registered("clf", "1"))
    made.settle()
    assert (made.reactions(), skipped(made)) == ([], ["model-gone"])


def test_a_model_that_was_archived_meanwhile_is_skipped_at_once() -> None:
    made = world()
    model = made.workspace.register("clf", "1")
    made.workspace.models[V1] = replace(model, archived=True)
    made.deliver(registered("clf", "1"))
    assert (made.reactions(), skipped(made)) == ([], ["model-gone"])


def test_an_event_that_is_quicker_than_the_workspace_waits_for_it() -> None:
    made = world()
    made.deliver(registered("clf", "1"))
    made.clock.advance(MINUTE)
    assert (made.reactions(), skipped(made)) == ([], [])
    made.workspace.register("clf", "1")
    made.settle()
    assert (made.states(), standing(made)) == (["succeeded"], ([D1], {D1: 100}))


def test_a_version_that_is_live_already_is_skipped() -> None:
    made = world()
    made.workspace.serve(ENDPOINT, "blue", V1)
    made.workspace.register("clf", "1")
    made.deliver(registered("clf", "1"))
    made.settle()
    assert (made.reactions(), skipped(made)) == ([], ["already-live"])


# --- which version ----------------------------------------------------------------------------------------------------


def test_an_older_version_that_comes_late_is_skipped() -> None:
    made = with_live()
    made.workspace.register("clf", "9", T0 - MINUTE, **GOOD)  # by its text it would be the newest
    made.deliver(registered("clf", "9"))
    made.settle()
    assert (made.states(), skipped(made)) == (["succeeded"], ["older-than-live"])


def test_of_two_versions_within_seconds_the_newer_goes_live_and_the_older_never() -> None:
    made = with_live()
    made.inline = False
    made.restart()
    candidate(made, "10")
    made.clock.advance(timedelta(seconds=2))
    made.workspace.register("clf", "9", made.clock.now(), **GOOD)
    made.deliver(registered("clf", "9", time=made.clock.now()))
    made.settle()
    assert standing(made)[1] == {deployment_name(ModelRef(name="clf", version="9")): 100}
    assert (made.states(), skipped(made)) == (["succeeded", "succeeded"], ["older-than-live"])


def test_the_newest_is_the_one_that_was_registered_last_whatever_its_name_and_whenever_it_is_told() -> None:
    made = with_live()
    made.inline = False
    made.restart()
    made.clock.advance(MINUTE)
    began = made.clock.now()
    for version, seconds in (("10", 5), ("9", 3), ("b", 4)):  # told in this order
        made.workspace.register("clf", version, began + timedelta(seconds=seconds), **GOOD)
        made.deliver(registered("clf", version, time=made.clock.now()))
        made.clock.advance(timedelta(seconds=1))
    made.settle()
    assert standing(made)[1] == {deployment_name(ModelRef(name="clf", version="10")): 100}
    assert skipped(made) == ["older-than-live"] * 2


def test_a_newer_version_takes_the_place_of_one_that_is_being_made() -> None:
    made = with_live()
    candidate(made, "2")
    assert made.states()[-1] == "running"
    candidate(made, "3", **{**GOOD, "Accuracy": "0.81"})
    made.settle()
    assert made.states() == ["succeeded", "superseded", "succeeded"]
    assert standing(made) == ([D3], {D3: 100})
    assert f"traffic {{'{D2}': 100}}" not in made.workspace.writes


def test_a_newer_version_that_would_not_pass_replaces_nothing() -> None:
    made = with_live()
    candidate(made, "2")
    candidate(made, "3", **{**GOOD, "Accuracy": "0.5"})
    made.settle()
    assert made.states() == ["succeeded", "succeeded", "refused"]
    assert standing(made) == ([D2], {D2: 100})


def test_if_the_newer_of_two_is_refused_the_older_has_its_turn() -> None:
    made = with_live()
    made.inline = False
    made.restart()
    candidate(made, "2")
    candidate(made, "3", **{**GOOD, "Accuracy": "0.5"})
    made.settle()
    assert sorted(made.states()) == ["refused", "succeeded", "succeeded"]
    assert standing(made) == ([D2], {D2: 100})


def test_a_model_waits_for_the_end_of_the_cooldown() -> None:
    made = with_live(RULES + "    limits: {cooldown: 2h}\n")
    ended = made.clock.now()
    candidate(made)
    made.settle()
    [_, second] = made.reactions()
    assert second.created >= ended + timedelta(minutes=119)


def test_an_older_version_does_not_replace_a_newer_one_that_is_being_made() -> None:
    made = with_live()
    candidate(made, "2")
    made.workspace.register("clf", "3", made.clock.now() - timedelta(seconds=10), **{**GOOD, "Accuracy": "0.9"})
    made.deliver(registered("clf", "3", time=made.clock.now()))
    made.settle()
    assert (made.states(), skipped(made)) == (["succeeded", "succeeded"], ["older-than-live"])


def test_of_two_that_were_registered_at_one_time_the_one_that_came_first_stays() -> None:
    made = with_live()
    candidate(made, "2")
    running = made.workspace.models[V2]
    made.workspace.register("clf", "3", running.created, **{**GOOD, "Accuracy": "0.9"})
    made.deliver(registered("clf", "3", time=made.clock.now()))
    made.settle()
    assert (made.states(), skipped(made)) == (["succeeded", "succeeded"], ["older-than-live"])


def test_a_rollout_whose_start_may_be_out_is_not_replaced_before_that_is_known() -> None:
    made = with_live()
    made.workspace.lag = timedelta(seconds=40)
    made.workspace.after["create deployment"] = failing(1, InDoubt("reset after the request"))
    candidate(made, "2")
    made.clock.advance(timedelta(seconds=1) - MINUTE)  # `candidate` lets a minute pass
    candidate(made, "3", **{**GOOD, "Accuracy": "0.81"})
    assert made.states() == ["succeeded", "starting"]
    made.settle()
    assert (made.states(), standing(made)) == (["succeeded", "superseded", "succeeded"], ([D3], {D3: 100}))


@pytest.mark.parametrize(
    ("phase", "compared", "end"), [("traffic", "1", "refused"), ("retiring", "2", "succeeded")], ids=str
)
def test_nothing_is_replaced_once_traffic_is_moving(phase: str, compared: str, end: str) -> None:
    made = with_live()
    made.workspace.hooks["set traffic"] = failing(1, TargetBusy("409"))
    candidate(made, "2")
    while not in_phase(made, phase):
        assert made.look_when_due()
    made.clock.advance(timedelta(seconds=1) - MINUTE)  # `candidate` lets a minute pass
    candidate(made, "3", **{**GOOD, "Accuracy": "0.9", "live__version": compared})
    assert made.states() == ["succeeded", "running"]
    made.settle()
    assert made.states() == ["succeeded", "succeeded", end]


def test_a_newer_version_takes_the_place_of_one_that_is_being_tested() -> None:
    made = with_live()
    made.workspace.answers = [TargetUnavailable("cold")]
    candidate(made, "2")
    while not in_phase(made, "smoke-test"):
        assert made.look_when_due()
    made.clock.advance(timedelta(seconds=1) - MINUTE)
    candidate(made, "3", **{**GOOD, "Accuracy": "0.9"})
    made.settle()
    assert (made.states(), standing(made)) == (["succeeded", "superseded", "succeeded"], ([D3], {D3: 100}))
