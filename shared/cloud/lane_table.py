"""Lanes on Table Storage: one lane is one partition, every step one entity group transaction."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.data.tables import TableClient, TableTransactionError, UpdateMode

from shared.cloud import rows
from shared.cloud.storage import MOST_OPERATIONS, storage_call
from shared.errors import AlreadyTaken, Stale
from shared.group_commit import GroupCommit
from shared.lanes import Head, Lane, PendingEvent, TakenEvent
from shared.notifications import Notification
from shared.ports import LaneChange, Saved
from shared.reactions import HistoryEntry, Reaction, address

Operation = tuple[Any, ...]
_COMPARISONS = 14  # Table Storage takes at most 15 comparisons in a filter; the partition is one of them
_MOST_BYTES: Final = 3 * 2**20
"""Of the rows of a transaction, which may have 4 MiB with all that is written around them."""
_AROUND_A_ROW: Final = 2**10
_SMALL: Final = _MOST_BYTES // MOST_OPERATIONS - _AROUND_A_ROW
_OF_ANOTHER_VALUE: Final = 10
_GATHER_SECONDS: Final = 0.02
"""A transaction of many takes twice as long."""


class LaneTable:
    """Implements the port Lanes."""

    def __init__(self, table: TableClient) -> None:
        self._table = table
        # History rows sort by time, and within one process by this number where the time is the same.
        self._writer = uuid.uuid4().hex[:6]
        self._count = itertools.count()
        self._inserts: GroupCommit[rows.Row] = GroupCommit(
            alone=self._insert,
            together=self._insert_all,
            most=MOST_OPERATIONS,
            most_bytes=_MOST_BYTES,
            gather=_GATHER_SECONDS,
        )

    def add_event(self, lane: str, event: PendingEvent) -> bool:
        row = rows.pending_row(lane, event)
        return self._inserts.add(lane, row, item_id=event.id, size=_size(row))

    def adding(self, lane: str) -> int:
        """How many events wait until others of the lane are inserted."""
        return self._inserts.waiting(lane)

    def _insert(self, lane: str, row: rows.Row) -> bool:
        with storage_call(f"insert of {row['RowKey']} into lane {lane}"):
            try:
                self._table.create_entity(row)
            except ResourceExistsError as error:
                if not _names_the_row(error):
                    raise
                return False
        return True

    def _insert_all(self, lane: str, new: Sequence[rows.Row]) -> list[bool | None]:
        """Inserts them in one transaction, without those that are there already; None: try this one alone.

        A transaction fails as a whole. Its error names one row that was there, by a text, but not whether there are
        more: a query tells for certain. What somebody else inserts after that fails the second try, which is the last.
        """
        keys = [row["RowKey"] for row in new]
        with storage_call(f"insert of {len(new)} events into lane {lane}"):
            if self._created(new):
                return [True] * len(new)
            known = self._found(lane, keys)
            rest = [row for row in new if row["RowKey"] not in known]
            created = len(rest) < len(new) and (not rest or self._created(rest))
        return [False if key in known else (True if created else None) for key in keys]

    def _created(self, new: Sequence[rows.Row]) -> bool:
        """False: nothing was inserted, and each row has to be tried by itself to know why."""
        try:
            results = self._table.submit_transaction([("create", row) for row in new])
        except HttpResponseError as error:
            if error.status_code not in (400, 409, 413):
                raise
            return False
        except (TypeError, ValueError):  # the client refuses one of them
            return False
        if len(results) != len(new):
            raise HttpResponseError(f"{len(results)} answers to {len(new)} inserts")
        return True

    def read(self, lane: str) -> Lane:
        head: Head | None = None
        pending: list[PendingEvent] = []
        outbox: list[Notification] = []
        with storage_call(f"read of lane {lane}"):
            for row in self._query(lane, "RowKey ge 'e!' and RowKey lt 'm'"):
                if row["RowKey"] == rows.HEAD:
                    head = rows.head(row)
                elif row["RowKey"].startswith(rows.outbox_key("")):
                    outbox.append(rows.notification(row))
                else:
                    pending.append(rows.pending_event(row))
        return Lane(id=lane, head=head, pending=tuple(pending), outbox=tuple(outbox))

    def taken(self, lane: str, event_ids: Iterable[str]) -> frozenset[str]:
        with storage_call(f"check for taken events in lane {lane}"):
            return frozenset(key[2:] for key in self._found(lane, [rows.taken_key(i) for i in event_ids]))

    def _found(self, lane: str, keys: Sequence[str]) -> set[str]:
        """Those of the rows that are there."""
        found: set[str] = set()
        for start in range(0, len(keys), _COMPARISONS):
            asked = " or ".join(f"RowKey eq '{key}'" for key in keys[start : start + _COMPARISONS])
            found |= {row["RowKey"] for row in self._query(lane, f"({asked})", select=["RowKey"])}
        return found

    def drop_pending(self, lane: str, event_ids: Iterable[str]) -> None:
        with storage_call(f"removal of late duplicates from lane {lane}"):
            for event_id in event_ids:
                self._table.delete_entity(lane, rows.pending_key(event_id))  # one that is gone is no error

    def commit(self, lane: str, change: LaneChange) -> Saved:
        if len(change.take) > change.capacity():
            raise ValueError(f"{len(change.take)} events do not fit into one transaction of lane {lane}")
        operations = list(self._operations(lane, change))
        with storage_call(f"transaction on lane {lane}"):
            try:
                results = self._table.submit_transaction(operations)
            except TableTransactionError as error:
                raise self._translated(lane, change, error) from error
        return _saved(change, results)

    def _operations(self, lane: str, change: LaneChange) -> Iterator[Operation]:
        """Head and reaction first, in this order: `_saved` and `_translated` rely on it."""
        if change.head is not None:
            yield _save(rows.head_row(lane, change.head), change.head.etag)
        if change.reaction is not None:
            yield _save(rows.reaction_row(change.reaction), change.reaction.etag)
        for event in change.take:
            if change.at is None:
                raise ValueError("events are taken at a time: LaneChange.at is missing")
            taken = rows.taken_row(lane, event, at=change.at, by=change.taken_by, skipped=change.skipped)
            yield "create", taken
            yield "delete", {"PartitionKey": lane, "RowKey": rows.pending_key(event.id)}
        if change.reaction is not None:
            for entry in change.history:
                yield "create", rows.history_row(lane, self._history_key(change.reaction.seq, entry), entry)
        for notification in change.tell:
            yield "upsert", rows.notification_row(lane, notification), {"mode": UpdateMode.REPLACE}

    def _history_key(self, seq: int, entry: HistoryEntry) -> str:
        if entry.key is not None:
            return f"{rows.history_prefix(seq)}{entry.key}"
        micros = int(entry.at.timestamp() * 1_000_000)
        return f"{rows.history_prefix(seq)}{micros:017}!{next(self._count):010}{self._writer}"

    def _translated(self, lane: str, change: LaneChange, error: TableTransactionError) -> Exception:
        saves = (change.head is not None) + (change.reaction is not None)
        if error.status_code == 412 or (error.status_code in (404, 409) and error.index < saves):
            return Stale(f"lane {lane} was changed by somebody else")
        if error.status_code == 409:
            known = self.taken(lane, [e.id for e in change.take])
            return AlreadyTaken(known) if known else Stale(f"lane {lane} was changed by somebody else")
        if error.status_code == 404:  # a pending row was gone: somebody else took or dropped it
            return Stale(f"a pending event of lane {lane} was taken by somebody else")
        return error

    def reaction(self, reaction_id: str) -> Reaction | None:
        found = address(reaction_id)
        if found is None:
            return None
        lane, seq = found
        with storage_call(f"read of reaction {reaction_id}"):
            try:
                return rows.reaction(self._table.get_entity(lane, rows.reaction_key(seq)))
            except ResourceNotFoundError:
                return None

    def history(self, reaction_id: str) -> list[HistoryEntry]:
        lane, _, seq = reaction_id.rpartition("-")
        prefix = rows.history_prefix(int(seq))
        with storage_call(f"read of the history of {reaction_id}"):
            found = self._query(lane, f"RowKey ge '{prefix}' and RowKey lt '{prefix}~'")
            entries = [rows.history_entry(row) for row in found]
        return sorted(entries, key=lambda entry: entry.at)  # a line with a key of its own is not in its time's place

    def add_history(self, reaction_id: str, entry: HistoryEntry, tell: Sequence[Notification] = ()) -> None:
        lane, _, seq = reaction_id.rpartition("-")
        line = rows.history_row(lane, self._history_key(int(seq), entry), entry)
        operations: list[Operation] = [("upsert", line, {"mode": UpdateMode.REPLACE})]
        operations += [("upsert", rows.notification_row(lane, n), {"mode": UpdateMode.REPLACE}) for n in tell]
        with storage_call(f"history of {reaction_id}"):
            self._table.submit_transaction(operations)

    def told(self, lane: str, notification_ids: Iterable[str]) -> None:
        with storage_call(f"emptying of the outbox of lane {lane}"):
            for notification_id in notification_ids:
                self._table.delete_entity(lane, rows.outbox_key(notification_id))  # one that is gone is no error

    def events_of(self, reaction_id: str) -> list[TakenEvent]:
        lane, _, seq = reaction_id.rpartition("-")
        with storage_call(f"read of the events of {reaction_id}"):
            found = self._query(lane, f"RowKey ge 'd!' and RowKey lt 'e!' and reaction eq {int(seq)}")
            taken = [rows.taken_event(row) for row in found]
        return sorted(taken, key=lambda t: (t.pending.accepted, t.pending.id))

    def find_event(self, lane: str, event_id: str) -> PendingEvent | TakenEvent | None:
        keys = f"RowKey eq '{rows.pending_key(event_id)}' or RowKey eq '{rows.taken_key(event_id)}'"
        with storage_call(f"search for event {event_id} in lane {lane}"):
            found = {row["RowKey"][:2]: row for row in self._query(lane, f"({keys})")}
        if "d!" in found:  # one that is pending too is a late delivery
            return rows.taken_event(found["d!"])
        return rows.pending_event(found["e!"]) if "e!" in found else None

    def _query(self, lane: str, condition: str, **options: Any) -> Iterable[Any]:  # noqa: ANN401 - the SDK's
        return self._table.query_entities(f"PartitionKey eq '{lane}' and {condition}", **options)


def _names_the_row(error: HttpResponseError) -> bool:
    """Whether a 409 means that the row is there. Of a table that is being deleted, say, it does not."""
    return error.response is not None and "EntityAlreadyExists" in error.response.text()


def _size(row: rows.Row) -> int:
    """In bytes, as the client writes it: what is not ASCII takes six of them, or twelve.

    Of a small one that is the most it can be: so many as go together fit in any case.
    """
    most = 12 * sum(
        len(name) + (len(value) if isinstance(value, str) else _OF_ANOTHER_VALUE) for name, value in row.items()
    )
    return (most if most < _SMALL else len(json.dumps(row, default=str))) + _AROUND_A_ROW


def _save(row: rows.Row, etag: str | None) -> Operation:
    if etag is None:
        return "create", row
    return "update", row, {"mode": UpdateMode.REPLACE, "etag": etag, "match_condition": MatchConditions.IfNotModified}


def _saved(change: LaneChange, results: list[Any]) -> Saved:
    etags = iter([r.get("etag") for r in results[:2]])
    head = replace(change.head, etag=next(etags)) if change.head is not None else None
    reaction = replace(change.reaction, etag=next(etags)) if change.reaction is not None else None
    return Saved(head=head, reaction=reaction)
