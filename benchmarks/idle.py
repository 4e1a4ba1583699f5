"""What an app in its host asks of storage while nothing happens, read off Azurite's own access log.

The app has this project's rules, and host.json as it is deployed. Its start is left out: the first sweep has run, the
hour's chores with it, and the queue's polls are as far apart as they get. Then, from that state, events come whose
looks have to be waked by the queue: that is how long a start takes at most.
"""

from __future__ import annotations

import random
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.driver import Driver, arrival, percentile, wait_for_post
from benchmarks.scale import Scale
from benchmarks.site import ROOT, Place, Site, pipeline, until
from local.host.client import FunctionHost

DAY_SECONDS: Final = 86_400
POLL_SECONDS: Final = 30  # host.json: maxPollingInterval
SETTLE_SECONDS: Final = 180.0
WINDOW_SECONDS: Final = 1
NAMES: Final = {"DIABETES_ENDPOINT": "diabetes-bench", "DIABETES_OVERNIGHT": "0 2 * * *"}
QUEUED: Final = f"""
  queued:
    when: {{file-landed: {{path: "lake/in/{{batch}}/*.csv"}}}}
    collect: {{by: "{{batch}}", quiet: {WINDOW_SECONDS}s, max-wait: 10m}}
    run-pipeline: queued
    with: {{batch: "{{batch}}"}}
    limits: {{start-rate: unlimited}}
"""


def measure(site: Site, scale: Scale) -> dict[str, Any]:
    """Needs a site whose Azurite keeps an access log."""
    rules = (ROOT / "reactions.yaml").read_text(encoding="utf-8") + QUEUED
    place = site.place(rules, pipeline("queued", "batch"))
    log = AccessLog(site.cloud.folder / "azurite.log", place.account.name)
    with _host(place) as host:
        _settle(host, log)
        calls = _idle(log, scale.idle_seconds)
        with Driver(place.webhook(host)) as driver:
            first = queued(place, driver, scale.queued, 0)
            busy = queued(place, driver, scale.queued, scale.queued)
    day = calls["calls"] * DAY_SECONDS / scale.idle_seconds
    return {
        "storage_calls_idle_day": round(day),
        "idle": {**calls, "seconds": scale.idle_seconds, "times": DAY_SECONDS / scale.idle_seconds},
        "start_queue_p95_s": percentile(first, 0.95),
        "start_queue": {
            "way": "the end of a collect window, waked by the queue of an app that was idle",
            "window_s": WINDOW_SECONDS,
            "longest_poll_s": POLL_SECONDS,
            "p50_s": percentile(first, 0.5),
            "seconds": sorted(first),
            "of_a_busy_app_p50_s": percentile(busy, 0.5),
            "of_a_busy_app_p95_s": percentile(busy, 0.95),
        },
    }


def _host(place: Place) -> FunctionHost:
    return FunctionHost(ROOT, {**place.environment(), **NAMES}, folder=place.folder)


def _settle(host: FunctionHost, log: AccessLog) -> None:
    """The first sweep, at once, and what it wakes; then until the polls are far apart."""
    asked = httpx.post(f"{host.url}/admin/functions/sweep", json={"input": ""}, trust_env=False)
    asked.raise_for_status()
    quiet = POLL_SECONDS - 5
    until(lambda: log.silent_for() > quiet, SETTLE_SECONDS, "the app to be idle")


def _idle(log: AccessLog, seconds: float) -> dict[str, Any]:
    before, ends = log.size(), time.monotonic() + seconds
    until(lambda: time.monotonic() >= ends, seconds + 5, "the idle time to end")
    return log.since(before)


def queued(place: Place, driver: Driver, count: int, first: int) -> list[float]:
    """Seconds from delivery to createRun of events that come within one longest poll, at random moments."""
    moments = sorted(random.Random(first).uniform(0, POLL_SECONDS) for _ in range(count))
    began, delivered = time.monotonic(), dict[int, datetime]()
    for number, moment in enumerate(moments, first):
        until(lambda moment=moment: time.monotonic() - began >= moment, POLL_SECONDS + 5, "the next event")  # type: ignore[misc]
        delivered[number] = driver.deliver(place.event(f"in/q{number}/a.csv", number))
    started = {number: arrival(wait_for_post(place, f"q{number}", 120)) for number in delivered}
    return [round((started[number] - at).total_seconds(), 3) for number, at in delivered.items()]


class AccessLog:
    """The lines that Azurite has written for one account's requests."""

    def __init__(self, file: Path, account: str) -> None:
        self._file = file
        self._asked = re.compile(rf'"([A-Z]+) /{account}/([^ ?]*)(\??[^ ]*) HTTP/1\.1" (\d+)')
        self._last, self._last_size = time.monotonic(), -1

    def size(self) -> int:
        return self._file.stat().st_size

    def silent_for(self) -> float:
        """Seconds since a request was seen, by whoever asks this all the time."""
        if self.size() != self._last_size:
            self._last, self._last_size = time.monotonic(), self.size()
        return time.monotonic() - self._last

    def since(self, size: int) -> dict[str, Any]:
        """How many requests came after the log was of that size, and which."""
        with self._file.open("rb") as file:
            file.seek(size)
            found = self._asked.findall(file.read().decode(errors="replace"))
        kinds: dict[str, int] = {}
        for method, path, _query, _status in found:
            kind = f"{method} {path.partition('(')[0]}"
            kinds[kind] = kinds.get(kind, 0) + 1
        return {"calls": len(found), "kinds": dict(sorted(kinds.items()))}
