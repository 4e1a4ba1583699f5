"""Several app processes on one storage account: real function hosts, started together, killed and replaced.

They share what several workers share in Azure: the tables, the queue of wake-ups, the factory, the rules file. Nobody
tells one of them of the others.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from azure.core.credentials import TokenCredential
from azure.storage.blob import BlobServiceClient

from local.accounts import Account
from local.cloud import LocalCloud
from local.data_factory.factory import Factory
from local.event_grid.envelopes import Published
from local.gateway import BlobChange
from local.host.app import PROJECT_ROOT
from local.host.client import FunctionHost
from local.service import storage_account_id
from tests.processes.evidence import Evidence

FUNCTION: Final = "receive_event"
LAKE: Final = "lake"
ANSWER_SECONDS: Final = 30.0
"""So long Event Grid waits for the answer to a delivery."""
SETTINGS: Final = {
    "PYTHON_THREADPOOL_THREAD_COUNT": "16",
    "AzureWebJobs.receive_queued_event.Disabled": "true",
    # What an idle queue costs is counted elsewhere; here nobody wants to wait half a minute for a poll.
    "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:00.5",
}


def pipeline(name: str) -> dict[str, Any]:
    """Its runs go on until the factory is asked about them after their start."""
    parameters = {each: {"type": "String"} for each in ("reaction_id", "attempt", "batch", "files")}
    return {"name": name, "properties": {"parameters": parameters, "activities": []}}


@dataclass
class Ground:
    """What the app processes of one test share, and nobody else has: accounts, a factory, a rules file."""

    cloud: LocalCloud
    credential: TokenCredential
    folder: Path
    rules: str
    pipelines: Sequence[Mapping[str, Any]]
    extra_settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.account: Account = self.cloud.new_app_account()
        self.cloud.provision(self.account.name)
        self.lake: Account = self.cloud.new_lake_account()
        self.factory_name = f"adf-{self.account.name}"
        self.factory: Factory = self.cloud.data_factory.create(self.factory_name)
        for pipeline in self.pipelines:
            self.factory.publish(pipeline)
        file = self.folder / "reactions.yaml"
        file.write_text(self.rules)
        self.environment = {
            **self.cloud.child_environment(),
            **self.cloud.app_settings(self.account.name, self.lake.name, self.factory_name),
            **SETTINGS,
            "RELEARN_RULES": str(file),
            **self.extra_settings,
        }

    def evidence(self) -> Evidence:
        """What can be seen of it without asking the app."""
        return Evidence(self.cloud, self.credential, account=self.account, lake=self.lake, factory=self.factory)

    def land(self, paths: Sequence[str], threads: int = 8) -> dict[str, str]:
        """Writes files into the lake; gives the event that the storage service raised for each, by its path.

        Raises:
            AssertionError: one of the events was not raised within 30 s.
        """
        changes: dict[str, BlobChange] = {}
        changed = threading.Condition()

        def heard(change: BlobChange) -> None:
            if change.account == self.lake.name:
                with changed:
                    changes[change.path] = change
                    changed.notify_all()

        hear_no_more = self.cloud.storage.on_blob(heard)
        try:
            with (
                BlobServiceClient(self.lake.blob, credential=self.credential) as service,
                service.get_container_client(LAKE) as lake,
                ThreadPoolExecutor(threads) as pool,
            ):
                list(pool.map(lambda path: lake.upload_blob(path, b"a,b\n1,2\n", overwrite=True), paths))
            with changed:
                assert changed.wait_for(lambda: changes.keys() >= set(paths), timeout=30), "an event was not raised"
        finally:
            hear_no_more()
        topic = storage_account_id(self.lake.name)
        return {
            path: json.dumps(Published(topic=topic, event=changes[path].event()).envelope("EventGridSchema"))
            for path in paths
        }


class Fleet:
    """The app processes.

    Args:
        size: how many there are at a time.
        program: what `python -m` runs as an app process, with its own arguments: the function host.
    """

    def __init__(self, ground: Ground, size: int, program: Sequence[str] = ("local.host",)) -> None:
        self.hosts = [
            FunctionHost(
                PROJECT_ROOT,
                ground.environment,
                folder=ground.folder / f"process-{number}",
                host_id=f"process-{number}",
            )
            for number in range(size)
        ]
        for host in self.hosts:
            host.program = program
        self._client = httpx.Client(trust_env=False, timeout=ANSWER_SECONDS, limits=httpx.Limits(max_connections=100))
        self._pool = ThreadPoolExecutor(size)

    def __enter__(self) -> Fleet:
        try:
            list(self._pool.map(FunctionHost.start, self.hosts))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        list(self._pool.map(FunctionHost.stop, self.hosts))
        self._pool.shutdown()
        self._client.close()

    @property
    def pids(self) -> list[int]:
        return [host.pid for host in self.hosts]

    def deliver(self, host: FunctionHost, event: str) -> int:
        """Posts an event to one process as Event Grid does; the status of its answer."""
        headers = {"aeg-event-type": "Notification", "content-type": "application/json"}
        return self._client.post(host.webhook(FUNCTION), content=f"[{event}]".encode(), headers=headers).status_code

    def deliver_to_all(self, events: Sequence[str], threads: int, seed: int) -> list[int]:
        """Every event to every process, many at a time, in an order of its own for each process."""
        dice = random.Random(seed)
        orders = [dice.sample(events, len(events)) for _ in self.hosts]
        deliveries = [
            (host, event) for turn in zip(*orders, strict=True) for host, event in zip(self.hosts, turn, strict=True)
        ]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda delivery: self.deliver(*delivery), deliveries))

    def sweep(self, host: FunctionHost) -> bool:
        """Lets one process sweep now, beside its schedule of every five minutes. False: it does not answer."""
        try:
            answer = self._client.post(f"{host.url}/admin/functions/sweep", json={"input": ""})
        except httpx.TransportError:
            return False
        return answer.status_code == 202
