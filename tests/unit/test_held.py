"""A rule that is stopped, and one that is only observed: events gather, or what would be done is told."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest

from shared.controls import Pause
from shared.errors import TargetBusy
from shared.looks import lane_key
from shared.starts import STOPPED_LOOKS
from tests.endpoint import D1, candidate, standing, with_live
from tests.endpoint import RULES as DEPLOY
from tests.fakes import T0, landed
from tests.unit.test_engine import run_to_the_end
from tests.world import RULES, Died, World

MINUTE = timedelta(minutes=1)
PAUSE = Pause(by="ann", at=T0, reason="the clinic moves")
FILES = RULES.replace('with: {batch: "{batch}"}', 'with: {batch: "{batch}", files: "{manifest}"}')


def resume(world: World, rule: str | None) -> None:
    """As whoever resumes does it: the stop is lifted, and then the lanes that waited are looked at."""
    world.controls.resume(rule)
    world.upkeep.make_due("resume")


# --- stopped ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stopped", ["score", None], ids=["the rule", "every start"])
@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_while_it_is_stopped_events_gather_and_then_they_are_one_reaction(stopped: str | None, copies: int) -> None:
    world = World()
    world.controls.pause(stopped, PAUSE)
    for n in range(5):
        for _ in range(copies):
            world.deliver(landed(f"in/b1/{n}.csv"))
        world.clock.advance(MINUTE)
    assert world.reactions() == []
    resume(world, stopped)
    run_to_the_end(world)
    assert [(str(r.state), r.events) for r in world.reactions()] == [("succeeded", 5)]
    assert world.controls.lanes == {}


def test_another_rule_that_is_stopped_holds_nothing() -> None:
    world = World()
    world.controls.pause("another", PAUSE)
    world.deliver(landed("in/b1/a.csv"))
    assert world.states() == ["running"]


def test_what_runs_goes_on_to_its_end_while_every_start_is_stopped() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    world.controls.pause(None, PAUSE)
    world.clock.advance(MINUTE)
    world.deliver(landed("in/b1/b.csv"))
    world.factory.end_all()
    world.settle(within=MINUTE)
    assert world.states() == ["succeeded"]
    resume(world, None)
    run_to_the_end(world)
    assert world.states() == ["succeeded", "succeeded"]


def test_a_lane_that_nobody_wakes_looks_by_itself_within_the_hour() -> None:
    world = World()
    world.controls.pause("score", PAUSE)
    world.deliver(landed("in/b1/a.csv"))
    world.controls.resume("score")  # and the process died
    assert [due.at for due in world.due.rows.values()] == [T0 + STOPPED_LOOKS]
    run_to_the_end(world)
    assert world.states() == ["succeeded"]


def test_a_stop_that_ends_between_the_look_and_its_note_holds_nothing() -> None:
    world = World()
    world.controls.pause("score", PAUSE)

    def resumed(_number: int, what: str) -> None:
        if what == "wait for a resume":
            world.controls.pauses.clear()

    world.storage.before_call = resumed
    world.deliver(landed("in/b1/a.csv"))
    assert world.states() == ["running"]


def test_a_lone_start_asks_once_what_is_stopped_and_a_wait_never() -> None:
    world = World(rules=RULES.replace('{by: "{batch}"}', '{by: "{batch}", quiet: 30s}'))
    asked: list[str] = []
    world.storage.before_call = lambda _number, what: asked.append(what)
    world.deliver(landed("in/b1/a.csv"))
    world.engine.look(lane_key(next(iter(world.lanes.partitions))))
    assert "read controls" not in asked
    world.look_when_due()
    assert asked.count("read controls") == 1


def test_a_model_waits_and_a_rollout_is_not_replaced_while_its_rule_is_stopped() -> None:
    made = with_live()
    candidate(made)
    made.look_when_due()
    assert made.states() == ["succeeded", "running"]
    made.controls.pause("deploy", PAUSE)
    candidate(made, "3", Accuracy="0.9", live__Accuracy="0.78", live__version="1")
    assert made.states() == ["succeeded", "running"]
    made.settle(within=30 * MINUTE)
    assert made.states() == ["succeeded", "succeeded"]


# --- observed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rules",
    [
        FILES.replace("  score:\n", "  score:\n    mode: observe\n"),
        FILES.replace("version: 1", "version: 1\nmode: observe"),
    ],
    ids=["the rule", "the app"],
)
def test_what_would_be_started_is_told_and_nothing_is_started(rules: str) -> None:
    world = World(rules=rules)
    world.deliver(landed("in/b1/a.csv"), landed("in/b1/a.csv"))
    world.settle()
    [reaction] = world.reactions()
    assert (str(reaction.state), reaction.events, reaction.manifest_url) == ("observed", 1, None)
    told = "observe: would have started pipeline score with batch=b1, files=(the manifest)"
    assert reaction.reason == told
    assert world.story(reaction) == ["pending", "observed"]
    assert (world.factory.started, world.manifests.written, world.permits.held) == ([], {}, {})
    assert world.notifier.kinds == []


@pytest.mark.parametrize(
    ("action", "told"),
    [
        (
            'run-job: {component: "azureml:train:1"}\n    with: {batch: "{batch}", files: "{manifest}"}',
            "would have started a job of azureml:train:1 with batch=b1, files=(the manifest)",
        ),
        ('notify: "{count} files for {batch}"', "would have told: 1 files for b1"),
    ],
)
def test_no_job_is_started_and_nobody_is_told_of_what_is_only_observed(action: str, told: str) -> None:
    rule = FILES.replace("  score:\n", "  score:\n    mode: observe\n").partition("    run-pipeline")[0]
    world = World(rules=f"{rule}    {action}\n")
    world.deliver(landed("in/b1/a.csv"))
    world.settle(within=MINUTE)
    [reaction] = world.reactions()
    assert (str(reaction.state), reaction.reason) == ("observed", f"observe: {told}")
    assert (world.workspace.jobs, world.notifier.kinds, world.manifests.written) == ({}, [], {})


def test_an_observed_reaction_is_never_started_whoever_goes_on_with_it() -> None:
    for calls in range(1, 12):
        world = World(rules=FILES.replace("  score:\n", "  score:\n    mode: observe\n"))
        world.break_call(calls, die=True)
        with suppress(Died):
            world.deliver(landed("in/b1/a.csv"))
        world.nothing_breaks()
        claimed = bool(world.reactions())
        world.restart(rules=FILES, modified=T0 + MINUTE)  # somebody lets the rule act meanwhile
        world.deliver(landed("in/b1/a.csv"))
        run_to_the_end(world)
        assert world.states() == (["observed"] if claimed else ["succeeded"])
        assert len(world.factory.started) == (0 if claimed else 1)


OBSERVED = DEPLOY.replace("  deploy:\n", "  deploy:\n    mode: observe\n")


def observed_with_live() -> World:
    """Version 1 is live, and from now on the rule is only observed."""
    made = with_live()
    made.restart(rules=OBSERVED, modified=T0 + MINUTE)
    return made


def test_of_a_model_the_gates_verdict_is_told_and_production_stays_as_it_is() -> None:
    made = observed_with_live()
    candidate(made)
    made.settle()
    reaction = made.reactions()[-1]
    assert str(reaction.state) == "observed"
    assert reaction.reason.startswith("observe: would have deployed clf:2 on endpoint ep1 as clf-2")
    assert "gate passed: Accuracy" in reaction.reason
    assert standing(made) == ([D1], {D1: 100})
    assert made.workspace.writes == []
    assert made.permits.held.get("endpoint:ep1", {}) == {}


def test_of_a_worse_model_it_is_told_that_it_would_have_been_refused() -> None:
    made = observed_with_live()
    candidate(made, Accuracy="0.1", live__Accuracy="0.78", live__version="1")
    made.settle()
    assert made.reactions()[-1].reason.startswith("observe: would have refused clf:2 on endpoint ep1: gate: Accuracy")
    assert made.notifier.kinds == []


def test_a_workspace_that_cannot_be_asked_now_is_asked_later() -> None:
    made = observed_with_live()
    busy = [TargetBusy("429", retry_after=timedelta(seconds=40))]

    def answer() -> None:
        if busy and made.reactions()[-1].observe:
            raise busy.pop()

    made.workspace.hooks["get endpoint"] = answer
    candidate(made)
    assert made.states() == ["succeeded", "pending"]
    made.settle()
    assert str(made.reactions()[-1].state) == "observed"


def test_what_was_started_before_its_rule_was_observed_is_not_replaced() -> None:
    made = with_live()
    candidate(made)
    made.look_when_due()
    made.restart(rules=OBSERVED, modified=T0 + MINUTE)
    candidate(made, "3", Accuracy="0.9", live__Accuracy="0.78", live__version="1")
    made.settle()
    assert made.states() == ["succeeded", "succeeded", "observed"]
