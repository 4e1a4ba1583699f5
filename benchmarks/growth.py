"""What becomes of an event's and a look's calls and time as a ledger fills: 100, 1,000, 10,000 earlier reactions.

So many reactions are in the past of the very lane that is measured, as many other lanes have one each, as many are
listed for the day, and as many lanes are due some day. The rows are copies of those that a real reaction has left.
Azurite searches a table by going through it, which Azure does not: a bare insert and a bare query of one row, measured
beside the rest, tell how much slower it has become by itself.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from azure.data.tables import TableClient

from benchmarks.scale import Scale
from benchmarks.site import Site
from benchmarks.storage_calls import Meter, chores_done
from shared.cloud import storage
from shared.looks import lane_key
from shared.settings import StorageSettings
from tests.scenarios.stage import RULES, Stage

TURNS: Final = 5
THREADS: Final = 16
AT_ONCE: Final = 99  # rows in a transaction
PAST: Final = 50_000_000
"""Numbers of the reactions that are made up begin here: none of the lane's own gets so far."""
UNLIMITED: Final = RULES + "    limits: {start-rate: unlimited}\n"
Row = Mapping[str, Any]


class Watch(Meter):
    """Counts calls, and how long they took together."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.seconds = 0.0

    def during(self, work: Callable[[], object]) -> None:
        began = time.perf_counter()
        super().during(work)
        self.seconds += time.perf_counter() - began

    def told(self) -> dict[str, float]:
        return {"storage_calls": self.taken().calls, "ms": round(self.seconds * 1000, 1)}


def measure(site: Site, scale: Scale) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(cloud=site.cloud, credential=site.credential, folder=Path(folder), rules=UNLIMITED)
        try:
            ledger = Ledger(site, stage)
            found = []
            for size in scale.sizes:
                ledger.grow(size)
                found.append({"earlier_reactions": size, **_figures(stage, ledger)})
        finally:
            stage.close()
    return {"growth": {"ledger": found}}


def _figures(stage: Stage, ledger: Ledger) -> dict[str, Any]:
    events = [_event(stage) for _ in range(TURNS)]
    works: dict[str, list[Callable[[Watch], object]]] = {
        "lone_event": [lambda watch, event=event: _lone(stage, watch, event) for event in events],  # type: ignore[misc]
        "look": [lambda watch: watch.during(lambda: stage.look(lane_key(ledger.lane)))] * TURNS,
        "sweep": [lambda watch: watch.during(stage.sweep)] * TURNS,
        "bare_insert": [lambda watch: watch.during(ledger.insert)] * TURNS,
        "bare_query": [lambda watch: watch.during(ledger.query)] * TURNS,
    }
    return {name: _middle(stage, turns) for name, turns in works.items()}


def _middle(stage: Stage, turns: Iterable[Callable[[Watch], object]]) -> dict[str, float]:
    found = []
    for turn in turns:
        watch = Watch(stage)
        turn(watch)
        found.append(watch.told())
    return {name: statistics.median(each[name] for each in found) for name in ("storage_calls", "ms")}


def _lone(stage: Stage, watch: Watch, event: str) -> None:
    watch.during(lambda: stage.deliver(event))
    while watch.next_look():
        pass


def _event(stage: Stage) -> str:
    return stage.land("in/one/a.csv")


class Ledger:
    """The tables of a stage's account, and what is put there."""

    def __init__(self, site: Site, stage: Stage) -> None:
        self._stage = stage
        service = storage.tables(StorageSettings(table_service_uri=stage.account.table), site.credential)
        self._lanes, self._recent = service.get_table_client("lanes"), service.get_table_client("recent")
        self._size = 0
        self._numbers = itertools.count()
        stage.deliver(_event(stage))
        while stage.next_look():
            pass
        chores_done(stage)
        own = list(self._lanes.list_entities())
        self.lane = str(own[0]["PartitionKey"])
        history = [row for row in own if str(row["RowKey"]).startswith("y!")]
        self._past = [row for row in own if str(row["RowKey"]).startswith(("r!", "d!"))] + history[:1]
        self._heads = [row for row in own if str(row["RowKey"]).startswith(("l", "r!"))]
        [self._listed, *_] = [row for row in self._recent.list_entities() if self.lane in str(row)]

    def grow(self, size: int) -> None:
        """From as many earlier reactions as there are to `size`."""
        numbers = range(self._size, size)
        self._size = size
        _write(self._lanes, [_numbered(row, n) for n in numbers for row in self._past])
        _write(self._recent, [{**self._listed, "RowKey": f"{self._listed['RowKey']}-{n}"} for n in numbers])
        later = self._stage.clock.now() + timedelta(days=30)
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self._other, numbers))
            list(pool.map(lambda n: self._stage.due.set(f"lane:{n:024x}", later), numbers))

    def _other(self, number: int) -> None:
        lane = f"{number:024x}"
        self._lanes.submit_transaction([("create", {**row, "PartitionKey": lane}) for row in self._heads])

    def insert(self) -> None:
        self._lanes.create_entity({**self._heads[0], "PartitionKey": "bare", "RowKey": str(next(self._numbers))})

    def query(self) -> None:
        asked = f"PartitionKey eq '{self.lane}' and RowKey ge 'e!' and RowKey lt 'm'"
        list(self._lanes.query_entities(asked))


def _numbered(row: Row, number: int) -> dict[str, Any]:
    """The same row of another reaction."""
    kind, _, rest = str(row["RowKey"]).partition("!")
    tail = rest[8:] if kind in ("r", "y") else f"{rest}-{number}"
    key = f"{kind}!{PAST + number:08}{tail}" if kind in ("r", "y") else f"{kind}!{tail}"
    return {**row, "RowKey": key}


def _write(table: TableClient, rows: Sequence[Row]) -> None:
    """Rows of one partition, many at once."""
    for start in range(0, len(rows), AT_ONCE):
        table.submit_transaction([("create", row) for row in rows[start : start + AT_ONCE]])
