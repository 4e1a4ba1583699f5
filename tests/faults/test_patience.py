"""With the product's own patience: a storage that is down is given up within seconds, because a delivery has 30."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from azure.core.credentials import TokenCredential

from local.accounts import Account
from local.cloud import LocalCloud
from local.faults import Status
from shared.cloud import storage
from shared.cloud.due_table import DueTable
from shared.cloud.storage import storage_call
from shared.cloud.wake_up_queue import WakeUpQueue
from shared.errors import StorageUnavailable
from shared.settings import MANIFEST_CONTAINER, POISON_QUEUE, WAKE_UP_QUEUE, StorageSettings

pytestmark = pytest.mark.cloud
SECONDS = 5


def of_tables(settings: StorageSettings, credential: TokenCredential) -> None:
    with storage.tables(settings, credential) as tables:
        DueTable(tables.get_table_client("due")).get("factory:adf")


def of_queues(settings: StorageSettings, credential: TokenCredential) -> None:
    with (
        storage.queue(settings, WAKE_UP_QUEUE, credential) as queue,
        storage.queue(settings, POISON_QUEUE, credential, encoded=False) as poison,
    ):
        WakeUpQueue(queue, poison).send("factory:adf")


def of_blobs(settings: StorageSettings, credential: TokenCredential) -> None:
    with storage.blobs(settings, credential) as blobs, storage_call("read of a blob"):
        blobs.get_blob_client(MANIFEST_CONTAINER, "a.json").download_blob()


@pytest.mark.parametrize("call", [of_tables, of_queues, of_blobs])
def test_a_storage_that_is_down_is_given_up_within_seconds(
    cloud: LocalCloud,
    app_account: Account,
    credential: TokenCredential,
    call: Callable[[StorageSettings, TokenCredential], None],
) -> None:
    settings = StorageSettings(
        connection_string=None,
        blob_service_uri=app_account.blob,
        queue_service_uri=app_account.queue,
        table_service_uri=app_account.table,
    )
    path = f"/*/{app_account.name}/*"
    cloud.storage.faults.add(path=path, action=Status(503), times=None)
    began = time.monotonic()
    with pytest.raises(StorageUnavailable):
        call(settings, credential)
    took = time.monotonic() - began
    asked = [fired for fired in cloud.storage.faults.fired if f"/{app_account.name}/" in fired.path]
    cloud.storage.faults.clear()
    assert (len(asked), took < SECONDS) == (3, True), took
