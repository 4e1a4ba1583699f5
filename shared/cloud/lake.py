"""The lake's files: their present properties, where an event does not carry them, lists of them, small ones whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobProperties, BlobType

from shared.cloud.pages import page_of
from shared.cloud.patience import PATIENCE, Patience
from shared.cloud.storage import addressable, blobs_of, storage_call
from shared.ports import FileProperties, LakeFile, LakePage

_NO_SUCH_RANGE: Final = 416


class LakeFiles:
    """Implements the port Lake over the accounts of the allow-list."""

    def __init__(self, accounts: Mapping[str, str], credential: TokenCredential, patience: Patience = PATIENCE) -> None:
        self._accounts = accounts
        self._credential = credential
        self._patience = patience

    @property
    def accounts(self) -> tuple[str, ...]:
        return tuple(self._accounts)

    def properties(self, account: str, container: str, path: str) -> FileProperties | None:
        if not addressable(path):
            return None
        with (
            blobs_of(self._accounts[account], self._credential, self._patience) as service,
            storage_call(f"properties of {container}/{path} in {account}"),
        ):
            try:
                found = service.get_blob_client(container, path).get_blob_properties()
            except ResourceNotFoundError:
                return None
        return FileProperties(etag=str(found.etag).strip('"'), size=int(found.size))

    def read(self, account: str, container: str, path: str, limit: int) -> bytes | None:
        if not addressable(path):
            return None
        with (
            blobs_of(self._accounts[account], self._credential, self._patience) as service,
            storage_call(f"{container}/{path} in {account}"),
        ):
            try:
                return bytes(service.get_blob_client(container, path).download_blob(offset=0, length=limit).readall())
            except ResourceNotFoundError:
                return None
            except HttpResponseError as error:
                if error.status_code == _NO_SUCH_RANGE:  # of a file that has no bytes
                    return b""
                raise

    def files(self, account: str, container: str, prefix: str, *, top: int, continuation: str | None) -> LakePage:
        address = self._accounts[account]
        with (
            blobs_of(address, self._credential, self._patience) as service,
            storage_call(f"list of {container}/{prefix} in {account}"),
        ):
            listed = service.get_container_client(container).list_blobs(
                name_starts_with=prefix or None, include=["copy"], results_per_page=top
            )
            try:
                blobs, following = page_of(listed, continuation)
            except ResourceNotFoundError:
                return LakePage(files=(), continuation=None)
        found = tuple(_file(blob, f"{address}/{container}") for blob in blobs if _raises_events(blob))
        return LakePage(files=found, continuation=following)


def _raises_events(blob: BlobProperties) -> bool:
    """Event Grid says nothing of append blobs, and a copy is not there before it is complete."""
    return blob.blob_type != BlobType.APPENDBLOB and blob.copy.status not in ("pending", "failed", "aborted")


def _file(blob: BlobProperties, container: str) -> LakeFile:
    path = str(blob.name)
    return LakeFile(
        path=path,
        etag=str(blob.etag).strip('"'),
        size=int(blob.size),
        modified=blob.last_modified,
        url=f"{container}/{quote(path)}",
        content_type=str(blob.content_settings.content_type or ""),
    )
