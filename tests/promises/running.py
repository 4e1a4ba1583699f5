"""How the machine is run: always the same examples, unless a longer run is asked for."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping
from typing import Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.promises.machine import Promises

EXAMPLES: Final = int(os.environ.get("PROMISES_EXAMPLES", "0"))
"""So many examples, others each time, instead of the usual ones."""
SHRINK: Final = os.environ.get("PROMISES_SHRINK") != "0"
"""Whether a story in which a promise is broken is made as short as it can be, which takes minutes."""


def run(machine: type[Promises], examples: int, steps: int, *, shrink: bool = SHRINK) -> Counter[str]:
    """Tries the promises, and gives what was done in all. So many steps at most in one example."""
    machine.totals = Counter()
    usual = settings(
        max_examples=EXAMPLES or examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=not EXAMPLES,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.target, *([Phase.shrink] if shrink else [])],
    )
    # What the product logs here is not looked at, and to keep it would take longer than all the rest.
    logging.disable(logging.CRITICAL)
    try:
        run_state_machine_as_test(machine, settings=usual)
    finally:
        logging.disable(logging.NOTSET)
    return machine.totals


def told(totals: Mapping[str, int]) -> str:
    """On one line, the most frequent first."""
    parts = sorted(totals.items(), key=lambda part: -part[1])
    return ", ".join(f"{number:,} {what}" for what, number in parts)
