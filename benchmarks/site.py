"""Where figures are measured: a local cloud, and for each figure an account, a lake and a factory nobody else uses.

The cloud (its gateway, the factory's server) lives in the benchmark's own process, the app in another one.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from azure.core.credentials import TokenCredential
from azure.data.tables import TableServiceClient
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient

from local.accounts import Account
from local.cloud import LocalCloud, Options
from local.data_factory.factory import Factory
from local.host.client import FunctionHost
from local.ports import HOST
from local.service import storage_account_id
from local.system import leave_the_outside
from shared.settings import MANIFEST_CONTAINER

ROOT: Final = Path(__file__).resolve().parent.parent
POLL_SECONDS: Final = 0.02


def pipeline(name: str, *parameters: str) -> dict[str, Any]:
    """A pipeline that does next to nothing."""
    declared = {each: {"type": "String", "defaultValue": ""} for each in ("reaction_id", "attempt", *parameters)}
    see = {"variableName": "seen", "value": "yes"}
    return {
        "name": name,
        "properties": {
            "parameters": declared,
            "variables": {"seen": {"type": "String"}},
            "activities": [{"name": "See", "type": "SetVariable", "typeProperties": see}],
        },
    }


def until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Waits for something in another process.

    Raises:
        TimeoutError: it did not come about within so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:.0f} s still waiting for {what}")
        threading.Event().wait(POLL_SECONDS)


def file_event(lake: str, path: str, number: int) -> dict[str, Any]:
    """What the storage service raises for a file of its own in that lake account: same number, same file."""
    mark = f"{number:012x}"
    return {
        "id": f"b1d7c3aa-501e-0041-6fa2-{mark}",
        "topic": storage_account_id(lake),
        "subject": f"/blobServices/default/containers/lake/blobs/{path}",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": datetime.now(UTC).isoformat(),
        "data": {
            "api": "PutBlob",
            "clientRequestId": f"3a5f6c1e-7b0d-4d2b-9f35-{mark}",
            "requestId": f"b1d7c3aa-501e-0041-6fa2-{mark}",
            "eTag": f"0x8DE{mark.upper()}",
            "contentType": "text/csv",
            "contentLength": 91204,
            "blobType": "BlockBlob",
            "url": f"https://{lake}.blob.core.windows.net/lake/{path}",
            "sequencer": f"{number:064x}",
            "storageDiagnostics": {"batchId": f"6c1be0a4-9006-0017-00a2-{mark}"},
        },
        "dataVersion": "2",
        "metadataVersion": "1",
    }


@dataclass(frozen=True, kw_only=True)
class Place:
    """An account, a lake, a factory and a rules file.

    Attributes:
        direct: the app talks to Azurite itself, not through the gateway that counts: for times, not for calls.
    """

    cloud: LocalCloud
    credential: TokenCredential
    account: Account
    lake: Account
    factory: Factory
    folder: Path
    rules: Path
    direct: bool

    def settings(self) -> dict[str, str]:
        ours = self.cloud.app_settings(self.account.name, self.lake.name, self.factory.name)
        if self.direct:
            for service, port in self.cloud.azurite.ports.items():
                ours[f"RelearnStorage__{service}ServiceUri"] = f"https://{HOST}:{port}/{self.account.name}"
        return {**ours, "RELEARN_RULES": str(self.rules)}

    def environment(self) -> dict[str, str]:
        """Of a process that is the app."""
        return {
            **self.cloud.child_environment(),
            **self.settings(),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHON_THREADPOOL_THREAD_COUNT": "16",  # as infra/ sets it
            "AzureWebJobs.receive_queued_event.Disabled": "true",  # as where events come by the webhook
        }

    def host(self, app_root: Path = ROOT) -> FunctionHost:
        """Not yet started: a host for the app, with the host.json that is deployed."""
        return FunctionHost(app_root, self.environment(), folder=self.folder)

    @staticmethod
    def webhook(host: FunctionHost) -> str:
        """Where its events are delivered."""
        return host.webhook("receive_event")

    def event(self, path: str, number: int) -> dict[str, Any]:
        return file_event(self.lake.name, path, number)

    # --- what can be seen from outside --------------------------------------------------------------------------------

    def posts(self) -> list[Mapping[str, Any]]:
        """The createRun requests that the factory's side wrote down, whatever became of them."""
        ours = f"/factories/{self.factory.name}/pipelines/".lower()
        return [e for e in self.cloud.data_factory.requests.entries if self._is_start(e, ours)]

    @staticmethod
    def _is_start(entry: Mapping[str, Any], ours: str) -> bool:
        path = str(entry["path"]).lower()
        return ours in path and path.endswith("/createrun")

    def calls(self) -> int:
        """Requests of the account so far, counted at the gateway."""
        return self.cloud.storage.calls.total(self.account.name)

    def manifest(self, reaction_id: str) -> list[dict[str, Any]]:
        with BlobServiceClient(self._azurite("blob"), credential=self.credential) as service:
            blob = service.get_blob_client(MANIFEST_CONTAINER, f"{reaction_id}.json")
            found: list[dict[str, Any]] = json.loads(blob.download_blob().readall())["events"]
        return found

    @contextmanager
    def tables(self) -> Iterator[TableServiceClient]:
        """The account's tables, past the gateway: what the benchmark asks is not counted."""
        with TableServiceClient(self._azurite("table"), credential=self.credential) as service:
            yield service

    def _azurite(self, service: str) -> str:
        return f"https://{HOST}:{self.cloud.azurite.ports[service]}/{self.account.name}"


class Site:
    """A local cloud; `place` makes room for a figure."""

    def __init__(self, folder: Path, cloud: LocalCloud, credential: TokenCredential) -> None:
        self.cloud = cloud
        self.credential = credential
        self._folder = folder
        self._places = 0

    def place(self, rules: str, *pipelines: Mapping[str, Any], direct: bool = False) -> Place:
        account, lake = self.cloud.new_app_account(), self.cloud.new_lake_account()
        self.cloud.provision(account.name)
        self._places += 1
        folder = self._folder / f"place-{self._places}"
        folder.mkdir()
        file = folder / "reactions.yaml"
        file.write_text(rules, encoding="utf-8")
        factory = self.cloud.data_factory.create(f"adf-{account.name}")
        for each in pipelines:
            factory.publish(each)
        return Place(
            cloud=self.cloud,
            credential=self.credential,
            account=account,
            lake=lake,
            factory=factory,
            folder=folder,
            rules=file,
            direct=direct,
        )


@contextmanager
def new_site(*, access_log: bool = False) -> Iterator[Site]:
    """With a cloud of its own. This process becomes its identity's."""
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory()))
        options = Options(access_log=access_log)
        cloud = parts.enter_context(LocalCloud(folder / "cloud", in_memory=True, options=options))
        leave_the_outside(os.environ)
        os.environ.update(cloud.child_environment())
        yield Site(folder, cloud, parts.enter_context(DefaultAzureCredential()))
