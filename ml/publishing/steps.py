"""What publishing has to do, decided by comparing what there is to publish with what is published."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ml.publishing.contents import LABEL, Item, Kind

_NUMBER = re.compile(r"\d+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is there. `content`: its fingerprint, None where it was published without one; `sound`: it is in order."""

    content: str | None
    sound: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A batch endpoint: its default deployment, and the names of all."""

    name: str
    default: str | None
    deployments: tuple[str, ...]


class Refused(RuntimeError):
    """The workspace took something, but not as it was meant; says what to do."""


class State(StrEnum):
    NEW = "new"
    UNCHANGED = "unchanged"
    UPDATED = "updated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One row of the table; `do` is what makes it so, None where it is so already."""

    kind: str
    name: str
    version: str
    state: State
    do: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done, in order. With problems nothing may be done. `notes`: what the user may want to know."""

    steps: tuple[Step, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


class Target(Protocol):
    def find(self, item: Item) -> Known | None: ...
    def put(self, item: Item) -> None: ...
    def endpoint(self, name: str) -> Endpoint | None: ...
    def make_default(self, endpoint: str, deployment: str) -> None: ...


def plan(items: list[Item], target: Target) -> Plan:
    """Only reads."""
    steps: list[Step] = []
    problems: list[str] = []
    notes: list[str] = []
    for item in items:
        endpoint = None
        if item.kind is Kind.DEPLOYMENT:
            endpoint = target.endpoint(item.version)
            if endpoint is None:
                problems.append(_no_endpoint(item))
                continue
        known = target.find(item)
        problem = _problem(item, known)
        if problem:
            problems.append(problem)
            continue
        steps.append(_step(item, known, target))
        if endpoint is not None:
            steps.append(_default(item, endpoint, target))
            notes += _older(item, endpoint)
    return Plan(steps=tuple(steps), problems=tuple(problems), notes=tuple(notes))


def _step(item: Item, known: Known | None, target: Target) -> Step:
    state = State.NEW
    if known is not None:
        state = State.UNCHANGED if known.content == item.content and known.sound else State.UPDATED
    do = None if state is State.UNCHANGED else lambda: target.put(item)
    return Step(kind=item.kind, name=item.name, version=item.version, state=state, do=do)


def _default(item: Item, endpoint: Endpoint, target: Target) -> Step:
    """A call of the endpoint names no deployment: the default is what runs from then on."""
    same = endpoint.default == item.name
    return Step(
        kind="default",
        name=endpoint.name,
        version=item.name,
        state=State.UNCHANGED if same else State.NEW if endpoint.default is None else State.UPDATED,
        do=None if same else lambda: target.make_default(endpoint.name, item.name),
    )


def _problem(item: Item, known: Known | None) -> str | None:
    """Of what never changes once it is published, another content is a mistake, and so is one of unknown content."""
    if known is None or known.content == item.content:
        return None
    if item.kind is Kind.MONITOR:
        if known.content is not None:
            return None  # schedules may change
        return (
            f"{item.file}: the schedule {item.name} is there and was not published by this: delete it "
            f"(az ml schedule disable and delete --name {item.name}) and publish again"
        )
    key, value = ("name", item.name) if item.kind is Kind.DEPLOYMENT else ("version", item.version)
    what = f"{item.kind} {item.name}" + (f" at {item.version}" if item.kind is Kind.DEPLOYMENT else f":{item.version}")
    why = "is published with another content" if known.content else f"was not published by this (no tag {LABEL})"
    also = "".join(f", and the version in {user}" for user in item.users)
    return f"{item.file}: {key}: {what} {why}: raise it to {_raised(value)}{also}"


def _raised(text: str) -> str:
    match = _NUMBER.search(text)
    return f"{text}-2" if match is None else f"{text[: match.start()]}{int(match[0]) + 1}"


def _no_endpoint(item: Item) -> str:
    return (
        f"{item.file}: endpoint_name: there is no batch endpoint {item.version}: provision first, name it with "
        f"--endpoint, or make it (az ml batch-endpoint create --name {item.version} --auth-mode aad_token)"
    )


def _older(item: Item, endpoint: Endpoint) -> Iterator[str]:
    """The one before stays for a way back; what is older is nobody's but the user's to remove."""
    rest = [name for name in endpoint.deployments if name != item.name]
    if len(rest) > 1:
        yield (
            f"{endpoint.name} also has {', '.join(rest)}: when no job of theirs runs and nobody wants to go back, "
            f"az ml batch-deployment delete --endpoint-name {endpoint.name} --name …"
        )
