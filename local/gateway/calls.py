"""What each storage request is, in one short word pair, and how many of each there were."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qs, unquote

StorageService = Literal["blob", "queue", "table"]


class Call(NamedTuple):
    """One kind of call. `kind` starts with the service: "table insert", "queue put", "blob put-block-list"."""

    service: StorageService
    account: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A request's address, taken apart. `path` is the decoded part after the account."""

    service: StorageService
    method: str
    account: str
    path: str
    query: dict[str, str]
    raw_path: str
    conditional: bool

    @property
    def segments(self) -> list[str]:
        return [part for part in self.path.split("/") if part]


def parse_target(service: StorageService, method: str, target: str, *, conditional: bool) -> Target:
    raw_path, _, query = target.partition("?")
    _, _, rest = raw_path.partition("/")
    account, _, path = rest.partition("/")
    return Target(
        service=service,
        method=method,
        account=account.removesuffix("-secondary"),
        path=unquote(path),
        query={key.lower(): values[0] for key, values in parse_qs(query, keep_blank_values=True).items()},
        raw_path=raw_path,
        conditional=conditional,
    )


_TABLE_VERBS: Final = {"POST": "insert", "DELETE": "delete"}
_TABLE_MANAGEMENT: Final = {"POST": "create-table", "DELETE": "delete-table", "GET": "list-tables"}
_TABLE_WRITES: Final = {"PUT": "replace", "PATCH": "merge", "MERGE": "merge"}
_MESSAGES: Final = {"POST": "put", "GET": "get", "DELETE": "clear"}
_MESSAGE: Final = {"PUT": "update", "DELETE": "delete"}
_QUEUE: Final = {"PUT": "create-queue", "DELETE": "delete-queue", "GET": "properties", "HEAD": "properties"}
_CONTAINER: Final = {"PUT": "create-container", "DELETE": "delete-container", "GET": "properties"}
_BLOB: Final = {"PUT": "put", "GET": "get", "HEAD": "head", "DELETE": "delete"}
_BLOB_PUT_COMP: Final = {"block": "put-block", "blocklist": "put-block-list", "appendblock": "append-block"}


def call_of(target: Target) -> Call:
    kinds = {"blob": _blob_kind, "queue": _queue_kind, "table": _table_kind}
    return Call(target.service, target.account, f"{target.service} {kinds[target.service](target)}")


def _table_kind(target: Target) -> str:
    name = target.path.strip("/")
    if name == "$batch":
        return "batch"
    if name == "Tables" or name.startswith("Tables("):
        return _TABLE_MANAGEMENT.get(target.method, "other")
    if not name or "comp" in target.query:
        return "service"
    if target.method == "GET":
        return "get" if "RowKey=" in name else "query"
    if target.method in _TABLE_WRITES:
        return _TABLE_WRITES[target.method] if target.conditional else "upsert"
    return _TABLE_VERBS.get(target.method, "other")


def _queue_kind(target: Target) -> str:
    segments = target.segments
    if not segments:
        return "list-queues" if target.query.get("comp") == "list" else "service"
    if len(segments) == 1:
        return target.query.get("comp") or _QUEUE.get(target.method, "other")
    if len(segments) == 2:
        return "peek" if target.query.get("peekonly") == "true" else _MESSAGES.get(target.method, "other")
    return _MESSAGE.get(target.method, "other")


def _blob_kind(target: Target) -> str:
    segments, comp = target.segments, target.query.get("comp")
    if not segments:
        return "list-containers" if comp == "list" else "service"
    if target.query.get("restype") == "container":
        return comp or _CONTAINER.get(target.method, "other")
    if comp is None:
        return _BLOB.get(target.method, "other")
    if target.method == "PUT":
        return _BLOB_PUT_COMP.get(comp, comp)
    return f"get-{comp}"


class Calls:
    """A counter that other threads may read and empty while the gateway counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Call] = Counter()

    def count(self, call: Call) -> None:
        with self._lock:
            self._counts[call] += 1

    def snapshot(self, account: str | None = None) -> dict[Call, int]:
        """How many calls of each kind since the start or the last reset, for one account or all."""
        with self._lock:
            counts = dict(self._counts)
        return {call: count for call, count in counts.items() if account in (None, call.account)}

    def kinds(self, account: str) -> dict[str, int]:
        """One account's calls by kind alone: {"table insert": 3, ...}."""
        return {call.kind: count for call, count in self.snapshot(account).items()}

    def total(self, account: str | None = None) -> int:
        return sum(self.snapshot(account).values())

    def reset(self) -> None:
        with self._lock:
            self._counts.clear()
