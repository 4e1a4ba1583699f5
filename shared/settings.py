"""The app's settings: the only module that reads the environment, and the names of everything it stores in."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from shared.errors import ConfigurationError, Problem

# Created by Bicep and by local/, never by the app. Poison queues belong to the queue triggers' host.
TABLES: Final = ("lanes", "due", "permits", "recent")
WAKE_UP_QUEUE: Final = "wake-ups"
POISON_QUEUE: Final = "wake-ups-poison"
EVENT_QUEUE: Final = "events"
EVENT_POISON_QUEUE: Final = "events-poison"
QUEUES: Final = (WAKE_UP_QUEUE, POISON_QUEUE, EVENT_QUEUE, EVENT_POISON_QUEUE)
MANIFEST_CONTAINER: Final = "manifests"
DEAD_LETTER_CONTAINER: Final = "dead-letters"
CONTAINERS: Final = (MANIFEST_CONTAINER, DEAD_LETTER_CONTAINER)

STORAGE_CONNECTION: Final = "RelearnStorage"
PLATFORM_AUTHENTICATION: Final = "WEBSITE_AUTH_ENABLED"
SWEEP_SCHEDULE: Final = "0 */5 * * * *"  # NCRONTAB: at second 0 of every fifth minute

_GROUP: Final = r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<resource_group>[^/]+)"


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """How the app's own storage is reached: a connection string, or three service addresses with identity."""

    connection_string: str | None = field(default=None, repr=False)
    blob_service_uri: str = ""
    queue_service_uri: str = ""
    table_service_uri: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResource:
    """One resource that is managed through ARM, with the parts of its id."""

    subscription_id: str
    resource_group: str
    name: str
    resource_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the app is told from outside, except its rules."""

    storage: StorageSettings
    lake_accounts: Mapping[str, str]
    """Storage account name to its blob service address: the allow-list of accounts whose events count."""
    factory: ArmResource
    workspace: ArmResource
    arm_endpoint: str
    topic_endpoint: str | None
    """Of the Event Grid topic that lifecycle events are published to; None where nobody wants them."""
    client_id: str | None
    retention: timedelta
    """How long what has ended is kept, and what became of events."""
    platform_authenticates: bool = False
    """Whether App Service Authentication is on: the platform itself sets WEBSITE_AUTH_ENABLED, and nobody else may."""


def process_environment() -> dict[str, str]:
    """The app settings as the host hands them to this process."""
    return dict(os.environ)


def rules_path(root: Path, environment: Mapping[str, str]) -> Path:
    """The rules file; a relative RELEARN_RULES starts at `root`, the folder of host.json."""
    return root / (environment.get("RELEARN_RULES", "").strip() or "reactions.yaml")


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Reads every setting, and reports every problem at once.

    Raises:
        ConfigurationError: with one problem per wrong or missing setting, by its name.
    """
    read = _Reader(environment)
    settings = Settings(
        storage=_storage(read),
        lake_accounts=_lake_accounts(read),
        factory=_resource(read, "RELEARN_DATA_FACTORY_ID", "Microsoft.DataFactory/factories", "data factory"),
        workspace=_resource(
            read,
            "RELEARN_WORKSPACE_ID",
            "Microsoft.MachineLearningServices/workspaces",
            "machine learning workspace",
        ),
        arm_endpoint=read.https("RELEARN_ARM_ENDPOINT", default="https://management.azure.com"),
        topic_endpoint=_topic(read),
        client_id=read.optional("AZURE_CLIENT_ID"),
        platform_authenticates=(read.optional(PLATFORM_AUTHENTICATION) or "").lower() == "true",
        retention=timedelta(days=read.whole("RELEARN_RETENTION_DAYS", default=30, least=7, most=365)),
    )
    if read.problems:
        raise ConfigurationError(read.problems)
    return settings


class _Reader:
    """Reads single settings and collects what is wrong with them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[Problem] = []

    def optional(self, name: str) -> str | None:
        return self._environment.get(name, "").strip() or None

    def required(self, name: str, expected: str) -> str:
        value = self.optional(name)
        if value is None:
            self.wrong(name, f"is not set; expected {expected}")
        return value or ""

    def https(self, name: str, default: str | None = None) -> str:
        value = (self.optional(name) or default) if default else self.required(name, "an https address")
        if value and (not value.startswith("https://") or _host(value) is None):
            self.wrong(name, f"must be an https address, not {value[:40]!r}: tokens are only sent over TLS")
        return (value or "").rstrip("/")

    def whole(self, name: str, *, default: int, least: int, most: int) -> int:
        """A whole number, from `least` to `most`."""
        value = self.optional(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
            self.wrong(name, f"must be a whole number from {least} to {most}, not {value[:40]!r}")
            return default
        return int(value)

    def wrong(self, name: str, message: str) -> None:
        self.problems.append(Problem(where=f"setting {name}", message=message))


def _storage(read: _Reader) -> StorageSettings:
    connection_string = read.optional(STORAGE_CONNECTION)
    if connection_string is not None:  # as in Functions: a plain value beats the prefixed ones
        names = {part.partition("=")[0].strip().lower() for part in connection_string.split(";")}
        if not {"accountname", "accountkey"} <= names and not {"tableendpoint", "sharedaccesssignature"} <= names:
            read.wrong(STORAGE_CONNECTION, "is not a storage connection string (AccountName=…;AccountKey=…)")
        return StorageSettings(connection_string=connection_string)
    return StorageSettings(
        blob_service_uri=read.https(f"{STORAGE_CONNECTION}__blobServiceUri"),
        queue_service_uri=read.https(f"{STORAGE_CONNECTION}__queueServiceUri"),
        table_service_uri=read.https(f"{STORAGE_CONNECTION}__tableServiceUri"),
    )


def _lake_accounts(read: _Reader) -> dict[str, str]:
    name = "RELEARN_LAKE_BLOB_SERVICE_URIS"
    value = read.required(name, "the blob service addresses of the accounts whose events count, separated by commas")
    accounts: dict[str, str] = {}
    for address in filter(None, (part.strip().rstrip("/") for part in value.split(","))):
        account = _account_of(address)
        if account is None:
            read.wrong(name, f"{address!r} is not a blob service address such as https://ACCOUNT.blob.core.windows.net")
        elif account in accounts:
            read.wrong(name, f"names the account {account!r} twice")
        else:
            accounts[account] = address
    return accounts


def _account_of(address: str) -> str | None:
    host = _host(address)
    if host is None or not address.startswith("https://"):
        return None
    path = urlsplit(address).path
    try:
        ip_address(host)
    except ValueError:
        return None if path else host.partition(".")[0]
    # An address without a host name per account carries the account as its first path segment.
    account = path.strip("/")
    return account if account and "/" not in account else None


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:  # brackets that are not an IPv6 address, for instance
        return None


def _resource(read: _Reader, name: str, provider: str, what: str) -> ArmResource:
    """The resource that a setting names by its id."""
    value = read.required(name, f"the resource id of the {what}")
    found = re.fullmatch(rf"{_GROUP}/providers/{re.escape(provider)}/(?P<name>[^/]+)", value, re.IGNORECASE)
    if found is None:
        if value:
            read.wrong(name, f"{value!r} is not the resource id of a {what}")
        return ArmResource(subscription_id="", resource_group="", name="", resource_id="")
    return ArmResource(
        subscription_id=found["subscription"],
        resource_group=found["resource_group"],
        name=found["name"],
        resource_id=value,
    )


def _topic(read: _Reader) -> str | None:
    name = "RELEARN_EVENTS_TOPIC_ENDPOINT"
    return read.https(name) if read.optional(name) is not None else None
