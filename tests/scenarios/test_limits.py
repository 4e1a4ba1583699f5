"""Limits, checked from the factory's side: how many runs there were at every moment, in which order, how fast."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from azure.data.tables import TableServiceClient

from local.progress import ByHand
from shared.cloud import storage
from shared.cloud.permit_table import PermitTable
from shared.ports import Permit
from tests.scenarios.stage import PIPELINE, RULES, Stage

pytestmark = pytest.mark.cloud

COPIES = pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
URGENT = {**PIPELINE, "name": "urgent"}
TWO_RULES = """\
version: 1
reactions:
  score:
    when: {file-landed: {path: "lake/in/{batch}/*.csv"}}
    collect: {by: "{batch}"}
    run-pipeline: score
    with: {batch: "{batch}", files: "{manifest}"}
  urgent:
    when: {file-landed: {path: "lake/urgent/{batch}/*.csv"}}
    collect: {by: "{batch}"}
    run-pipeline: urgent
    with: {batch: "{batch}", files: "{manifest}"}
"""
POOL = TWO_RULES.replace('"{manifest}"}\n', '"{manifest}"}\n    limits: {resources: [spark-pool]}\n').replace(
    "version: 1\n", "version: 1\nresources: {spark-pool: 2}\n"
)


def staged(stage_with: Callable[..., Stage], rules: str) -> Stage:
    stage = stage_with(rules=rules, pipelines=(PIPELINE, URGENT))
    for pipeline in ("score", "urgent"):
        stage.factory.progress.set(ByHand(), pipeline)
    return stage


def land(stage: Stage, copies: int, *paths: str) -> None:
    for path in paths:
        event = stage.land(path)
        for _ in range(copies):
            stage.deliver(event)
        stage.clock.advance(timedelta(milliseconds=100))


def work_off(stage: Stage, runs: int, looks: int = 80) -> None:
    """Whatever runs longest ends whenever nothing more starts, until so many runs have been and all is over."""
    for _ in range(looks):
        if len(stage.factory.runs()) == runs and stage.all_final():
            return
        before = len(stage.factory.runs())
        assert stage.next_look()
        if len(stage.factory.runs()) == before and stage.running():
            stage.factory.finish(stage.running()[0].id)
    raise AssertionError(f"not worked off: {stage.reactions()}")


def most_at_once(stage: Stage, pipeline: str | None = None) -> int:
    """By the times the factory wrote down: the most runs there have been at any moment."""
    runs = stage.factory.runs(pipeline)
    moments = [(run.start, 1) for run in runs] + [(run.end, -1) for run in runs if run.end is not None]
    running = most = 0
    for _, change in sorted(moments):
        running += change
        most = max(most, running)
    return most


def batches(stage: Stage) -> list[str]:
    return [start["parameters"]["batch"] for start in stage.starts()]


def waiting(stage: Stage) -> list[dict[str, Any]]:
    return [reaction for reaction in stage.reactions() if reaction["state"] == "pending"]


@COPIES
def test_six_lanes_of_a_rule_run_two_at_a_time_in_their_order(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = staged(stage_with, RULES + "    limits: {concurrency: 2}\n")
    land(stage, copies, *(f"in/b{n}/a.csv" for n in range(6)))
    assert (len(stage.running()), len(waiting(stage))) == (2, 4)
    assert waiting(stage)[0]["reason"] == "rule:score has 2 permit(s), all held or waited for"
    work_off(stage, runs=6)
    assert most_at_once(stage) == 2
    assert batches(stage) == [f"b{n}" for n in range(6)]
    assert stage.states() == ["succeeded"] * 6
    assert {reaction["attempt"] for reaction in stage.reactions()} == {1}


@COPIES
def test_a_named_resource_is_shared_by_two_rules(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = staged(stage_with, POOL)
    land(stage, copies, "in/b1/a.csv", "urgent/u1/a.csv", "in/b2/a.csv", "urgent/u2/a.csv", "in/b3/a.csv")
    assert (len(stage.running()), len(waiting(stage))) == (2, 3)
    work_off(stage, runs=5)
    assert most_at_once(stage) == 2
    assert batches(stage) == ["b1", "u1", "b2", "u2", "b3"]


@COPIES
def test_the_factory_has_one_budget(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = staged(stage_with, "factory: {concurrency: 3}\n" + TWO_RULES)
    paths = [f"{folder}/{n}/a.csv" for n in range(3) for folder in ("in", "urgent")]
    land(stage, copies, *paths)
    assert len(stage.running()) == 3
    work_off(stage, runs=6)
    assert most_at_once(stage) == 3


@COPIES
def test_starts_come_no_faster_than_the_rate(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = staged(stage_with, RULES + "    limits: {start-rate: 2/m}\n")
    stage.factory.progress.clear()  # each run is over at once
    begun = stage.clock.now()
    land(stage, copies, *(f"in/b{n}/a.csv" for n in range(5)))
    times: list[float] = []
    for _ in range(40):
        times += [(stage.clock.now() - begun).total_seconds()] * (len(stage.starts()) - len(times))
        if len(times) == 5:
            break
        assert stage.next_look()
    assert batches(stage) == [f"b{n}" for n in range(5)]
    for n, time in enumerate(times):
        assert time >= (n - 1) * 30, "two at once, and then one every thirty seconds"
    assert times[-1] < 95
    stage.settle(stage.all_final)
    assert stage.states() == ["succeeded"] * 5


@COPIES
def test_the_more_urgent_goes_first(stage_with: Callable[..., Stage], copies: int) -> None:
    rules = POOL.replace("spark-pool: 2", "spark-pool: 1")
    urgent = rules.rindex("{resources: [spark-pool]}")
    stage = staged(stage_with, rules[:urgent] + "{resources: [spark-pool], priority: high}\n")
    land(stage, copies, "in/b1/a.csv", "in/b2/a.csv", "in/b3/a.csv", "urgent/u1/a.csv", "urgent/u2/a.csv")
    work_off(stage, runs=5)
    assert batches(stage) == ["b1", "u1", "u2", "b2", "b3"]
    assert most_at_once(stage) == 1


@COPIES
def test_a_release_wakes_who_waits_within_the_same_moment(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = staged(stage_with, RULES + "    limits: {concurrency: 1}\n")
    land(stage, copies, "in/b1/a.csv", "in/b2/a.csv")
    stage.factory.finish(stage.running()[0].id)
    stage.settle(lambda: stage.states()[0] == "succeeded")
    over = stage.clock.now()
    stage.settle(lambda: len(stage.running()) == 1)
    assert stage.clock.now() == over
    work_off(stage, runs=2)


@COPIES
def test_a_permit_that_a_dead_process_left_behind_is_freed(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = staged(stage_with, RULES + "    limits: {concurrency: 1}\n")
    land(stage, copies, "in/b1/a.csv")
    work_off(stage, runs=1)
    with tables(stage) as service:
        permits = PermitTable(service.get_table_client("permits"))
        ended = stage.reactions()[0]["id"]
        left = Permit(reaction_id=ended, since=stage.clock.now())
        assert permits.grant(permits.read("rule:score"), left)
        land(stage, copies, "in/b2/a.csv")
        assert len(stage.running()) == 1
        assert ended not in {permit.reaction_id for permit in permits.read("rule:score").permits}


def tables(stage: Stage) -> TableServiceClient:
    from shared.settings import from_environment

    return storage.tables(from_environment(stage.settings).storage, stage.credential)


@COPIES
def test_starts_are_stopped_and_go_on_with_everything_that_waited(
    stage_with: Callable[..., Stage], copies: int
) -> None:
    stage = staged(stage_with, RULES + "    limits: {concurrency: 1}\n")
    land(stage, copies, "in/b1/a.csv", "in/b2/a.csv")
    assert (len(stage.running()), len(waiting(stage))) == (1, 1)
    stop = {"all": True, "reason": "costs", "request": "stop-0001"}
    for _ in range(copies):
        assert stage.post("controls/pause", stop)[0] == 200
    land(stage, copies, "in/b3/a.csv", "in/b3/b.csv")
    stage.factory.finish(stage.running()[0].id)  # what runs goes on, to its end
    stage.settle()
    assert stage.states() == ["succeeded", "pending"]
    assert "all starts are stopped by ada@example.com" in waiting(stage)[0]["reason"]
    for _ in range(copies):
        assert stage.post("controls/resume", {**stop, "request": "go-on-0001"})[0] == 200
    work_off(stage, runs=3)
    assert most_at_once(stage) == 1
    assert sorted((r["key"], r["event_count"]) for r in stage.reactions()) == [("b1", 1), ("b2", 1), ("b3", 2)]


@COPIES
def test_a_paused_rule_gathers_its_events_and_the_other_goes_on(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = staged(stage_with, TWO_RULES)
    pause = {"rule": "score", "reason": "a wrong model", "request": "pause-001"}
    assert stage.post("controls/pause", pause)[0] == 200
    land(stage, copies, "in/b1/a.csv", "in/b1/b.csv", "urgent/u1/a.csv")
    assert batches(stage) == ["u1"]
    stage.restart()
    assert stage.post("controls/resume", {**pause, "request": "resume-01"})[0] == 200
    work_off(stage, runs=2)
    assert [(r["key"], r["event_count"]) for r in stage.reactions()] == [("u1", 1), ("b1", 2)]


@COPIES
def test_deliveries_at_once_exceed_nothing(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = staged(stage_with, "factory: {concurrency: 3}\n" + RULES + "    limits: {concurrency: 2}\n")
    events = [stage.land(f"in/b{n}/a.csv") for n in range(5)]
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(stage.deliver, events * copies))
    assert len(stage.running()) <= 2
    work_off(stage, runs=5, looks=120)
    assert most_at_once(stage) == 2
    assert stage.states() == ["succeeded"] * 5
