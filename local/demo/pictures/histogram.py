"""One feature as SVG: both its histograms, one over the other, and its distance against the threshold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from local.demo.pictures.axes import Scale, plain, ticks
from local.demo.pictures.page import safe

Json = Mapping[str, Any]
WIDTH: Final = 1080
HEIGHT: Final = 260
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 26, 44


def bins(feature: Json) -> Iterator[tuple[float, float, float, float]]:
    """Each bin's edges, and the shares of baseline and target in it."""
    edges = pairwise(feature["edges"])
    for (low, high), first, second in zip(edges, feature["baseline"], feature["target"], strict=True):
        yield low, high, first, second


def histogram(feature: Json, name: str) -> str:
    """The target's bars are outlined over the baseline's, so that neither needs its colour to be told apart."""
    edges = feature["edges"]
    highest = max(*feature["baseline"], *feature["target"])
    across = Scale(low=edges[0], high=edges[-1], start=LEFT, end=WIDTH - RIGHT)
    levels = ticks(0, highest, 4)
    up = Scale(low=0, high=max(highest, levels[-1]), start=HEIGHT - BOTTOM, end=TOP)
    parts = [
        *(_level(level, up) for level in levels),
        *(_bar("baseline", across(low), across(high), up(first), up(0)) for low, high, first, _ in bins(feature)),
        *(_bar("target", across(low), across(high), up(second), up(0)) for low, high, _, second in bins(feature)),
        f'<path class="outline" d="{_steps(feature, across, up)}"/>',
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(0):.1f}" y2="{up(0):.1f}"/>',
        *(_tick(value, across) for value in ticks(edges[0], edges[-1], 10)),
        f'<text class="muted" font-size="13" x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">'
        f"{safe(feature['name'])}</text>",
        f'<text class="muted" font-size="13" x="{LEFT}" y="{TOP - 6}">share of the rows</text>',
        *(_hover(row, across) for row in bins(feature)),
    ]
    told = f"Histogram of {feature['name']}: share of the rows in each of {len(edges) - 1} bins, baseline and target"
    return _svg(name, told, _described(feature), HEIGHT, parts)


def gauge(feature: Json, name: str) -> str:
    """The distance on its scale from 0 to 1, with the threshold."""
    across = Scale(low=0, high=1, start=LEFT, end=WIDTH - RIGHT)
    value, threshold = across(min(feature["value"], 1)), across(feature["threshold"])
    kind = "beyond" if feature["breached"] else "within"
    parts = [
        f'<rect class="track" x="{LEFT}" y="10" width="{WIDTH - RIGHT - LEFT}" height="8" rx="4"/>',
        f'<rect class="{kind}" x="{LEFT}" y="10" width="{max(value - LEFT, 2):.1f}" height="8" rx="4"/>',
        f'<line class="threshold" x1="{threshold:.1f}" x2="{threshold:.1f}" y1="5" y2="23"/>',
        _small(threshold, 38, f"threshold {plain(feature['threshold'])}"),
        _small(LEFT, 38, "0") if threshold - LEFT > 70 else "",
        _small(WIDTH - RIGHT - 4, 38, "1"),
    ]
    told = f"Distance {feature['value']:.3f} on a scale from 0 to 1, threshold {plain(feature['threshold'])}"
    return _svg(name, told, "", 46, parts)


def _svg(name: str, title: str, description: str, height: int, parts: list[str]) -> str:
    described = f'<desc id="{name}-d">{safe(description)}</desc>' if description else ""
    by = f"{name}-t {name}-d" if description else f"{name}-t"
    head = f'<svg role="img" aria-labelledby="{by}" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
    return "\n".join([head, f'<title id="{name}-t">{safe(title)}</title>', described, *parts, "</svg>"])


def _described(feature: Json) -> str:
    """Where most of the rows are."""
    found = list(bins(feature))
    peaks = [max(found, key=lambda row, at=at: row[at]) for at in (2, 3)]  # type: ignore[misc]
    told = [
        f"most of the {side} ({row[at]:.0%}) from {plain(row[0])} to {plain(row[1])}"
        for side, at, row in zip(("baseline", "target"), (2, 3), peaks, strict=True)
    ]
    return f"{feature['name']}: {'; '.join(told)}."


def _bar(kind: str, left: float, right: float, top: float, bottom: float) -> str:
    height = bottom - top
    if height <= 0:
        return ""
    return (
        f'<rect class="{kind}" x="{left + 1:.1f}" y="{top:.1f}" width="{right - left - 2:.1f}" height="{height:.1f}"/>'
    )


def _steps(feature: Json, across: Scale, up: Scale) -> str:
    """The target's outline; where it has no rows the pen is lifted."""
    path: list[str] = []
    before = 0.0
    for low, high, _, share in bins(feature):
        if share and not before:
            path.append(f"M{across(low):.1f} {up(0):.1f}")
        if share or before:
            path.append(f"V{up(share):.1f}" + (f"H{across(high):.1f}" if share else ""))
        before = share
    return "".join([*path, f"V{up(0):.1f}" if before else ""])


def _level(level: float, up: Scale) -> str:
    y, percent = up(level), f"{level * 100:.3g} %"
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="muted" font-size="13" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{percent}</text>'
    )


def _tick(value: float, across: Scale) -> str:
    return _small(across(value), HEIGHT - BOTTOM + 18, plain(value))


def _small(x: float, y: float, text: str) -> str:
    return f'<text class="muted" font-size="13" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{safe(text)}</text>'


def _hover(row: tuple[float, float, float, float], across: Scale) -> str:
    """The whole height of a bin tells its figures to whoever points at it."""
    low, high, first, second = row
    told = f"{plain(low)} to {plain(high)}: baseline {first:.1%}, target {second:.1%}"
    box = f'x="{across(low):.1f}" y="{TOP}" width="{across(high) - across(low):.1f}" height="{HEIGHT - BOTTOM - TOP}"'
    return f'<rect class="whole" {box}><title>{safe(told)}</title></rect>'
