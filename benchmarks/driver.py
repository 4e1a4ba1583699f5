"""Delivers events to a function host as Event Grid does, and reads off the factory's log what came of it."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from benchmarks.site import Place, until

AT_ONCE: Final = 16
RETRY_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0)  # Event Grid's are 10 s and more; it makes no difference here
START_SECONDS: Final = 60.0


class Undelivered(RuntimeError):
    """An event was not acknowledged, however often it was delivered."""


class Driver:
    """The Event Grid of whoever listens at `url`: every delivery is a POST, repeated until it is acknowledged."""

    def __init__(self, url: str) -> None:
        limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
        self._client = httpx.Client(trust_env=False, timeout=60, limits=limits)
        self._url = url

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def deliver(self, *events: Mapping[str, Any]) -> datetime:
        """Delivers them in one request; gives the moment just before the first attempt.

        Raises:
            Undelivered: no attempt was acknowledged.
        """
        began, seen = datetime.now(UTC), ""
        for wait in (0.0, *RETRY_SECONDS):
            threading.Event().wait(wait)
            try:
                answer = self._client.post(self._url, json=list(events), headers={"aeg-event-type": "Notification"})
            except httpx.TransportError as error:  # no answer is no acknowledgement
                seen = repr(error)
            else:
                if answer.is_success:
                    return began
                seen = str(answer.status_code)
        raise Undelivered(f"{events[0]['id']}: {seen}")

    def burst(self, events: Iterable[Mapping[str, Any]], batch: int) -> int:
        """Delivers all, several requests at once; how many requests were never acknowledged."""
        waiting = iter(events)
        lost, lock = [0], threading.Lock()

        def work(_: int) -> None:
            while True:
                with lock:
                    found = tuple(itertools.islice(waiting, batch))
                if not found:
                    return
                try:
                    self.deliver(*found)
                except Undelivered:
                    with lock:
                        lost[0] += 1

        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            list(pool.map(work, range(AT_ONCE)))
        return lost[0]


def arrival(entry: Mapping[str, Any]) -> datetime:
    """When the factory's server wrote the request down: as it answers, so a little after it arrived."""
    return datetime.fromisoformat(str(entry["at"]))


def wait_for_start(place: Place, batch: str, seconds: float = START_SECONDS) -> datetime:
    """When the createRun came that was accepted for that batch."""
    return arrival(wait_for_post(place, batch, seconds))


def wait_for_post(place: Place, batch: str, seconds: float = START_SECONDS) -> Mapping[str, Any]:
    found: list[Mapping[str, Any]] = []

    def there() -> bool:
        found.extend(p for p in place.posts() if p.get("runId") and p["parameters"]["batch"] == batch)
        return bool(found)

    until(there, seconds, f"the start of {batch}")
    return found[0]


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank: a value that was measured."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
