"""Finds the queue service behind the name of a connection, the way Functions reads its settings."""

from __future__ import annotations

from typing import Final

from azure.identity import DefaultAzureCredential
from azure.storage.queue import ExponentialRetry, QueueServiceClient

from local.host.settings import AppSettings, HostError

PREFIX: Final = "AzureWebJobs"
DEFAULT: Final = "Storage"
DEVELOPMENT_STORAGE: Final = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1"
)


def queue_service(settings: AppSettings, connection: str) -> QueueServiceClient:
    """A client for the queue service of `connection`.

    Raises:
        HostError: no setting of that name, or one that says nothing about a queue service.
    """
    name = connection or DEFAULT
    prefixed = name if name.lower().startswith(PREFIX.lower()) else f"{PREFIX}{name}"
    for candidate in (prefixed, name):
        text = settings.get(candidate)
        if text:
            return _from_text(text)
        endpoint = _endpoint(settings, candidate)
        if endpoint:
            return _with_identity(endpoint, settings, candidate)
    raise HostError(
        f"Storage account connection string '{prefixed}' does not exist: set {name} (a connection string) or "
        f"{name}__queueServiceUri (an address, used with identity) in the app settings"
    )


def _endpoint(settings: AppSettings, name: str) -> str | None:
    for key in ("queueServiceUri", "serviceUri"):
        address = settings.get(f"{name}__{key}")
        if address:
            return address
    account = settings.get(f"{name}__accountName")
    return f"https://{account}.queue.core.windows.net" if account else None


def _from_text(text: str) -> QueueServiceClient:
    known = DEVELOPMENT_STORAGE if text.strip().rstrip(";").lower() == "usedevelopmentstorage=true" else text
    try:
        return QueueServiceClient.from_connection_string(known, retry_policy=_retries())
    except ValueError as problem:
        raise HostError(f"the connection string is not usable: {problem}") from None


def _with_identity(endpoint: str, settings: AppSettings, name: str) -> QueueServiceClient:
    client_id = settings.get(f"{name}__clientId") or settings.get("AZURE_CLIENT_ID")
    credential = DefaultAzureCredential(managed_identity_client_id=client_id)
    return QueueServiceClient(endpoint, credential=credential, retry_policy=_retries())


def _retries() -> ExponentialRetry:
    # The Python SDK's own first retry waits 15 s; the host's client waits under a second.
    return ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=3, random_jitter_range=1)
