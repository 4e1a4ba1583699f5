"""`python -m benchmarks.intake_load`: the one process of benchmarks/intake.py.

Its environment leads to the cloud. It is told on standard input what to do, and tells on standard output how many
calls a second were done.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from azure.identity import DefaultAzureCredential

from benchmarks.site import ROOT, file_event
from functions import intake
from shared import events, telemetry, wiring
from shared.cloud import rows, storage
from shared.lanes import PendingEvent, lane_id

Work = Callable[[int], object]


def per_second(work: Work, warm: range, first: int, count: int) -> float:
    """Each thread does one of `warm`, and so has a connection; then time is taken, and each takes the next number."""
    numbers, together = itertools.count(first), threading.Barrier(len(warm) + 1)

    def one(number: int) -> None:
        work(number)
        together.wait()
        while (number := next(numbers)) < first + count:
            work(number)

    with ThreadPoolExecutor(max_workers=len(warm)) as pool:
        futures = [pool.submit(one, number) for number in warm]
        with contextlib.suppress(threading.BrokenBarrierError):  # the future tells why
            together.wait(timeout=60)
        began = time.perf_counter()
        for future in futures:
            future.result()
    return count / (time.perf_counter() - began)


class Load:
    """Both kinds of work in one ledger, on texts and rows that were made before."""

    def __init__(self, settings: Mapping[str, str], lake: str) -> None:
        self._lake = lake
        self._warmed = 0
        found, rules = wiring.configuration(ROOT, settings)
        self.app = wiring.build(found, rules, wiring.SystemClock())
        wiring.use(self.app)
        self._credential = DefaultAzureCredential()
        self._tables = storage.tables(found.storage, self._credential)  # as the app makes its own
        self._accounts = frozenset(found.lake_accounts)

    def close(self) -> None:
        wiring.use(None)
        self.app.close()
        self._tables.close()
        self._credential.close()

    def rate(self, asked: Mapping[str, Any]) -> dict[str, float]:
        kind, threads, lanes = asked["kind"], asked["threads"], asked["lanes"]
        self._warmed -= threads
        warm, first, count = range(self._warmed, self._warmed + threads), asked["first"], asked["events"]
        texts = {number: self._text(number, lanes) for number in (*warm, *range(first, first + count))}
        if kind == "bare":
            rate = per_second(self._inserting(texts, lanes), warm, first, count)
        else:
            rate = per_second(lambda number: intake.receive_event(texts[number]), warm, first, count)
        return {f"{kind}_lanes" if kind == "intake" and lanes > 1 else f"{kind}_{threads}": round(rate, 1)}

    def _inserting(self, texts: Mapping[int, str], lanes: int) -> Work:
        table = self._tables.get_table_client("lanes")
        made = {number: self._row(text, number, lanes) for number, text in texts.items()}
        return lambda number: table.create_entity(made[number])

    def _text(self, number: int, lanes: int) -> str:
        """Numbers below 0 are of another batch, which is there only so that connections are made."""
        batch = "warm" if number < 0 else str(number if lanes > 1 else 0)
        return json.dumps(file_event(self._lake, f"in/{batch}/{number}.csv", abs(number) * 2 + (number < 0)))

    def _row(self, text: str, number: int, lanes: int) -> rows.Row:
        """The row that intake would insert."""
        event = events.parse(text, accounts=self._accounts, workspace_id=None)
        if isinstance(event, events.Refused):
            raise TypeError(event.detail)
        lane, now = lane_id("bare", str(number if lanes > 1 else 0)), datetime.now(UTC)
        revision = self.app.rules.revision
        key = events.event_key(event)
        pending = PendingEvent(id=key, rule="bare", key="b", event=event, accepted=now, revision=revision)
        return rows.pending_row(lane, pending)


def _in_one_ledger(works: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    load = Load(works[0]["settings"], works[0]["lake"])
    try:
        return [load.rate(work) for work in works]
    finally:
        load.close()


def main() -> int:
    # As in Azure, where each line is rendered and handed on.
    logging.basicConfig(level=logging.INFO, stream=io.TextIOWrapper(io.FileIO("/dev/null", "w")))
    telemetry.quiet_azure_clients()
    told: list[dict[str, float]] = []
    plan = json.load(sys.stdin)
    for _, works in itertools.groupby(plan, key=lambda work: json.dumps(work["settings"])):
        told += _in_one_ledger(list(works))
    json.dump(told, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
