"""What must hold between the parts of a rule, and between rules, checked on whatever parts of them can be read.

What is wrong in itself is not said again here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.rules.checks.actions import check_action
from shared.rules.checks.batches import check_batches
from shared.rules.checks.events import check_event
from shared.rules.checks.limits import check_limits
from shared.rules.checks.paths import check_paths
from shared.rules.checks.placeholders import check_placeholders
from shared.rules.checks.together import check_together
from shared.rules.yaml_lines import Found

__all__ = ["check", "check_together"]


def check(rule: Mapping[str, object]) -> Iterator[Found]:
    """Finds every contradiction of a rule as the file gives it."""
    yield from check_event(rule)
    yield from check_action(rule)
    yield from check_batches(rule)
    yield from check_limits(rule)
    yield from check_placeholders(rule)
    yield from check_paths(rule)
