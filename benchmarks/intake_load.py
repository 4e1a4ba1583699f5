"""`python -m benchmarks.intake_load`: the one process of benchmarks/intake.py. Its environment is the app's.

It is told on standard input what to do, and tells on standard output how many calls a second were done.
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
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from azure.identity import DefaultAzureCredential

from benchmarks.site import file_event
from functions import intake
from shared import events, wiring
from shared.cloud import rows, storage
from shared.lanes import PendingEvent, lane_id
from shared.settings import from_environment, process_environment

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
    """Both kinds of work, on texts and rows that were made before."""

    def __init__(self, lake: str) -> None:
        self._lake = lake
        settings = from_environment(process_environment())
        self._credential = DefaultAzureCredential()
        self._accounts = frozenset(settings.lake_accounts)
        self._warmed = 0
        # Made as the app makes its own.
        self._table = storage.tables(settings.storage, self._credential).get_table_client("lanes")

    def rate(self, asked: Mapping[str, Any]) -> dict[str, float]:
        kind, threads, lanes = asked["kind"], asked["threads"], asked["lanes"]
        self._warmed -= threads
        warm, first, count = range(self._warmed, self._warmed + threads), asked["first"], asked["events"]
        numbers = [*warm, *range(first, first + count)]
        texts = {number: self._text(number, lanes) for number in numbers}
        if kind == "bare":
            made = {number: self._row(text, number, lanes) for number, text in texts.items()}
            work: Work = lambda number: self._table.create_entity(made[number])  # noqa: E731
        else:
            work = lambda number: intake.receive_event(texts[number])  # noqa: E731
        name = f"{kind}_{threads}" if kind == "bare" or lanes == 1 else f"{kind}_lanes"
        return {name: round(per_second(work, warm, first, count), 1)}

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
        revision = wiring.app().rules.revision
        key = events.event_key(event)
        pending = PendingEvent(id=key, rule="bare", key="b", event=event, accepted=now, revision=revision)
        return rows.pending_row(lane, pending)


def main() -> int:
    # As in Azure, where each line is rendered and handed on.
    logging.basicConfig(level=logging.INFO, stream=io.TextIOWrapper(io.FileIO("/dev/null", "w")))
    asked = json.load(sys.stdin)
    wiring.app()
    load = Load(asked["lake"])
    json.dump([load.rate(each) for each in asked["plan"]], sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
