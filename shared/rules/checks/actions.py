"""What a rule does: one action, and what does not go with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from shared.rules.fields import either
from shared.rules.names import INPUT
from shared.rules.parts import (
    ACTIONS,
    ACTIONS_NOT_BUILT,
    DEPLOY_MODEL,
    MODEL_REGISTERED,
    NOTIFY,
    RUN_JOB,
    action_of,
    at,
    close,
    event_of,
    fits,
)
from shared.rules.values import STAMPS
from shared.rules.yaml_lines import Found, Path

_MOST_PARAMETERS: Final = 50  # of an ADF pipeline
_NOT_WITH: Final[dict[str, dict[Path, str]]] = {
    DEPLOY_MODEL: {
        ("with",): "all it takes stands there",
        ("collect",): "every model is decided on by itself, one after the other for an endpoint",
        ("limits", "concurrency"): "an endpoint has one rollout at a time as it is",
        ("limits", "while-running"): "a newer model always replaces an older one",
    },
    NOTIFY: {
        ("with",): "its text says it all",
        ("require",): "nothing is trained",
        ("writes",): "nothing runs",
        ("limits", "concurrency"): "nothing runs",
        ("limits", "resources"): "nothing runs",
        ("retry",): "nothing runs that could fail",
        ("timeout",): "nothing runs",
    },
}


def check_action(rule: Mapping[str, object]) -> Iterator[Found]:
    """What is wrong with a rule's action, its parameters, and what else it says of a run."""
    yield from _one_action(rule)
    action = action_of(rule)
    for place, why in _NOT_WITH.get(action or "", {}).items():
        if at(rule, *place) is not None:
            yield place, f"does not go with {action}: {why}"
    event = event_of(rule)
    if action == DEPLOY_MODEL and event not in (None, MODEL_REGISTERED):
        yield (DEPLOY_MODEL,), f"needs when: {MODEL_REGISTERED}, not {event}: it deploys the model that was registered"
    yield from _parameters(rule, action)
    if at(rule, "retry", "backoff") is not None and at(rule, "retry", "attempts") in (None, 1):
        yield ("retry", "backoff"), "has no effect without attempts: 2 or more"


def _one_action(rule: Mapping[str, object]) -> Iterator[Found]:
    given = [key for key in rule if key in ACTIONS]
    for second in given[1:]:
        yield (second,), f"is a second action beside {given[0]}; write a rule for each"
    if not given and not any(key in ACTIONS_NOT_BUILT or close(key, ACTIONS) for key in rule):
        yield (), f"has no action; write {either(ACTIONS)}"


def _parameters(rule: Mapping[str, object], action: str | None) -> Iterator[Found]:
    parameters = at(rule, "with")
    names = list(parameters) if isinstance(parameters, Mapping) else []
    if action != RUN_JOB and len(names) + len(STAMPS) > _MOST_PARAMETERS:
        yield ("with",), f"has {len(names)} parameters; a pipeline takes {_MOST_PARAMETERS}, two of them Relearn's own"
    for i, name in enumerate(names):
        same = [other for other in names[:i] if other.casefold() == name.casefold()]
        if name.casefold() in STAMPS:
            yield ("with", name), "is sent by Relearn itself with every start; leave it out"
        elif not name.strip():
            yield ("with", name), "has no name"
        elif action == RUN_JOB and not fits(INPUT, name):
            yield ("with", name), "is not the name of an input: letters, digits and underscores, not a digit first"
        elif same:
            yield ("with", name), f"is the same parameter as {same[0]}: the names differ only in the case of letters"
