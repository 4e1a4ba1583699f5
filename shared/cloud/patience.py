"""How long one call to Azure may take, and how often storage is asked again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Times in seconds. Targets are asked once a call: what fails there is asked again by the next look.

    Attributes:
        connect: until a connection stands.
        read: until something of the answer comes.
        scoring: as `read`, of a smoke test: a model may be slow at its first request.
        briefly: as `read`, of a call on whose answer nothing depends.
        repeats: how often a call of the storage is repeated that had no answer, or one that says "later".
        backoff: before such a repeat; longer before the second.
    """

    connect: float = 5
    read: float = 10
    scoring: float = 15
    briefly: float = 5
    repeats: int = 2
    backoff: float = 0.3


PATIENCE: Final = Patience()
"""An Event Grid delivery has 30 s in all, so a call gives up before."""
