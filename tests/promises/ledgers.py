"""The two ledgers that the promises are tried on: fakes of the ports, and the real adapters on Azurite."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import ResourceNotFoundError

from local.cloud import LocalCloud
from shared.cloud import storage
from shared.cloud.archive_table import ArchiveTable
from shared.cloud.control_rows import ControlRows
from shared.cloud.due_table import DueTable
from shared.cloud.lane_table import LaneTable
from shared.cloud.manifest_blobs import ManifestBlobs
from shared.cloud.permit_table import PermitTable
from shared.cloud.recent_table import RecentTable
from shared.cloud.wake_up_queue import WakeUpQueue
from shared.settings import MANIFEST_CONTAINER, POISON_QUEUE, WAKE_UP_QUEUE, from_environment
from tests.fakes import (
    FakeArchive,
    FakeControls,
    FakeDueTable,
    FakeLanes,
    FakeManifests,
    FakePermits,
    FakeRecent,
    FakeWakeUps,
    Storage,
)

Paths = Counter[tuple[str, str]]
"""Files by path and ETag."""


@dataclass
class Ledger:
    """The ports of everything that is kept, as they are: what is asked here befalls nobody.

    Attributes:
        manifest: the files that the manifest of a reaction lists; None where there is none.
        poison: puts the wake-up for a key where the host puts one that has failed too often.
    """

    lanes: Any
    due: Any
    wake_ups: Any
    permits: Any
    controls: Any
    recent: Any
    manifests: Any
    archive: Any
    manifest: Callable[[str], Paths | None]
    poison: Callable[[str], None]
    close: Callable[[], None]


def fake_ledger() -> Ledger:
    kept = Storage()
    lanes, manifests, wake_ups = FakeLanes(kept), FakeManifests(kept), FakeWakeUps(kept)

    def manifest(reaction_id: str) -> Paths | None:
        if reaction_id not in manifests.written:
            return None
        events: list[Any] = [taken.pending.event for taken in manifests.written[reaction_id]]
        return Counter((event.path, event.etag) for event in events)

    return Ledger(
        lanes=lanes,
        due=FakeDueTable(kept),
        wake_ups=wake_ups,
        permits=FakePermits(kept),
        controls=FakeControls(kept),
        recent=FakeRecent(kept),
        manifests=manifests,
        archive=FakeArchive(lanes),
        manifest=manifest,
        poison=wake_ups.poisoned.append,
        close=lambda: None,
    )


def azurite_ledger(cloud: LocalCloud, credential: TokenCredential) -> Ledger:
    """A storage account nobody else uses."""
    account = cloud.new_app_account()
    cloud.provision(account.name)
    found = from_environment(cloud.app_settings(account.name)).storage
    tables, blobs = storage.tables(found, credential), storage.blobs(found, credential)
    wake_ups = storage.queue(found, WAKE_UP_QUEUE, credential)
    poisoned = storage.queue(found, POISON_QUEUE, credential, encoded=False)
    host = storage.queue(found, POISON_QUEUE, credential)
    manifests = blobs.get_container_client(MANIFEST_CONTAINER)
    lanes, permits = tables.get_table_client("lanes"), tables.get_table_client("permits")

    def manifest(reaction_id: str) -> Paths | None:
        try:
            text = manifests.get_blob_client(f"{reaction_id}.json").download_blob().readall()
        except ResourceNotFoundError:
            return None
        return Counter((entry["path"], entry["etag"]) for entry in json.loads(text)["events"])

    def close() -> None:
        for client in (tables, blobs, wake_ups, poisoned, host):
            client.close()

    return Ledger(
        lanes=LaneTable(lanes),
        due=DueTable(tables.get_table_client("due")),
        wake_ups=WakeUpQueue(wake_ups, poisoned),
        permits=PermitTable(permits),
        controls=ControlRows(permits),
        recent=RecentTable(tables.get_table_client("recent")),
        manifests=ManifestBlobs(manifests),
        archive=ArchiveTable(lanes, permits),
        manifest=manifest,
        poison=lambda key: host.send_message(json.dumps({"look": key})) and None,
        close=close,
    )
