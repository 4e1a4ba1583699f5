"""queryPipelineRuns and queryActivityruns: filters, order and pages over what REST shows."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from local.data_factory import timestamps
from local.data_factory.values import ExpressionError

Row = Mapping[str, Any]
_TIMES: Final = frozenset({"runStart", "runEnd", "activityRunStart", "activityRunEnd"})


class BadQuery(Exception):
    """The service would answer 400."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What can be asked of one kind of run: its operands, each with the property it is about."""

    operands: Mapping[str, str]
    updated: str
    start: str


PIPELINE_RUNS: Final = Kind(
    operands={
        "PipelineName": "pipelineName",
        "Status": "status",
        "RunStart": "runStart",
        "RunEnd": "runEnd",
        "RunGroupId": "runGroupId",
        "LatestOnly": "isLatest",
    },
    updated="lastUpdated",
    start="runStart",
)
ACTIVITY_RUNS: Final = Kind(
    operands={
        "ActivityName": "activityName",
        "ActivityRunStart": "activityRunStart",
        "ActivityRunEnd": "activityRunEnd",
        "ActivityType": "activityType",
        "Status": "status",
    },
    updated="activityRunStart",
    start="activityRunStart",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filter:
    name: str
    values: frozenset[str]
    negated: bool

    def admits(self, row: Row) -> bool:
        if self.name == "isLatest":  # LatestOnly = false asks for nothing
            return bool(row["isLatest"]) or "true" not in self.values
        return (_comparable(self.name, row[self.name]) in self.values) is not self.negated


class Query:
    """One parsed query body.

    Raises:
        BadQuery: a time bound is missing, or something in it is unknown to the service.
    """

    def __init__(self, kind: Kind, body: Mapping[str, Any]) -> None:
        self._kind = kind
        self._after = _moment(body, "lastUpdatedAfter")
        self._before = _moment(body, "lastUpdatedBefore")
        self._filters = [_filter(kind, entry) for entry in body.get("filters") or []]
        self._orders = [_order(kind, entry) for entry in body.get("orderBy") or []]
        self.token = body.get("continuationToken")
        asked = {name: body.get(name) for name in ("lastUpdatedAfter", "lastUpdatedBefore", "filters", "orderBy")}
        self.fingerprint = json.dumps(asked, sort_keys=True)

    def select(self, rows: Sequence[Row]) -> list[Row]:
        """What the query is about, in its order (by default as the runs started; the service promises none)."""
        found = [row for row in rows if self._admits(row)]
        found.sort(key=lambda row: str(row[self._kind.start]))
        for name, descending in reversed(self._orders):
            found.sort(key=lambda row: str(row[name] or ""), reverse=descending)
        return found

    def _admits(self, row: Row) -> bool:
        updated = timestamps.parse(row[self._kind.updated])
        return self._after <= updated <= self._before and all(each.admits(row) for each in self._filters)


def _moment(body: Mapping[str, Any], name: str) -> datetime:
    if not body.get(name):
        raise BadQuery(f"'{name}' is required.")
    try:
        moment = timestamps.parse(str(body[name]))
    except ExpressionError as wrong:
        raise BadQuery(f"'{name}': {wrong}") from wrong
    if moment.tzinfo is None:
        raise BadQuery(f"'{name}' has no time zone: {body[name]}")
    return moment


def _comparable(name: str, value: object) -> str:
    """Names of pipelines and activities do not mind case; times are compared as times."""
    if value is None:
        return ""
    if name in _TIMES:
        try:
            return timestamps.parse(str(value)).isoformat()
        except ExpressionError as wrong:
            raise BadQuery(str(wrong)) from wrong
    return str(value).lower()


def _filter(kind: Kind, entry: Mapping[str, Any]) -> _Filter:
    operand, operator = str(entry.get("operand")), str(entry.get("operator"))
    if operand not in kind.operands:
        raise BadQuery(f"Unknown operand '{operand}'. Use one of {', '.join(kind.operands)}.")
    if operator not in {"Equals", "NotEquals", "In", "NotIn"}:
        raise BadQuery(f"Unknown operator '{operator}'. Use one of Equals, NotEquals, In, NotIn.")
    values = entry.get("values")
    if not isinstance(values, list) or not values:
        raise BadQuery(f"The filter on '{operand}' needs a list of values.")
    if operator in {"Equals", "NotEquals"} and len(values) > 1:
        raise BadQuery(f"'{operator}' takes one value; the filter on '{operand}' has {len(values)}.")
    name = kind.operands[operand]
    compared = frozenset(_comparable(name, value) for value in values)
    return _Filter(name=name, values=compared, negated=operator.startswith("Not"))


def _order(kind: Kind, entry: Mapping[str, Any]) -> tuple[str, bool]:
    by, order = str(entry.get("orderBy")), str(entry.get("order"))
    if by not in kind.operands or by in {"LatestOnly", "RunGroupId"}:
        raise BadQuery(f"Unknown property '{by}' to order by.")
    if order not in {"ASC", "DESC"}:
        raise BadQuery(f"Unknown order '{order}'. Use ASC or DESC.")
    return kind.operands[by], order == "DESC"


class Pages:
    """Cuts answers into pages. A query's later pages come from what its first one found, so none is lost."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._lock = threading.Lock()
        self._rest: dict[str, tuple[str, Sequence[Row]]] = {}

    def page(self, query: Query, find: Callable[[], Sequence[Row]]) -> dict[str, Any]:
        """A page and, if there is more, the token for the next. `find` is called for the first page only."""
        with self._lock:
            if query.token is None:
                rows = find()
            else:
                fingerprint, rows = self._rest.get(str(query.token), ("", ()))
                if fingerprint != query.fingerprint:
                    raise BadQuery("The continuation token does not belong to this query.")
            answer: dict[str, Any] = {"value": list(rows[: self.size])}
            if len(rows) > self.size:
                token = secrets.token_urlsafe(24)
                self._rest[token] = (query.fingerprint, rows[self.size :])
                answer["continuationToken"] = token
            return answer
