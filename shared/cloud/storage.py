"""Clients of the app's own storage, and the one translation of storage errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any, Final

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, HttpResponseError
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient, TextBase64EncodePolicy
from requests import RequestException

from shared.cloud.patience import PATIENCE, Patience
from shared.cloud.transport import transport_to
from shared.errors import StorageUnavailable
from shared.settings import StorageSettings

_SOMEWHERE: Final = "https://core.windows.net"
"""In place of an address that stands in a connection string: which proxy leads there."""
_LONGEST_NAME: Final = 1024
_NO_NAME: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")

MOST_OPERATIONS: Final = 100
"""So many operations go into one transaction of a table, on one partition."""


def _options(patience: Patience, address: str | None) -> dict[str, Any]:
    return {
        "transport": transport_to(address or _SOMEWHERE, connect=patience.connect, read=patience.read),
        "connection_timeout": patience.connect,
        "read_timeout": patience.read,
        "retry_total": patience.repeats,
        "retry_backoff_factor": patience.backoff,
    }


def _options_of_blobs_and_queues(patience: Patience, address: str | None) -> dict[str, Any]:
    """These clients wait in a way of their own, 12 to 18 s before the first repeat: a delivery's 30 s would be over."""
    waits = {"initial_backoff": patience.backoff, "increment_base": 0, "random_jitter_range": patience.backoff / 2}
    return {**_options(patience, address), **waits}


def tables(settings: StorageSettings, credential: TokenCredential, patience: Patience = PATIENCE) -> TableServiceClient:
    options = _options(patience, settings.table_service_uri)
    if settings.connection_string is not None:
        return TableServiceClient.from_connection_string(settings.connection_string, **options)
    return TableServiceClient(settings.table_service_uri, credential=credential, **options)


def queue(
    settings: StorageSettings,
    name: str,
    credential: TokenCredential,
    patience: Patience = PATIENCE,
    *,
    encoded: bool = True,
) -> QueueClient:
    """A queue of the app. `encoded`: texts travel as base64, which is what the queue trigger expects."""
    # Given to the queue's own client: QueueServiceClient does not hand its encoding on to the clients it makes.
    encoding: dict[str, Any] = {"message_encode_policy": TextBase64EncodePolicy()} if encoded else {}
    options = {**encoding, **_options_of_blobs_and_queues(patience, settings.queue_service_uri)}
    if settings.connection_string is not None:
        return QueueClient.from_connection_string(settings.connection_string, name, **options)
    return QueueClient(settings.queue_service_uri, name, credential=credential, **options)


def blobs(settings: StorageSettings, credential: TokenCredential, patience: Patience = PATIENCE) -> BlobServiceClient:
    options = _options_of_blobs_and_queues(patience, settings.blob_service_uri)
    if settings.connection_string is not None:
        return BlobServiceClient.from_connection_string(settings.connection_string, **options)
    return BlobServiceClient(settings.blob_service_uri, credential=credential, **options)


def blobs_of(address: str, credential: TokenCredential, patience: Patience = PATIENCE) -> BlobServiceClient:
    """The blob service of a lake account."""
    return BlobServiceClient(address, credential=credential, **_options_of_blobs_and_queues(patience, address))


def addressable(name: str) -> bool:
    """Whether a blob can have this name, which may come from outside, and its address leads to it and nowhere else.

    Clients resolve the dots in an address: `../other/a.json` would be a blob of another container.
    """
    dots = any(part in (".", "..") for part in name.split("/"))
    return 0 < len(name) <= _LONGEST_NAME and not dots and _NO_NAME.search(name) is None


@contextmanager
def storage_call(what: str) -> Iterator[None]:
    """Turns every storage error that was not expected into StorageUnavailable, with what was being done."""
    try:
        yield
    except HttpResponseError as error:
        code = getattr(error, "error_code", None) or error.reason
        raise StorageUnavailable(f"{what}: storage answered {error.status_code} {code}") from error
    except (AzureError, RequestException, HTTPException) as error:
        # azure-data-tables reads the answer to a transaction late, and lets through what requests then says of it.
        raise StorageUnavailable(f"{what}: {type(error).__name__}: {error}") from error
    except AttributeError as error:
        # azure-data-tables stumbles over an answer that was cut off while it decodes the error in it.
        if not isinstance(error.__context__, AzureError):
            raise
        raise StorageUnavailable(f"{what}: storage's answer broke off") from error
