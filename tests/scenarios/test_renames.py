"""A file that gets its name by a rename: its event carries no ETag, and one question gives it."""

from __future__ import annotations

import json
import uuid

import pytest

from local.service import storage_account_id
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.cloud


def renamed(
    stage: Stage, path: str, source: str = "tmp/a.part", kind: str = "BlobRenamed", api: str = "RenameFile"
) -> str:
    """The event of a rename, as storage raises it."""
    address = f"https://{stage.lake.name}.dfs.core.windows.net/lake"
    return json.dumps(
        {
            "id": str(uuid.uuid4()),
            "topic": storage_account_id(stage.lake.name),
            "subject": f"/blobServices/default/containers/lake/blobs/{path}",
            "eventType": f"Microsoft.Storage.{kind}",
            "eventTime": stage.clock.now().isoformat(),
            "data": {
                "api": api,
                "requestId": str(uuid.uuid4()),
                "destinationUrl": f"{address}/{path}",
                "sourceUrl": f"{address}/{source}",
                "sequencer": "0000000000000000000000000001A7B400000000000c1301",
            },
            "dataVersion": "1",
            "metadataVersion": "1",
        }
    )


def heads(stage: Stage) -> int:
    kinds = stage.cloud.storage.calls.kinds(stage.lake.name)
    return sum(count for kind, count in kinds.items() if "put" not in kind)


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
@pytest.mark.parametrize("api", ["RenameFile", "SftpRename"])
def test_a_file_renamed_into_the_pattern_becomes_one_reaction(stage: Stage, api: str, copies: int) -> None:
    stage.land("in/b1/a.csv")  # where the rename has put it; what it was called before fits no rule
    event, before = renamed(stage, "in/b1/a.csv", api=api), heads(stage)
    stage.deliver(event)
    assert heads(stage) - before == 1
    stage.deliver(*[event] * (copies - 1))
    assert heads(stage) - before == copies
    stage.settle(stage.all_final)
    stage.deliver(event)
    stage.settle()
    assert stage.states() == ["succeeded"]
    assert [start["parameters"]["batch"] for start in stage.starts()] == ["b1"]
    [reaction] = stage.reactions()
    [file] = stage.manifest(reaction["id"])
    assert (file["path"], file["size"], file["current"]) == ("in/b1/a.csv", 8, True)
    assert file["etag"]


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_a_rename_that_backfill_has_seen_is_known(stage: Stage, copies: int) -> None:
    stage.land("in/b1/a.csv")
    for _ in range(copies):
        stage.app.backfill.page("score", stage.clock.now().replace(year=2025))
    stage.settle(stage.all_final)
    stage.deliver(*[renamed(stage, "in/b1/a.csv")] * copies)
    stage.settle()
    assert stage.states() == ["succeeded"]
    assert len(stage.starts()) == 1


def test_a_rename_that_no_rule_waits_for_costs_no_question(stage: Stage) -> None:
    stage.land("elsewhere/a.csv")
    before = heads(stage)
    stage.deliver(renamed(stage, "elsewhere/a.csv"))
    assert heads(stage) == before
    assert stage.refused() == {"unmatched": 1}


def test_a_file_that_is_gone_again_is_refused_with_the_reason(stage: Stage) -> None:
    stage.deliver(renamed(stage, "in/b1/a.csv"))
    assert stage.refused() == {"file-gone": 1}


def test_a_renamed_folder_names_no_files_and_is_refused_with_what_helps(stage: Stage) -> None:
    stage.land("in/b1/a.csv")
    stage.deliver(renamed(stage, "in/b1", source="tmp/b1", kind="DirectoryRenamed", api="RenameDirectory"))
    [refused] = stage.get("reactions")[1]["refused"]["last"]
    assert refused["reason"] == "not-a-landing"
    assert "python -m relearn backfill RULE --since TIME" in refused["detail"]
    assert stage.app.backfill.page("score", stage.clock.now().replace(year=2025)).new == 1
    stage.settle(stage.all_final)
    assert stage.states() == ["succeeded"]
