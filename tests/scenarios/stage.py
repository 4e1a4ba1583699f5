"""The real entry points on real adapters and the local cloud; only time is the test's own.

The clock starts at the present and is moved by hand. The factory lives in real time, so a test stays within the five
minutes by which Relearn pads its questions.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import azure.functions as func
from azure.core.credentials import TokenCredential
from azure.functions.timer import TimerRequest
from azure.storage.blob import BlobServiceClient

from functions import intake, progress
from local.cloud import LocalCloud
from local.gateway import BlobChange
from local.service import storage_account_id
from shared import settings, wiring
from shared.cloud import storage
from shared.cloud.due_table import DueTable
from shared.cloud.patience import PATIENCE, Patience
from shared.reactions import State
from tests.callers import OPERATOR, READER, http_function, principal
from tests.fakes import FakeClock

RULES = """\
version: 1
reactions:
  score:
    when: {file-landed: {path: "lake/in/{batch}/*.csv"}}
    collect: {by: "{batch}"}
    run-pipeline: score
    with: {batch: "{batch}", files: "{manifest}"}
"""
PIPELINE = {
    "name": "score",
    "properties": {
        "parameters": {name: {"type": "String"} for name in ("reaction_id", "attempt", "batch", "files")},
        "variables": {"seen": {"type": "String"}},
        "activities": [
            {
                "name": "See",
                "type": "SetVariable",
                "typeProperties": {
                    "variableName": "seen",
                    "value": {"value": "@pipeline().parameters.batch", "type": "Expression"},
                },
            }
        ],
    },
}


@dataclass
class Stage:
    cloud: LocalCloud
    credential: TokenCredential
    folder: Path
    rules: str = RULES
    extra_settings: Mapping[str, str] = field(default_factory=dict)
    pipelines: tuple[Mapping[str, Any], ...] = (PIPELINE,)
    patience: Patience = PATIENCE

    def __post_init__(self) -> None:
        self.account = self.cloud.new_app_account()
        self.cloud.provision(self.account.name)
        self.lake = self.cloud.new_lake_account()
        self.factory_name = f"adf-{self.account.name}"
        self.factory = self.cloud.data_factory.create(self.factory_name)
        for pipeline in self.pipelines:
            self.factory.publish(pipeline)
        self.clock = FakeClock(datetime.now(UTC))
        self._changes: list[BlobChange] = []
        self._changed = threading.Condition()
        self.cloud.storage.on_blob(self._on_blob)
        self.restart()

    @property
    def settings(self) -> dict[str, str]:
        ours = self.cloud.app_settings(self.account.name, self.lake.name, self.factory_name)
        return {**ours, "WEBSITE_AUTH_ENABLED": "True", **self.extra_settings}

    def restart(self, rules: str | None = None, *, modified: datetime | None = None) -> None:
        """A new process, as far as the product can tell: nothing is kept in memory.

        Args:
            modified: when the rules file was changed; None: now.
        """
        self.close()
        self.rules = rules or self.rules
        file = self.folder / "reactions.yaml"
        file.write_text(self.rules)
        if modified is not None:
            os.utime(file, (modified.timestamp(), modified.timestamp()))
        found, loaded = wiring.configuration(self.folder, {**self.settings, "RELEARN_RULES": str(file)})
        self.app = wiring.build(found, loaded, self.clock, self.patience)
        wiring.use(self.app)
        self._tables = storage.tables(found.storage, self.credential)
        self.due = DueTable(self._tables.get_table_client(settings.TABLES[1]))

    def close(self) -> None:
        if hasattr(self, "app"):
            self.app.close()
            self._tables.close()
            wiring.use(None)

    def _on_blob(self, change: BlobChange) -> None:
        if change.account == self.lake.name:
            with self._changed:
                self._changes.append(change)
                self._changed.notify_all()

    # --- what happens outside -----------------------------------------------------------------------------------------

    def land(self, path: str, content: bytes = b"a,b\n1,2\n") -> str:
        """Writes a file into the lake, and gives the event that the storage service raised for it."""
        with self._changed:
            seen = len(self._changes)
        with BlobServiceClient(self.lake.blob, credential=self.credential) as service:
            service.get_blob_client("lake", path).upload_blob(content, overwrite=True)
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._changes) > seen, timeout=10)
            change = self._changes[seen]
        event = change.event()
        return json.dumps(
            {
                "id": f"{change.request_id}-{change.sequencer}",
                "topic": storage_account_id(change.account),
                "subject": event.subject,
                "eventType": event.type,
                "eventTime": self.clock.now().isoformat(),
                "data": event.data,
                "dataVersion": "",
                "metadataVersion": "1",
            }
        )

    # --- the real entry points ----------------------------------------------------------------------------------------

    def deliver(self, *events: str) -> None:
        for event in events:
            intake.receive_event(event)

    def look(self, key: str) -> None:
        progress.look(func.QueueMessage(id="1", body=json.dumps({"look": key}).encode(), pop_receipt="p"))

    def sweep(self) -> None:
        progress.sweep(TimerRequest())

    def get(self, route: str, role: str | None = READER, **params: str) -> tuple[int, Any]:
        return self.call("GET", route, role=role, params=params)

    def post(self, route: str, body: object, role: str | None = OPERATOR) -> tuple[int, Any]:
        return self.call("POST", route, role=role, body=body)

    def call(
        self,
        method: str,
        route: str,
        *,
        role: str | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: object = None,
    ) -> tuple[int, Any]:
        """Calls the function of a route, as the platform would for somebody with that role (None: for nobody)."""
        handler, captured = http_function(method, route)
        request = func.HttpRequest(
            method=method,
            url=f"/api/{route}",
            params=dict(params or {}),
            route_params=captured,
            body=b"" if body is None else json.dumps(body).encode(),
            headers=headers or ({} if role is None else principal(role)),
        )
        answer = handler(request)
        return answer.status_code, json.loads(answer.get_body())

    # --- time ---------------------------------------------------------------------------------------------------------

    def next_look(self, within: timedelta = timedelta(minutes=4)) -> bool:
        """Performs the earliest due look at its time. False if nothing is due within that time."""
        found = sorted(self.due.due(self.clock.now() + within), key=lambda d: d.at)
        if not found:
            return False
        self.clock.advance_to(found[0].at)
        self.look(found[0].key)
        return True

    def settle(self, until: Callable[[], bool] | None = None, looks: int = 60) -> None:
        for _ in range(looks):
            if until is not None and until():
                return
            if not self.next_look():
                assert until is None or until(), f"nothing is due, but it is not so yet: {self.reactions()}"
                return
        raise AssertionError(f"not settled after {looks} looks: {self.reactions()}")

    # --- what can be seen ---------------------------------------------------------------------------------------------

    def reactions(self) -> list[dict[str, Any]]:
        status, body = self.get("reactions", days="2")
        assert status == 200
        return sorted(body["reactions"], key=lambda r: r["created"])

    def states(self) -> list[str]:
        return [r["state"] for r in self.reactions()]

    def manifest(self, reaction_id: str) -> list[dict[str, Any]]:
        """The events of the batch, as the run may read them."""
        with BlobServiceClient(self.account.blob, credential=self.credential) as service:
            blob = service.get_blob_client(settings.MANIFEST_CONTAINER, f"{reaction_id}.json")
            found: list[dict[str, Any]] = json.loads(blob.download_blob().readall())["events"]
        return found

    def story(self, reaction_id: str) -> list[str]:
        return [entry["what"] for entry in self.get(f"reactions/{reaction_id}")[1]["history"]]

    def refused(self) -> dict[str, int]:
        return dict(self.get("reactions")[1]["refused"]["counts"])

    def all_final(self) -> bool:
        found = self.states()
        return bool(found) and not {str(s) for s in (State.PENDING, State.STARTING, State.RUNNING)} & set(found)

    def posts(self) -> list[Mapping[str, Any]]:
        """The createRun requests that the factory's side wrote down, whatever became of them."""
        ours = f"/factories/{self.factory_name}/pipelines/"
        found = self.cloud.data_factory.requests.entries
        return [e for e in found if ours in e["path"].lower() and e["path"].lower().endswith("/createrun")]

    def starts(self) -> list[Mapping[str, Any]]:
        """Those of them that the factory accepted, whether or not its answer arrived."""
        return [entry for entry in self.posts() if entry.get("runId")]

    def permits(self) -> list[str]:
        """The resources of which a permit is held."""
        rows = self._tables.get_table_client("permits").query_entities("RowKey ge 'p!' and RowKey lt 'p~'")
        return sorted(row["PartitionKey"] for row in rows)

    def running(self) -> list[Any]:
        return [run for run in self.factory.runs() if not run.is_final]


def wait_for(what: Callable[[], bool], seconds: float = 30.0) -> None:
    """For what happens in other processes: waits for the condition, never for a time."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.05)
