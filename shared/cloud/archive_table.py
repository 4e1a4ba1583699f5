"""The rows of the lanes' table as they grow old: found page by page, removed if they have not changed since."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableClient, TableTransactionError, UpdateMode

from shared.cloud import rows
from shared.cloud.storage import MOST_OPERATIONS, storage_call
from shared.lanes import MISSED_IN_A_ROW
from shared.ports import OldRow, OldRows, Removal, RowKind
from shared.reactions import TRANSITIONS, State

_PARTITION: Final = "upkeep:retention"
_HEAD: Final = "h"
_COLUMNS: Final = [
    *("PartitionKey", "RowKey", "Timestamp", "rowSchema"),
    *("takenAt", "time", "reaction"),
    *("laneRule", "seq", "running", "claimSeq", "inherits", "ended"),
    *("laneKey", "expectedSince", "expectedMissed"),
    *("state", "endedAt", "manifestUrl", "givesWay"),
    "at",
]
_KINDS: Final = {"d": RowKind.IDENTITY, "l": RowKind.HEAD, "r": RowKind.REACTION, "y": RowKind.HISTORY}
_FINAL: Final = frozenset(str(state) for state in State if not TRANSITIONS[state])
_MOST_COMPARISONS: Final = 14  # of 15 in a filter; the partition is one of them


class ArchiveTable:
    """Implements the port Archive. How far it has come is a row of the table of resources."""

    def __init__(self, lanes: TableClient, resources: TableClient) -> None:
        self._lanes = lanes
        self._resources = resources

    def removal(self) -> Removal:
        with storage_call("read of how far the removal of old rows has come"):
            try:
                row = self._resources.get_entity(_PARTITION, _HEAD)
            except ResourceNotFoundError:
                return Removal()
        values = rows.plain(row)
        return Removal(
            began=values.get("began"),
            cutoff=values.get("cutoff"),
            place=values.get("place"),
            numbers=values["numbers"],
            settled=values["settled"],
            etag=rows.etag(row),
        )

    def save(self, removal: Removal) -> Removal | None:
        names = ("began", "cutoff", "place", "numbers", "settled")
        row = rows.keyed(_PARTITION, _HEAD, {name: getattr(removal, name) for name in names})
        with storage_call("save of how far the removal of old rows has come"):
            try:
                saved = self._write(row, removal.etag)
            except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
                return None
        return replace(removal, etag=str(saved["etag"]))

    def _write(self, row: rows.Row, etag: str | None) -> Mapping[str, Any]:
        if etag is None:
            return self._resources.create_entity(row)
        unchanged = MatchConditions.IfNotModified
        return self._resources.update_entity(row, mode=UpdateMode.REPLACE, etag=etag, match_condition=unchanged)

    def page(self, cutoff: datetime, place: str | None, size: int) -> OldRows:
        # A comparison with a property that a row lacks is false: each of them finds rows of one kind.
        of_reactions = "takenAt lt @cutoff or endedAt lt @cutoff or ( RowKey ge 'y!' and at lt @cutoff )"
        with storage_call("search for old rows"):
            found = self._lanes.query_entities(
                f"RowKey eq '{rows.HEAD}' or {of_reactions}",
                parameters={"cutoff": cutoff.astimezone(UTC)},
                select=_COLUMNS,
                results_per_page=size,
            )
            pages = found.by_page(json.loads(place) if place is not None else None)
            listed = list(next(pages, ()))
            after = getattr(pages, "continuation_token", None)
        return OldRows(rows=[_old_row(row) for row in listed], place=json.dumps(after) if after is not None else None)

    def pending(self, lane: str, event_ids: Sequence[str]) -> frozenset[str]:
        first, last = rows.pending_key(min(event_ids)), rows.pending_key(max(event_ids))
        with storage_call(f"check for pending events in lane {lane}"):
            found = {row["RowKey"][2:] for row in self._keys(lane, f"RowKey ge '{first}' and RowKey le '{last}'")}
        return frozenset(event_ids) & found

    def reactions(self, lane: str, numbers: Iterable[int]) -> list[OldRow]:
        asked = sorted(numbers)
        found: list[OldRow] = []
        with storage_call(f"check for reactions of lane {lane}"):
            for start in range(0, len(asked), _MOST_COMPARISONS):
                part = asked[start : start + _MOST_COMPARISONS]
                keys = " or ".join(f"RowKey eq '{rows.reaction_key(number)}'" for number in part)
                found += [_old_row(row) for row in self._query(lane, f"({keys})", select=_COLUMNS)]
        return found

    def in_use(self, lane: str) -> bool:
        with storage_call(f"read of the head of lane {lane}"):
            try:
                return _old_row(self._lanes.get_entity(lane, rows.HEAD, select=_COLUMNS)).in_use
            except ResourceNotFoundError:
                return False

    def nothing_left(self, lane: str) -> bool:
        with storage_call(f"check whether lane {lane} has rows"):
            found = list(islice(self._keys(lane, f"RowKey ne '{rows.HEAD}'", results_per_page=1), 1))
        return not found

    def remove(self, lane: str, old: Sequence[OldRow]) -> list[OldRow]:
        parts = (old[start : start + MOST_OPERATIONS] for start in range(0, len(old), MOST_OPERATIONS))
        return [row for part in parts if self._removed(lane, part) for row in part]

    def _removed(self, lane: str, part: Sequence[OldRow]) -> bool:
        operations = [
            (
                "delete",
                {"PartitionKey": lane, "RowKey": row.key},
                {"etag": row.etag, "match_condition": MatchConditions.IfNotModified},
            )
            for row in part
        ]
        with storage_call(f"removal of old rows of lane {lane}"):
            try:
                self._lanes.submit_transaction(operations)
            except TableTransactionError as error:
                if error.status_code in (404, 412):
                    return False
                raise
        return True

    def _keys(self, lane: str, condition: str, **options: Any) -> Iterable[Any]:  # noqa: ANN401 - the SDK's
        return self._query(lane, condition, select=["RowKey"], **options)

    def _query(self, lane: str, condition: str, **options: Any) -> Iterable[Any]:  # noqa: ANN401 - the SDK's
        return self._lanes.query_entities(f"PartitionKey eq '{lane}' and {condition}", **options)


def _expects(head: Mapping[str, Any]) -> bool:
    """Whether what is expected stands there. A key that has gone silent may go: its next file begins anew."""
    if head.get("expectedSince") is None:
        return False
    return not head["laneKey"] or head["expectedMissed"] < MISSED_IN_A_ROW


def _old_row(row: Mapping[str, Any]) -> OldRow:
    values = rows.plain(row)
    key: str = values["RowKey"]
    common: dict[str, Any] = {"lane": values["PartitionKey"], "key": key, "etag": rows.etag(row)}
    if values["rowSchema"] > rows.SCHEMA:  # what a later version needs of it is not known here
        return OldRow(kind=_KINDS[key[0]], at=None, number=_number(key), in_use=True, **common)
    if key == rows.HEAD:
        in_use = any(values.get(name) is not None for name in ("running", "claimSeq", "inherits"))
        return OldRow(
            kind=RowKind.HEAD,
            at=values.get("ended"),
            number=values["seq"],
            rule=values["laneRule"],
            in_use=in_use,
            expects=_expects(values),
            **common,
        )
    if key.startswith("d!"):
        return OldRow(
            kind=RowKind.IDENTITY,
            at=max(values["takenAt"], values["time"]),
            number=values.get("reaction") or 0,
            **common,
        )
    if key.startswith("r!"):
        return OldRow(
            kind=RowKind.REACTION,
            at=values.get("endedAt"),
            number=_number(key),
            in_use=values["state"] not in _FINAL,
            superseded=values["state"] == State.SUPERSEDED or values.get("givesWay", False),
            manifest=values.get("manifestUrl") is not None,
            **common,
        )
    return OldRow(kind=RowKind.HISTORY, at=values["at"], number=_number(key), **common)


def _number(key: str) -> int:
    """Of the reaction that a row is, or whose history it belongs to."""
    return int(key.split("!")[1]) if key[0] in "ry" else 0
