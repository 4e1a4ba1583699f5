"""The same events, by the same driver, for Relearn, for a naive function, and for an orchestration per event.

Three stories: lone events one after the other; a burst of files of one batch, a fifth of them delivered twice; and
lone events while the factory answers 429 to some createRun calls, and accepts some without its answer arriving.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from benchmarks import bursts, starts
from benchmarks.driver import Driver, percentile, wait_for_start
from benchmarks.scale import Scale
from benchmarks.site import ROOT, Place, Site, pipeline, until
from local.bootstrap import BENCH_VENV
from local.faults import AcceptThen, Drop, Status
from local.processes import Child

PIPELINE: Final = pipeline("score", "batch", "files")
WARM: Final = 3
LONE: Final = 30
SETTLE_SECONDS: Final = 180.0
STEADY_SECONDS: Final = 3.0
"""So long after the last createRun nobody is believed to send another. Relearn's collect window is longer than this."""

Candidate = Callable[[Place], AbstractContextManager[Driver]]


def measure(site: Site, scale: Scale) -> dict[str, Any]:
    return {
        "relearn_same_driver": candidate(site, scale, relearn),
        "naive": candidate(site, scale, naive),
        **_durabletask(site, scale),
    }


def _durabletask(site: Site, scale: Scale) -> dict[str, Any]:
    if not (BENCH_VENV / "bin" / "python").is_file():
        return {"durabletask": None, "durabletask_why_not": "not installed: python -m local.bootstrap bench"}
    found = candidate(site, scale, durable)
    why_not = "its in-memory backend calls no storage; the one for Azure Storage cannot be run without the host"
    return {"durabletask": {**found, "storage_calls_until_start": None, "storage_calls_why_not": why_not}}


def candidate(site: Site, scale: Scale, kind: Candidate) -> dict[str, Any]:
    return {**lone(site, scale, kind), **burst(site, scale, kind), **faults(site, scale, kind)}


# --- the candidates ---------------------------------------------------------------------------------------------------


@contextmanager
def relearn(place: Place) -> Iterator[Driver]:
    with place.host() as host, Driver(place.webhook(host)) as driver:
        yield driver


@contextmanager
def naive(place: Place) -> Iterator[Driver]:
    app = place.folder / "naive"
    app.mkdir()
    shutil.copy(ROOT / "benchmarks" / "naive.py", app / "function_app.py")
    shutil.copy(ROOT / "host.json", app)
    with place.host(app) as host, Driver(place.webhook(host)) as driver:
        yield driver


@contextmanager
def durable(place: Place) -> Iterator[Driver]:
    command = [str(BENCH_VENV / "bin" / "python"), str(ROOT / "benchmarks" / "durable.py")]
    log = place.folder / "durable.log"
    child = Child("durabletask", command, environment=place.environment(), log_file=log, cwd=place.folder)
    try:
        until(lambda: _port(log) is not None or child.exit_code is not None, 30, "durabletask to come up")
        port = _port(log)
        if port is None:
            raise RuntimeError(child.failure())
        with Driver(f"http://127.0.0.1:{port}/") as driver:
            yield driver
    finally:
        child.stop()


def _port(log: Any) -> str | None:  # noqa: ANN401
    lines = log.read_text(encoding="utf-8").splitlines()
    return next((line for line in lines if line.isdecimal()), None)


# --- the stories ------------------------------------------------------------------------------------------------------


def lone(site: Site, scale: Scale, kind: Candidate) -> dict[str, Any]:
    place = site.place(starts.PLAIN, PIPELINE)
    took = []
    with kind(place) as driver:
        for number in range(WARM + min(LONE, scale.starts)):
            delivered = driver.deliver(place.event(f"in/b{number}/a.csv", number))
            took.append((wait_for_start(place, f"b{number}") - delivered).total_seconds() * 1000)
    return {
        "start_p50_ms": round(percentile(took[WARM:], 0.5), 1),
        "storage_calls_until_start": round(place.calls() / len(took), 1),
    }


def burst(site: Site, scale: Scale, kind: Candidate) -> dict[str, Any]:
    """`scale.compared` files of one batch, every fifth of them delivered twice."""
    place = site.place(bursts.RULES, PIPELINE)
    files = [place.event(f"in/all/{number}.csv", number) for number in range(scale.compared)]
    twice = files[::5]
    with kind(place) as driver:
        driver.burst([*files, *twice], batch=10)
        until(lambda: bool(_accepted(place)), SETTLE_SECONDS, "a first run")
        _steady(place)
    return {"files": len(files), "delivered_twice": len(twice), "runs": sum(_accepted(place).values())}


def faults(site: Site, scale: Scale, kind: Candidate) -> dict[str, Any]:
    """Each event is of a batch of its own: which of them got no run, which got two."""
    place = site.place(starts.PLAIN, PIPELINE)
    count = 5 * scale.refused
    ours = f"*/factories/{place.factory.name}/pipelines/*/createrun"
    with kind(place) as driver:
        driver.burst([place.event("in/warm/a.csv", count)], batch=1)
        wait_for_start(place, "warm")
        schedule = site.cloud.data_factory.faults
        schedule.add(method="POST", path=ours, action=AcceptThen(Drop()), times=scale.refused)
        schedule.add(method="POST", path=ours, action=Status(429, headers={"Retry-After": "1"}), times=scale.refused)
        refused = driver.burst((place.event(f"in/f{n}/a.csv", n) for n in range(count)), batch=1)
        with contextlib.suppress(TimeoutError):  # those that are missing are the figure
            until(lambda: len(_accepted(place)) == count + 1, SETTLE_SECONDS, "every run")
        _steady(place)
        schedule.clear()
    found = _accepted(place)
    runs = {f"f{n}": found.get(f"f{n}", 0) for n in range(count)}
    return {
        "faults": {
            "events": count,
            "refused": scale.refused,
            "accepted_without_an_answer": scale.refused,
            "never_acknowledged": refused,
            "lost": sum(1 for number in runs.values() if number == 0),
            "started_twice": sum(1 for number in runs.values() if number > 1),
        }
    }


def _accepted(place: Place) -> Counter[str]:
    """Runs that the factory has started, by batch, whether or not its answer arrived."""
    return Counter(str(post["parameters"]["batch"]) for post in place.posts() if post.get("runId"))


def _steady(place: Place) -> None:
    """Until no createRun has come for a while."""
    seen = [-1, 0.0]

    def steady() -> bool:
        if len(place.posts()) != seen[0]:
            seen[:] = [len(place.posts()), time.monotonic()]
        return time.monotonic() - seen[1] > STEADY_SECONDS

    until(steady, SETTLE_SECONDS, "the starts to end")
