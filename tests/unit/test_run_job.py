"""A job is started once per attempt under a name of ours, adopted where there is doubt, and followed to its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import InDoubt, RelearnError, TargetBusy, TargetRefused, TargetUnavailable
from shared.jobs.saving import job_name
from shared.models import REACTION_TAG
from shared.ports import Component, NewJob, RunStatus
from shared.reactions import Reaction
from tests.fakes import T0, breached, landed
from tests.unit.test_start_or_adopt import die_at
from tests.world import Died, World

MINUTE = timedelta(minutes=1)
RULES = """\
version: 1
reactions:
  train:
    when: {file-landed: {path: "lake/in/{batch}/*.csv"}}
    collect: {by: "{batch}"}
    run-job: {component: "azureml:train:1", compute: cpu-cluster}
    with: {batch: "{batch}"}
"""
TRAIN = Component(
    id="/workspaces/mlw/components/train/versions/1",
    pipeline=True,
    inputs={"batch": "string", "reaction_id": "string", "attempt": "string", "files": "uri_file"},
    required=frozenset({"batch", "reaction_id"}),
)
ONE_AT_A_TIME = RULES + "    limits: {concurrency: 1}\n"
RETRIED = RULES + "    retry: {attempts: 2, backoff: 10s}\n"


def training(rules: str = RULES, component: Component | None = TRAIN) -> World:
    world = World(rules=rules)
    if component is not None:
        world.workspace.components["azureml:train:1"] = component
    return world


def started(world: World) -> list[NewJob]:
    return [each.wanted for each in world.workspace.jobs.values()]


def only(world: World) -> Reaction:
    [reaction] = world.reactions()
    return reaction


def settle_ending(world: World, status: RunStatus = RunStatus.SUCCEEDED) -> None:
    """Looks until nothing is due; each job that is seen running ends."""
    for _ in range(100):
        if world.states()[-1:] == ["running"]:
            world.workspace.end_jobs(status)
        if not world.look_when_due():
            return
    raise AssertionError("still busy")


# --- once -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_a_file_starts_one_job_under_a_name_of_ours(copies: int) -> None:
    world = training()
    world.deliver(*[landed("in/b1/a.csv")] * copies)
    reaction, [job] = only(world), started(world)
    assert reaction.run_id == job.name == f"relearn-{reaction.id}-1-{T0:%Y%m%d%H%M%S}"
    assert job.inputs == {"batch": "b1", "reaction_id": reaction.id, "attempt": "1"}
    assert (job.compute, job.experiment) == ("cpu-cluster", "train")
    assert job.tags == {"relearn_reaction": reaction.id, "relearn_attempt": "1"}
    world.workspace.end_jobs()
    world.deliver(landed("in/b1/a.csv"))
    world.settle()
    assert world.states() == ["succeeded"]
    assert world.story(reaction) == ["pending", "starting", "running", "succeeded"]
    assert world.due.rows == {}
    assert not any(world.permits.held.values())


def test_the_stamp_is_no_input_of_a_component_that_does_not_declare_it() -> None:
    world = training(component=replace(TRAIN, inputs={"batch": "string"}, required=frozenset()))
    world.deliver(landed("in/b1/a.csv"))
    assert [job.inputs for job in started(world)] == [{"batch": "b1"}]


def test_a_name_never_comes_again_when_the_reactions_id_does() -> None:
    first = training()
    first.deliver(landed("in/b1/a.csv"))
    second = training()
    second.clock.advance(timedelta(days=60))
    second.deliver(landed("in/b1/a.csv", time=second.clock.now()))
    assert only(first).id == only(second).id
    assert started(first)[0].name != started(second)[0].name


def test_the_manifest_is_written_before_the_start() -> None:
    world = training(RULES.replace("with: {", 'with: {files: "{manifest}", '))
    world.deliver(landed("in/b1/a.csv"))
    reaction = only(world)
    assert started(world)[0].inputs["files"] == reaction.manifest_url
    assert reaction.manifest_written


def test_the_live_model_is_waited_for_and_then_fixed() -> None:
    world = training(RULES.replace('batch: "{batch}"}', 'batch: "{live:ep-live}"}'))
    world.workspace.endpoints["ep-live"] = {}
    world.deliver(landed("in/b1/a.csv"))
    assert (world.states(), started(world)) == (["pending"], [])
    assert "no model is live on endpoint ep-live yet" in only(world).reason
    model = world.workspace.register("clf", "3")
    world.workspace.serve("ep-live", "blue", model.ref)
    world.look_when_due()
    assert [job.inputs["batch"] for job in started(world)] == [model.asset]


# --- not started ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("component", "said"),
    [
        (None, "there is no component azureml:train:1: register it, or correct the rule"),
        (replace(TRAIN, inputs={"reaction_id": "string"}), "has no input batch; it has reaction_id"),
        (replace(TRAIN, required=frozenset({"files"})), "needs the input(s) files: add them to `with`"),
    ],
    ids=["unknown", "undeclared", "missing"],
)
def test_what_aml_would_not_take_is_not_asked_for(component: Component | None, said: str) -> None:
    world = training(component=component)
    world.deliver(landed("in/b1/a.csv"))
    assert (world.states(), started(world)) == (["failed"], [])
    assert said in only(world).reason


def test_a_refusal_fails_with_the_workspaces_own_words() -> None:
    world = training()
    world.workspace.hooks["start job"] = raising(TargetRefused("400 UserError: no such compute", status=400))
    world.deliver(landed("in/b1/a.csv"))
    assert world.states() == ["failed"]
    assert "no such compute" in only(world).reason


# --- patience ---------------------------------------------------------------------------------------------------------


def raising(error: RelearnError, times: int = 1) -> Callable[[], None]:
    left = [times]

    def hook() -> None:
        if left[0]:
            left[0] -= 1
            raise error

    return hook


@pytest.mark.parametrize("call", ["get component", "get job", "start job"])
def test_a_busy_workspace_delays_and_costs_no_attempt(call: str) -> None:
    world = training()
    world.workspace.hooks[call] = raising(TargetBusy("429", retry_after=timedelta(seconds=7)), times=2)
    world.deliver(landed("in/b1/a.csv"))
    reaction = only(world)
    assert reaction.next_look is not None
    waits = (reaction.next_look - T0).total_seconds()
    assert (str(reaction.state), 7 <= waits <= 7 * 1.2) == ("pending", True)
    assert not any(world.permits.held.values())
    settle_ending(world)
    assert (world.states(), only(world).attempt, len(started(world))) == (["succeeded"], 1, 1)


@pytest.mark.parametrize("call", ["get component", "get job"])
def test_a_workspace_that_does_not_answer_questions_delays(call: str) -> None:
    world = training()
    world.workspace.hooks[call] = raising(TargetUnavailable("503"))
    world.deliver(landed("in/b1/a.csv"))
    assert world.states() == ["pending"]
    settle_ending(world)
    assert (world.states(), len(started(world))) == (["succeeded"], 1)


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_a_rules_limit_holds_for_jobs(copies: int) -> None:
    world = training(ONE_AT_A_TIME)
    world.deliver(*[landed("in/b1/a.csv"), landed("in/b2/a.csv")] * copies)
    assert (sorted(world.states()), len(started(world))) == (["pending", "running"], 1)
    world.workspace.end_jobs()
    world.look_when_due()
    ended = world.clock.now()
    while len(started(world)) == 1:
        assert world.look_when_due()
    assert world.clock.now() - ended < timedelta(seconds=2), "whoever waits is woken"
    for _ in range(100):
        assert len(world.workspace.running_jobs) <= 1
        world.workspace.end_jobs()
        if not world.look_when_due():
            break
    assert (world.states(), len(started(world))) == (["succeeded", "succeeded"], 2)


def test_one_busy_answer_keeps_everybody_from_starting() -> None:
    world = training()
    world.workspace.hooks["start job"] = raising(TargetBusy("429", retry_after=MINUTE))
    world.deliver(landed("in/b1/a.csv"))
    sent: list[None] = []
    world.workspace.hooks["start job"] = lambda: sent.append(None)
    world.deliver(landed("in/b2/a.csv"), landed("in/b3/a.csv"))
    assert (world.states(), sent) == (["pending"] * 3, [])
    for _ in range(100):
        world.workspace.end_jobs()
        if not world.look_when_due():
            break
    assert (world.states(), len(sent)) == (["succeeded"] * 3, 3)


# --- in doubt ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [timedelta(0), timedelta(seconds=30)], ids=["seen at once", "seen late"])
def test_a_job_whose_answer_was_lost_is_adopted(lag: timedelta) -> None:
    world = training()
    world.workspace.job_lag = lag
    world.workspace.after["start job"] = raising(InDoubt("reset"))
    world.deliver(landed("in/b1/a.csv"))
    assert world.states() == ["starting"]
    settle_ending(world)
    reasons = [e.reason for e in world.lanes.history(only(world).id)]
    assert (world.states(), len(started(world))) == (["succeeded"], 1)
    assert lag or any("adopted: it carries our tag" in reason for reason in reasons)


def test_a_start_that_never_arrived_is_sent_again_under_the_same_name() -> None:
    world = training()
    world.workspace.hooks["start job"] = raising(InDoubt("500"), times=3)
    world.deliver(landed("in/b1/a.csv"))
    settle_ending(world)
    assert (world.states(), only(world).attempt) == (["succeeded"], 1)
    assert [job.name for job in started(world)] == [only(world).run_id]


def test_a_conflict_over_the_name_is_our_own_start() -> None:
    world = training()
    world.workspace.after["start job"] = raising(TargetRefused("409 there is a job of that name", status=409))
    world.deliver(landed("in/b1/a.csv"))
    assert world.states() == ["running"]
    assert any("adopted" in e.reason for e in world.lanes.history(only(world).id))


def test_a_conflict_is_waited_out_until_the_job_can_be_seen() -> None:
    world = training()
    world.workspace.job_lag = MINUTE
    world.workspace.after["start job"] = raising(TargetRefused("409", status=409))
    world.deliver(landed("in/b1/a.csv"))
    assert world.states() == ["starting"]
    settle_ending(world)
    assert (world.states(), len(started(world))) == (["succeeded"], 1)


def test_while_it_is_unclear_a_busy_workspace_does_not_make_it_pending() -> None:
    world = training(ONE_AT_A_TIME)
    world.workspace.after["start job"] = raising(InDoubt("reset"))
    world.deliver(landed("in/b1/a.csv"))
    world.workspace.hooks["get job"] = raising(TargetBusy("429", retry_after=MINUTE), times=2)
    world.look_when_due()
    assert world.states() == ["starting"]
    assert any(world.permits.held.values())
    settle_ending(world)
    assert (world.states(), len(started(world))) == (["succeeded"], 1)


def test_a_busy_answer_to_a_second_start_does_not_make_it_pending() -> None:
    """The first one may have had its effect, whatever the second is told."""
    world = training(ONE_AT_A_TIME)
    world.workspace.job_lag = 3 * MINUTE
    world.workspace.after["start job"] = raising(InDoubt("reset"))
    world.deliver(landed("in/b1/a.csv"))
    world.workspace.hooks["start job"] = raising(TargetBusy("429", retry_after=MINUTE))
    while world.workspace.writes == [f"start {job_name(only(world))}"] and world.look_when_due():
        assert world.states() != ["pending"]
        assert any(world.permits.held.values())
    settle_ending(world)
    assert (world.states(), only(world).attempt, len(started(world))) == (["succeeded"], 1, 1)


def test_a_start_without_a_clear_answer_keeps_the_others_from_starting() -> None:
    world = training()
    sent: list[None] = []
    world.workspace.hooks["start job"] = raising(InDoubt("500"))
    world.deliver(landed("in/b1/a.csv"))
    world.workspace.hooks["start job"] = lambda: sent.append(None)
    world.deliver(landed("in/b2/a.csv"))
    assert (sorted(world.states()), sent) == (["pending", "starting"], [])
    assert world.permits.read("workspace").failures == 1
    for _ in range(100):
        world.workspace.end_jobs()
        if not world.look_when_due():
            break
    assert (world.states(), len(sent)) == (["succeeded"] * 2, 2)
    assert world.permits.read("workspace").failures == 0, "it is well again"


@pytest.mark.parametrize("tags", [{}, {REACTION_TAG: "another-1"}], ids=["nobody's", "another's"])
def test_a_job_of_our_name_that_is_not_ours_is_left_alone(tags: Mapping[str, str]) -> None:
    world = training(RETRIED)
    world.workspace.hooks["get job"] = squat(world, tags)
    world.deliver(landed("in/b1/a.csv"))
    first = next(iter(world.workspace.jobs))
    assert "that Relearn did not start: it is left alone" in only(world).reason
    settle_ending(world)
    assert world.states() == ["succeeded"]
    assert only(world).run_id != first
    assert first not in world.workspace.cancelled


def squat(world: World, tags: Mapping[str, str]) -> Callable[[], None]:
    """Somebody takes the name before we do."""

    def hook() -> None:
        if not world.workspace.jobs:
            wanted = NewJob(
                name=job_name(only(world)), component=TRAIN, inputs={}, compute=None, experiment="theirs", tags=tags
            )
            world.workspace.start_job(wanted)

    return hook


@pytest.mark.parametrize("call", ["start job", "start job answered"])
def test_a_process_that_dies_around_the_start_leaves_one_job(call: str) -> None:
    world = training()
    world.storage.before_call = die_at(call)
    with pytest.raises(Died):
        world.deliver(landed("in/b1/a.csv"))
    world.nothing_breaks()
    world.restart()
    world.deliver(landed("in/b1/a.csv"))
    settle_ending(world)
    assert (world.states(), len(started(world))) == (["succeeded"], 1)


def test_whatever_call_a_process_dies_at_there_is_one_job_and_it_ends() -> None:
    clean = training(RETRIED)
    clean.deliver(landed("in/b1/a.csv"))
    settle_ending(clean)
    calls = clean.storage.calls
    assert calls > 10
    for at in range(1, calls + 1):
        world = training(RETRIED)
        world.break_call(at, die=True)
        world.survive(lambda world=world: world.deliver(landed("in/b1/a.csv")))  # type: ignore[misc]
        for _ in range(100):
            if world.states() == ["running"]:
                world.workspace.end_jobs()
            if not world.due.rows:
                break
            world.survive(world.look_when_due)
        assert (world.states(), len(started(world))) == (["succeeded"], 1), at


# --- followed ---------------------------------------------------------------------------------------------------------


def test_it_is_asked_less_and_less_often() -> None:
    world = training()
    world.deliver(landed("in/b1/a.csv"))
    waits = []
    for _ in range(80):
        before = world.clock.now()
        assert world.look_when_due()
        waits.append((world.clock.now() - before).total_seconds())
    assert (waits[0], waits[-1]) == (5, 60)
    assert waits == sorted(waits)
    assert world.story(only(world)) == ["pending", "starting", "running"], "looks are no history"


def test_a_failed_job_is_tried_again_under_a_new_name() -> None:
    world = training(RETRIED)
    world.deliver(landed("in/b1/a.csv"))
    world.workspace.end_jobs(RunStatus.FAILED)
    settle_ending(world)
    first, second = started(world)
    assert (world.states(), only(world).attempt) == (["succeeded"], 2)
    assert second.name == job_name(only(world)) != first.name
    assert (second.inputs["attempt"], second.tags["relearn_attempt"]) == ("2", "2")
    assert [(job.name, job.status) for job in only(world).jobs] == [(first.name, "Failed"), (second.name, "Succeeded")]


def test_the_last_failure_is_the_end_and_says_where_to_look() -> None:
    world = training()
    world.deliver(landed("in/b1/a.csv"))
    settle_ending(world, RunStatus.FAILED)
    assert world.states() == ["failed"]
    assert only(world).reason.endswith("failed: its logs in the workspace say why")
    assert world.notifier.kinds == ["ReactionFailed"]


def test_a_job_cancelled_by_hand_cancels_the_reaction() -> None:
    world = training(RETRIED)
    world.deliver(landed("in/b1/a.csv"))
    settle_ending(world, RunStatus.CANCELLED)
    assert (world.states(), len(started(world))) == (["cancelled"], 1)


def test_a_job_that_takes_too_long_is_cancelled_outside() -> None:
    world = training(RETRIED + "    timeout: 3m\n")
    world.deliver(landed("in/b1/a.csv"))
    world.settle()
    assert (world.states(), only(world).ended) == (["timed-out"], T0 + 3 * MINUTE)
    assert world.workspace.cancelled == [only(world).run_id]


def test_one_that_ended_well_just_before_its_time_has_ended_well() -> None:
    world = training(RULES + "    timeout: 3m\n")
    world.deliver(landed("in/b1/a.csv"))
    world.workspace.hooks["get job"] = raising(TargetUnavailable("503"), times=1000)
    world.workspace.end_jobs()
    world.clock.advance(5 * MINUTE)
    world.look_when_due()
    assert world.states() == ["running"]
    world.workspace.hooks.clear()
    world.settle()
    assert world.states() == ["succeeded"]


def test_where_it_may_not_be_asked_any_more_its_time_still_ends() -> None:
    world = training(RULES + "    timeout: 3m\n")
    world.deliver(landed("in/b1/a.csv"))
    for call in ("get job", "cancel job"):
        world.workspace.hooks[call] = raising(TargetRefused("403 AuthorizationFailed", status=403), times=1000)
    world.settle()
    assert world.states() == ["timed-out"]
    assert "not cancelled, the workspace refused: 403" in only(world).reason


def test_a_job_that_was_deleted_is_a_failed_one() -> None:
    world = training()
    world.deliver(landed("in/b1/a.csv"))
    world.workspace.jobs.clear()
    world.settle()
    assert (world.states(), only(world).reason) == (["failed"], f"job {only(world).run_id} is no longer there")
    assert only(world).ended is not None
    assert world.clock.now() - T0 < 12 * MINUTE


def test_events_that_come_meanwhile_are_the_next_reactions() -> None:
    world = training()
    world.deliver(landed("in/b1/a.csv"))
    world.deliver(landed("in/b1/b.csv"), landed("in/b1/c.csv"))
    assert len(started(world)) == 1
    settle_ending(world)
    assert [(r.events, str(r.state)) for r in world.reactions()] == [(1, "succeeded"), (2, "succeeded")]


# --- ended by people --------------------------------------------------------------------------------------------------


def wish_for_the_end(world: World) -> None:
    reaction = only(world)
    world.lanes.partitions[reaction.lane].reactions[reaction.seq] = replace(reaction, cancel="ada: wrong file")


def test_a_cancelled_reaction_cancels_its_job() -> None:
    world = training()
    world.deliver(landed("in/b1/a.csv"))
    wish_for_the_end(world)
    world.engine.look_at_lane(only(world).lane, None)
    assert world.states() == ["cancelled"]
    assert only(world).reason == f"cancelled by ada: wrong file; job {only(world).run_id} cancelled"
    assert world.workspace.cancelled == [only(world).run_id]


def test_a_pending_reaction_is_cancelled_without_a_job() -> None:
    world = training()
    world.workspace.hooks["start job"] = raising(TargetBusy("429", retry_after=MINUTE))
    world.deliver(landed("in/b1/a.csv"))
    wish_for_the_end(world)
    world.engine.look_at_lane(only(world).lane, None)
    assert (world.states(), started(world)) == (["cancelled"], [])
    assert only(world).reason == "cancelled by ada: wrong file; nothing was running"


def test_a_start_that_is_unclear_is_settled_before_it_is_cancelled() -> None:
    world = training()
    world.workspace.after["start job"] = raising(InDoubt("reset"))
    world.deliver(landed("in/b1/a.csv"))
    wish_for_the_end(world)
    world.settle()
    assert world.states() == ["cancelled"]
    assert world.workspace.cancelled == [only(world).run_id]


def in_doubt() -> World:
    world = training()
    world.workspace.hooks["start job"] = raising(InDoubt("reset"))
    world.deliver(landed("in/b1/a.csv"))
    assert world.states() == ["starting"]
    return world


def test_an_unclear_start_of_which_nobody_tells_any_more_can_be_cancelled() -> None:
    world = in_doubt()
    world.workspace.hooks["get job"] = raising(TargetRefused("403", status=403), times=1000)
    wish_for_the_end(world)
    world.settle()
    assert (world.states(), started(world)) == (["cancelled"], [])
    assert "it is unclear whether job" in only(world).reason


def test_an_unclear_start_of_a_component_that_is_gone_fails_and_is_not_looked_for_for_ever() -> None:
    world = in_doubt()
    world.workspace.components.clear()
    world.settle()
    assert (world.states(), started(world)) == (["failed"], [])
    assert "there is no component azureml:train:1" in only(world).reason


# --- giving way -------------------------------------------------------------------------------------------------------

REPLACED = RULES.replace("with: {", 'with: {files: "{manifest}", ') + "    limits: {while-running: replace}\n"


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_a_job_gives_way_and_the_next_one_starts_when_it_has_really_ended(copies: int) -> None:
    world = training(REPLACED)
    world.workspace.cancels_at_once = False
    world.deliver(landed("in/b1/old.csv"))
    [first] = world.workspace.jobs
    world.deliver(*[landed("in/b1/new.csv")] * copies)
    for _ in range(5):
        world.look_when_due()
    assert (world.states(), world.workspace.cancelled) == (["running"], [first]), "asked for once, and not ended yet"
    world.workspace.end_jobs(RunStatus.CANCELLED)
    settle_ending(world)
    old, new = world.reactions()
    assert (str(old.state), str(new.state), new.replaces) == ("superseded", "succeeded", old.seq)
    assert old.reason == f"replaced: 1 event; job {first} is cancelled"
    assert [e.pending.event.path for e in world.manifests.written[new.id]] == ["in/b1/old.csv", "in/b1/new.csv"]  # type: ignore[union-attr]
    assert len(started(world)) == 2


def test_one_that_ends_well_while_it_gives_way_has_succeeded() -> None:
    world = training(REPLACED)
    world.workspace.cancels_at_once = False
    world.deliver(landed("in/b1/old.csv"), landed("in/b1/new.csv"))
    world.workspace.end_jobs()
    settle_ending(world)
    assert [(str(r.state), r.replaces) for r in world.reactions()] == [("succeeded", None)] * 2


def test_what_cannot_be_cancelled_gives_way_at_its_timeout() -> None:
    world = training(REPLACED + "    timeout: 10m\n")
    world.workspace.hooks["cancel job"] = raising(TargetRefused("403", status=403), times=1000)
    world.deliver(landed("in/b1/old.csv"), landed("in/b1/new.csv"))
    while len(started(world)) == 1:
        assert world.look_when_due()
    assert world.clock.now() - T0 >= 10 * MINUTE
    assert world.states() == ["superseded", "running"]


# --- judged -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "state"), [(500, "running"), (499, "refused")])
def test_the_data_of_a_job_are_judged_as_those_of_a_pipeline(rows: int, state: str) -> None:
    world = training(
        RULES.replace('file-landed: {path: "lake/in/{batch}/*.csv"}', 'drift-detected: {monitor: "m-{batch}"}')
        + '    require: {report: "lake/monitoring/{monitor}/report.json", min-rows: 500}\n'
    )
    content = json.dumps({"rows": rows, "missing_share": 0}).encode()
    world.lake.contents["acc", "lake", "monitoring/m-b1/report.json"] = content
    world.deliver(breached("m-b1", "run-1"))
    assert world.states() == [state]
    assert len(started(world)) == (state == "running")


# --- told -------------------------------------------------------------------------------------------------------------


def test_the_job_is_shown_with_its_reaction() -> None:
    world = training()
    world.deliver(landed("in/b1/a.csv"))
    told = world.queries.reaction(only(world).id)
    assert told is not None
    run, lineage = told["run"], told["lineage"]
    assert isinstance(run, dict)
    assert isinstance(lineage, dict)
    assert (run["kind"], run["name"], run["component"]) == ("job", only(world).run_id, "azureml:train:1")
    assert lineage["job"]["name"] == only(world).run_id
    assert "pipeline_run" not in lineage
