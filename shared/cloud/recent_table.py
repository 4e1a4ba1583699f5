"""Lists for people on Table Storage: a day's reactions, refused events per reason and the last thousand of them."""

from __future__ import annotations

import random
import threading
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Final

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableClient, UpdateMode

from shared.cloud import rows
from shared.cloud.storage import MOST_OPERATIONS, storage_call
from shared.events import Refused
from shared.ports import Act, RefusedEvent
from shared.reactions import Reaction

_ACT: Final = "o!"
"""In the day's partition, behind its reactions, whose keys begin with a digit."""
_REFUSED: Final = "refused"
_KEPT: Final = 1000
_NEWEST_FIRST: Final = 10**17


class RecentTable:
    """Implements the port Recent."""

    def __init__(self, table: TableClient) -> None:
        self._table = table
        # Every process counts in rows of its own, so counting needs no read; a reader adds them up.
        self._process = uuid.uuid4().hex[:12]
        self._counts: Counter[tuple[str, str]] = Counter()
        self._slot = random.randrange(_KEPT)
        self._lock = threading.Lock()

    def put(self, reaction: Reaction) -> None:
        created = reaction.created.astimezone(UTC)
        order = _NEWEST_FIRST - int(created.timestamp() * 1_000_000)
        row = rows.keyed(
            _day(created),
            f"{order:018}!{reaction.id}",
            # Its state is that of the moment, and only asked for by releases before decision 22.
            {"reactionId": reaction.id, "rule": reaction.rule, "laneKey": reaction.key, "state": str(reaction.state)},
        )
        with storage_call(f"list entry of {reaction.id}"):
            self._table.upsert_entity(row, mode=UpdateMode.REPLACE)

    def reactions(self, day: datetime) -> list[str]:
        with storage_call("list of reactions"):
            of_day = f"PartitionKey eq '{_day(day)}' and RowKey lt 'a'"
            found = self._table.query_entities(of_day, select=["reactionId"])
            return [row["reactionId"] for row in found]

    def keep_act(self, act: Act) -> None:
        kept = {"at": act.at, "by": act.by, "what": act.what, "reason": act.reason, "answer": act.answer}
        with storage_call(f"record of what {act.by} had done"):
            self._table.upsert_entity(rows.keyed(_day(act.at), _ACT + act.key, kept), mode=UpdateMode.REPLACE)

    def act(self, key: str, day: datetime) -> Act | None:
        with storage_call("search for what was done"):
            try:
                return _act(self._table.get_entity(_day(day), _ACT + key))
            except ResourceNotFoundError:
                return None

    def acts(self, day: datetime) -> list[Act]:
        with storage_call("list of what was done"):
            found = self._table.query_entities(f"PartitionKey eq '{_day(day)}' and RowKey ge 'o' and RowKey lt 'p'")
            return sorted((_act(row) for row in found), key=lambda act: act.at, reverse=True)

    def forget(self, before: datetime, at_most: int) -> int:
        day = _day(before)
        # Of the days' partitions; the one of what was refused sorts after all of them, and counts by day, too.
        conditions = (
            f"PartitionKey lt '{day}'",
            f"PartitionKey eq '{_REFUSED}' and RowKey ge 'c!' and RowKey lt 'c!{day}'",
        )
        found: list[rows.Row] = []
        with storage_call("removal of old lists"):
            for condition in conditions:
                listed = self._table.query_entities(condition, select=["PartitionKey", "RowKey"])
                found += islice(listed, at_most - len(found))
            for partition, of_day in groupby(found, key=itemgetter("PartitionKey")):
                self._delete(partition, [row["RowKey"] for row in of_day])
        return len(found)

    def _delete(self, partition: str, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), MOST_OPERATIONS):
            part = keys[start : start + MOST_OPERATIONS]
            self._table.submit_transaction([("delete", {"PartitionKey": partition, "RowKey": key}) for key in part])

    def count_refused(self, refused: Refused, at: datetime) -> None:
        day = _day(at)
        reason = str(refused.reason)
        with self._lock, storage_call(f"count of a refused event ({reason})"):
            self._counts[day, reason] += 1
            self._slot = (self._slot + 1) % _KEPT
            counted = {"reason": reason, "day": day, "count": self._counts[day, reason]}
            kept = {
                "at": at,
                "reason": reason,
                "detail": refused.detail[:2000],
                "eventId": refused.event_id and refused.event_id[:500],
                "subject": refused.subject and refused.subject[:2000],
            }
            self._table.submit_transaction(
                [
                    ("upsert", rows.keyed(_REFUSED, f"c!{day}!{reason}!{self._process}", counted)),
                    ("upsert", rows.keyed(_REFUSED, f"e!{self._slot:04}", kept), {"mode": UpdateMode.REPLACE}),
                ]
            )

    def refused(self) -> tuple[dict[str, int], list[RefusedEvent]]:
        counts: Counter[str] = Counter()
        last: list[RefusedEvent] = []
        with storage_call("read of the refused events"):
            for row in self._table.query_entities(f"PartitionKey eq '{_REFUSED}'"):
                values = rows.plain(row)
                if values["RowKey"].startswith("c!"):
                    counts[values["reason"]] += values["count"]
                else:
                    last.append(
                        RefusedEvent(
                            at=values["at"],
                            reason=values["reason"],
                            detail=values["detail"],
                            event_id=values.get("eventId"),
                            subject=values.get("subject"),
                        )
                    )
        return dict(counts), sorted(last, key=lambda e: e.at, reverse=True)


def _act(row: Mapping[str, Any]) -> Act:
    values = rows.plain(row)
    return Act(
        key=values["RowKey"].removeprefix(_ACT),
        at=values["at"],
        by=values["by"],
        what=values["what"],
        reason=values["reason"],
        answer=values["answer"],
    )


def _day(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d")
