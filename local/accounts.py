"""Storage accounts: their addresses, the pool tests draw from, and making the app's tables, queues, containers."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import httpx
from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from local.azurite import POOL
from local.identity import mint
from local.ports import HOST
from local.service import now

_VERSION = "2023-11-03"
_EXISTS = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A storage account behind the gateway."""

    name: str
    blob: str
    queue: str
    table: str
    key: str = field(repr=False)

    @property
    def connection_string(self) -> str:
        parts = {
            "DefaultEndpointsProtocol": "https",
            "AccountName": self.name,
            "AccountKey": self.key,
            "BlobEndpoint": self.blob,
            "QueueEndpoint": self.queue,
            "TableEndpoint": self.table,
        }
        return ";".join(f"{name}={value}" for name, value in parts.items())

    def sign(self, container: str) -> str:
        """The query of an address that lets whoever has it write into this container for an hour."""
        return generate_container_sas(
            account_name=self.name,
            container_name=container,
            account_key=self.key,
            permission=ContainerSasPermissions(read=True, add=True, create=True, write=True, list=True),
            expiry=now() + timedelta(hours=1),
        )


def accounts_behind(front: Mapping[str, str], keys: Mapping[str, str]) -> dict[str, Account]:
    """Every account, by name, at the gateway's three addresses."""
    return {
        name: Account(
            name=name,
            blob=f"{front['blob']}/{name}",
            queue=f"{front['queue']}/{name}",
            table=f"{front['table']}/{name}",
            key=key,
        )
        for name, key in keys.items()
    }


class PoolEmpty(RuntimeError):
    """Every account of the pool is taken; Azurite knows only those it was started with."""


class Pool:
    """app000, app001, ... and lake000, lake001, ...: each is handed out once."""

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self._accounts = accounts
        self._numbers: dict[str, Iterator[int]] = {kind: itertools.count() for kind in ("app", "lake")}

    def take(self, kind: str) -> Account:
        number = next(self._numbers[kind])
        if number >= POOL:
            raise PoolEmpty(f"all {POOL} {kind} accounts of this cloud are taken; start another LocalCloud")
        return self._accounts[f"{kind}{number:03d}"]


class Provisioner:
    """Makes what Bicep makes in Azure. Talks to Azurite itself: the app's calls are counted, these are not."""

    def __init__(self, ports: Mapping[str, int], trust: ssl.SSLContext) -> None:
        self._ports = ports
        self._client = httpx.Client(verify=trust, trust_env=False)

    def close(self) -> None:
        self._client.close()

    def make(
        self,
        account: str,
        *,
        tables: Sequence[str] = (),
        queues: Sequence[str] = (),
        containers: Sequence[str] = (),
    ) -> None:
        """What is already there stays as it is."""
        for table in tables:
            self._ask("POST", "table", f"{account}/Tables", content={"TableName": table})
        for queue in queues:
            self._ask("PUT", "queue", f"{account}/{queue}")
        for container in containers:
            self._ask("PUT", "blob", f"{account}/{container}?restype=container")

    def _ask(self, method: str, service: str, path: str, content: Mapping[str, str] | None = None) -> None:
        headers = {
            "authorization": f"Bearer {mint('https://storage.azure.com')}",
            "x-ms-version": _VERSION,
            "accept": "application/json;odata=nometadata",
        }
        url = f"https://{HOST}:{self._ports[service]}/{path}"
        answer = self._client.request(method, url, headers=headers, json=content)
        if not answer.is_success and answer.status_code != _EXISTS:
            raise RuntimeError(f"{method} {path}: Azurite answered {answer.status_code} {answer.text[:200]}")
