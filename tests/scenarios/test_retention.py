"""A month later: what has ended is gone, and a file that is announced once more starts nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobClient

from local.progress import ByHand
from shared.cloud import storage
from shared.settings import from_environment
from tests.scenarios.stage import RULES, Stage

pytestmark = pytest.mark.cloud
DAY = timedelta(days=1)


@pytest.fixture
def telling(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """What the passes have said, oldest first."""
    caplog.set_level("INFO")

    def told() -> list[dict[str, Any]]:
        said = (record.getMessage().partition(" ") for record in caplog.records if record.name == "shared.retention")
        return [json.loads(facts) for action, _, facts in said if action == "retention_removed"]

    return told


def a_month_passes(stage: Stage, days: int = 32) -> None:
    stage.clock.advance(days * DAY)


def one_pass(stage: Stage, tries: int = 50) -> None:
    """The sweep finds the chore due, and it is looked at until its pass is done."""
    stage.sweep()
    for _ in range(tries):
        due = stage.due.get("upkeep:retention")
        assert due is not None
        if due.at > stage.clock.now() + timedelta(minutes=1):
            return
        stage.clock.advance_to(due.at)
        stage.look("upkeep:retention")
    raise AssertionError("the pass does not end")


def lane_rows(stage: Stage) -> list[str]:
    settings = from_environment(stage.settings).storage
    with storage.tables(settings, stage.credential) as tables:
        return sorted(row["RowKey"][:2] for row in tables.get_table_client("lanes").list_entities(select=["RowKey"]))


def manifest_exists(stage: Stage, url: str) -> bool:
    with BlobClient.from_blob_url(url, credential=stage.credential) as blob:
        try:
            blob.get_blob_properties()
        except ResourceNotFoundError:
            return False
    return True


@pytest.fixture(params=[1, 2], ids=["once", "delivered_twice"])
def copies(request: pytest.FixtureRequest) -> int:
    count: int = request.param
    return count


def test_what_has_ended_is_removed_a_month_later(
    stage: Stage, copies: int, telling: Callable[[], list[dict[str, Any]]]
) -> None:
    event = stage.land("in/b1/a.csv")
    stage.deliver(*[event] * copies)
    stage.settle(stage.all_final)
    [reaction] = stage.reactions()
    manifest = stage.get(f"reactions/{reaction['id']}")[1]["manifest"]
    one_pass(stage)
    assert (stage.get(f"reactions/{reaction['id']}")[0], manifest_exists(stage, manifest)) == (200, True)
    a_month_passes(stage)
    one_pass(stage)
    assert (stage.get(f"reactions/{reaction['id']}")[0], manifest_exists(stage, manifest)) == (404, False)
    assert lane_rows(stage) == ["l"]
    assert telling()[-1] | {"before": ""} == {
        "before": "",
        "looked_at": 7,
        "reactions": 1,
        "history": 4,
        "identities": 1,
        "lanes": 0,
        "lists": 1,
        "done": True,
    }
    stage.deliver(*[event] * copies)  # as it was announced a month ago
    stage.settle()
    assert len(stage.starts()) == 1
    assert stage.reactions() == []
    stage.clock.advance(2 * DAY)
    one_pass(stage)
    assert lane_rows(stage) == ["d!", "l"], "skipped as too old, and kept as such"


def test_a_file_that_lands_after_its_lane_is_gone_starts_a_run_of_another_name(stage: Stage, copies: int) -> None:
    stage.deliver(stage.land("in/b1/a.csv"))
    stage.settle(stage.all_final)
    [first] = stage.reactions()
    a_month_passes(stage)
    for _ in range(2):
        one_pass(stage)
        stage.clock.advance(DAY)
    assert lane_rows(stage) == []
    moved = stage.clock.now()
    event = stage.land("in/b1/b.csv")
    stage.deliver(*[event] * copies)
    [second] = stage.reactions()
    assert (first["id"].rpartition("-")[2], second["id"].rpartition("-")[2]) == ("1", "2")
    assert datetime.fromisoformat(second["created"]) == moved
    assert [start["parameters"]["reaction_id"] for start in stage.starts()] == [first["id"], second["id"]]


def test_what_runs_or_waits_for_a_month_goes_on(stage_with: Callable[..., Stage], copies: int) -> None:
    more = (
        "  pair:\n"
        '    when: {file-landed: {path: "lake/pair/{batch}/*.csv"}}\n'
        '    collect: {by: "{batch}", all-of: [a.csv, b.csv], give-up-after: 40d}\n'
        "    run-pipeline: score\n"
        '    with: {batch: "{batch}", files: "{manifest}"}\n'
        "    timeout: 50d\n"
    )
    stage = stage_with(rules=RULES + "    timeout: 50d\n" + more)
    stage.factory.progress.set(ByHand(), "score")
    half = stage.land("pair/b1/a.csv")
    stage.deliver(stage.land("in/b1/a.csv"), *[half] * copies)
    before = lane_rows(stage)
    a_month_passes(stage)
    one_pass(stage)
    assert lane_rows(stage) == before
    stage.deliver(stage.land("pair/b1/b.csv"))
    [begun] = [r for r in stage.reactions() if r["rule"] == "pair"]
    assert (begun["event_count"], len(stage.starts())) == (2, 2)


def test_calls_of_a_pass_are_counted(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(rules=RULES.replace('{by: "{batch}"}', '{by: "{batch}", quiet: 10s, max-wait: 1m}'))
    stage.deliver(*(stage.land(f"in/b{n % 5}/{n:03}.csv") for n in range(60)))
    stage.settle(stage.all_final)
    one_pass(stage)
    a_month_passes(stage)
    rows = len(lane_rows(stage))
    before = stage.cloud.storage.calls.kinds(stage.account.name)
    one_pass(stage)
    after = stage.cloud.storage.calls.kinds(stage.account.name)
    made = {kind: count - before.get(kind, 0) for kind, count in after.items() if count != before.get(kind, 0)}
    print(f"{rows} rows, of which {rows - len(lane_rows(stage))} were removed: {sum(made.values())} calls, {made}")
    assert lane_rows(stage) == ["l"] * 5
    assert sum(made.values()) < 60
