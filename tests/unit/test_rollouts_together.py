"""Rollouts that meet: one writer per endpoint, whoever is first, and whoever comes late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import InDoubt, TargetBusy, TargetRefused, TargetUnavailable
from shared.models import Endpoint, ModelRef, deployment_name
from shared.ports import LaneChange, Permit, Saved
from tests.endpoint import (
    D1,
    D2,
    D3,
    ENDPOINT,
    GOOD,
    MINUTE,
    RULES,
    TWO_RULES,
    V1,
    V3,
    answer,
    candidate,
    failing,
    in_phase,
    standing,
    with_live,
    world,
)
from tests.fakes import T0, registered
from tests.world import Died, World

# --- one writer per endpoint ------------------------------------------------------------------------------------------


def test_two_rules_for_one_endpoint_take_turns() -> None:
    made = with_live(TWO_RULES)
    candidate(made)
    made.clock.advance(timedelta(seconds=1))
    made.workspace.register("other", "1")
    made.deliver(registered("other", "1", time=made.clock.now()))
    waiting = [r for r in made.reactions() if str(r.state) == "pending"]
    assert [r.rule for r in waiting] == ["deploy-other"]
    assert "is held by reaction" in waiting[0].reason
    at_once: list[int] = []
    while made.look_when_due():
        at_once.append(len([r for r in made.reactions() if str(r.state) in {"starting", "running"}]))
    assert max(at_once) == 1
    other = deployment_name(ModelRef(name="other", version="1"))
    assert (made.states(), standing(made)) == (["succeeded"] * 3, ([other], {other: 100}))
    told = [entry.reason for entry in made.lanes.history(waiting[0].id)]
    assert sum("is held by reaction" in reason for reason in told) == 1, "said once, however long it waits"


def test_a_permit_that_a_dead_process_left_behind_is_released() -> None:
    made = with_live()
    first = made.reactions()[0]
    assert made.permits.hold("endpoint:ep1", Permit(reaction_id=first.id, since=T0))
    candidate(made)
    assert list(made.permits.held["endpoint:ep1"]) == [made.reactions()[-1].id]
    made.settle()
    assert made.states() == ["succeeded", "succeeded"]


# --- who is first, and who comes late ---------------------------------------------------------------------------------


def held_up(made: World, once: Callable[[], bool], meanwhile: Callable[[], None]) -> None:
    """This process reads the endpoint, and before it can act on that `meanwhile` happens elsewhere."""
    read = made.workspace.endpoint

    def endpoint(name: str) -> Endpoint | None:
        found = read(name)
        if once():
            made.workspace.endpoint = read  # type: ignore[method-assign]
            made.restart()  # another process goes on, and the one that is held up has what it has
            meanwhile()
        return found

    made.workspace.endpoint = endpoint  # type: ignore[method-assign]


def test_what_has_traffic_and_is_not_listed_is_not_taken_for_nothing() -> None:
    made = world()
    made.workspace.register("clf", "1", T0 - MINUTE)
    made.workspace.serve(ENDPOINT, "blue", V1)
    made.workspace.endpoints[ENDPOINT]["blue"].listed_at = T0 + timedelta(minutes=3)
    candidate(made, Accuracy="0.5")
    assert "traffic of ep1 goes to blue, which is not listed" in made.reactions()[0].reason
    made.settle()
    assert (made.states(), made.workspace.writes) == (["refused"], [])


def test_a_process_that_was_held_up_past_its_intent_does_not_ask_for_the_deployment() -> None:
    made = with_live()
    commit = made.lanes.commit

    def held_up_after_it(lane: str, change: LaneChange) -> Saved:
        saved = commit(lane, change)
        if change.reaction is not None and str(change.reaction.state) == "starting":
            made.lanes.commit = commit  # type: ignore[method-assign]
            made.clock.advance(timedelta(seconds=31))
            made.engine.look_at_lane(lane, None)  # another process goes on with it
        return saved

    made.lanes.commit = held_up_after_it  # type: ignore[method-assign]
    candidate(made)
    made.settle()
    assert (made.states()[-1], made.workspace.writes.count(f"create {D2}")) == ("succeeded", 1)


def test_a_process_that_was_held_up_does_not_move_the_traffic_back() -> None:
    made = with_live(RULES.replace("keep-previous: 10s", "keep-previous: 10m"))
    candidate(made, "2")

    def goes_on_elsewhere() -> None:
        made.settle()
        candidate(made, "3", **{**GOOD, "Accuracy": "0.9", "live__version": "2", "live__Accuracy": "0.80"})
        while standing(made)[1] != {D3: 100}:
            assert made.look_when_due()

    held_up(made, lambda: in_phase(made, "traffic"), goes_on_elsewhere)
    while standing(made)[1] != {D3: 100}:
        assert made.look_when_due()
    made.settle()
    assert standing(made) == ([D3], {D3: 100})
    assert made.workspace.writes.count(f"traffic {{'{D2}': 100}}") == 1


def test_a_process_that_was_held_up_does_not_remove_the_next_attempt() -> None:
    made = with_live(RULES + "    retry: {attempts: 2, backoff: 1m}\n")
    made.workspace.fails[D2] = "OutOfQuota"
    candidate(made, "2")

    def goes_on_elsewhere() -> None:
        while made.reactions()[-1].attempt == 1:
            assert made.look_when_due()
        made.workspace.fails.clear()
        made.look_when_due()
        assert in_phase(made, "creating")

    held_up(made, lambda: in_phase(made, "removing"), goes_on_elsewhere)
    made.settle()
    assert (made.states()[-1], standing(made)) == ("succeeded", ([D2], {D2: 100}))
    assert made.workspace.writes.count(f"delete {D2}") == 1


def test_somebody_who_changes_what_the_live_deployment_serves_is_not_overruled() -> None:
    made = with_live()

    def in_place() -> None:
        there = made.workspace.endpoints[ENDPOINT][D1]
        there.deployment = replace(there.deployment, model=V3)

    made.workspace.hooks["score"] = in_place
    candidate(made)
    made.settle()
    assert (made.states()[-1], standing(made)) == ("refused", ([D1], {D1: 100}))
    assert "clf:3" in made.reactions()[-1].reason


def test_rules_that_spell_one_endpoint_differently_take_turns() -> None:
    first, second = TWO_RULES.split("  deploy-other:")
    made = with_live(f"{first}  deploy-other:{second.replace('ep1', 'EP1')}")
    made.workspace.endpoints["EP1"] = made.workspace.endpoints[ENDPOINT]
    candidate(made)
    made.workspace.register("other", "1")
    made.deliver(registered("other", "1", time=made.clock.now()))
    assert {r.rule: str(r.state) for r in made.reactions()} == {"deploy": "running", "deploy-other": "pending"}


def test_who_is_just_about_to_begin_holds_the_endpoint() -> None:
    made = with_live(TWO_RULES)
    made.workspace.updating_until[ENDPOINT] = made.clock.now() + MINUTE + timedelta(seconds=5)
    candidate(made)
    assert made.states() == ["succeeded", "pending"]

    def another_comes() -> None:
        del made.workspace.hooks["get model"]
        made.workspace.register("other", "1")
        made.deliver(registered("other", "1", time=made.clock.now()))

    made.workspace.hooks["get model"] = another_comes
    made.look_when_due()
    assert {r.rule: str(r.state) for r in made.reactions()} == {"deploy": "running", "deploy-other": "pending"}


def test_a_start_that_the_workspace_cannot_take_lets_the_endpoint_go_meanwhile() -> None:
    made = with_live()
    made.workspace.hooks["create deployment"] = failing(1, TargetBusy("409"))
    candidate(made)
    assert (made.states(), made.permits.held["endpoint:ep1"]) == (["succeeded", "pending"], {})


def test_a_start_that_stays_in_doubt_fails_after_the_timeout() -> None:
    made = with_live(RULES + "    timeout: 10m\n")
    made.workspace.hooks["create deployment"] = failing(1000, InDoubt("reset"))
    candidate(made)
    made.settle(looks=1000)
    assert (made.states()[-1], made.workspace.writes) == ("failed", [])
    assert "after 0:10:00 it is still unclear" in made.reactions()[-1].reason


@pytest.mark.parametrize(("refusals", "end"), [(2, "succeeded"), (1000, "failed")])
def test_a_start_in_doubt_outlasts_a_refusal_to_tell_but_not_its_timeout(refusals: int, end: str) -> None:
    made = with_live(RULES + "    timeout: 10m\n")
    made.workspace.after["create deployment"] = failing(1, InDoubt("reset after the request"))
    candidate(made)
    began = made.clock.now()
    made.workspace.hooks["get endpoint"] = failing(refusals, TargetRefused("403", status=403))
    made.settle()
    assert made.states()[-1] == end
    assert end == "succeeded" or made.clock.now() >= began + timedelta(minutes=10)


def test_what_was_in_doubt_for_longer_than_its_timeout_and_is_there_is_adopted() -> None:
    made = with_live(RULES + "    timeout: 10m\n")
    made.workspace.after["create deployment"] = failing(1, InDoubt("reset after the request"))
    candidate(made)
    out_until = made.clock.now() + timedelta(minutes=20)

    def out() -> None:
        if made.clock.now() < out_until:
            raise TargetUnavailable("503")

    made.workspace.hooks["get endpoint"] = out
    while made.clock.now() < out_until:
        assert made.look_when_due()
    made.settle()
    assert (made.states()[-1], made.workspace.writes.count(f"create {D2}")) == ("succeeded", 1)


def test_a_rollout_that_waits_for_its_next_attempt_and_died_before_it_let_go_holds_nothing() -> None:
    keeps = "      keep-previous: 10s\n"
    made = with_live(TWO_RULES.replace(keeps, f"{keeps}    retry: {{attempts: 2, backoff: 1h}}\n", 1))
    made.workspace.fails[D2] = "OutOfQuota"
    candidate(made)

    def dies(_number: int, what: str) -> None:
        if what == "release permit":
            raise Died

    made.storage.before_call = dies
    with pytest.raises(Died):
        made.settle()
    made.nothing_breaks()
    made.restart()
    began = made.clock.now()
    made.workspace.register("other", "1")
    made.deliver(registered("other", "1", time=began))
    other = deployment_name(ModelRef(name="other", version="1"))
    while standing(made)[1] != {other: 100}:
        assert made.look_when_due()
    assert made.clock.now() < began + timedelta(minutes=30)


# --- what somebody does by hand ---------------------------------------------------------------------------------------


def test_traffic_that_somebody_gives_back_keeps_the_one_before() -> None:
    made = with_live()
    candidate(made)
    while not in_phase(made, "retiring"):
        assert made.look_when_due()
    made.workspace.traffic[ENDPOINT] = {D1: 100}
    made.settle()
    assert (made.states()[-1], standing(made)) == ("succeeded", ([D1, D2], {D1: 100}))
    assert f"{D1} has traffic again and stays" in made.reactions()[-1].reason


def test_what_failed_and_has_got_some_traffic_stays() -> None:
    made = with_live()
    made.workspace.answers = [answer(500, "raised")]
    made.workspace.hooks["score"] = lambda: made.workspace.traffic.update({ENDPOINT: {D1: 90, D2: 10}})
    candidate(made)
    made.settle()
    assert (made.states()[-1], standing(made)) == ("rolled-back", ([D1, D2], {D1: 90, D2: 10}))
    assert f"{D2} has traffic and stays" in made.reactions()[-1].reason


def test_a_deployment_that_somebody_put_in_place_of_ours_is_left_alone() -> None:
    made = with_live()
    candidate(made)
    made.workspace.serve(ENDPOINT, D2, V3, share=0)
    made.settle()
    assert (made.states()[-1], made.workspace.writes) == ("failed", [f"create {D2}"])
    assert "was removed or replaced by somebody" in made.reactions()[-1].reason


def test_where_a_model_is_live_is_told_with_its_share() -> None:
    made = with_live(RULES.replace("keep-previous: 10s", "keep-previous: 7m"))
    candidate(made)
    while not in_phase(made, "retiring"):
        assert made.look_when_due()
    told = [made.queries.model("clf", version) for version in ("1", "2")]
    live = [model["lineage"]["live_on"] for model in told if model is not None]  # type: ignore[index]
    first, second = (reaction.id for reaction in made.reactions())
    assert live == [
        [{"endpoint": ENDPOINT, "deployment": D1, "traffic": 0, "reaction": first}],
        [{"endpoint": ENDPOINT, "deployment": D2, "traffic": 100, "reaction": second}],
    ]
