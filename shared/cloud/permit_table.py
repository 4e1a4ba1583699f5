"""Resources and their permits on Table Storage: one resource is one partition."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableClient, TableTransactionError, UpdateMode

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
        row = rows.keyed(_partition(resource), f"p!{permit.reaction_id}", _values(permit))
        with storage_call(f"permit of {permit.reaction_id} for {resource}"):
            self._table.upsert_entity(row, mode=UpdateMode.REPLACE)

    def acquire(self, resource: str, permit: Permit, limit: int) -> Sequence[Permit]:
        while True:
            found = self.read(resource)
            others = [held for held in found.permits if held.reaction_id != permit.reaction_id]
            if len(others) >= limit:
                return others
            if self._grant(found, permit):
                return ()

    def _grant(self, resource: Resource, permit: Permit) -> bool:
        """The permit's row and the head in one transaction, if nobody has written the head since it was read."""
        held = rows.keyed(_partition(resource.name), f"p!{permit.reaction_id}", _values(permit))
        head = _head_row(resource)
        operations: list[Any] = [("upsert", held, {"mode": UpdateMode.REPLACE})]
        if resource.etag is None:
            operations.append(("create", head))
        else:
            condition = {"etag": resource.etag, "match_condition": MatchConditions.IfNotModified}
            operations.append(("update", head, {"mode": UpdateMode.REPLACE, **condition}))
        with storage_call(f"grant of {resource.name} to {permit.reaction_id}"):
            try:
                self._table.submit_transaction(operations)
            except TableTransactionError as error:
                if error.status_code in (404, 409, 412):
                    return False
                raise
        return True

    def release(self, resource: str, reaction_id: str) -> None:
        with storage_call(f"release of {resource} by {reaction_id}"):
            self._table.delete_entity(_partition(resource), f"p!{reaction_id}")

    def save_head(self, resource: Resource) -> bool:
        row = _head_row(resource)
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


def _values(permit: Permit) -> dict[str, object]:
    return {"since": permit.since, "attempt": permit.attempt}


def _head_row(resource: Resource) -> rows.Row:
    return rows.keyed(_partition(resource.name), _HEAD, {"cursor": resource.cursor, "looks": resource.looks})


def _permit(values: rows.Row) -> Permit:
    return Permit(reaction_id=values["RowKey"][2:], since=values["since"], attempt=values["attempt"])


def _partition(resource: str) -> str:
    return quote(resource, safe=":")  # a key may hold no slash, backslash, # or ?
