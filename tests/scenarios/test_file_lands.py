"""A file lands, a pipeline runs: once, and with its whole story to show."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from azure.storage.blob import BlobClient

from tests.scenarios.stage import RULES, Stage

pytestmark = pytest.mark.cloud


def test_a_file_starts_a_run_that_is_followed_to_its_end(stage: Stage) -> None:
    stage.deliver(stage.land("in/b1/a.csv"))
    [reaction] = stage.reactions()
    [start] = stage.starts()
    assert start["parameters"]["reaction_id"] == reaction["id"]
    assert (start["parameters"]["attempt"], start["parameters"]["batch"]) == ("1", "b1")
    stage.settle(stage.all_final)
    status, body = stage.get(f"reactions/{reaction['id']}")
    assert (status, body["state"], body["run"]["id"]) == (200, "succeeded", start["runId"])
    assert [entry["what"] for entry in body["history"]] == ["pending", "starting", "running", "succeeded"]
    assert all(entry["reason"] for entry in body["history"])
    assert [e["path"] for e in body["events"]] == ["in/b1/a.csv"]
    assert body["lineage"]["files"][0]["path"] == "in/b1/a.csv"
    assert body["lineage"]["pipeline_run"]["run_id"] == start["runId"]
    stage.settle()
    assert list(stage.due.due(stage.clock.now())) == []


def test_a_file_delivered_twice_starts_one_run(stage: Stage) -> None:
    event = stage.land("in/b1/a.csv")
    stage.deliver(event, event)
    stage.settle(stage.all_final)
    stage.deliver(event)
    stage.settle()
    assert len(stage.starts()) == 1
    assert stage.states() == ["succeeded"]


def test_the_manifest_lists_every_file_and_marks_the_newest_version(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(rules=RULES.replace('{by: "{batch}"}', '{by: "{batch}", quiet: 30s, max-wait: 10m}'))
    events = [stage.land("in/b1/a.csv", b"old"), stage.land("in/b1/b.csv"), stage.land("in/b1/a.csv", b"newer")]
    stage.deliver(events[2], events[0], events[1])
    stage.settle(stage.all_final)
    [start] = stage.starts()
    with BlobClient.from_blob_url(start["parameters"]["files"], credential=stage.credential) as blob:
        manifest = json.loads(blob.download_blob().readall())
    [reaction] = stage.reactions()
    assert (manifest["reaction_id"], manifest["rule"], manifest["key"]) == (reaction["id"], "score", "b1")
    assert manifest["count"] == reaction["event_count"] == 3
    found = sorted((e["path"], e["size"], e["current"]) for e in manifest["events"])
    assert found == [("in/b1/a.csv", 3, False), ("in/b1/a.csv", 5, True), ("in/b1/b.csv", 8, True)]


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_a_burst_becomes_one_reaction(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = stage_with(rules=RULES.replace('{by: "{batch}"}', '{by: "{batch}", quiet: 30s, max-wait: 10m}'))
    events = [stage.land(f"in/b1/{n:03}.csv") for n in range(60)]
    for _ in range(copies):
        stage.deliver(*events)
    stage.settle(stage.all_final)
    stage.deliver(*events[:5])
    stage.settle()
    assert [(r["state"], r["event_count"]) for r in stage.reactions()] == [("succeeded", 60)]
    assert len(stage.starts()) == 1


def test_a_lost_wake_up_is_made_up_for_by_the_sweep(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(rules=RULES.replace('{by: "{batch}"}', '{by: "{batch}", quiet: 30s, max-wait: 10m}'))
    stage.deliver(stage.land("in/b1/a.csv"))
    stage.restart()  # nobody remembers the wake-up, and nobody receives it
    stage.sweep()
    stage.settle(stage.all_final)
    assert stage.states() == ["succeeded"]


def test_two_lanes_run_side_by_side(stage: Stage) -> None:
    stage.deliver(stage.land("in/b1/a.csv"), stage.land("in/b2/a.csv"))
    assert sorted(r["key"] for r in stage.reactions()) == ["b1", "b2"]
    assert len(stage.starts()) == 2
