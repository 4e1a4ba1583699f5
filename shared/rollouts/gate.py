"""The gate: whether a registered model may take the live one's place, by the figures of its own registration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from shared.models import ModelRef
from shared.rules import Gate

FIRST_MODEL: Final = "first-model"
LIVE: Final = "live."
"""Before a property of a candidate: the live model's figure on the same data, and which version that was."""
_DIGITS: Final = 20
"""Before the point. A figure of more is no figure: to reckon with it or to show it may take all memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    passed: bool
    reason: str


def judge(gate: Gate | None, candidate: Mapping[str, str], live: ModelRef | None) -> Verdict:
    """Whether the candidate passes. Pure, and cheap: it may be asked at any time.

    Args:
        candidate: the registered properties of the candidate.
        live: what is live now; None where nothing is.
    """
    if live is None:
        return Verdict(passed=True, reason=f"{FIRST_MODEL}: nothing is live yet")
    if gate is None:
        return Verdict(passed=True, reason="the rule has no gate")
    stale = _stale(candidate, live)
    if stale is not None:
        return _no(stale)
    figures = []
    for name in (gate.metric, f"{LIVE}{gate.metric}"):
        figure = _figure(candidate.get(name))
        if figure is None:
            found = repr(candidate[name]) + ", which is no number" if name in candidate else "no such property"
            return _no(f"{name}: the candidate was registered with {found}")
        figures.append(figure)
    mine, theirs = figures
    # In decimals, as registered: 0.779 - 0.777 is 0.002, not a little more.
    gain = mine - theirs
    passed = gain > 0 and gain >= gate.by
    needed = f"at least {gate.by} is needed" if gate.by else "more than nothing is needed"
    told = f"{gate.metric} {_shown(mine)} against {_shown(theirs)} of {live}: {gain:+.4f}, {needed}"
    return Verdict(passed=passed, reason=told)


def _stale(candidate: Mapping[str, str], live: ModelRef) -> str | None:
    """A comparison with another model than the live one says nothing."""
    compared = candidate.get(f"{LIVE}version")
    if compared is None:
        return f"{LIVE}version: the candidate was not compared with {live}, which is live"
    name = candidate.get(f"{LIVE}name", live.name)
    if (name, compared) != (live.name, live.version):
        return f"stale comparison: the candidate was compared with {name}:{compared}, and {live} is live"
    return None


def _figure(text: str | None) -> Decimal | None:
    try:
        figure = Decimal(text) if text is not None else None
    except InvalidOperation:
        return None
    return figure if figure is not None and figure.is_finite() and figure.adjusted() < _DIGITS else None


def _no(reason: str) -> Verdict:
    return Verdict(passed=False, reason=reason)


def _shown(figure: Decimal) -> str:
    return f"{figure:.4f}"
