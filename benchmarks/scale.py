"""How much is measured: what `make bench` does, and less of the same for who develops and for the tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Attributes:
    rounds: of a comparison; in each, both sides are measured, now the one first and now the other.
    events: of one burst, in a round of intake.
    lanes: with one event each.
    idle_seconds: how long Azurite's access log is read.
    starts: lone events, one after the other.
    queued: events whose looks come by the queue, twice as many in all.
    sizes: once, ten times and a hundred times as much.
    imports: fresh processes.
    compared: events of a burst that is given to every candidate; a fifth of them comes twice.
    refused: of its createRun calls so many get 429, and as many are accepted and then lost.
    """

    rounds: int
    events: int
    lanes: int
    idle_seconds: float
    starts: int
    queued: int
    sizes: tuple[int, int, int]
    imports: int
    compared: int
    refused: int


FULL: Final = Scale(
    rounds=5,
    events=1600,
    lanes=10_000,
    idle_seconds=300,
    starts=100,
    queued=20,
    sizes=(100, 1_000, 10_000),
    imports=7,
    compared=500,
    refused=3,
)
QUICK: Final = Scale(
    rounds=2,
    events=200,
    lanes=200,
    idle_seconds=30,
    starts=10,
    queued=3,
    sizes=(2, 20, 200),
    imports=1,
    compared=50,
    refused=3,
)
