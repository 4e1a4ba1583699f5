"""Takes the sources and subjects of events apart: ARM ids, blob paths, models and runs."""

from __future__ import annotations

import re

from shared.events.envelopes import Malformed

_GROUP = r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/"
_ACCOUNT = re.compile(_GROUP + r"Microsoft\.Storage/storageAccounts/([^/]+)/?", re.IGNORECASE | re.ASCII)
_WORKSPACE = re.compile(_GROUP + r"Microsoft\.MachineLearningServices/workspaces/[^/]+/?", re.IGNORECASE | re.ASCII)
_BLOB = re.compile(r"/blobServices/default/containers/([^/]+)/blobs/(.+)", re.DOTALL)
_MODEL = re.compile(r"models/(.+):([^:]+)", re.DOTALL)
_RUN = re.compile(r"(?:experiments|datadrifts?)/[^/]+/runs?/([^/]+)")


def account(source: str) -> str | None:
    """The name in a storage account's ARM id; ARM ids are compared without regard to case, account names are lower."""
    found = _ACCOUNT.fullmatch(source)
    return found.group(1).lower() if found else None


def same_workspace(source: str, workspace_id: str | None) -> bool:
    """Whether the source is that workspace; without one, whether it is any."""
    if not _WORKSPACE.fullmatch(source):
        return False
    return workspace_id is None or canonical(source) == canonical(workspace_id)


def canonical(arm_id: str) -> str:
    return arm_id.casefold().rstrip("/")


def blob(subject: str) -> tuple[str, str]:
    """Container and path. Not from the URL: its host differs by API, and only the URL is percent-encoded."""
    found = _BLOB.fullmatch(subject)
    if found is None:
        raise Malformed("the subject is not /blobServices/default/containers/<container>/blobs/<path>")
    return found.group(1), found.group(2)


def model(subject: str) -> tuple[str, str]:
    """Name and version, parted at the last colon."""
    found = _MODEL.fullmatch(subject)
    if found is None:
        raise Malformed("data does not name a model and its version, and the subject is not models/<name>:<version>")
    return found.group(1), found.group(2)


def run(subject: str) -> str:
    found = _RUN.fullmatch(subject)
    if found is None:
        raise Malformed("data does not name a run, and the subject is not experiments/<id>/runs/<run>")
    return found.group(1)


def bare_etag(etag: str) -> str:
    """An ETag without the quotes that some senders include and others do not."""
    bare = etag.strip().removeprefix("W/").strip('"')
    if not bare:
        raise Malformed("data.eTag is empty")
    return bare
