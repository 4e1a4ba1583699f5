"""What the drift report must say, and what becomes of a training whose data are judged by it."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cloud import rows
from shared.ports import RunStatus
from shared.quality import LARGEST_REPORT, Requirement, UnusableReport, judge
from tests.fakes import T0, breached
from tests.unit.test_rows import reaction
from tests.unit.test_run_job import TRAIN
from tests.world import World, rules_of

WANTED = Requirement(report="lake/r.json", min_rows=500, max_missing=Decimal("0.05"))
HEAD = "version: 1\nreactions:\n  retrain:\n"
DRIFT = '    when: {drift-detected: {monitor: "diabetes-{batch}"}}\n    collect: {by: "{batch}"}\n'
RUN = '    run-pipeline: score\n    with: {batch: "{batch}"}\n'
REQUIRE = '    require: {report: "lake/monitoring/{monitor}/report.json", min-rows: 500, max-missing: 5%}\n'
REPORT = ("acc", "lake", "monitoring/diabetes-b1/report.json")


def report(rows: object = 500, missing_share: object = 0.05) -> bytes:
    return json.dumps({"rows": rows, "missing_share": missing_share}).encode()


# --- the verdict ------------------------------------------------------------------------------------------------------


def test_at_the_limits_the_data_are_fit_and_the_figures_are_told() -> None:
    verdict = judge(WANTED, report())

    assert verdict.fit
    assert "500 new rows, at least 500 are required" in verdict.why
    assert "5 % of the values are missing, at most 5 % may be (lake/r.json)" in verdict.why


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (report(rows=499), ["499 new rows, at least 500"]),
        (report(missing_share=0.0501), ["5.01 % of the values are missing, at most 5 %"]),
        (report(rows=0, missing_share=1), ["0 new rows", "100 % of the values"]),
    ],
)
def test_beyond_them_they_are_not_and_it_says_what_to_do(content: bytes, parts: list[str]) -> None:
    verdict = judge(WANTED, content)

    assert not verdict.fit
    assert all(part in verdict.why for part in parts), verdict.why
    assert "Land more rows" in verdict.why


def test_only_what_is_asked_for_is_read() -> None:
    assert judge(replace(WANTED, max_missing=None), b'{"rows": 500}').fit
    assert judge(replace(WANTED, min_rows=None), b'{"missing_share": 0}').fit


@pytest.mark.parametrize(
    ("content", "lacks"),
    [
        (b"", "it is not JSON"),
        (b"\xff", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[]", "it is not a JSON object"),
        (b"{}", "it has no `rows`"),
        (report(rows=True), "it has no `rows`"),
        (report(rows=-1), "it has no `rows`"),
        (report(rows="500"), "it has no `rows`"),
        (report(missing_share=None), "it has no `missing_share`"),
        (report(missing_share=True), "it has no `missing_share`"),
        (report(missing_share=1.1), "it has no `missing_share`"),
        (report(missing_share=float("nan")), "it has no `missing_share`"),
        (report(missing_share=float("inf")), "it has no `missing_share`"),
        (report() + b" " * LARGEST_REPORT, "it is larger than 1,000,000 bytes"),
    ],
)
def test_a_report_that_does_not_tell_is_no_verdict(content: bytes, lacks: str) -> None:
    with pytest.raises(UnusableReport, match=lacks.replace("`", ".")):
        judge(WANTED, content)


@given(st.binary(max_size=200))
def test_whatever_the_report_is_it_is_judged_or_unusable(content: bytes) -> None:
    with contextlib.suppress(UnusableReport):
        assert judge(WANTED, content).why


# --- the reaction -----------------------------------------------------------------------------------------------------


@pytest.fixture
def world() -> World:
    return World(rules=HEAD + DRIFT + RUN + REQUIRE)


def test_fit_data_are_trained_on_and_judged_once_whatever_the_attempt(world: World) -> None:
    world = World(rules=HEAD + DRIFT + RUN + REQUIRE + "    retry: {attempts: 2, backoff: 1m}\n")
    world.lake.contents[REPORT] = report()
    world.deliver(breached("diabetes-b1", "run-1"))
    del world.lake.contents[REPORT]
    [run] = world.factory.running
    world.factory.end(run.id, RunStatus.FAILED)
    for _ in range(10):
        world.look_when_due()
        if len(world.factory.started) > 1:
            break

    assert len(world.factory.running) == 1
    [found] = world.reactions()
    assert (found.attempt, found.require) == (2, None)
    assert world.story(found)[:3] == ["pending", "pending", "starting"]
    reasons = [entry.reason for entry in world.lanes.history(found.id)]
    assert sum("fit to train on" in reason for reason in reasons) == 1


def test_unfit_data_are_refused_and_the_next_breach_is_judged_anew(world: World) -> None:
    world.lake.contents[REPORT] = report(rows=12)
    world.deliver(breached("diabetes-b1", "run-1"))
    world.settle()
    world.lake.contents[REPORT] = report(rows=5_000)
    world.deliver(breached("diabetes-b1", "run-2", time=T0 + timedelta(days=1)))

    first, second = world.reactions()
    assert (first.state, second.state) == ("refused", "running")
    assert "12 new rows, at least 500" in first.reason
    assert world.notifier.kinds == ["ReactionRefused"]
    assert len(world.factory.running) == 1


def test_a_report_that_comes_later_is_waited_for(world: World) -> None:
    world.deliver(breached("diabetes-b1", "run-1"))
    world.look_when_due()
    world.look_when_due()
    assert world.states() == ["pending"]
    world.lake.contents[REPORT] = report()
    world.look_when_due()

    [found] = world.reactions()
    assert found.state == "running"
    reasons = [entry.reason for entry in world.lanes.history(found.id)]
    assert reasons.count("there is no drift report lake/monitoring/diabetes-b1/report.json yet") == 1


def test_one_that_never_comes_ends_in_failure_after_ten_minutes(world: World) -> None:
    world.deliver(breached("diabetes-b1", "run-1"))
    world.settle()

    [found] = world.reactions()
    assert (found.state, found.changed) == ("failed", T0 + timedelta(minutes=10))
    assert "after 10 minutes there is no drift report lake/monitoring/diabetes-b1/report.json" in found.reason
    assert world.factory.running == []


def test_one_that_does_not_tell_ends_in_failure_at_once(world: World) -> None:
    world.lake.contents[REPORT] = b'{"features": []}'
    world.deliver(breached("diabetes-b1", "run-1"))

    [found] = world.reactions()
    assert (found.state, "it has no `rows`" in found.reason) == ("failed", True)


def test_a_lake_that_cannot_be_read_is_waited_for_however_long(world: World) -> None:
    world.lake.down = True
    world.lake.contents[REPORT] = report()
    world.deliver(breached("diabetes-b1", "run-1"))
    for _ in range(30):
        world.look_when_due()
    [waiting] = world.reactions()
    assert (waiting.state, waiting.reason) == ("pending", "the drift report cannot be read: the lake is down")
    world.lake.down = False
    world.look_when_due()

    assert world.states() == ["running"]


def test_the_first_account_that_has_the_report_is_taken(world: World) -> None:
    world.lake.accounts = ("acc", "beside")
    world.lake.contents["beside", REPORT[1], REPORT[2]] = report()
    world.deliver(breached("diabetes-b1", "run-1"))

    assert world.states() == ["running"]


def test_of_several_breaches_the_last_ones_report_counts() -> None:
    text = HEAD + DRIFT.replace('"diabetes-{batch}"', '"diabetes-{batch}", times: 2, within: 3d') + RUN
    world = World(rules=text + REQUIRE.replace("{monitor}", "{run_id}"))
    world.lake.contents["acc", "lake", "monitoring/run-2/report.json"] = report()
    for number in (2, 1):
        world.deliver(breached("diabetes-b1", f"run-{number}", time=T0 + timedelta(hours=number)))

    assert world.states() == ["running"]


def test_a_job_is_started_on_fit_data_only() -> None:
    run = '    run-job: {component: "azureml:train:1"}\n    with: {batch: "{batch}"}\n'
    world = World(rules=HEAD + DRIFT + run + REQUIRE)
    world.workspace.components["azureml:train:1"] = TRAIN
    for number, content in enumerate((None, report(rows=499), report())):
        if content is not None:
            world.lake.contents[REPORT] = content
        world.deliver(breached("diabetes-b1", f"run-{number}", time=T0 + timedelta(days=number)))
        for _ in range(12):
            if world.states()[-1] != "pending":
                break
            world.look_when_due()
        assert len(world.workspace.jobs) == (number == 2)

    assert world.states() == ["failed", "refused", "running"]


def test_what_is_required_is_kept_in_its_row_and_an_older_row_requires_nothing() -> None:
    for requirement in (WANTED, replace(WANTED, min_rows=None), replace(WANTED, max_missing=None), None):
        row = rows.reaction_row(replace(reaction(), require=requirement))
        assert rows.reaction(row).require == requirement
    assert "require" not in rows.reaction_row(reaction())


# --- the rule ---------------------------------------------------------------------------------------------------------


def test_what_a_rule_requires_is_read() -> None:
    require = rules_of(HEAD + DRIFT + RUN + REQUIRE).rules["retrain"].require

    assert require is not None
    assert (require.report.text, require.min_rows) == ("lake/monitoring/{monitor}/report.json", 500)
    assert require.max_missing == Decimal("0.05")
