"""What people have stopped, in one partition of the permits' table: one row a rule, and one for all starts.

Beside them, a row for each lane that waits for the end of a stop, ordered by rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableClient, UpdateMode

from shared.cloud import rows
from shared.cloud.storage import storage_call
from shared.controls import ControlState, Pause, WaitingLane

PARTITION = "controls"
_ALL = "a"
_WAITING = "w!"
_NEXT_WAITING = 'w"'


class ControlRows:
    """Implements the port Controls."""

    def __init__(self, table: TableClient) -> None:
        self._table = table

    def read(self) -> ControlState:
        with storage_call("read of what is paused"):
            found = list(
                self._table.query_entities(f"PartitionKey eq '{PARTITION}' and RowKey ge 'a' and RowKey lt 's'")
            )
        pauses = {row["RowKey"]: _pause(row) for row in found}
        return ControlState(
            stopped=pauses.pop(_ALL, None), paused={key.removeprefix("r!"): pause for key, pause in pauses.items()}
        )

    def pause(self, rule: str | None, pause: Pause) -> None:
        row = rows.keyed(PARTITION, _key(rule), {"by": pause.by, "at": pause.at, "reason": pause.reason[:2000]})
        with storage_call(f"pause of {rule or 'all starts'}"):
            try:
                self._table.create_entity(row)
            except ResourceExistsError:
                return

    def resume(self, rule: str | None) -> Pause | None:
        with storage_call(f"resumption of {rule or 'all starts'}"):
            try:
                found = _pause(self._table.get_entity(PARTITION, _key(rule)))
            except ResourceNotFoundError:
                return None
            self._table.delete_entity(PARTITION, _key(rule))
        return found

    def wait(self, rule: str, lane: str) -> None:
        row = rows.keyed(PARTITION, f"{_WAITING}{rule}!{lane}", {"laneRule": rule, "lane": lane})
        with storage_call(f"note that lane {lane} waits"):
            self._table.upsert_entity(row, mode=UpdateMode.REPLACE)

    def waiting(self, limit: int) -> Sequence[WaitingLane]:
        state = self.read()
        found: list[WaitingLane] = []
        after: str | None = _WAITING
        with storage_call("read of the lanes that wait"):
            while after is not None:
                after = self._waiting_after(after, state, found, limit)
        return found

    def _waiting_after(self, after: str, state: ControlState, found: list[WaitingLane], limit: int) -> str | None:
        """Adds lanes in order up to a rule that is stopped; gives where those of the next rule begin."""
        condition = f"PartitionKey eq '{PARTITION}' and RowKey ge '{after}' and RowKey lt '{_NEXT_WAITING}'"
        for row in self._table.query_entities(condition):
            if len(found) >= limit or state.stopped is not None:
                return None
            if state.holds(row["laneRule"]) is not None:
                return f'{_WAITING}{row["laneRule"]}"'  # a quotation mark is what comes after an exclamation mark
            found.append(WaitingLane(rule=row["laneRule"], lane=row["lane"], etag=rows.etag(row)))
        return None

    def woken(self, lanes: Sequence[WaitingLane]) -> None:
        with storage_call("removal of lanes that waited"):
            for waiting in lanes:
                try:
                    self._table.delete_entity(
                        PARTITION,
                        f"{_WAITING}{waiting.rule}!{waiting.lane}",
                        etag=waiting.etag,
                        match_condition=MatchConditions.IfNotModified,
                    )
                except (ResourceModifiedError, ResourceNotFoundError):
                    continue


def _key(rule: str | None) -> str:
    """Names of rules are small letters, digits and hyphens: nothing that a key may not hold."""
    return _ALL if rule is None else f"r!{rule}"


def _pause(row: Mapping[str, Any]) -> Pause:
    values = rows.plain(row)
    return Pause(by=values["by"], at=values["at"], reason=values["reason"])
