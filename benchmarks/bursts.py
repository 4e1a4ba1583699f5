"""Bursts of files of one batch, given to the app in its host: one run, a complete manifest, and the memory it took.

Requests are counted at the gateway, memory is the host process's own peak as the kernel has kept it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.driver import Driver, wait_for_start
from benchmarks.scale import Scale
from benchmarks.site import Place, Site, pipeline, until

BATCH: Final = 10  # events in one request, which the host takes apart
WINDOW_SECONDS: Final = 10
RULES: Final = f"""\
version: 1
reactions:
  score:
    when: {{file-landed: {{path: "lake/in/{{batch}}/*.csv"}}}}
    collect: {{by: "{{batch}}", quiet: {WINDOW_SECONDS}s, max-wait: 10m}}
    run-pipeline: score
    with: {{batch: "{{batch}}", files: "{{manifest}}"}}
    limits: {{start-rate: unlimited}}
"""
START_SECONDS: Final = 240.0
REST_SECONDS: Final = 60.0
"""For another run, where a machine was too busy to take all files within the window: that is more than one run."""


def measure(site: Site, scale: Scale) -> dict[str, Any]:
    small, middle, large = (burst(site, size) for size in scale.sizes)
    extra = [_extra(one, other) for one, other in ((small, middle), (middle, large))]
    return {
        "burst_10000": {name: large[name] for name in ("runs", "manifest_events", "lost", "peak_rss_mb")},
        "burst_1000_peak_rss_mb": middle["peak_rss_mb"],
        "growth": {"burst": [small, middle, large], "storage_calls_of_an_extra_event": extra},
        "storage_calls_extra_event_group_commit": extra[-1],
    }


def _extra(few: dict[str, Any], many: dict[str, Any]) -> float:
    return round(float((many["storage_calls"] - few["storage_calls"]) / (many["events"] - few["events"])), 3)


def burst(site: Site, size: int) -> dict[str, Any]:
    """So many files land at once, in a ledger and a process of their own."""
    place = site.place(RULES, pipeline("score", "batch", "files"))
    with place.host() as host, Driver(place.webhook(host)) as driver:
        before, began = place.calls(), time.perf_counter()
        unacknowledged = driver.burst(_files(place, size), BATCH)
        delivered = time.perf_counter() - began
        wait_for_start(place, "all", START_SECONDS)
        started = time.perf_counter() - began
        expected = {f"in/all/{number}.csv" for number in range(size)}
        with contextlib.suppress(TimeoutError):  # what is missing then is the figure
            until(lambda: not expected - _files_of_runs(place), REST_SECONDS, "the rest of the files")
        until(lambda: all(run.is_final for run in place.factory.runs()), 60, "the end of the runs")
        calls, peak = place.calls() - before, peak_rss_mb(host.pid)
    there = _files_of_runs(place)
    return {
        "events": size,
        "runs": len(place.factory.runs()),
        "manifest_events": len(there),
        "lost": len(expected - there),
        "unacknowledged_requests": unacknowledged,
        "peak_rss_mb": peak,
        "storage_calls": calls,
        "seconds_to_deliver": round(delivered, 2),
        "seconds_to_start": round(started, 2),
    }


def _files_of_runs(place: Place) -> set[str]:
    """The union of all manifests."""
    started = {str(post["parameters"]["reaction_id"]) for post in place.posts() if post.get("runId")}
    return {str(entry["path"]) for each in started for entry in place.manifest(each)}


def _files(place: Place, size: int) -> Iterator[dict[str, Any]]:
    return (place.event(f"in/all/{number}.csv", number) for number in range(size))


def peak_rss_mb(pid: int) -> float:
    """The most memory that the process has ever had in use."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    [found] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return round(int(found) / 1024, 1)
