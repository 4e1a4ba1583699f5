"""Scales and round numbers for charts."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Turns a value between `low` and `high` into a place between `start` and `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return self.start + share * (self.end - self.start)


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from low to high, about so many."""
    step = _round_step((high - low) / about) if high > low else 1.0
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _round_step(rough: float) -> float:
    """The nearest of 1, 2, 2.5, 5 and 10, times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return min((each * power for each in (1.0, 2.0, 2.5, 5.0, 10.0)), key=lambda step: abs(math.log(step / rough)))


def plain(value: float) -> str:
    """Without needless digits: 20, 2.5, 0.078."""
    return f"{value:.4g}"
