"""Event Grid's dead letters in Blob Storage: read, marked with why they stay, removed."""

from __future__ import annotations

import re
from typing import Final

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import BlobProperties, ContainerClient

from shared.cloud.pages import page_of
from shared.cloud.storage import addressable, storage_call
from shared.ports import DeadLetter, DeadLetterPage

MARK: Final = "relearn_refused"
_MARK_CHARACTERS: Final = 1000
_NO_HEADER: Final = re.compile(r"[^\x20-\x7e]+")


class DeadLetterBlobs:
    """Implements the port DeadLetters."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    def list(self, *, top: int = 500, continuation: str | None = None) -> DeadLetterPage:
        with storage_call("list of the dead letters"):
            listed = self._container.list_blobs(include=["metadata"], results_per_page=top)
            blobs, following = page_of(listed, continuation)
        return DeadLetterPage(letters=tuple(_letter(blob) for blob in blobs), continuation=following)

    def read(self, name: str) -> str | None:
        if not addressable(name):
            return None
        with storage_call(f"dead letter {name}"):
            try:
                content = self._container.download_blob(name).readall()
            except ResourceNotFoundError:
                return None
        return content.decode("utf-8-sig", errors="replace")

    def mark(self, letter: DeadLetter, refused: str) -> bool:
        with storage_call(f"mark of dead letter {letter.name}"):
            try:
                self._container.get_blob_client(letter.name).set_blob_metadata(
                    {MARK: _header(refused)},
                    etag=letter.etag,
                    match_condition=MatchConditions.IfNotModified,
                )
            except (ResourceModifiedError, ResourceNotFoundError):
                return False
        return True

    def remove(self, name: str) -> None:
        with storage_call(f"removal of dead letter {name}"):
            try:
                self._container.delete_blob(name)
            except ResourceNotFoundError:
                return


def _letter(blob: BlobProperties) -> DeadLetter:
    return DeadLetter(
        name=str(blob.name),
        at=blob.last_modified,
        size=int(blob.size),
        refused=(blob.metadata or {}).get(MARK),
        etag=str(blob.etag),
    )


def _header(text: str) -> str:
    """Metadata travels as a header: printable ASCII, and never empty, which would be no mark."""
    return (
        _NO_HEADER.sub(" ", text.encode("ascii", "backslashreplace").decode())[:_MARK_CHARACTERS].strip() or "refused"
    )
