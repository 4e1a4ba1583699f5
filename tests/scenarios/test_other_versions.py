"""A later version has written a row of one lane: the lane waits, the rest goes on, and an operator is told why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.cloud import storage
from shared.lanes import lane_id
from shared.settings import from_environment
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.cloud
LANE = lane_id("score", "b1")


def written_by(stage: Stage, version: int, key: str) -> None:
    settings = from_environment(stage.settings).storage
    with storage.tables(settings, stage.credential) as tables:
        row: dict[str, Any] = {"PartitionKey": LANE, "RowKey": key, "rowSchema": version}
        tables.get_table_client("lanes").update_entity(row, mode="merge")


@pytest.mark.parametrize("key", ["l", "r!00000001"], ids=["head", "reaction"])
@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_a_row_of_a_later_version_stops_its_lane_only(stage: Stage, copies: int, key: str) -> None:
    stage.deliver(stage.land("in/b1/a.csv"))
    [first] = stage.reactions()
    written_by(stage, 2, key)
    events = [stage.land("in/b1/b.csv"), stage.land("in/b2/a.csv")]
    for _ in range(copies):
        stage.deliver(*events)
    for _ in range(12):
        stage.next_look(within=timedelta(seconds=30))
    assert [r["state"] for r in stage.reactions() if r["key"] == "b2"] == ["succeeded"]
    if key != "l":
        status, answer = stage.get(f"reactions/{first['id']}")
        assert (status, "a later one wrote it" in answer["error"]) == (503, True)
    written_by(stage, 1, key)
    stage.settle(lambda: sorted(stage.states()) == ["succeeded"] * 3, looks=100)
    assert len(stage.starts()) == 3
