"""Resources on Table Storage: one resource is one partition, with a head, permits and who waits.

Row keys, in this order: `c` (called freely: see `hold`), `h` (the head), `p!<reaction>`, `w!<priority>!<since>!<name>`.
A worker of the release before takes every row but the head for a permit; so `c` and `w!…` have a permit's properties,
and its reaction is one that cannot be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableClient, TableTransactionError, UpdateMode

from shared.cloud import rows
from shared.cloud.storage import storage_call
from shared.ports import Permit, Resource, Waiter

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FREE: Final = "c"
_HEAD: Final = "h"
_PERMIT: Final = "p!"
_WAITER: Final = "w!"
_AFTER_WAITERS: Final = 'w"'  # the next character after !
_WAITERS_READ: Final = 1000
_NOT_AS_READ: Final = frozenset({404, 409, 412})


class PermitTable:
    """Implements the port Permits."""

    def __init__(self, table: TableClient) -> None:
        self._table = table

    def read(self, resource: str) -> Resource:
        head: rows.Row = {}
        etag, free = None, False
        permits: list[Permit] = []
        waiters: list[Waiter] = []
        with storage_call(f"read of resource {resource}"):
            for row in self._table.query_entities(f"PartitionKey eq '{_partition(resource)}'"):
                values = rows.plain(row)
                key = str(values["RowKey"])
                if key == _HEAD:
                    head, etag = values, rows.etag(row)
                elif key.startswith(_PERMIT):
                    permits.append(_permit(values))
                elif key.startswith(_WAITER):
                    waiters.append(_waiter(values))
                free = free or key == _FREE
                if len(waiters) == _WAITERS_READ:
                    break
        return Resource(
            name=resource,
            permits=tuple(permits),
            waiters=tuple(waiters),
            cursor=head.get("cursor"),
            full_at=head.get("fullAt"),
            next_attempt=head.get("nextAttempt"),
            failures=head.get("failures", 0),
            free=free,
            etag=etag,
        )

    def hold(self, resource: str, permit: Permit) -> bool:
        """One transaction that fails where the row `c` is not there.

        That row is taken away while a target is left alone, by whoever writes that into the head. It is merged with
        nothing and under any ETag, so that starts do not get into each other's way.
        """
        operations: list[Any] = [
            ("upsert", _permit_row(resource, permit), {"mode": UpdateMode.REPLACE}),
            ("update", {"PartitionKey": _partition(resource), "RowKey": _FREE}, {"mode": UpdateMode.MERGE}),
        ]
        return self._done(operations, f"permit of {permit.reaction_id} for {resource}")

    def grant(self, resource: Resource, permit: Permit | None, waiter: Waiter | None = None) -> bool:
        operations = self._head_operations(resource)
        if permit is not None:
            operations.append(("upsert", _permit_row(resource.name, permit), {"mode": UpdateMode.REPLACE}))
        if waiter is not None and waiter in resource.waiters:
            operations.append(("delete", _keys(resource.name, waiter)))
        return self._done(operations, f"grant of {resource.name}")

    def save_head(self, resource: Resource) -> bool:
        return self._done(self._head_operations(resource), f"save of resource {resource.name}")

    def _head_operations(self, resource: Resource) -> list[Any]:
        operations: list[Any] = []
        head = _head_row(resource)
        if resource.etag is None:
            operations.append(("create", head))
        else:
            condition = {"etag": resource.etag, "match_condition": MatchConditions.IfNotModified}
            operations.append(("update", head, {"mode": UpdateMode.REPLACE, **condition}))
        if resource.failures == 0 and not resource.free:
            row = rows.keyed(_partition(resource.name), _FREE, {"since": _EPOCH, "attempt": 0})
            operations.append(("create", row))
        elif resource.failures > 0 and resource.free:
            operations.append(("delete", {"PartitionKey": _partition(resource.name), "RowKey": _FREE}))
        return operations

    def _done(self, operations: list[Any], what: str) -> bool:
        with storage_call(what):
            try:
                self._table.submit_transaction(operations)
            except TableTransactionError as error:
                if error.status_code in _NOT_AS_READ:
                    return False
                raise
        return True

    def release(self, resource: str, reaction_id: str) -> None:
        with storage_call(f"release of {resource} by {reaction_id}"):
            self._table.delete_entity(_partition(resource), f"{_PERMIT}{reaction_id}")

    def take_back(self, resource: str, permit: Permit) -> bool:
        partition, key = _partition(resource), f"{_PERMIT}{permit.reaction_id}"
        with storage_call(f"return of {resource} by {permit.reaction_id}"):
            try:
                row = self._table.get_entity(partition, key)
                if _permit(rows.plain(row)) != permit:
                    return False
                unchanged = MatchConditions.IfNotModified
                self._table.delete_entity(partition, key, etag=rows.etag(row), match_condition=unchanged)
            except (ResourceModifiedError, ResourceNotFoundError):
                return False
        return True

    def wait(self, resource: str, waiter: Waiter) -> None:
        properties = {"since": waiter.since, "attempt": 0, "seen": waiter.seen}
        row = rows.keyed(_partition(resource), _waiter_key(waiter), properties)
        with storage_call(f"waiting of {waiter.name} for {resource}"):
            self._table.upsert_entity(row, mode=UpdateMode.REPLACE)

    def leave(self, resource: str, waiter: Waiter) -> None:
        with storage_call(f"{waiter.name} leaving the queue of {resource}"):
            self._table.delete_entity(_partition(resource), _waiter_key(waiter))

    def waiting(self, resource: str, at_once: int = _WAITERS_READ) -> Iterable[Waiter]:
        return self._waiting(resource, at_once)

    def _waiting(self, resource: str, at_once: int) -> Iterator[Waiter]:
        query = f"PartitionKey eq '{_partition(resource)}' and RowKey ge '{_WAITER}' and RowKey lt '{_AFTER_WAITERS}'"
        with storage_call(f"read of who waits for {resource}"):
            for row in self._table.query_entities(query, results_per_page=at_once):
                yield _waiter(rows.plain(row))


def _permit_row(resource: str, permit: Permit) -> rows.Row:
    properties = {"since": permit.since, "attempt": permit.attempt, "until": permit.until}
    return rows.keyed(_partition(resource), f"{_PERMIT}{permit.reaction_id}", properties)


def _head_row(resource: Resource) -> rows.Row:
    properties = {
        "cursor": resource.cursor,
        "looks": 0,  # the release before asks for it
        "fullAt": resource.full_at,
        "nextAttempt": resource.next_attempt,
        "failures": resource.failures or None,
    }
    return rows.keyed(_partition(resource.name), _HEAD, properties)


def _permit(values: rows.Row) -> Permit:
    return Permit(
        reaction_id=values["RowKey"][2:],
        since=values["since"],
        attempt=values["attempt"],
        until=values.get("until"),
    )


def _waiter_key(waiter: Waiter) -> str:
    return f"{_WAITER}{waiter.priority}!{waiter.since:%Y%m%dT%H%M%S%f}!{waiter.name}"


def _waiter(values: rows.Row) -> Waiter:
    _, priority, _, name = str(values["RowKey"]).split("!", 3)
    return Waiter(
        name=name,
        priority=int(priority),
        since=values["since"],
        seen=values["seen"],
    )


def _keys(resource: str, waiter: Waiter) -> rows.Row:
    return {"PartitionKey": _partition(resource), "RowKey": _waiter_key(waiter)}


def _partition(resource: str) -> str:
    return quote(resource, safe=":")  # a key may hold no slash, backslash, # or ?
