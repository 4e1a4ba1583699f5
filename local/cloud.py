"""The whole local cloud as one context manager: starts every part in order, stops them in reverse."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from local.accesses import Accesses
from local.accounts import Account, Pool, Provisioner, accounts_behind
from local.azurite import (
    LAKE_ACCOUNT,
    Azurite,
    AzuriteSetup,
    account_keys,
    find_program,
    start_azurite,
)
from local.background import Background
from local.certificates import Certificates, ensure_certificates
from local.data_factory.service import DataFactory
from local.event_grid import BlobDeadLetters, EventGrid, QueueMessages, Subscription, load_subscriptions
from local.folder_lock import FolderLock
from local.gateway import STORAGE_SERVICES, BlobChange, Gateway
from local.host.authentication import Authentication
from local.identity import API_AUDIENCE, KEYS_PATH, PATH, Identity
from local.machine_learning import MachineLearning, Setup, Uploads
from local.ports import HOST, Ports
from local.processes import scrubbed
from local.server import HttpServer, arm_application
from local.service import Service, factory_id, storage_account_id, workspace_id
from shared.settings import CONTAINERS, QUEUES, TABLES

PROJECT: Final = Path(__file__).resolve().parents[1]
AZURITE_FOLDER: Final = PROJECT / ".relearn" / "azurite"
LAKE_CONTAINER: Final = "lake"
WEBHOOK: Final = "/runtime/webhooks/eventgrid?functionName="


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What most users of LocalCloud leave as it is.

    Attributes:
        azurite: the folder Azurite was installed in.
        time_scale: of Event Grid's waits; with 0.01 its first retry comes after 0.1 s instead of 10 s.
        adf_requests: the JSON-lines file of all requests to the factory; by default in the cloud's folder.
        access_log: Azurite writes a line for each request it answers; to its log, azurite.log in the cloud's folder.
        say: gets one line per step of the start, and bad news later.
    """

    azurite: Path = AZURITE_FOLDER
    time_scale: float = 1.0
    adf_requests: Path | None = None
    access_log: bool = False
    say: Callable[[str], None] = lambda line: None


