"""Boxes with a few lines of text, and arrows between them, as SVG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from local.demo.pictures.page import safe

LINE: Final = 18
PADDING: Final = 14
LETTER: Final = 7.9
"""Of the widest usual font at the size used: a box that holds it holds the others."""
MOST_LINES: Final = 3
_PIECE: Final = re.compile(r"[^\s/_-]*[\s/_-]?")

STYLE: Final = """
.box { fill: var(--card); stroke: var(--edge); stroke-width: 1.25; }
.box.good { fill: var(--good-tint); stroke: var(--good); stroke-width: 2; }
.box.bad { fill: var(--bad-tint); stroke: var(--bad); stroke-width: 2; }
.box.past { stroke-dasharray: 5 4; }
.kind { font-size: 11px; font-weight: 600; letter-spacing: 0.06em; text-transform: uppercase; }
.name { font-size: 13.5px; font-weight: 600; }
.more { font-size: 13px; }
.arrow { fill: none; stroke: var(--edge); stroke-width: 1.5; marker-end: url(#head); }
.head { fill: var(--edge); }
"""
ARROW_HEAD: Final = "".join(
    [
        '<svg width="0" height="0" style="position: absolute" aria-hidden="true"><defs>',
        '<marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">',
        '<path class="head" d="M0 0 10 5 0 10z"/></marker></defs></svg>',
    ]
)
"""Once on a page that has arrows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """What a box says. `tone`: good, bad, past, or nothing of these."""

    kind: str
    name: str
    more: tuple[str, ...] = ()
    tone: str = ""

    def lines(self, width: float) -> list[tuple[str, str]]:
        """(class, text) of each line in a box of this width."""
        letters = int((width - 2 * PADDING) / LETTER)
        found = [("kind muted", self.kind)]
        found += [("name", line) for line in wrapped(self.name, letters)]
        return found + [("more", line) for text in self.more for line in wrapped(text, letters)]

    def height(self, width: float) -> float:
        return len(self.lines(width)) * LINE + 2 * PADDING - 4

    def told(self) -> str:
        """All of it in one line, nothing cut."""
        return f"{self.kind}: {'; '.join([self.name, *self.more])}"


def wrapped(text: str, letters: int) -> list[str]:
    """Lines of at most so many letters, broken after a blank, slash, underscore or hyphen if there is one."""
    lines = [""]
    for piece in _pieces(text, letters):
        if len((lines[-1] + piece).rstrip()) > letters:
            lines.append("")
        lines[-1] += piece
    lines = [line.strip() for line in lines]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], f"{lines[MOST_LINES - 1][: letters - 1]}…"]
    return lines


def _pieces(text: str, letters: int) -> list[str]:
    found = [piece for piece in _PIECE.findall(text) if piece]
    return [piece[at : at + letters] for piece in found for at in range(0, len(piece), letters)]


def draw(box: Box, x: float, y: float, width: float, height: float | None = None) -> str:
    """The box, with all of its text for whoever points at it."""
    high = height or box.height(width)
    rows = [
        f'<text class="{kind}" x="{x + PADDING:.0f}" y="{y + PADDING + 8 + row * LINE:.0f}">{safe(text)}</text>'
        for row, (kind, text) in enumerate(box.lines(width))
    ]
    frame = f'<rect class="box {box.tone}" x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{high:.0f}" rx="8"/>'
    return "".join(["<g>", f"<title>{safe(box.told())}</title>", frame, *rows, "</g>"])


def arrow(*points: tuple[float, float]) -> str:
    """From the first point over the others to the last."""
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path class="arrow" d="M{path}"/>'


def picture(name: str, title: str, description: str, size: tuple[float, float], parts: Sequence[str]) -> str:
    width, height = size
    return "\n".join(
        [
            f'<svg role="img" aria-labelledby="{name}-t {name}-d" viewBox="0 0 {width:.0f} {height:.0f}" '
            f'width="{width:.0f}" height="{height:.0f}">',
            f'<title id="{name}-t">{safe(title)}</title>',
            f'<desc id="{name}-d">{safe(description)}</desc>',
            *parts,
            "</svg>",
        ]
    )
