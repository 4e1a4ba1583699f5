"""Reads parts of a rule as the file gives it, right or wrong, and knows which events and actions there are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Final, NamedTuple, TypeVar

from shared.rules.patterns import NamePattern, PathPattern
from shared.rules.values import (
    DeployModel,
    DriftDetectedTrigger,
    FileLandedTrigger,
    FileOverdueTrigger,
    ModelRegisteredTrigger,
    Notify,
    RunJob,
    RunPipeline,
)
from shared.rules.yaml_lines import Path

FILE_LANDED: Final = FileLandedTrigger.kind
DRIFT_DETECTED: Final = DriftDetectedTrigger.kind
MODEL_REGISTERED: Final = ModelRegisteredTrigger.kind
FILE_OVERDUE: Final = FileOverdueTrigger.kind
RUN_PIPELINE: Final = RunPipeline.kind
RUN_JOB: Final = RunJob.kind
DEPLOY_MODEL: Final = DeployModel.kind
NOTIFY: Final = Notify.kind

EVENTS: Final = (FILE_LANDED, DRIFT_DETECTED, MODEL_REGISTERED, FILE_OVERDUE)
ACTIONS: Final = (RUN_PIPELINE, RUN_JOB, DEPLOY_MODEL, NOTIFY)
EVENTS_NOT_BUILT: Final = frozenset({"run-ended"})
ACTIONS_NOT_BUILT: Final = frozenset({"roll-back"})
NOT_BUILT: Final = EVENTS_NOT_BUILT | ACTIONS_NOT_BUILT | {"approval", "traffic", "soak"}
"""Keys the language is meant to have, refused wherever they stand until they do something."""

_T = TypeVar("_T")


class Source(NamedTuple):
    """Where the values of a rule's placeholders come from: its one event.

    Attributes:
        place: of its pattern.
        gives: names that the event gives a value itself.
    """

    event: str
    place: Path
    pattern: PathPattern | NamePattern
    gives: frozenset[str]

    @property
    def names(self) -> frozenset[str]:
        return self.gives.union(self.pattern.captures)


_PATTERNS: Final[dict[str, tuple[str, Callable[[str], PathPattern | NamePattern], frozenset[str]]]] = {
    FILE_LANDED: ("path", PathPattern.parse, FileLandedTrigger.gives),
    DRIFT_DETECTED: ("monitor", NamePattern.parse, DriftDetectedTrigger.gives),
    MODEL_REGISTERED: ("model", NamePattern.parse, ModelRegisteredTrigger.gives),
    FILE_OVERDUE: ("path", PathPattern.parse, FileOverdueTrigger.gives),
}


def source(rule: Mapping[str, object]) -> Source | None:
    """None where the rule has not exactly one event, or its pattern cannot be read."""
    event = event_of(rule)
    if event is None:
        return None
    key, parse, gives = _PATTERNS[event]
    place = ("when", event, key)
    pattern = read(parse, at(rule, *place))
    return None if pattern is None else Source(event, place, pattern, gives)


def event_of(rule: Mapping[str, object]) -> str | None:
    """The event a rule waits for; None unless it is exactly one."""
    return _only(at(rule, "when"), EVENTS, EVENTS_NOT_BUILT)


def action_of(rule: Mapping[str, object]) -> str | None:
    """The action of a rule; None unless it is exactly one."""
    return _only(rule, ACTIONS, ACTIONS_NOT_BUILT)


def _only(section: object, built: Iterable[str], not_built: Iterable[str]) -> str | None:
    given = [key for key in (*built, *not_built) if isinstance(section, Mapping) and key in section]
    return given[0] if len(given) == 1 and given[0] in built else None


def at(value: object, *path: str | int) -> object:
    """What stands there, or None."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def read(parse: Callable[[str], _T], text: object) -> _T | None:
    """What a text says, or None where it cannot be read: that is said elsewhere."""
    try:
        return parse(text) if isinstance(text, str) else None
    except ValueError:
        return None


def whole_number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def fits(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text) is not None


def close(key: str, keys: Iterable[str]) -> str | None:
    """The key that was meant, if one is alike."""
    found = get_close_matches(key.lower().replace("_", "-"), list(keys), n=1)
    return found[0] if found else None
