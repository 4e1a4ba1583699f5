"""What happened, as seen from outside: the factory's own record, blobs and rows. Nothing here asks the app.

Storage is read at Azurite itself, behind the gateway: no fault that is played there, and no count, is touched.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from azure.core.credentials import TokenCredential
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient

from local.accounts import Account
from local.cloud import LocalCloud
from local.data_factory.factory import Factory
from local.data_factory.runs import Run
from local.ports import HOST
from shared.reactions import TRANSITIONS, State
from shared.settings import MANIFEST_CONTAINER, WAKE_UP_QUEUE

FINAL: Final = frozenset(str(state) for state in State if not TRANSITIONS[state])

Version = tuple[str, str]
"""One version of a file: its path in the lake and its ETag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A createRun that the factory accepted, whether or not its answer arrived."""

    pipeline: str
    reaction: str
    attempt: str
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A batch as its run may read it."""

    reaction: str
    rule: str
    key: str
    versions: tuple[Version, ...]


class Evidence:
    """One lake, one storage account of the app, one factory."""

    def __init__(
        self, cloud: LocalCloud, credential: TokenCredential, *, account: Account, lake: Account, factory: Factory
    ) -> None:
        at = {service: f"https://{HOST}:{port}" for service, port in cloud.azurite.ports.items()}
        self._requests = cloud.data_factory.requests
        self._factory = factory
        self._lake = BlobServiceClient(f"{at['blob']}/{lake.name}", credential=credential)
        self._blobs = BlobServiceClient(f"{at['blob']}/{account.name}", credential=credential)
        self._tables = TableServiceClient(f"{at['table']}/{account.name}", credential=credential)
        self._wake_ups = QueueClient(f"{at['queue']}/{account.name}", WAKE_UP_QUEUE, credential=credential)

    def close(self) -> None:
        for client in (self._lake, self._blobs, self._tables, self._wake_ups):
            client.close()

    # --- the lake -----------------------------------------------------------------------------------------------------

    def files(self) -> set[Version]:
        """Every file that is in the lake."""
        listed = self._lake.get_container_client("lake").list_blobs()
        return {(blob.name, _bare(str(blob.etag))) for blob in listed}

    # --- the factory --------------------------------------------------------------------------------------------------

    def starts(self) -> list[Start]:
        """From the record of the requests to the factory."""
        ours = f"/factories/{self._factory.name}/pipelines/".lower()
        return [
            Start(
                pipeline=entry["pipeline"],
                reaction=str(entry["parameters"]["reaction_id"]),
                attempt=str(entry["parameters"]["attempt"]),
                run_id=entry["runId"],
            )
            for entry in self._requests.entries
            if entry.get("runId") and ours in entry["path"].lower()
        ]

    def duplicate_starts(self) -> int:
        """How many runs were started beyond the first for the same stamp."""
        stamps = Counter((start.pipeline, start.reaction, start.attempt) for start in self.starts())
        return sum(count - 1 for count in stamps.values())

    def runs(self) -> list[Run]:
        return self._factory.runs()

    def most_at_once(self, of: Callable[[Run], bool] = lambda run: True) -> int:
        """The most of these runs that the factory ever had at one time."""
        return most_at_once((run.start, run.end) for run in self.runs() if of(run))

    # --- the ledger, as rows and blobs --------------------------------------------------------------------------------

    def manifests(self) -> list[Manifest]:
        container = self._blobs.get_container_client(MANIFEST_CONTAINER)

        def read(name: str) -> Manifest:
            return _manifest(json.loads(container.download_blob(name).readall()))

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(read, [blob.name for blob in container.list_blobs()]))

    def skipped(self) -> list[tuple[str, Version, str]]:
        """The files that the ledger says were skipped, by which rule, and why."""
        found = [row for row in self._rows("d!", 'd"') if row.get("skipped")]
        return [(str(row["laneRule"]), _version(row), str(row["skipped"])) for row in found]

    def reactions(self) -> Counter[str]:
        """How many reactions are in which state."""
        return Counter(str(row["state"]) for row in self._rows("r!", 'r"', ["state"]))

    def unfinished(self) -> list[Mapping[str, str]]:
        """The rows of the reactions that are not over, and when their lanes are due, to find out why."""
        due = {row["RowKey"]: row["at"] for row in self._tables.get_table_client("due").list_entities()}
        return [
            {"laneDue": str(due.get(f"lane:{row['PartitionKey']}")), **{name: str(row[name]) for name in row}}
            for row in self._rows("r!", 'r"')
            if row["state"] not in FINAL
        ]

    def pending_events(self) -> int:
        return len(self._rows("e!", 'e"', ["RowKey"]))

    def wake_ups(self) -> int:
        """How many wake-ups could be taken now; 32 where there are more."""
        return len(self._wake_ups.peek_messages(32))

    def _rows(self, first: str, after: str, select: list[str] | None = None) -> list[Mapping[str, Any]]:
        table = self._tables.get_table_client("lanes")
        return list(table.query_entities(f"RowKey ge '{first}' and RowKey lt '{after}'", select=select))


def most_at_once(spans: Iterable[tuple[datetime, datetime | None]]) -> int:
    """The most of these spans that have one moment in common. One without an end goes on; where one ends and another
    begins at the same moment, they have none in common."""
    moments: list[tuple[datetime, int]] = []
    for begin, end in spans:
        moments.append((begin, 1))
        moments += [(end, -1)] if end is not None else []
    now = most = 0
    for _, change in sorted(moments):
        now += change
        most = max(most, now)
    return most


def _manifest(content: Mapping[str, Any]) -> Manifest:
    versions = tuple(_version(event) for event in content["events"])
    return Manifest(reaction=content["reaction_id"], rule=content["rule"], key=content["key"], versions=versions)


def _version(event: Mapping[str, Any]) -> Version:
    return str(event["path"]), _bare(str(event["etag"]))


def _bare(etag: str) -> str:
    return etag.strip('"')
