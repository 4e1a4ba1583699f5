"""The storage gateway as real SDK clients see it: events, counts and faults, with Azurite behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.credentials import TokenCredential
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.data.tables import TableClient, TableServiceClient, TableTransactionError, UpdateMode
from azure.storage.blob import BlobBlock, BlobServiceClient, ContainerClient
from azure.storage.queue import QueueClient

from local.accounts import Account
from local.cloud import LocalCloud
from local.faults import AcceptThen, Drop, Hang, Status, Truncate
from local.gateway import BlobChange

pytestmark = pytest.mark.cloud

ONCE: dict[str, Any] = {"retry_total": 0}


def named(error: HttpResponseError) -> tuple[int | None, str | None]:
    """The status and the name of a storage error."""
    response = error.response
    return error.status_code, getattr(response, "headers", {}).get("x-ms-error-code")


@pytest.fixture
def lanes(app_account: Account, credential: TokenCredential) -> Iterator[TableClient]:
    with TableClient(app_account.table, "lanes", credential=credential, **ONCE) as client:
        yield client


@pytest.fixture
def wake_ups(app_account: Account, credential: TokenCredential) -> Iterator[QueueClient]:
    with QueueClient(app_account.queue, "wake-ups", credential=credential, **ONCE) as client:
        yield client


@pytest.fixture
def lake(lake_account: Account, credential: TokenCredential) -> Iterator[ContainerClient]:
    with ContainerClient(
        lake_account.blob,
        "lake",
        credential=credential,
        max_single_put_size=64 * 1024,
        max_block_size=64 * 1024,
        **ONCE,
    ) as client:
        yield client


@pytest.fixture
def changes(cloud: LocalCloud, lake_account: Account) -> Iterator[list[BlobChange]]:
    """The changes of this test's lake."""
    seen: list[BlobChange] = []

    def note(change: BlobChange) -> None:
        if change.account == lake_account.name:
            seen.append(change)

    stop = cloud.storage.on_blob(note)
    yield seen
    stop()


def row(key: str, **properties: object) -> dict[str, object]:
    return {"PartitionKey": "lane", "RowKey": key, **properties}


# Events


def test_a_small_upload_is_one_put_blob_with_its_etag_and_length(
    cloud: LocalCloud, lake: ContainerClient, lake_account: Account, changes: list[BlobChange]
) -> None:
    uploaded = lake.upload_blob("0-raw/diabetes/b 1/stage/päth.csv", b"a,b\n1,2\n").get_blob_properties()
    (change,) = changes
    assert (change.api, change.account, change.container) == ("PutBlob", lake_account.name, "lake")
    assert change.path == "0-raw/diabetes/b 1/stage/päth.csv"
    assert change.etag == uploaded.etag
    assert change.content_length == 8 == uploaded.size
    assert change.content_type == "application/octet-stream"
    assert change.url == f"{lake_account.blob}/lake/0-raw/diabetes/b%201/stage/p%C3%A4th.csv"
    assert change.request_id
    assert change.client_request_id
    assert change.event().subject == "/blobServices/default/containers/lake/blobs/0-raw/diabetes/b 1/stage/päth.csv"


def test_an_upload_in_blocks_is_exactly_one_put_block_list(lake: ContainerClient, changes: list[BlobChange]) -> None:
    content = bytes(range(256)) * 1024
    uploaded = lake.upload_blob("big.bin", content).get_blob_properties()
    assert [(change.api, change.content_length, change.etag) for change in changes] == [
        ("PutBlockList", len(content), uploaded.etag)
    ]
    assert lake.download_blob("big.bin").readall() == content


def test_a_body_too_big_to_be_held_passes_both_ways(
    lake_account: Account, credential: TokenCredential, changes: list[BlobChange]
) -> None:
    content = bytes(range(251)) * 40_000
    with BlobServiceClient(lake_account.blob, credential=credential, **ONCE) as service:
        blob = service.get_blob_client("lake", "ten-megabytes.bin")
        blob.upload_blob(content)
        assert blob.download_blob().readall() == content
    assert [(change.api, change.content_length) for change in changes] == [("PutBlob", len(content))]


def test_staged_blocks_raise_nothing_until_they_are_committed(lake: ContainerClient, changes: list[BlobChange]) -> None:
    blob = lake.get_blob_client("staged.bin")
    blob.stage_block("YQ==", b"12345")
    assert changes == []
    blob.commit_block_list([BlobBlock("YQ==")], content_settings=None)
    assert [(change.api, change.content_length) for change in changes] == [("PutBlockList", 5)]


def test_copies_deletes_and_refused_writes(
    lake: ContainerClient, lake_account: Account, changes: list[BlobChange]
) -> None:
    lake.upload_blob("a.csv", b"abc")
    with pytest.raises(ResourceExistsError):
        lake.upload_blob("a.csv", b"other")
    lake.get_blob_client("b.csv").start_copy_from_url(f"{lake_account.blob}/lake/a.csv")
    lake.delete_blob("a.csv")
    lake.get_blob_client("b.csv").set_blob_metadata({"k": "v"})
    assert [(change.api, change.path, change.content_length) for change in changes] == [
        ("PutBlob", "a.csv", 3),
        ("CopyBlob", "b.csv", 3),
        ("DeleteBlob", "a.csv", 0),
    ]
    assert changes[-1].event().type == "Microsoft.Storage.BlobDeleted"


