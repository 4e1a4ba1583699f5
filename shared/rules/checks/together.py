"""What must hold between a rule and the top of the file, or another rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from shared.rules.names import RESOURCE
from shared.rules.parts import DEPLOY_MODEL, RUN_PIPELINE, action_of, at, close, fits
from shared.rules.values import Mode, Priority
from shared.rules.yaml_lines import Found

_PRIORITY: Final = ("limits", "priority")

_Rules = Mapping[str, Mapping[str, object]]


def check_together(content: Mapping[str, object]) -> Iterator[Found]:
    """Finds every contradiction between parts of a file that stand far apart."""
    reactions = content.get("reactions")
    if not isinstance(reactions, Mapping):
        return
    rules = {name: rule for name, rule in reactions.items() if isinstance(rule, Mapping)}
    yield from _mode(content, rules)
    yield from _resources(content, rules)
    yield from _factory(content, rules)
    yield from _priority(content, rules)


def _mode(content: Mapping[str, object], rules: _Rules) -> Iterator[Found]:
    for name, rule in rules.items():
        if content.get("mode") == Mode.OBSERVE and rule.get("mode") == Mode.ACT:
            yield (
                ("reactions", name, "mode"),
                "contradicts mode: observe at the top of the file, by which every rule observes; leave it out",
            )


def _resources(content: Mapping[str, object], rules: _Rules) -> Iterator[Found]:
    given = content.get("resources", {})
    if not isinstance(given, Mapping) or not all(fits(RESOURCE, str(name)) for name in given):
        return
    wanted = {name: at(rule, "limits", "resources") for name, rule in rules.items()}
    used = {name: resources for name, resources in wanted.items() if isinstance(resources, list)}
    meant: set[object] = set()
    for name, resources in used.items():
        for i, resource in enumerate(resources):
            if not isinstance(resource, str) or resource in given:
                meant.add(resource if isinstance(resource, str) else None)
                continue
            alike = close(resource, map(str, given))
            meant.add(alike)
            advice = f"did you mean {alike}?" if alike else f"add it there, such as resources: {{{resource}: 2}}"
            place = ("reactions", name, "limits", "resources", i)
            yield place, f"{resource!r} is not among the resources at the top of the file; {advice}"
    unread = any(resources is not None and name not in used for name, resources in wanted.items())
    for resource in given:
        if resource not in meant and not unread:
            yield ("resources", resource), "is used by no rule; name it in limits.resources of one, or leave it out"


def _factory(content: Mapping[str, object], rules: _Rules) -> Iterator[Found]:
    if content.get("factory") is not None and rules and not any(RUN_PIPELINE in rule for rule in rules.values()):
        yield ("factory",), f"has no effect: no rule has {RUN_PIPELINE}"


def _priority(content: Mapping[str, object], rules: _Rules) -> Iterator[Found]:
    endpoints = Counter(str(at(rule, DEPLOY_MODEL, "endpoint")) for rule in rules.values())
    for name, rule in rules.items():
        action = action_of(rule)
        waits = (
            at(rule, "limits", "resources") is not None
            or (action == RUN_PIPELINE and content.get("factory") is not None)
            or (action == DEPLOY_MODEL and endpoints[str(at(rule, DEPLOY_MODEL, "endpoint"))] > 1)
        )
        # Who says `normal` says what holds anyway.
        if at(rule, *_PRIORITY) not in (None, Priority.NORMAL.name.lower()) and action is not None and not waits:
            yield (
                ("reactions", name, *_PRIORITY),
                "has no effect: there is nothing that rules wait for together; it takes limits.resources, or for "
                f"{RUN_PIPELINE} a factory section",
            )
