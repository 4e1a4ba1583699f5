"""What people have stopped, in one partition of the permits' table: one row a rule, and one for all starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.data.tables import TableClient

from shared.cloud import rows
from shared.cloud.storage import storage_call
from shared.controls import ControlState, Pause

PARTITION = "controls"
_ALL = "a"


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


def _key(rule: str | None) -> str:
    """Names of rules are small letters, digits and hyphens: nothing that a key may not hold."""
    return _ALL if rule is None else f"r!{rule}"


def _pause(row: Mapping[str, Any]) -> Pause:
    values = rows.plain(row)
    return Pause(by=values["by"], at=values["at"], reason=values["reason"])
