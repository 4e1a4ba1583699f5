"""How many and how often: limits that would have no effect, or say two things."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from shared.rules.parts import FILE_OVERDUE, NOTIFY, RUN_JOB, RUN_PIPELINE, action_of, at, event_of, whole_number
from shared.rules.values import WhileRunning
from shared.rules.yaml_lines import Found

_CONCURRENCY: Final = ("limits", "concurrency")
_DURING_COOLDOWN: Final = ("limits", "during-cooldown")
_WHILE_RUNNING: Final = ("limits", "while-running")
_RESOURCES: Final = ("limits", "resources")


def check_limits(rule: Mapping[str, object]) -> Iterator[Found]:
    """What is wrong with the limits of one rule."""
    by_itself = at(rule, "collect", "by") is None and isinstance(rule.get("collect", {}), Mapping)
    # To say 1 there changes nothing, and says what is so.
    if (whole_number(at(rule, *_CONCURRENCY)) or 0) > 1 and by_itself and action_of(rule) in {RUN_PIPELINE, RUN_JOB}:
        yield _CONCURRENCY, "has no effect without collect.by: the rule runs one reaction at a time as it is"
    if at(rule, *_DURING_COOLDOWN) is not None and at(rule, "limits", "cooldown") is None:
        yield _DURING_COOLDOWN, "has no effect without cooldown"
    policy = at(rule, *_WHILE_RUNNING)
    if policy == WhileRunning.REPLACE and event_of(rule) == FILE_OVERDUE:
        yield _WHILE_RUNNING, f"{policy} does not go with {FILE_OVERDUE}: that a file is still missing ends nothing"
    elif policy == WhileRunning.REPLACE and action_of(rule) == NOTIFY:
        yield _WHILE_RUNNING, f"{policy} does not go with {NOTIFY}: nothing runs that could be cancelled"
    names = at(rule, *_RESOURCES)
    for i, name in enumerate(names if isinstance(names, list) else ()):
        if isinstance(name, str) and isinstance(names, list) and names.index(name) != i:
            yield (*_RESOURCES, i), f"{name!r} is named twice: a reaction holds one permit of each"
