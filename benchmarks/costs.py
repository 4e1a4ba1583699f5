"""What it costs, idle and for 1,000 events, from the counted figures and the prices in prices.json: the arithmetic."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PRICES: Final = Path(__file__).resolve().parent / "prices.json"
HOURS: Final = 730  # a month
DAYS: Final = 30
INSTANCE_GB: Final = 2
SHORTEST_SECONDS: Final = 1  # what an execution is charged at least, on Flex Consumption
SECONDS_A_POLL: Final = 65  # pollSeconds of the factory, and what an iteration takes beside its wait
JOB_MINUTES: Final = 6  # of one batch job on a cluster that is up: an assumption, not a measurement
IDLE_NODE_MINUTES: Final = 10  # a cluster's node is kept so long after a job
LOOKS_A_RUN: Final = 15  # about one a minute while a run goes on
EVENTS_A_RUN: Final = 12  # that a run's own outputs raise, and that no rule waits for
LOG_ALERTS: Final = 7  # infra/alerts.json
METRIC_ALERTS: Final = 4  # dead and dropped events, of two topics
PRIVATE_ENDPOINTS: Final = 15  # of main.bicep, and of the workspace's own network
HOST_LEASE_CALLS_A_DAY: Final = 86_400 // 7 + 86_400 // 30
"""Of the Functions host, while an instance is up: it renews the lease of its 15 s host lock about every 7 s, and that
of the timer's 60 s listener lock about every 30 s. The periods are its defaults, how often it renews is inferred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    what: str
    reckoned: str
    amount: float


def prices() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(PRICES.read_text(encoding="utf-8"))
    return found


def idle_month(found: Mapping[str, Any], price: Mapping[str, float], *, isolated: bool = False) -> list[Line]:
    """A month in which nothing happens but the monitor's daily job, with one model live."""
    calls = found["idle_day"]["calls"] + HOST_LEASE_CALLS_A_DAY
    sweeps = 288 * DAYS * SHORTEST_SECONDS * INSTANCE_GB
    charged = max(0, sweeps - price["function_free_gb_seconds_a_month"])
    minutes = JOB_MINUTES + IDLE_NODE_MINUTES
    registry = price["registry_premium_month"] if isolated else price["registry_basic_month"]
    lines = [
        _line("the live model's instance", f"1 × {HOURS} h", HOURS * price["endpoint_instance_hour_Standard_DS3_v2"]),
        _line(
            "storage calls, an instance up all day",
            f"{DAYS} × ({found['idle_day']['calls']:,.0f} + {HOST_LEASE_CALLS_A_DAY:,} of the host)",
            DAYS * calls * price["storage_10000_calls"] / 10_000,
        ),
        _line(
            "executions: sweeps",
            f"{DAYS} × 288 × {SHORTEST_SECONDS} s × {INSTANCE_GB} GB, within the free grant",
            charged * price["function_gb_second"],
        ),
        _line(
            "the monitor's job",
            f"{DAYS} × {minutes} min of a node",
            DAYS * minutes / 60 * price["node_hour_Standard_DS2_v2"],
        ),
        _line("logs", f"{DAYS} × 0.02 GB", DAYS * 0.02 * price["log_gb"]),
        _line(
            "alerts",
            f"{LOG_ALERTS} of the log, {METRIC_ALERTS} of metrics",
            LOG_ALERTS * price["log_alert_month"] + METRIC_ALERTS * price["metric_alert_month"],
        ),
        _line("container registry", "Premium" if isolated else "Basic", registry),
    ]
    if isolated:
        endpoints = PRIVATE_ENDPOINTS * HOURS * price["private_endpoint_hour"]
        lines.append(_line("private endpoints", f"{PRIVATE_ENDPOINTS} × {HOURS} h", endpoints))
    return lines


