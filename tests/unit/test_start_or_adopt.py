"""Promise 3 on fakes: a run is started once per attempt, adopted where there is doubt, a second one cancelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import StorageUnavailable, TargetBusy, TargetRefused
from shared.ports import RunStatus
from tests.fakes import T0, accept_then_lose, busy, landed, lose
from tests.world import RULES, Died, World

MINUTE = timedelta(minutes=1)


def well(accept: Callable[[], str]) -> str:
    return accept()


def die_at(what: str, occurrence: int = 1) -> Callable[[int, str], None]:
    seen = 0

    def before_call(_number: int, call: str) -> None:
        nonlocal seen
        seen += call == what
        if call == what and seen == occurrence:
            raise Died(what)

    return before_call


def dead_then_restarted(world: World, what: str, occurrence: int = 1) -> None:
    world.storage.before_call = die_at(what, occurrence)
    with pytest.raises(Died):
        world.deliver(landed("in/b1/a.csv"))
    world.nothing_breaks()
    world.restart()


def ended_once(world: World) -> None:
    for _ in range(40):
        if world.factory.running and not world.look_when_due(timedelta(minutes=10)):
            break
        if len(world.factory.running) == 1 and world.states() == ["running"]:
            world.factory.end_all()
        if not world.look_when_due(timedelta(minutes=10)):
            break
    assert world.states() == ["succeeded"]


def test_a_lone_event_starts_one_run_with_its_stamp() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    [reaction] = world.reactions()
    [started] = world.factory.started
    assert started.run.parameters == {"batch": "b1", "reaction_id": reaction.id, "attempt": "1"}
    assert reaction.run_id == started.run.id
    world.factory.end_all()
    world.settle()
    assert world.states() == ["succeeded"]
    assert world.story(world.reactions()[0]) == ["pending", "starting", "running", "succeeded"]
    assert world.due.rows == {}
    assert world.permits.held["factory:adf"] == {}


def test_a_lone_event_delivered_twice_starts_one_run() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"), landed("in/b1/a.csv"))
    world.factory.end_all()
    world.settle()
    world.deliver(landed("in/b1/a.csv"))
    world.settle()
    assert len(world.factory.started) == 1
    assert world.states() == ["succeeded"]
    assert all(p.pending == {} for p in world.lanes.partitions.values())


def test_death_between_intent_and_call_posts_again_after_four_queries() -> None:
    world = World()
    dead_then_restarted(world, "create run")
    assert world.states() == ["starting"]
    assert world.factory.started == []
    ended_once(world)
    assert len(world.factory.started) == 1
    posted = world.clock.now() - T0
    assert posted >= timedelta(seconds=30 + 120)  # the intent's deadline, then the last query for a run of ours
    reasons = [e.reason for e in world.lanes.history(world.reactions()[0].id)]
    assert sum("found no run with our stamp" in r for r in reasons) == 3
    assert sum("sending the start again" in r for r in reasons) == 1


@pytest.mark.parametrize("hidden_seconds", [0, 31, 46, 76, 149])
def test_death_between_call_and_saved_run_id_adopts_the_run(hidden_seconds: int) -> None:
    """Doubt arises at the deadline, after 30 s; the queries are made at 30, 45, 75 and 150 s."""
    world = World()
    dead_then_restarted(world, "create run answered")
    world.factory.started[0].hidden_until = T0 + timedelta(seconds=hidden_seconds)
    ended_once(world)
    assert [s.run.id for s in world.factory.started] == ["run-1"]
    assert any("adopted" in e.reason for e in world.lanes.history(world.reactions()[0].id))


@pytest.mark.parametrize("stamp", [("ours", "2"), ("another's", "1"), ("", "")])
def test_a_run_of_the_same_pipeline_with_another_stamp_is_not_adopted(stamp: tuple[str, str]) -> None:
    world = World()
    dead_then_restarted(world, "create run")
    [reaction] = world.reactions()
    world.factory.force("score", {"reaction_id": stamp[0].replace("ours", reaction.id), "attempt": stamp[1]})
    while world.states() == ["starting"]:
        assert world.look_when_due(timedelta(minutes=10))
    assert [(started.run.id, started.run.stamp) for started in world.factory.started][1:] == [
        ("run-2", (reaction.id, "1"))
    ]
    assert [reaction.run_id for reaction in world.reactions()] == ["run-2"]


def test_a_run_hidden_for_too_long_leads_to_a_second_one_which_is_cancelled() -> None:
    world = World()
    dead_then_restarted(world, "create run answered")
    world.factory.started[0].hidden_until = T0 + timedelta(seconds=200)  # longer than all four queries
    while len(world.factory.started) < 2 or not world.factory.cancelled:
        assert world.look_when_due(timedelta(minutes=10))
    assert world.factory.cancelled == ["run-2"]  # the older is kept
    [reaction] = world.reactions()
    assert reaction.run_id == "run-1"
    assert "duplicate-start" in world.story(reaction)
    ended_once(world)


def test_nobody_else_acts_before_the_deadline_of_the_call() -> None:
    world = World()
    dead_then_restarted(world, "create run")
    world.clock.advance(timedelta(seconds=29))
    world.deliver(landed("in/b1/a.csv"))
    assert world.factory.started == []
    assert world.states() == ["starting"]


@pytest.mark.parametrize(
    ("failure", "runs"),
    [
        pytest.param(accept_then_lose, 1, id="accepted, answer lost"),
        pytest.param(lose, 1, id="reset before it arrived"),
    ],
)
def test_an_unclear_answer_leads_to_one_run(failure: Callable[[Callable[[], str]], str], runs: int) -> None:
    world = World()
    answers = iter([failure])
    world.factory.on_start = lambda accept: next(answers, well)(accept)  # noqa: PLW0108 - one answer per start
    world.deliver(landed("in/b1/a.csv"))
    ended_once(world)
    assert len(world.factory.started) == runs


def test_unclear_answers_for_an_hour_still_lead_to_one_run() -> None:
    world = World()

    def on_start(accept: Callable[[], str]) -> str:
        return lose(accept) if world.clock.now() < T0 + timedelta(hours=1) else accept()

    world.factory.on_start = on_start
    world.deliver(landed("in/b1/a.csv"))
    while not world.factory.started:
        assert world.states() == ["starting"]
        assert world.look_when_due(timedelta(minutes=10))
    ended_once(world)
    assert len(world.factory.started) == 1


def test_a_busy_target_delays_by_what_it_advises_and_costs_no_attempt() -> None:
    world = World()
    answers = iter([TargetBusy("429", retry_after=timedelta(seconds=77))])

    def on_start(accept: Callable[[], str]) -> str:
        error = next(answers, None)
        if error is not None:
            raise error
        return accept()

    world.factory.on_start = on_start
    world.deliver(landed("in/b1/a.csv"))
    [waiting] = world.reactions()
    assert (str(waiting.state), waiting.attempt) == ("pending", 1)
    assert waiting.next_look is not None
    assert timedelta(seconds=77) <= waiting.next_look - T0 < timedelta(seconds=77 * 1.2)
    assert world.permits.held["factory:adf"] == {}
    ended_once(world)
    assert world.reactions()[0].attempt == 1


def test_a_clear_no_fails_the_reaction_with_the_targets_words() -> None:
    world = World()

    def refuse(accept: Callable[[], str]) -> str:
        raise TargetRefused("400 BadRequest the pipeline does not compile", status=400)

    world.factory.on_start = refuse
    world.deliver(landed("in/b1/a.csv"))
    [reaction] = world.reactions()
    assert str(reaction.state) == "failed"
    assert "400 BadRequest the pipeline does not compile" in reaction.reason
    assert world.permits.held["factory:adf"] == {}
    world.settle()
    assert world.due.rows == {}


def test_a_missing_pipeline_fails_the_reaction_with_the_factorys_words() -> None:
    world = World()
    del world.factory.pipelines["score"]
    world.deliver(landed("in/b1/a.csv"))
    assert world.states() == ["failed"]
    assert "404 pipeline score was not found" in world.reactions()[0].reason


@pytest.mark.parametrize("declared", [{"reaction_id", "batch"}, {"attempt", "batch"}, {"reaction_id", "attempt"}])
def test_undeclared_parameters_are_refused_before_the_call(declared: set[str]) -> None:
    world = World()
    world.factory.pipelines["score"] = frozenset(declared)
    world.deliver(landed("in/b1/a.csv"))
    [reaction] = world.reactions()
    assert str(reaction.state) == "failed"
    [missing] = {"reaction_id", "attempt", "batch"} - declared
    assert f"does not declare the parameter(s) {missing}" in reaction.reason
    assert world.factory.started == []


def test_a_failed_run_is_retried_as_often_as_the_rule_says_with_growing_waits() -> None:
    world = World(rules=RULES + "    retry: {attempts: 3, backoff: 1m}\n")
    world.deliver(landed("in/b1/a.csv"))
    waits = []
    for _ in range(2):
        world.factory.end_all(RunStatus.FAILED, "the prep job failed")
        while world.states() == ["running"]:
            assert world.look_when_due()
        [reaction] = world.reactions()
        assert reaction.next_look is not None
        waits.append(reaction.next_look - reaction.changed)
        assert world.permits.held["factory:adf"] == {}  # none is held while waiting
        while world.states() != ["running"]:
            assert world.look_when_due()
    world.factory.end_all(RunStatus.FAILED, "the prep job failed")
    world.settle()
    [reaction] = world.reactions()
    assert waits == [timedelta(minutes=1), timedelta(minutes=2)]
    assert (str(reaction.state), reaction.attempt) == ("failed", 3)
    assert [s.run.stamp[1] for s in world.factory.started] == ["1", "2", "3"]
    assert "the prep job failed" in reaction.reason


def test_a_run_cancelled_by_a_person_is_not_retried() -> None:
    world = World(rules=RULES + "    retry: {attempts: 3, backoff: 1m}\n")
    world.deliver(landed("in/b1/a.csv"))
    world.factory.end_all(RunStatus.CANCELLED)
    world.settle()
    assert world.states() == ["cancelled"]
    assert len(world.factory.started) == 1


def test_a_run_that_outlives_its_timeout_is_cancelled_outside_too() -> None:
    world = World(rules=RULES + "    timeout: 2h\n")
    world.deliver(landed("in/b1/a.csv"))
    world.settle(looks=1000)
    [reaction] = world.reactions()
    assert str(reaction.state) == "timed-out"
    assert reaction.ended == T0 + timedelta(hours=2)
    assert world.factory.cancelled == ["run-1"]


def test_a_second_run_with_our_stamp_is_cancelled_and_recorded() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    world.clock.advance(timedelta(seconds=1))
    world.factory.force("score", world.factory.started[0].run.parameters)
    while not world.factory.cancelled:
        assert world.look_when_due()
    assert world.factory.cancelled == ["run-2"]
    ended_once(world)
    assert world.story(world.reactions()[0]).count("duplicate-start") == 1


def test_a_second_run_that_comes_to_light_after_the_end_is_cancelled_too() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    world.factory.force("score", world.factory.started[0].run.parameters, T0 + MINUTE)
    world.factory.end("run-1")
    world.settle()
    assert world.states() == ["succeeded"]
    world.clock.advance(MINUTE)
    world.deliver(landed("in/b2/a.csv"))  # another run to follow
    world.look_when_due()
    assert world.factory.cancelled == ["run-2"]
    assert "duplicate-start" in world.story(world.reactions()[0])


def test_a_process_that_was_held_up_past_its_intents_deadline_does_not_start() -> None:
    world = World()

    def hold_up(_number: int, what: str) -> None:
        if what == "commit" and world.states() == ["pending"]:
            world.clock.advance(timedelta(minutes=6))

    world.storage.before_call = hold_up
    world.deliver(landed("in/b1/a.csv"))
    assert world.states() == ["starting"]
    assert world.factory.started == []
    world.nothing_breaks()
    ended_once(world)
    assert len(world.factory.started) == 1


def test_a_refused_cancel_is_told_as_what_it_is() -> None:
    world = World(rules=RULES + "    timeout: 2h\n")
    world.deliver(landed("in/b1/a.csv"))

    def refuse(_run_id: str) -> None:
        raise TargetRefused("403 Forbidden", status=403)

    world.factory.cancel = refuse
    for _ in range(1000):
        if world.states() != ["running"] or not world.look_when_due():
            break
    [reaction] = world.reactions()
    assert str(reaction.state) == "timed-out"
    assert "not cancelled, the factory refused: 403 Forbidden" in reaction.reason


def second_run(world: World) -> None:
    world.clock.advance(timedelta(seconds=1))
    world.factory.force("score", world.factory.started[0].run.parameters)


def test_a_second_run_that_ended_before_it_was_seen_is_recorded_all_the_same() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    second_run(world)
    world.factory.end("run-2")
    world.look_when_due()
    assert "duplicate-start" in world.story(world.reactions()[0])
    assert world.factory.cancelled == []


def test_of_two_queued_runs_one_is_left() -> None:
    """What is cancelled while it had no start must not become the older one when it gets it."""
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    second_run(world)
    for started in world.factory.started:
        started.run = replace(started.run, started=None)
        started.shown_from = T0
    world.look_when_due()
    [cancelled] = world.factory.cancelled
    for started in world.factory.started:
        late = timedelta(seconds=1 if started.run.id == cancelled else 9)
        started.run = replace(started.run, started=T0 + late)
    for _ in range(3):
        world.look_when_due()
    assert world.factory.cancelled == [cancelled]
    assert len(world.factory.running) == 1


def test_a_stray_run_of_an_earlier_attempt_is_cancelled_while_the_next_one_runs() -> None:
    world = World(rules=RULES + "    retry: {attempts: 2, backoff: 1m}\n")
    world.deliver(landed("in/b1/a.csv"))
    first = world.factory.started[0].run
    world.factory.end_all(RunStatus.FAILED)
    while len(world.factory.started) < 2:
        assert world.look_when_due()
    world.factory.started.pop(0)  # long out of every window
    world.factory.force("score", first.parameters)
    stray = world.factory.started[-1].run.id
    second = world.factory.started[0].run.id
    assert stray != second
    while not world.factory.cancelled:
        assert world.look_when_due(timedelta(minutes=2))
    assert world.factory.cancelled == [stray]
    assert world.states() == ["running"]


def test_a_rerun_by_hand_in_the_factory_is_not_a_second_start_of_ours() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    second_run(world)
    world.factory.started[-1].run = replace(world.factory.started[-1].run, rerun=True)
    for _ in range(4):
        world.look_when_due()
    assert world.factory.cancelled == []


def test_lost_storage_after_the_start_is_no_second_start() -> None:
    world = World()

    def fail_after_start(_number: int, what: str) -> None:
        if world.factory.started and what == "commit":
            raise StorageUnavailable("tables are down")

    world.storage.before_call = fail_after_start
    with pytest.raises(StorageUnavailable):
        world.deliver(landed("in/b1/a.csv"))
    world.nothing_breaks()
    ended_once(world)
    assert len(world.factory.started) == 1


def test_a_question_that_cannot_be_asked_is_asked_again() -> None:
    world = World()
    dead_then_restarted(world, "create run answered")
    asked = 0

    def busy(_number: int, what: str) -> None:
        nonlocal asked
        if what == "query runs":
            asked += 1
            if asked <= 3:
                raise TargetBusy("429 TooManyPipelineRunQueryRequests", retry_after=timedelta(seconds=20))

    world.storage.before_call = busy
    ended_once(world)
    assert len(world.factory.started) == 1


def test_a_start_in_doubt_that_then_meets_a_full_factory_is_not_forgotten() -> None:
    world = World()

    def lost_and_hidden(accept: Callable[[], str]) -> str:
        accept()
        world.factory.started[0].hidden_until = T0 + timedelta(seconds=140)  # the start is sent again after 120 s
        return lose(accept)

    answers = [lost_and_hidden, busy]

    def answered(accept: Callable[[], str]) -> str:
        return (answers.pop(0) if answers else well)(accept)

    world.factory.on_start = answered
    world.deliver(landed("in/b1/a.csv"))
    while answers:
        assert world.look_when_due(timedelta(minutes=10))
    assert world.states() == ["starting"], "the first start may have had its effect"
    ended_once(world)
    assert [s.run.id for s in world.factory.started] == ["run-1"]