class LocalCloud:
    """Storage, Event Grid, Data Factory, Machine Learning and an identity on loopback, until it is closed."""

    certificates: Certificates
    storage: Gateway
    event_grid: EventGrid
    data_factory: DataFactory
    machine_learning: MachineLearning
    identity: Identity
    azurite: Azurite
    arm_url: str

    def __init__(
        self,
        folder: Path,
        in_memory: bool = False,
        ml_python: Path | None = None,
        options: Options | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.accesses = Accesses()
        self.problems: list[str] = []
        self._in_memory = in_memory
        self._ml_python = ml_python or Path(sys.executable)
        self._options = options or Options()
        self._cleanup = contextlib.ExitStack()
        self._accounts: dict[str, Account] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Bring everything up.

        Raises:
            AzuriteMissing: Node or Azurite is not installed.
            AlreadyRunning: another local cloud uses the folder.
            ChildFailed: Azurite did not come up; carries the end of its log.
        """
        began = time.monotonic()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        self._options.say(f"the local cloud is up after {time.monotonic() - began:.1f} s: {self.arm_url}")

    def close(self) -> None:
        """Stop everything, the last started first. Does nothing the second time."""
        self._cleanup.close()

    # Storage accounts

    def account(self, name: str) -> Account:
        return self._accounts[name]

    def new_app_account(self) -> Account:
        """An account nobody else of this cloud has; `provision` fills it."""
        return self._pool.take("app")

    def new_lake_account(self) -> Account:
        """A lake of its own, with its container."""
        account = self._pool.take("lake")
        self.provision_lake(account.name)
        return account

    def provision(self, account: str) -> None:
        """Make the app's tables, queues and containers, as Bicep does in Azure."""
        self._provisioner.make(account, tables=TABLES, queues=QUEUES, containers=CONTAINERS)

    def provision_lake(self, account: str = LAKE_ACCOUNT) -> None:
        self._provisioner.make(account, containers=[LAKE_CONTAINER])

    # What the app and other children are told

    def child_environment(self) -> dict[str, str]:
        """The whole environment of a child: nothing of ours but the plain necessities, and the way to this cloud."""
        ca_file = str(self.certificates.ca_file)
        return {
            **scrubbed(os.environ),
            "REQUESTS_CA_BUNDLE": ca_file,
            "SSL_CERT_FILE": ca_file,
            "IDENTITY_ENDPOINT": self.identity.endpoint,
            "IDENTITY_HEADER": self.identity.header,
            "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
            "NO_PROXY": "*",
        }

    def app_settings(self, account: str, lake: str = LAKE_ACCOUNT, factory: str | None = None) -> dict[str, str]:
        """The app's settings, with identity instead of keys."""
        storage = self.account(account)
        return {
            "RelearnStorage__blobServiceUri": storage.blob,
            "RelearnStorage__queueServiceUri": storage.queue,
            "RelearnStorage__tableServiceUri": storage.table,
            "RELEARN_LAKE_BLOB_SERVICE_URIS": self.account(lake).blob,
            "RELEARN_DATA_FACTORY_ID": factory_id(factory) if factory else factory_id(),
            "RELEARN_WORKSPACE_ID": workspace_id(),
            "RELEARN_ARM_ENDPOINT": self.arm_url,
        }

    def authentication(self) -> Authentication:
        """How the function host tells callers of the app's API apart, as App Service Authentication does."""
        return Authentication(keys=self.identity.keys, audience=API_AUDIENCE)

    def subscribe(self, host: str, *, account: str, lake: str = LAKE_ACCOUNT) -> None:
        """Create the subscriptions of infra/event-subscriptions.json, delivered to the function host at `host`.

        Raises:
            HandshakeRefused: the host does not answer as it must.
        """
        for subscription, topic in _subscriptions(lake):
            endpoint = f"{host}{WEBHOOK}{subscription.function}"
            self.event_grid.subscribe(subscription, endpoint, topic=topic, dead_letter_account=account)

    def subscribe_queue(self, *, account: str, lake: str = LAKE_ACCOUNT) -> None:
        """Create the same subscriptions, delivered to the queues of the app's account instead."""
        for subscription, topic in _subscriptions(lake):
            self.event_grid.subscribe_queue(subscription, account, topic=topic, dead_letter_account=account)

    # The parts, in the order they start

    def _start(self) -> None:
        lock = FolderLock(self.folder)
        self._cleanup.callback(lock.release)
        self.certificates = ensure_certificates(self.folder / "certificates")
        ports = Ports(self.folder / "ports.json")
        keys = account_keys(self.folder / "accounts.json")
        self._start_azurite(ports, keys, lock)
        self._background = Background()
        self._cleanup.callback(self._background.stop)
        self._start_storage(ports, keys)
        self._start_identity(ports)
        self._start_event_grid()
        self._start_arm(ports)

    def _start_azurite(self, ports: Ports, keys: Mapping[str, str], lock: FolderLock) -> None:
        setup = AzuriteSetup(
            program=find_program(self._options.azurite),
            folder=self.folder,
            in_memory=self._in_memory,
            certificates=self.certificates,
            environment=scrubbed(os.environ),
            lock=lock.handle,
            access_log=self._options.access_log,
            keys=keys,
        )
        self._options.say("starting Azurite")
        self.azurite = start_azurite(setup, ports, self._bad_news)
        self._cleanup.callback(self.azurite.stop)

    def _start_storage(self, ports: Ports, keys: Mapping[str, str]) -> None:
        sockets = {service: self._listen(ports, service) for service in STORAGE_SERVICES}
        front: dict[str, str] = {
            service: f"https://{HOST}:{bound.getsockname()[1]}" for service, bound in sockets.items()
        }
        self.storage = Gateway(self.certificates, self.azurite.ports, self.accesses)
        self._background.call(self.storage.start(sockets))
        self._cleanup.callback(lambda: self._background.call(self.storage.stop()))
        self._provisioner = Provisioner(self.azurite.ports, self.certificates.client_context())
        self._cleanup.callback(self._provisioner.close)
        self._accounts = accounts_behind(front, keys)
        self._pool = Pool(self._accounts)
        self.provision_lake()
        self._options.say(f"storage: {', '.join(front.values())}")

    def _start_identity(self, ports: Ports) -> None:
        self.identity = Identity()
        server = HttpServer(self.identity.application(), self._listen(ports, "identity"))
        self._background.call(server.start())
        self._cleanup.callback(lambda: self._background.call(server.stop()))
        self.identity.endpoint = f"http://{HOST}:{server.port}{PATH}"
        self.identity.keys = f"http://{HOST}:{server.port}{KEYS_PATH}"

    def _start_event_grid(self) -> None:
        azurite = {service: f"https://{HOST}:{port}" for service, port in self.azurite.ports.items()}
        store = BlobDeadLetters(azurite["blob"], self.certificates.client_context())
        messages = QueueMessages(azurite["queue"], self.certificates.client_context())
        self.event_grid = EventGrid(self._background.loop, store, messages, time_scale=self._options.time_scale)
        self._cleanup.callback(lambda: self._background.call(self.event_grid.close()))
        self.storage.on_blob(self._blob_changed)

    def _start_arm(self, ports: Ports) -> None:
        bound = self._listen(ports, "arm")
        self.arm_url = f"https://{HOST}:{bound.getsockname()[1]}"
        self.data_factory = self._make_data_factory()
        self.machine_learning = self._make_machine_learning()
        services: list[Service] = [self.storage, self.event_grid, self.data_factory, self.machine_learning]
        server = HttpServer(arm_application(services, self.accesses), bound, self.certificates)
        self._cleanup.callback(lambda: self._background.call(server.stop()))
        # Runs and jobs end while what they talk to still answers.
        self._cleanup.callback(self.machine_learning.close)
        self._cleanup.callback(self.data_factory.close)
        self._background.call(server.start())
        self.machine_learning.resume()

    def _listen(self, ports: Ports, name: str) -> socket.socket:
        bound = ports.listen(name)
        self._cleanup.callback(bound.close)  # also when its server never came to be
        return bound

    def _make_data_factory(self) -> DataFactory:
        return DataFactory(
            requests=self._options.adf_requests or self.folder / "adf-requests.jsonl",
            ca_file=self.certificates.ca_file,
            identity=self.identity,
        )

    def _make_machine_learning(self) -> MachineLearning:
        storage = self.account(LAKE_ACCOUNT).blob
        return MachineLearning(
            Setup(
                folder=self.folder,
                url=self.arm_url,
                python=self._ml_python,
                environment=self.child_environment,
                storage_url=storage.removesuffix(f"/{LAKE_ACCOUNT}"),
                lake_url=f"{storage}/{LAKE_CONTAINER}",
                ca_file=self.certificates.ca_file,
                publish=lambda event: self.event_grid.publish(workspace_id(), event),
                uploads=Uploads(account_url=storage, sign=self.account(LAKE_ACCOUNT).sign),
                persistent=not self._in_memory,
            )
        )

    def _blob_changed(self, change: BlobChange) -> None:
        self.event_grid.publish(storage_account_id(change.account), change.event())

    def _bad_news(self, message: str) -> None:
        self.problems.append(message)
        self._options.say(message)


def _subscriptions(lake: str) -> list[tuple[Subscription, str]]:
    """Those of infra/event-subscriptions.json, each with its topic."""
    topics = {"lake": storage_account_id(lake), "workspace": workspace_id()}
    return [(subscription, topics[subscription.source]) for subscription in load_subscriptions()]