def thousand_runs(found: Mapping[str, Any], price: Mapping[str, float]) -> list[Line]:
    """1,000 events, each of which is a batch of its own and starts score-diabetes: the dearest way to have them."""
    calls = (
        found["lone_event"]["calls"]
        + LOOKS_A_RUN * found["further_look"]["calls"]
        + EVENTS_A_RUN * found["refused_event"]["calls"]
    )
    runs = found["activity_runs"]["score-diabetes"]
    polls = runs["jobs"] * math.ceil(JOB_MINUTES * 60 / SECONDS_A_POLL)
    activities = runs["always"] + polls * runs["per_poll"]
    executions = 1 + EVENTS_A_RUN + 1 + LOOKS_A_RUN
    node_minutes = runs["jobs"] * JOB_MINUTES
    return [
        _line(
            "storage calls",
            f"1,000 × ({found['lone_event']['calls']:g} + {LOOKS_A_RUN} looks × {found['further_look']['calls']:g}"
            f" + {EVENTS_A_RUN} × {found['refused_event']['calls']:g})",
            calls * price["storage_10000_calls"] / 10,
        ),
        _line(
            "executions",
            f"1,000 × {executions} × {SHORTEST_SECONDS} s × {INSTANCE_GB} GB, nothing free",
            1000 * executions * SHORTEST_SECONDS * INSTANCE_GB * price["function_gb_second"]
            + executions * price["function_1000000_executions"] / 1000,
        ),
        _line(
            "activity runs",
            f"1,000 × ({runs['always']} + {polls} polls × {runs['per_poll']})",
            activities * price["factory_1000_activity_runs"],
        ),
        _line(
            "node time",
            f"1,000 × {runs['jobs']} jobs × {JOB_MINUTES} min",
            1000 * node_minutes / 60 * price["node_hour_Standard_DS2_v2"],
        ),
        _line(
            "events delivered",
            f"1,000 × {1 + EVENTS_A_RUN} × 2 operations",
            (1 + EVENTS_A_RUN) * 2 * price["event_grid_1000000_operations"] / 1000,
        ),
    ]


def thousand_of_one(found: Mapping[str, Any], price: Mapping[str, float]) -> list[Line]:
    """1,000 files of one batch, collected: one run."""
    one = sum(line.amount for line in thousand_runs(found, price)) / 1000
    extra = found["extra_event_of_a_burst"]["calls"]
    executions = 999 * SHORTEST_SECONDS * INSTANCE_GB * price["function_gb_second"]
    return [
        _line("one run, as above", "1 / 1,000", one),
        _line("storage calls of the others", f"999 × {extra:g}", 999 * extra * price["storage_10000_calls"] / 10_000),
        _line("executions of the others", f"999 × {SHORTEST_SECONDS} s × {INSTANCE_GB} GB", executions),
        _line("events delivered", "999 × 2 operations", 999 * 2 * price["event_grid_1000000_operations"] / 1_000_000),
    ]


def _line(what: str, reckoned: str, amount: float) -> Line:
    return Line(what=what, reckoned=reckoned, amount=amount)


def tables(found: Mapping[str, Any], price: Mapping[str, float]) -> dict[str, list[Line]]:
    return {
        "A month of nothing, one model live": idle_month(found, price),
        "The same in network isolation": idle_month(found, price, isolated=True),
        "1,000 events, 1,000 runs of score-diabetes": thousand_runs(found, price),
        "1,000 files of one batch, one run": thousand_of_one(found, price),
    }


def markdown(title: str, lines: list[Line], currency: str) -> str:
    """As it stands in docs/deploy.md."""
    rows = [f"| {line.what} | {line.reckoned} | {line.amount:,.2f} |" for line in lines]
    total = sum(line.amount for line in lines)
    return "\n".join(
        [f"| {title} | reckoned | {currency} |", "|---|---|---:|", *rows, f"| **together** | | **{total:,.2f}** |"]
    )


def counted(found: Mapping[str, Any]) -> str:
    """The counted figures, as they stand in docs/deploy.md."""
    told = {
        "a lone event, from delivery to the end of its reaction, its run over at the first look": "lone_event",
        "each further look at the factory while a run goes on": "further_look",
        "one more event of a burst (200 files of one batch, collected)": "extra_event_of_a_burst",
        "an event that no rule waits for": "refused_event",
        "a sweep that finds nothing": "idle_sweep",
        "a sweep that wakes the hour's chores, and they find nothing": "idle_chores",
        "an idle day: 2,880 polls of the queue, one in 30 s, 288 sweeps, and 24 times the chores": "idle_day",
    }
    rows = [f"| {what} | {found[name]['calls']:,.6g} |" for what, name in told.items()]
    runs = [
        f"| activity runs of {name}: always, and for each poll of one of its {each['jobs']} job(s) "
        f"| {each['always']} + {each['per_poll']} |"
        for name, each in found["activity_runs"].items()
    ]
    return "\n".join(["| counted | calls |", "|---|---:|", *rows, *runs])


def page(found: Mapping[str, Any]) -> dict[str, str]:
    """The parts of docs/deploy.md that follow from what was counted, by their marks."""
    price = prices()
    blocks = [markdown(title, lines, price["currency"]) for title, lines in tables(found, price).items()]
    return {"counted": counted(found), "costs": "\n\n".join(blocks)}


def written(text: str, found: Mapping[str, Any]) -> str:
    """The page with those parts anew, each between its marks."""
    for name, part in page(found).items():
        before, begin, rest = text.partition(f"<!-- {name}: python -m benchmarks.storage_calls --write -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->")
        if not begin or not end:
            raise ValueError(f"the page has no marks of {name}")
        text = f"{before}{begin}\n{part}\n\n{end}{after}"
    return text
