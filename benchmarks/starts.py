"""From the delivery of a lone event to its createRun, where the lane is looked at inline, by the app in its host.

From just before the POST to the host's webhook until the factory's server writes the request down. The app talks to
Azurite itself: the gateway, which counts, is no part of storage and costs about as much again for each call.
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks.driver import Driver, percentile, wait_for_start
from benchmarks.scale import Scale
from benchmarks.site import Site, pipeline, until
from tests.scenarios.stage import RULES

WARM: Final = 5  # a new process makes its connections, and asks for its first tokens
PLAIN: Final = RULES.replace(', files: "{manifest}"', "") + "    limits: {start-rate: unlimited}\n"
FULL: Final = (
    f"resources: {{spark-pool: 1000}}\n{RULES}    limits: {{start-rate: unlimited, resources: [spark-pool]}}\n"
)


def measure(site: Site, scale: Scale) -> dict[str, Any]:
    plain = milliseconds(site, scale.starts, PLAIN, "batch")
    full = milliseconds(site, scale.starts, FULL, "batch", "files")
    return {
        "start_inline_p50_ms": percentile(plain, 0.5),
        "start_inline_p95_ms": percentile(plain, 0.95),
        "start_inline_full_p50_ms": percentile(full, 0.5),
        "start_inline": {
            "samples": scale.starts,
            "full_p95_ms": percentile(full, 0.95),
            "plain_ms": sorted(plain),
            "full_ms": sorted(full),
        },
    }


def milliseconds(site: Site, samples: int, rules: str, *parameters: str) -> list[float]:
    place = site.place(rules, pipeline("score", *parameters), direct=True)
    took: list[float] = []
    with place.host() as host, Driver(place.webhook(host)) as driver:
        for number in range(WARM + samples):
            batch = f"b{number}"
            delivered = driver.deliver(place.event(f"in/{batch}/a.csv", number))
            started = wait_for_start(place, batch)
            took.append(round((started - delivered).total_seconds() * 1000, 1))
            _wait_until_free(place.factory)
    return took[WARM:]


def _wait_until_free(factory: Any) -> None:  # noqa: ANN401
    until(lambda: all(run.is_final for run in factory.runs()), 30, "the end of the runs")
