"""Manifests in Blob Storage: the durable batch of a reaction, written once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import ContainerClient, ContentSettings

from shared.cloud.storage import storage_call
from shared.events import FileLanded
from shared.lanes import TakenEvent
from shared.reactions import Reaction


class ManifestBlobs:
    """Implements the port Manifests."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    def url(self, reaction_id: str) -> str:
        return str(self._container.get_blob_client(_name(reaction_id)).url)

    def write(self, reaction: Reaction, events: Sequence[TakenEvent]) -> None:
        content = json.dumps(
            {
                "reaction_id": reaction.id,
                "rule": reaction.rule,
                "key": reaction.key,
                "count": len(events),
                "events": list(_entries(events)),
            },
            separators=(",", ":"),
        )
        with storage_call(f"manifest of {reaction.id}"):
            try:
                self._container.upload_blob(
                    _name(reaction.id),
                    content.encode(),
                    overwrite=True,  # with the condition below: If-None-Match *, so the first writer wins
                    match_condition=MatchConditions.IfMissing,
                    content_settings=ContentSettings(content_type="application/json"),
                )
            except (ResourceExistsError, ResourceModifiedError):
                return

    def remove(self, reaction_id: str, before: datetime) -> None:
        with storage_call(f"removal of the manifest of {reaction_id}"):
            try:
                self._container.delete_blob(_name(reaction_id), if_unmodified_since=before)
            except (ResourceNotFoundError, ResourceModifiedError):
                return


def _name(reaction_id: str) -> str:
    return f"{reaction_id}.json"


def _entries(events: Sequence[TakenEvent]) -> Iterator[dict[str, object]]:
    newest = newest_by_path(e.pending.event for e in events if isinstance(e.pending.event, FileLanded))
    for taken in events:
        event = taken.pending.event
        if isinstance(event, FileLanded):
            yield {
                "id": event.event_id,
                "account": event.account,
                "container": event.container,
                "path": event.path,
                "url": event.url,
                "etag": event.etag,
                "size": event.size,
                "sequencer": event.sequencer,
                "time": event.time.isoformat(),
                "current": newest[event.account, event.container, event.path] is event,
            }
        else:
            yield {"id": event.event_id, "subject": event.subject, "time": event.time.isoformat(), "current": True}


def newest_by_path(events: Iterable[FileLanded]) -> dict[tuple[str, str, str], FileLanded]:
    """The newest event of each file."""
    newest: dict[tuple[str, str, str], FileLanded] = {}
    for event in events:
        place = event.account, event.container, event.path
        known = newest.get(place)
        if known is None or _newer(event, known):
            newest[place] = event
    return newest


def _newer(event: FileLanded, known: FileLanded) -> bool:
    """By sequencer, which orders the events of one blob as plain text; where one has none, by time.

    That is an event made from a list: it has the second of its version, the one that was there when it was listed.
    """
    if event.sequencer and known.sequencer:
        return (event.sequencer, event.time) > (known.sequencer, known.time)
    return _second(event) > _second(known)


def _second(event: FileLanded) -> tuple[datetime, bool]:
    return event.time.replace(microsecond=0), not event.sequencer
