"""Resources and their permits on Table Storage: one resource is one partition."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableClient, UpdateMode

from shared.cloud import rows
from shared.cloud.storage import storage_call
from shared.ports import Permit, Resource

_HEAD = "h"


class PermitTable:
    """Implements the port Permits."""

    def __init__(self, table: TableClient) -> None:
        self._table = table

    def read(self, resource: str) -> Resource:
        permits: list[Permit] = []
        cursor: datetime | None = None
        looks, etag = 0, None
        with storage_call(f"read of resource {resource}"):
            for row in self._table.query_entities(f"PartitionKey eq '{_partition(resource)}'"):
                values = rows.plain(row)
                if values["RowKey"] == _HEAD:
                    cursor, looks, etag = values.get("cursor"), values["looks"], rows.etag(row)
                else:
                    permits.append(_permit(values))
        return Resource(name=resource, permits=tuple(permits), cursor=cursor, looks=looks, etag=etag)

    def hold(self, resource: str, permit: Permit) -> None:
        values = {"since": permit.since, "attempt": permit.attempt}
        row = rows.keyed(_partition(resource), f"p!{permit.reaction_id}", values)
        with storage_call(f"permit of {permit.reaction_id} for {resource}"):
            self._table.upsert_entity(row, mode=UpdateMode.REPLACE)

    def release(self, resource: str, reaction_id: str) -> None:
        with storage_call(f"release of {resource} by {reaction_id}"):
            self._table.delete_entity(_partition(resource), f"p!{reaction_id}")

    def save_head(self, resource: Resource) -> bool:
        values = {"cursor": resource.cursor, "looks": resource.looks}
        row = rows.keyed(_partition(resource.name), _HEAD, values)
        with storage_call(f"save of resource {resource.name}"):
            try:
                if resource.etag is None:
                    self._table.create_entity(row)
                else:
                    self._table.update_entity(
                        row,
                        mode=UpdateMode.REPLACE,
                        etag=resource.etag,
                        match_condition=MatchConditions.IfNotModified,
                    )
            except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
                return False
        return True


def _permit(values: rows.Row) -> Permit:
    return Permit(reaction_id=values["RowKey"][2:], since=values["since"], attempt=values["attempt"])


def _partition(resource: str) -> str:
    return quote(resource, safe=":")  # a key may hold no slash, backslash, # or ?
