"""Lists for people on Table Storage: a day's reactions, refused events per reason and the last thousand of them."""

from __future__ import annotations

import random
import threading
import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Final

from azure.data.tables import TableClient, UpdateMode

from shared.cloud import rows
from shared.cloud.storage import storage_call
from shared.events import Refused
from shared.ports import RefusedEvent
from shared.reactions import Reaction

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
            {"reactionId": reaction.id, "rule": reaction.rule, "laneKey": reaction.key, "state": str(reaction.state)},
        )
        with storage_call(f"list entry of {reaction.id}"):
            self._table.upsert_entity(row, mode=UpdateMode.REPLACE)

    def reactions(self, day: datetime) -> list[tuple[str, str]]:
        with storage_call("list of reactions"):
            found = self._table.query_entities(f"PartitionKey eq '{_day(day)}'", select=["reactionId", "state"])
            return [(row["reactionId"], row["state"]) for row in found]

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


def _day(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d")
