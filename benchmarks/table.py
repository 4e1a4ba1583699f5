"""The figures that have a budget, and the budgets: one table. How figures are written, and shown on a terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

KEYS: Final = (
    "intake_vs_bare_insert",
    "intake_vs_bare_insert_group_commit",
    "intake_10000_lanes_vs_bare_insert",
    "storage_calls_lone_event",
    "storage_calls_further_look",
    "storage_calls_extra_event",
    "storage_calls_idle_day",
    "start_inline_p50_ms",
    "start_inline_p95_ms",
    "start_inline_full_p50_ms",
    "start_queue_p95_s",
    "burst_10000",
    "burst_1000_peak_rss_mb",
    "import_s",
    "growth",
    "naive",
    "durabletask",
    "machine",
)
"""What the file has at least, at its top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """From `at_least` to `at_most`; one of them is enough. `figure` is a path into the file."""

    figure: str
    what: str
    at_least: float = -math.inf
    at_most: float = math.inf

    def holds(self, value: float) -> bool:
        return self.at_least <= value <= self.at_most

    @property
    def told(self) -> str:
        if self.at_least == self.at_most:
            return f"{self.at_most:g}"
        if self.at_most < math.inf:
            return f"≤ {self.at_most:,g}"
        return f"≥ {self.at_least:g}" if self.at_least > -math.inf else "-"


BUDGETS: Final = (
    Budget(figure="intake_vs_bare_insert", what="intake, against bare inserts, 16 threads", at_least=0.7),
    Budget(figure="intake_vs_bare_insert_group_commit", what="the same with 64 threads", at_least=2.0),
    Budget(figure="intake_10000_lanes_vs_bare_insert", what="the same, a lane for each event", at_least=0.15),
    Budget(figure="storage_calls_lone_event", what="storage calls of a lone event", at_most=20),
    Budget(figure="storage_calls_further_look", what="storage calls of a further look", at_most=4),
    Budget(figure="storage_calls_extra_event", what="storage calls of one more event of a burst", at_most=1.1),
    Budget(
        figure="storage_calls_extra_event_group_commit", what="the same, where many come at the same time", at_most=0.2
    ),
    Budget(figure="storage_calls_idle_day", what="storage calls of an idle day, from the access log", at_most=10_000),
    Budget(figure="idle.calls", what="  of which were counted, in the time below"),
    Budget(figure="idle.seconds", what="  seconds of an idle app"),
    Budget(
        figure="storage_calls_idle_day_reckoned", what="  the same day reckoned: polls, sweeps, chores", at_most=1e4
    ),
    Budget(figure="start_inline_p50_ms", what="delivered to start, inline, p50, ms", at_most=50),
    Budget(figure="start_inline_p95_ms", what="the same, p95, ms", at_most=250),
    Budget(figure="start_inline_full_p50_ms", what="the same with manifest and resource, p50, ms", at_most=100),
    Budget(figure="start_queue_p95_s", what="delivered to start, by the queue of an idle app, p95, s"),
    Budget(figure="start_queue.of_a_busy_app_p95_s", what="  of an app that is not idle, p95, s"),
    Budget(figure="burst_10000.runs", what="runs of a burst of 10,000 files", at_least=1, at_most=1),
    Budget(figure="burst_10000.manifest_events", what="  events in its manifest"),
    Budget(figure="burst_10000.lost", what="  lost", at_least=0, at_most=0),
    Budget(figure="burst_10000.peak_rss_mb", what="  most memory of the app's process, MB"),
    Budget(figure="burst_1000_peak_rss_mb", what="  the same with 1,000 files, MB"),
    Budget(figure="import_s", what="cold import of the app, s", at_most=1.0),
    *(
        Budget(figure=f"{who}.{figure}", what=f"{name}: {what}")
        for who, name in (
            ("relearn_same_driver", "Relearn"),
            ("naive", "a naive function"),
            ("durabletask", "durabletask"),
        )
        for figure, what in (
            ("runs", "runs of a burst of one batch, a fifth delivered twice"),
            ("faults.lost", "events without a run, where the factory refuses"),
            ("faults.started_twice", "events with two runs"),
            ("start_p50_ms", "delivered to start, p50, ms"),
        )
    ),
)


def value(found: Mapping[str, Any], figure: str) -> Any:  # noqa: ANN401 - of JSON
    """None where it was not measured."""
    at: Any = found
    for name in figure.split("."):
        at = at.get(name) if isinstance(at, Mapping) else None
    return at


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The table of what was measured; a figure over its budget says so."""
    yield f"{'figure':68}{'':>11}{'budget':>10}"
    for budget in BUDGETS:
        measured = value(found, budget.figure)
        if measured is not None:
            mark = "" if budget.told == "-" else "ok" if budget.holds(measured) else "OVER"
            yield f"{budget.what:68}{measured:>11,.6g}{budget.told:>10}  {mark}".rstrip()
    yield from _grown(value(found, "growth") or {})


def _grown(growth: Mapping[str, Any]) -> Iterator[str]:
    for each in growth.get("ledger", ()):
        of = {name: each[name] for name in ("lone_event", "look", "sweep", "bare_insert", "bare_query")}
        told = ", ".join(f"{name.replace('_', ' ')} {v['storage_calls']:g} in {v['ms']:g} ms" for name, v in of.items())
        yield f"after {each['earlier_reactions']:,} reactions: {told}"
    for each in growth.get("burst", ()):
        calls, seconds = each["storage_calls"] / each["events"], each["seconds_to_deliver"]
        rate = f"{each['events'] / seconds:,.0f} events a second" if seconds else ""
        yield f"a burst of {each['events']:,}: {calls:.2f} storage calls an event, {rate}, {each['peak_rss_mb']:g} MB"


def write(file: Path, found: Mapping[str, Any]) -> None:
    """Every key of KEYS; null for what was not measured."""
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = {**dict.fromkeys(KEYS), **found}
    file.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
