"""A reaction that has ended names the jobs its runs started; not to be told of them holds nothing up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.errors import RelearnError, TargetBusy, TargetRefused, TargetUnavailable
from shared.ports import RunStatus
from shared.reactions import Job
from tests.fakes import landed
from tests.world import RULES, World

UNKNOWN = {"run_id": "run-1", "name": None, "url": None, "status": "unknown"}


def started(rules: str = RULES) -> World:
    world = World(rules=rules)
    world.deliver(landed("in/b1/a.csv"))
    return world


def job(run_id: str, name: str, status: str = "Completed") -> Job:
    return Job(run_id=run_id, name=name, url=f"https://e/jobs/{name}", status=status)


def shown(found: Job) -> dict[str, Any]:
    return {"run_id": found.run_id, "name": found.name, "url": found.url, "status": found.status}


def answer(world: World) -> dict[str, Any]:
    [reaction] = world.reactions()
    found: Any = world.queries.reaction(reaction.id)
    return dict(found)


@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED])
def test_the_jobs_of_a_run_are_shown_with_the_run_and_in_the_lineage(status: RunStatus) -> None:
    world = started()
    assert answer(world)["run"]["jobs"] == []
    jobs = (job("run-1", "prep"), job("run-1", "score", "Failed"))
    world.factory.jobs["run-1"] = jobs
    world.factory.end_all(status, "the score job failed")
    world.settle()
    found = answer(world)
    assert found["state"] == str(status).lower()
    assert found["run"]["jobs"] == found["lineage"]["jobs"] == [shown(each) for each in jobs]


def test_jobs_of_every_attempt_are_kept() -> None:
    world = started(RULES + "    retry: {attempts: 2, backoff: 1m}\n")
    world.factory.jobs = {"run-1": (job("run-1", "a", "Failed"),), "run-2": (job("run-2", "b"),)}
    world.factory.end_all(RunStatus.FAILED)
    while len(world.factory.started) < 2:
        assert world.look_when_due()
    assert answer(world)["run"]["jobs"] == [shown(job("run-1", "a", "Failed"))]
    world.factory.end_all()
    world.settle()
    assert world.states() == ["succeeded"]
    assert [each["name"] for each in answer(world)["run"]["jobs"]] == ["a", "b"]


def test_a_run_that_took_too_long_still_names_its_jobs() -> None:
    world = started(RULES + "    timeout: 3m\n")
    world.factory.jobs["run-1"] = (job("run-1", "prep", "Running"),)
    world.settle()
    assert world.states() == ["timed-out"]
    assert answer(world)["run"]["jobs"] == [shown(job("run-1", "prep", "Running"))]


@pytest.mark.parametrize("error", [TargetBusy("429", retry_after=timedelta(hours=1)), TargetUnavailable("503")])
@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.FAILED])
def test_jobs_that_cannot_be_asked_for_are_unknown_and_delay_nothing(error: RelearnError, status: RunStatus) -> None:
    world, unhindered = started(), started()
    asked = 0

    def fail() -> None:
        nonlocal asked
        asked += 1
        raise error

    world.factory.on_jobs = fail
    for each in (world, unhindered):
        each.factory.end_all(status)
        each.settle()
    assert world.states() == unhindered.states() == [str(status).lower()]
    assert answer(world)["ended"] == answer(unhindered)["ended"]
    assert world.story(world.reactions()[0]) == unhindered.story(unhindered.reactions()[0])
    assert answer(world)["run"]["jobs"] == [UNKNOWN]
    assert asked == 1


def test_a_refusal_is_unknown_too() -> None:
    world = started()

    def refuse() -> None:
        raise TargetRefused("403 this identity may not read activity runs", status=403)

    world.factory.on_jobs = refuse
    world.factory.end_all()
    world.settle()
    assert (world.states(), answer(world)["lineage"]["jobs"]) == (["succeeded"], [UNKNOWN])


def test_a_reaction_whose_start_is_refused_has_no_jobs_and_asks_for_none() -> None:
    world = World()
    world.factory.pipelines.clear()
    calls: list[str] = []
    world.storage.before_call = lambda _number, what: calls.append(what)
    world.deliver(landed("in/b1/a.csv"))
    assert (world.states(), answer(world)["run"]["jobs"]) == (["failed"], [])
    assert "query activity runs" not in calls


def test_the_factory_is_asked_for_the_jobs_once_per_run() -> None:
    world = started()
    calls: list[str] = []
    world.storage.before_call = lambda _number, what: calls.append(what)
    for _ in range(3):
        assert world.look_when_due()
    world.factory.end_all()
    world.settle()
    world.deliver(landed("in/b1/a.csv"))
    world.settle()
    assert calls.count("query activity runs") == 1
