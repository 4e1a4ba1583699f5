"""The lake's files: their present properties, where an event does not carry them."""

from __future__ import annotations

from collections.abc import Mapping

from azure.core.credentials import TokenCredential
from azure.core.exceptions import ResourceNotFoundError

from shared.cloud.storage import blobs_of, storage_call
from shared.ports import FileProperties


class LakeFiles:
    """Implements the port Lake over the accounts of the allow-list."""

    def __init__(self, accounts: Mapping[str, str], credential: TokenCredential) -> None:
        self._accounts = accounts
        self._credential = credential

    def properties(self, account: str, container: str, path: str) -> FileProperties | None:
        with (
            blobs_of(self._accounts[account], self._credential) as service,
            storage_call(f"properties of {container}/{path} in {account}"),
        ):
            try:
                found = service.get_blob_client(container, path).get_blob_properties()
            except ResourceNotFoundError:
                return None
        return FileProperties(etag=str(found.etag).strip('"'), size=int(found.size))