def test_sequencers_of_one_blob_grow_as_text(lake: ContainerClient, changes: list[BlobChange]) -> None:
    for number in range(20):
        lake.upload_blob("again.csv", b"x" * number, overwrite=True)
    sequencers = [change.sequencer for change in changes]
    assert sequencers == sorted(set(sequencers))
    assert {len(sequencer) for sequencer in sequencers} == {48}


def test_system_containers_raise_nothing(
    lake_account: Account, credential: TokenCredential, changes: list[BlobChange]
) -> None:
    with BlobServiceClient(lake_account.blob, credential=credential, **ONCE) as service:
        service.create_container("$web")
        service.get_blob_client("$web", "index.html").upload_blob(b"hello")
    assert changes == []


def test_shared_keys_work_beside_identity(app_account: Account, changes: list[BlobChange]) -> None:
    with TableServiceClient.from_connection_string(app_account.connection_string, **ONCE) as service:
        assert {table.name for table in service.list_tables()} >= {"lanes", "due", "permits", "recent"}


# Transactions and counts


def test_a_transaction_of_100_passes_whole_and_is_one_call(
    cloud: LocalCloud, lanes: TableClient, app_account: Account
) -> None:
    lanes.submit_transaction([("create", row(f"e{number:03d}", text="x" * 1000)) for number in range(100)])
    assert len(list(lanes.query_entities("PartitionKey eq 'lane'"))) == 100
    assert cloud.storage.calls.kinds(app_account.name) == {"table batch": 1, "table query": 1}


def test_a_failed_transaction_leaves_nothing_and_names_its_row(lanes: TableClient) -> None:
    lanes.create_entity(row("taken"))
    with pytest.raises(TableTransactionError) as caught:
        lanes.submit_transaction([("create", row("new")), ("create", row("taken"))])
    assert caught.value.index == 1
    assert [entity["RowKey"] for entity in lanes.query_entities("PartitionKey eq 'lane'")] == ["taken"]


def test_every_call_is_counted_once_under_its_name(
    cloud: LocalCloud, lanes: TableClient, wake_ups: QueueClient, app_account: Account
) -> None:
    lanes.create_entity(row("a"))
    lanes.upsert_entity(row("a", n=1))
    found = lanes.get_entity("lane", "a")
    lanes.update_entity(
        row("a", n=2),
        mode=UpdateMode.REPLACE,
        etag=found.metadata["etag"],
        match_condition=MatchConditions.IfNotModified,
    )
    lanes.update_entity(row("a", n=3), mode=UpdateMode.MERGE)
    lanes.delete_entity("lane", "a")
    wake_ups.send_message("look")
    message = wake_ups.receive_message()
    assert message is not None
    message = wake_ups.update_message(message, visibility_timeout=10)
    wake_ups.delete_message(message)
    wake_ups.peek_messages()
    wake_ups.get_queue_properties()
    assert cloud.storage.calls.kinds(app_account.name) == {
        "table insert": 1,
        "table upsert": 1,
        "table get": 1,
        "table replace": 1,
        "table merge": 1,
        "table delete": 1,
        "queue put": 1,
        "queue get": 1,
        "queue update": 1,
        "queue delete": 1,
        "queue peek": 1,
        "queue metadata": 1,
    }


def test_blob_calls_are_counted_without_the_gateways_own(
    cloud: LocalCloud, lake: ContainerClient, lake_account: Account
) -> None:
    lake.upload_blob("small", b"x")
    lake.upload_blob("big", b"x" * 200_000)
    lake.download_blob("small").readall()
    list(lake.list_blobs())
    lake.delete_blob("small")
    assert cloud.storage.calls.kinds(lake_account.name) == {
        "blob put": 1,
        "blob put-block": 4,
        "blob put-block-list": 1,
        "blob get": 1,
        "blob list": 1,
        "blob delete": 1,
    }


def test_a_stale_etag_is_refused_through_the_gateway(lanes: TableClient) -> None:
    lanes.create_entity(row("l"))
    stale = lanes.get_entity("lane", "l").metadata["etag"]
    lanes.update_entity(row("l", n=1))
    with pytest.raises(ResourceModifiedError):
        lanes.update_entity(row("l", n=2), etag=stale, match_condition=MatchConditions.IfNotModified)


# Faults


