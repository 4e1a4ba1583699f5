"""What becomes of files that land while their lane's run goes on, for each policy, through the real entry points."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from local.faults import Status
from tests.scenarios.policies import (
    ONCE_AND_TWICE,
    SECOND,
    batches,
    by_hand,
    end_runs,
    fate,
    land,
    manifest,
    rules,
    to_the_end,
)
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.cloud


@ONCE_AND_TWICE
def test_coalesce_collects_them_for_one_next_run(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = by_hand(stage_with, rules("while-running: coalesce"))
    events = [land(stage, f"{n}.csv", copies) for n in range(4)]
    assert stage.states() == ["running"]
    to_the_end(stage, reactions=2)
    stage.deliver(*events)
    to_the_end(stage, reactions=2)
    assert batches(stage) == [["0.csv"], ["1.csv", "2.csv", "3.csv"]]


@ONCE_AND_TWICE
def test_a_queue_runs_each_batch_in_its_turn(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = by_hand(stage_with, rules("while-running: queue"))
    events = [land(stage, f"{n}.csv", copies) for n in range(4)]
    assert stage.states() == ["running"]
    to_the_end(stage, reactions=4)
    stage.deliver(*reversed(events))
    to_the_end(stage, reactions=4)
    assert batches(stage) == [["0.csv"], ["1.csv"], ["2.csv"], ["3.csv"]]


@ONCE_AND_TWICE
def test_a_queue_keeps_apart_what_a_pause_parted(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = by_hand(stage_with, rules("while-running: queue", ", quiet: 20s, max-wait: 1m"))
    for n in range(6):
        if n % 2 == 0:
            stage.clock.advance(25 * SECOND)
        land(stage, f"{n}.csv", copies)
    to_the_end(stage, reactions=3)
    assert batches(stage) == [["0.csv", "1.csv"], ["2.csv", "3.csv"], ["4.csv", "5.csv"]]


@ONCE_AND_TWICE
def test_skip_records_and_drops_them(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = by_hand(stage_with, rules("while-running: skip"))
    for n in range(3):
        land(stage, f"{n}.csv", copies)
    to_the_end(stage, reactions=1)
    land(stage, "later.csv", copies)
    to_the_end(stage, reactions=2)
    assert batches(stage) == [["0.csv"], ["later.csv"]]
    assert [fate(stage, f"in/b1/{n}.csv") for n in (1, 2)] == [("skipped", "while-running")] * 2


@ONCE_AND_TWICE
def test_replace_cancels_the_run_and_the_next_has_the_files_of_both(
    stage_with: Callable[..., Stage], copies: int
) -> None:
    text = rules("while-running: replace").replace('batch: "{batch}"', 'batch: "{count}"')
    stage = by_hand(stage_with, text)
    events = [land(stage, f"{n}.csv", copies) for n in range(3)]
    assert stage.states() == ["superseded", "superseded", "running"]
    assert [str(run.status.value) for run in stage.factory.runs("score")].count("Cancelled") == 2
    to_the_end(stage, reactions=3)
    stage.deliver(*events)
    to_the_end(stage, reactions=3)
    assert batches(stage) == [["0.csv"], ["0.csv", "1.csv"], ["0.csv", "1.csv", "2.csv"]]
    assert [start["parameters"]["batch"] for start in stage.starts()] == ["1", "2", "3"]
    assert manifest(stage, stage.starts()[-1])["count"] == 3
    first, second, last = stage.reactions()
    told = stage.get(f"reactions/{last['id']}")[1]
    assert told["replaces"] == second["id"]
    assert sorted(file["path"] for file in told["lineage"]["files"]) == [f"in/b1/{n}.csv" for n in range(3)]
    assert stage.story(first["id"]) == ["pending", "starting", "running", "gives-way", "superseded"]
    assert first["reason"] == f"replaced: 1 event; run {first['run_id']} cancelled"


@ONCE_AND_TWICE
def test_nothing_replaces_a_run_before_its_cancel_is_accepted(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = by_hand(stage_with, rules("while-running: replace"))
    land(stage, "0.csv", copies)
    path = f"*/factories/{stage.factory_name}/pipelineruns/*/cancel"
    stage.cloud.data_factory.faults.add(
        method="POST", path=path, action=Status(429, headers={"Retry-After": "5"}), times=2
    )
    land(stage, "1.csv", copies)
    assert stage.states() == ["running"]
    stage.restart()  # whoever goes on knows why
    stage.settle(lambda: len(stage.starts()) == 2)
    assert stage.states() == ["superseded", "running"]
    assert len(stage.running()) == 1
    to_the_end(stage, reactions=2)
    assert batches(stage)[-1] == ["0.csv", "1.csv"]


@ONCE_AND_TWICE
def test_a_run_that_ended_by_itself_meanwhile_is_not_replaced(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = by_hand(stage_with, rules("while-running: replace"))
    land(stage, "0.csv", copies)
    end_runs(stage)
    land(stage, "1.csv", copies)
    to_the_end(stage, reactions=2)
    assert stage.states() == ["succeeded", "succeeded"]
    assert batches(stage) == [["0.csv"], ["1.csv"]]
