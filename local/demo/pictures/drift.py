"""The page about drift: for each monitored feature its distribution in baseline and target, and the verdict."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from local.demo.pictures.axes import plain
from local.demo.pictures.histogram import bins, gauge, histogram
from local.demo.pictures.page import folded, page, safe, table

Json = Mapping[str, Any]
_METRICS: Final = {"JensenShannonDistance": "Jensen-Shannon distance"}
STYLE: Final = """
.legend { display: flex; flex-wrap: wrap; gap: 8px 24px; margin: 16px 0 0; }
.legend svg { display: inline-block; vertical-align: -2px; margin-right: 8px; }
.title { display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: center; }
.grid { stroke: var(--line); }
.axis { stroke: var(--edge); }
.baseline { fill: var(--first); }
.target { fill: var(--second); fill-opacity: 0.22; }
.outline { fill: none; stroke: var(--second); stroke-width: 2; stroke-linejoin: round; }
.whole { fill: transparent; }
.whole:hover { fill: var(--ink); fill-opacity: 0.07; }
.track { fill: var(--line); }
.within { fill: var(--good); }
.beyond { fill: var(--bad); }
.threshold { stroke: var(--ink); stroke-width: 2; }
"""
_KEYS: Final = {"Baseline": ("baseline",), "Target": ("target", "outline")}


def drift_page(drift: Json) -> str:
    """The page about one run of a monitor, as demo.json tells it under `drift`."""
    breached = [feature for feature in drift["features"] if feature["breached"]]
    metric = _metric(drift)
    verdict = (
        f"{len(breached)} of {len(drift['features'])} features have moved further than {plain(drift['threshold'])}"
    )
    lead = [
        f"<strong>{safe(verdict)}</strong> ({safe(metric)}; 0: the same distribution, 1: nothing in common).",
        f"Monitor <code>{safe(drift['monitor'])}</code>, signal <code>{safe(drift['signal'])}</code>, "
        f"run <code>{safe(drift['run_id'])}</code>.",
        _legend(drift),
    ]
    body = (_feature(feature, metric, number) for number, feature in enumerate(drift["features"], start=1))
    return page(f"What monitor {drift['monitor']} found", lead, body, STYLE)


def _metric(drift: Json) -> str:
    name = str(drift.get("metric", "distance"))
    return _METRICS.get(name) or " ".join(re.findall(r"[A-Z]?[^A-Z]+|[A-Z]+", name))


def _legend(drift: Json) -> str:
    sides = (_side(name, drift[name.lower()]) for name in _KEYS)
    return "".join(['<span class="legend">', *sides, "</span>"])


def _side(name: str, data: Json) -> str:
    key = "".join(f'<rect class="{kind}" x="1" y="3" width="16" height="11"/>' for kind in _KEYS[name])
    what = f"{name}: {', '.join(data['files'])}, {data['rows']:,} rows" + (f", {data['day']}" if data["day"] else "")
    return f'<span><svg width="18" height="16" viewBox="0 0 18 16" aria-hidden="true">{key}</svg>{safe(what)}</span>'


def _feature(feature: Json, metric: str, number: int) -> str:
    value, threshold = feature["value"], feature["threshold"]
    verdict = ("bad", "drifted") if feature["breached"] else ("good", "within the threshold")
    sentence = f"{metric} {value:.3f}, threshold {plain(threshold)}."
    return "\n".join(
        [
            '<figure tabindex="0">',
            f'<div class="title"><h2>{safe(feature["name"])}</h2>'
            f'<span class="badge {verdict[0]}">{verdict[1]}</span><span>{safe(sentence)}</span></div>',
            gauge(feature, f"gauge-{number}"),
            histogram(feature, f"histogram-{number}"),
            folded(f"The figures of {feature['name']}", _figures(feature)),
            "</figure>",
        ]
    )


def _figures(feature: Json) -> str:
    return table(
        ["from", "to", "baseline", "target"],
        ([plain(low), plain(high), f"{a:.1%}", f"{b:.1%}"] for low, high, a, b in bins(feature)),
        numbers=frozenset({0, 1, 2, 3}),
    )