def test_a_status_fault_is_seen_as_the_storage_error_it_names(
    cloud: LocalCloud, lanes: TableClient, wake_ups: QueueClient, lake: ContainerClient, app_account: Account
) -> None:
    cloud.storage.faults.add(action=Status(503), method="POST", path=f"/table/{app_account.name}/lanes*")
    cloud.storage.faults.add(action=Status(503), method="POST", path=f"/queue/{app_account.name}/wake-ups/messages")
    cloud.storage.faults.add(action=Status(409), method="PUT", path="/blob/*/faulty.csv")
    with pytest.raises(HttpResponseError) as table:
        lanes.create_entity(row("a"))
    assert named(table.value) == (503, "ServerBusy")
    with pytest.raises(HttpResponseError) as queue:
        wake_ups.send_message("look")
    assert named(queue.value) == (503, "ServerBusy")
    with pytest.raises(ResourceExistsError):
        lake.upload_blob("faulty.csv", b"x")
    assert list(lanes.query_entities("PartitionKey eq 'lane'")) == []
    assert list(wake_ups.receive_messages()) == []
    lanes.create_entity(row("a"))  # used up


def test_the_connection_survives_a_status_fault(cloud: LocalCloud, lanes: TableClient, app_account: Account) -> None:
    cloud.storage.faults.add(action=Status(500), method="POST", path=f"/table/{app_account.name}/*", times=3)
    for _ in range(3):
        with pytest.raises(HttpResponseError):
            lanes.create_entity(row("a", text="x" * 30_000))
    lanes.create_entity(row("a"))
    assert cloud.storage.calls.kinds(app_account.name) == {"table insert": 4}


def test_the_sdk_recovers_from_a_busy_server_by_itself(
    cloud: LocalCloud, app_account: Account, credential: TokenCredential
) -> None:
    cloud.storage.faults.add(
        action=Status(503, headers={"Retry-After": "0"}), method="POST", path=f"/table/{app_account.name}/*"
    )
    with TableClient(app_account.table, "lanes", credential=credential) as patient:
        patient.create_entity(row("a"))
    assert cloud.storage.calls.kinds(app_account.name) == {"table insert": 2}


def test_a_dropped_call_did_nothing(cloud: LocalCloud, lanes: TableClient, app_account: Account) -> None:
    cloud.storage.faults.add(action=Drop(), method="POST", path=f"/table/{app_account.name}/lanes*")
    with pytest.raises((ServiceResponseError, ServiceRequestError)):
        lanes.create_entity(row("a"))
    assert list(lanes.query_entities("PartitionKey eq 'lane'")) == []


@pytest.mark.parametrize("action", [Drop(), Status(500), Hang(30.0), Truncate()], ids=str)
def test_accepted_then_spoilt_leaves_the_row_in_the_table(
    cloud: LocalCloud, lanes: TableClient, app_account: Account, action: Drop | Status | Hang | Truncate
) -> None:
    cloud.storage.faults.add(action=AcceptThen(action), method="POST", path=f"/table/{app_account.name}/lanes*")
    # AttributeError: the tables client stumbles over its own error handling when the answer breaks off.
    with pytest.raises((AzureError, AttributeError)):
        lanes.create_entity(row("a"), read_timeout=0.3)
    assert [entity["RowKey"] for entity in lanes.query_entities("PartitionKey eq 'lane'")] == ["a"]
    assert cloud.storage.calls.kinds(app_account.name)["table insert"] == 1


def test_accepted_then_dropped_still_raises_the_event(
    cloud: LocalCloud, lake: ContainerClient, lake_account: Account, changes: list[BlobChange]
) -> None:
    cloud.storage.faults.add(action=AcceptThen(Drop()), method="PUT", path=f"/blob/{lake_account.name}/*")
    with pytest.raises(AzureError):
        lake.upload_blob("a.csv", b"abc")
    assert [change.api for change in changes] == ["PutBlob"]


def test_a_hanging_call_ends_with_the_clients_patience(
    cloud: LocalCloud, wake_ups: QueueClient, app_account: Account
) -> None:
    cloud.storage.faults.add(action=Hang(30.0), method="POST", path=f"/queue/{app_account.name}/*")
    with pytest.raises(AzureError):
        wake_ups.send_message("look", read_timeout=0.3)
    assert list(wake_ups.receive_messages()) == []


def test_a_truncated_download_is_noticed_and_finished_by_the_sdk(
    cloud: LocalCloud, lake: ContainerClient, lake_account: Account
) -> None:
    content = bytes(range(250)) * 200
    lake.upload_blob("a.csv", content)
    cloud.storage.faults.add(action=AcceptThen(Truncate()), method="GET", path=f"/blob/{lake_account.name}/*")
    assert lake.download_blob("a.csv").readall() == content
    assert cloud.storage.calls.kinds(lake_account.name)["blob get"] == 2


def test_a_fault_can_be_aimed_at_one_step_of_an_upload(
    cloud: LocalCloud, lake: ContainerClient, lake_account: Account, changes: list[BlobChange]
) -> None:
    cloud.storage.faults.add(action=Status(500), path=f"/blob/{lake_account.name}/*?comp=blocklist")
    with pytest.raises(HttpResponseError):
        lake.upload_blob("big.bin", b"x" * 200_000)
    assert changes == []
    assert cloud.storage.calls.kinds(lake_account.name)["blob put-block"] == 4
