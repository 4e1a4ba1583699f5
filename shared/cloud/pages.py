"""One page of a list of blobs."""

from __future__ import annotations

from typing import Any, Final

from azure.core.exceptions import HttpResponseError
from azure.core.paging import ItemPaged
from azure.storage.blob import BlobProperties

from shared.errors import NotPossible

_NO_SUCH_PLACE: Final = 400


def page_of(listed: ItemPaged[BlobProperties], continuation: str | None) -> tuple[list[BlobProperties], str | None]:
    """The page that begins at `continuation`, and where the next one begins.

    A page that is empty and not the last is passed over: storage may answer so.

    Raises:
        NotPossible: storage does not know the continuation, which may come from outside.
    """
    pages: Any = listed.by_page(continuation)
    try:
        for page in pages:
            blobs = list(page)
            if blobs or not pages.continuation_token:
                return blobs, pages.continuation_token or None
    except HttpResponseError as error:
        if continuation is not None and error.status_code == _NO_SUCH_PLACE:
            raise NotPossible(
                "the list has no such place", "begin without one: what is known stays as it is"
            ) from error
        raise
    return [], None
