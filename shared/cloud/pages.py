"""One page of a list of blobs."""

from __future__ import annotations

from typing import Any

from azure.core.paging import ItemPaged
from azure.storage.blob import BlobProperties


def page_of(listed: ItemPaged[BlobProperties], continuation: str | None) -> tuple[list[BlobProperties], str | None]:
    """The page that begins at `continuation`, and where the next one begins.

    A page that is empty and not the last is passed over: storage may answer so.
    """
    pages: Any = listed.by_page(continuation)
    for page in pages:
        blobs = list(page)
        if blobs or not pages.continuation_token:
            return blobs, pages.continuation_token or None
    return [], None
