"""Which storage requests change a blob, and what Event Grid is told about it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from local.gateway.calls import Target
from local.gateway.wire import AnswerHead, RequestHead
from local.service import Event

Api = Literal["PutBlob", "PutBlockList", "CopyBlob", "DeleteBlob"]
DEFAULT_TYPE = "application/octet-stream"
_BLOB_TYPES = (b"BlockBlob", b"PageBlob")  # an append blob raises no event


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobChange:
    """A blob was written or deleted, by whoever sent the request."""

    api: Api
    account: str
    container: str
    path: str
    url: str
    etag: str
    content_type: str
    content_length: int
    blob_type: str
    request_id: str
    client_request_id: str
    sequencer: str

    def event(self) -> Event:
        data = {
            "api": self.api,
            "clientRequestId": self.client_request_id,
            "requestId": self.request_id,
            "eTag": self.etag,
            "contentType": self.content_type,
            "contentLength": self.content_length,
            "blobType": self.blob_type,
            "url": self.url,
            "sequencer": self.sequencer,
            "storageDiagnostics": {"batchId": self.request_id},
        }
        if self.api == "DeleteBlob":
            for key in ("eTag", "contentLength"):
                del data[key]
        return Event(
            type=f"Microsoft.Storage.Blob{'Deleted' if self.api == 'DeleteBlob' else 'Created'}",
            subject=f"/blobServices/default/containers/{self.container}/blobs/{self.path}",
            data=data,
        )


BlobListener = Callable[[BlobChange], None]


class Sequencer:
    """Strings that grow, across restarts too: 48 hex digits, compared as text."""

    def __init__(self) -> None:
        self._start = time.time_ns()
        self._numbers = itertools.count(1)

    def next(self) -> str:
        return f"{self._start:032x}{next(self._numbers):016x}"


def change_asked_for(target: Target, request: RequestHead) -> Api | None:
    """The blob change this request makes if it succeeds, or None."""
    container, _, blob = target.path.partition("/")
    if target.service != "blob" or not blob or container.startswith("$"):
        return None
    comp = target.query.get("comp")
    if target.method == "DELETE":
        return "DeleteBlob" if _deletes_the_blob(target, request) else None
    if target.method != "PUT" or comp not in (None, "blocklist"):
        return None
    if comp == "blocklist":
        return "PutBlockList"
    if b"x-ms-copy-source" in request.headers:
        return "CopyBlob"
    return "PutBlob" if request.headers.get(b"x-ms-blob-type") in _BLOB_TYPES else None


def _deletes_the_blob(target: Target, request: RequestHead) -> bool:
    one_version = {"comp", "snapshot", "versionid"} & set(target.query)
    return not one_version and request.headers.get(b"x-ms-delete-snapshots") != b"only"


def length_in_request(api: Api, request: RequestHead) -> int | None:
    """The blob's size where the request says it; None where only the blob itself can."""
    if api == "DeleteBlob":
        return 0
    if api != "PutBlob":
        return None
    length = request.headers.get(b"x-ms-blob-content-length") or request.headers.get(b"content-length")
    return int(length) if length is not None and length.isdigit() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobFacts:
    """What a change's request does not say."""

    content_length: int
    content_type: str
    blob_type: str


def facts_in_request(api: Api, request: RequestHead) -> BlobFacts | None:
    """The facts if the request carries them all, else None: ask the blob."""
    length = length_in_request(api, request)
    if length is None:
        return None
    content_type = request.header(b"x-ms-blob-content-type") or request.header(b"content-type")
    return BlobFacts(
        content_length=length,
        content_type=content_type or DEFAULT_TYPE,
        blob_type=request.header(b"x-ms-blob-type") or "BlockBlob",
    )


def facts_in_answer(answer: AnswerHead) -> BlobFacts:
    """The facts out of the answer to a HEAD request for the blob."""
    return BlobFacts(
        content_length=int(answer.header(b"content-length") or 0),
        content_type=answer.header(b"content-type") or DEFAULT_TYPE,
        blob_type=answer.header(b"x-ms-blob-type") or "BlockBlob",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request that changed a blob, and its answer."""

    target: Target
    request: RequestHead
    answer: AnswerHead

    def change(self, api: Api, facts: BlobFacts, sequencer: str) -> BlobChange:
        container, _, path = self.target.path.partition("/")
        return BlobChange(
            api=api,
            account=self.target.account,
            container=container,
            path=path,
            url=f"https://{self.request.header(b'host')}{self.target.raw_path}",
            etag=self.answer.header(b"etag") or "",
            content_type=facts.content_type,
            content_length=facts.content_length,
            blob_type=facts.blob_type,
            request_id=self.answer.header(b"x-ms-request-id") or "",
            client_request_id=self.request.header(b"x-ms-client-request-id") or "",
            sequencer=sequencer,
        )
