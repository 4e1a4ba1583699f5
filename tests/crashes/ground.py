"""A storage account as it is, seen past the gateway: what a test reads or puts there is no call of the app.

Rows are read once for all who ask until the app has been told to do something more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from local.accounts import accounts_behind
from local.ports import HOST
from shared.cloud.due_table import DueTable
from shared.cloud.lane_table import LaneTable
from shared.cloud.recent_table import RecentTable
from shared.cloud.storage import MOST_OPERATIONS
from shared.ports import Due
from shared.settings import MANIFEST_CONTAINER, POISON_QUEUE, TABLES, WAKE_UP_QUEUE
from tests.scenarios.stage import Stage

Rows = Mapping[str, list[dict[str, Any]]]
_A_STORY = timedelta(minutes=45)
_FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)


class Ground:
    def __init__(self, stage: Stage, commands: Callable[[], int]) -> None:
        """`commands`: how many were given to processes of the app. Between two of them nothing changes."""
        direct = {service: f"https://{HOST}:{port}" for service, port in stage.cloud.azurite.ports.items()}
        name = stage.account.name
        address = accounts_behind(direct, {name: stage.account.key})[name].connection_string
        self._tables = TableServiceClient.from_connection_string(address)
        self._queues = QueueServiceClient.from_connection_string(address)
        self._blobs = BlobServiceClient.from_connection_string(address)
        self._clients = {table: self._tables.get_table_client(table) for table in TABLES}
        self._manifests = self._blobs.get_container_client(MANIFEST_CONTAINER)
        self.lanes = LaneTable(self._clients["lanes"])
        self.recent = RecentTable(self._clients["recent"])
        self._due = DueTable(self._clients["due"])
        self._commands = commands
        self._seen: dict[str, tuple[int, list[dict[str, Any]]]] = {}

    def close(self) -> None:
        for client in (self._tables, self._queues, self._blobs):
            client.close()

    def due(self) -> list[Due]:
        """All that is due, however late, the earliest first; of chores, what is not for the next hour."""
        soon = datetime.now(UTC) + _A_STORY
        found = (due for due in self._due.due(_FOR_EVER) if due.at < soon or not due.key.startswith("upkeep:"))
        return sorted(found, key=lambda due: due.at)

    def rows(self, table: str) -> list[dict[str, Any]]:
        commands = self._commands()
        at, seen = self._seen.get(table, (None, []))
        if at != commands:
            seen = [dict(row) for row in self._clients[table].list_entities()]
            self._seen[table] = commands, seen
        return seen

    def manifests(self) -> dict[str, bytes]:
        """By name."""
        names = [blob.name for blob in self._manifests.list_blobs()]
        return {name: self._manifests.download_blob(name).readall() for name in names}

    def poisoned(self) -> int:
        return len(self._queues.get_queue_client(POISON_QUEUE).peek_messages(1))

    # --- where a story begins -----------------------------------------------------------------------------------------

    def all_rows(self) -> Rows:
        return {table: self.rows(table) for table in TABLES}

    def begin(self, rows: Rows) -> None:
        """Nothing is there but these rows."""
        for table in TABLES:
            if self.rows(table):  # on Azure the name of a deleted table is free after a while, on Azurite at once
                self._clients[table].delete_table()
                self._clients[table].create_table()
            self._put(table, rows.get(table, ()))
        self._seen.clear()
        for blob in self._manifests.list_blobs():
            self._manifests.delete_blob(blob.name)
        self._queues.get_queue_client(WAKE_UP_QUEUE).clear_messages()

    def _put(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        partitions: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in rows:
            partitions[row["PartitionKey"]].append(row)
        for partition in partitions.values():
            for start in range(0, len(partition), MOST_OPERATIONS):
                part = partition[start : start + MOST_OPERATIONS]
                self._clients[table].submit_transaction([("create", row) for row in part])
