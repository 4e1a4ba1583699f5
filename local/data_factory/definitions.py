"""Pipelines as infra/adf keeps them: reading, refusing what ADF would not publish, binding a run's parameters."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from local.data_factory.values import as_text, kind

Activity = Mapping[str, Any]
CONDITIONS = frozenset({"Succeeded", "Failed", "Skipped", "Completed"})
LOOPS = frozenset({"Until", "ForEach"})
BRANCHES = frozenset({"IfCondition", "Switch"})


class InvalidPipeline(Exception):
    """ADF would not publish this pipeline."""


class BadParameters(Exception):
    """A run cannot start with these parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """One published pipeline. The ETag changes with its content."""

    name: str
    properties: Mapping[str, Any]
    etag: str

    @property
    def activities(self) -> Sequence[Activity]:
        return list(self.properties.get("activities", []))

    @property
    def parameters(self) -> Mapping[str, Any]:
        return dict(self.properties.get("parameters", {}))

    @property
    def variables(self) -> Mapping[str, Any]:
        return dict(self.properties.get("variables", {}))

    @property
    def concurrency(self) -> int | None:
        limit = self.properties.get("concurrency")
        return None if limit is None else int(limit)

    def bind(self, given: Mapping[str, object]) -> dict[str, object]:
        """The values of a run's parameters: given ones checked, defaults for the rest.

        A parameter that the pipeline does not declare is dropped without a word. Whether the service does that or
        refuses the call is not documented; dropping is the worse case for a caller that stamps its runs.

        Raises:
            BadParameters: a value is missing or of the wrong type (400 from the service).
        """
        bound: dict[str, object] = {}
        for name, declared in self.parameters.items():
            value = given.get(name)
            if value is None:
                value = declared.get("defaultValue")
            if value is None:
                raise BadParameters(f"The pipeline '{self.name}' needs a value for its parameter '{name}'.")
            bound[name] = _checked(name, str(declared["type"]), value)
        return bound


def _whole(value: object) -> int:
    if isinstance(value, bool):
        raise TypeError
    return int(str(value))


def _truth(value: object) -> bool:
    return {"true": True, "false": False}[str(value).lower()]


def _is(type_: type) -> Callable[[Any], object]:
    def check(value: object) -> object:
        if not isinstance(value, type_):
            raise TypeError
        return value

    return check


def _text(value: object) -> str:
    if isinstance(value, list | dict):
        raise TypeError
    return as_text(value)


_TYPES: Mapping[str, Callable[[Any], object]] = {
    "string": _text,
    "securestring": _text,
    "int": _whole,
    "float": float,
    "bool": _truth,
    "array": _is(list),
    "object": _is(dict),
}


def _checked(name: str, type_: str, value: object) -> object:
    try:
        return _TYPES[type_.lower()](value)
    except (KeyError, TypeError, ValueError) as wrong:
        what = f"{kind(value)} '{as_text(value)}'"
        raise BadParameters(f"The parameter '{name}' is of type {type_}; {what} cannot be used for it.") from wrong


def read_folder(folder: Path) -> list[Pipeline]:
    """Every pipeline/*.json of an ADF Git folder."""
    return [parse(json.loads(path.read_text()), path.name) for path in sorted(folder.glob("pipeline/*.json"))]


def read_global_parameters(folder: Path) -> dict[str, object]:
    """The values in globalParameters.json, which has the shape of ARM's factories/globalParameters resource."""
    path = folder / "globalParameters.json"
    if not path.exists():
        return {}
    declared = json.loads(path.read_text())["properties"]
    return {name: _checked(name, str(entry["type"]), entry["value"]) for name, entry in declared.items()}


def parse(document: Mapping[str, Any], source: str = "") -> Pipeline:
    """A pipeline document {"name", "properties"} that ADF would publish.

    Raises:
        InvalidPipeline: it would not; the message names the pipeline and the culprit.
    """
    name, properties = str(document["name"]), document["properties"]
    try:
        _check_names(properties["activities"])
        _check_variables(properties)
        _check_scope(properties["activities"], inside=())
    except InvalidPipeline as problem:
        place = f" ({source})" if source else ""
        raise InvalidPipeline(f"Pipeline '{name}'{place}: {problem}") from problem
    etag = hashlib.sha256(json.dumps(properties, sort_keys=True).encode()).hexdigest()[:32]
    return Pipeline(name=name, properties=properties, etag=etag)


def inner(activity: Activity) -> list[list[Activity]]:
    """The lists of activities inside a container, in the order they are written."""
    properties = activity.get("typeProperties", {})
    names = ("activities", "ifTrueActivities", "ifFalseActivities", "defaultActivities")
    lists = [list(properties[name]) for name in names if properties.get(name)]
    return lists + [list(case.get("activities", [])) for case in properties.get("cases", [])]


def every(activities: Sequence[Activity]) -> Iterator[Activity]:
    """All activities, containers before what is in them."""
    for activity in activities:
        yield activity
        for contained in inner(activity):
            yield from every(contained)


def _check_names(activities: Sequence[Activity]) -> None:
    seen: set[str] = set()
    for activity in every(activities):
        if activity["name"] in seen:
            raise InvalidPipeline(f"two activities are called '{activity['name']}'.")
        seen.add(activity["name"])
        if activity.get("state") == "Inactive":
            raise InvalidPipeline(f"activity '{activity['name']}' is inactive, which is not imitated here.")


def _check_variables(properties: Mapping[str, Any]) -> None:
    declared = properties.get("variables", {})
    for activity in every(properties["activities"]):
        if activity["type"] not in {"SetVariable", "AppendVariable"}:
            continue
        variable = activity["typeProperties"]["variableName"]
        if variable not in declared:
            raise InvalidPipeline(f"activity '{activity['name']}' sets '{variable}', which is not declared.")
        own = re.compile(rf"variables\(\s*'{re.escape(variable)}'\s*\)", re.IGNORECASE)
        if own.search(json.dumps(activity["typeProperties"].get("value"))):
            raise InvalidPipeline(f"activity '{activity['name']}' sets '{variable}' from itself.")


def _check_scope(activities: Sequence[Activity], inside: tuple[str, ...]) -> None:
    _check_dependencies(activities)
    for activity in activities:
        family = next((family for family in (LOOPS, BRANCHES) if activity["type"] in family), frozenset[str]())
        if family.intersection(inside):
            raise InvalidPipeline(f"activity '{activity['name']}': no {activity['type']} inside {inside[-1]}.")
        for contained in inner(activity):
            _check_scope(contained, (*inside, activity["type"]))


def _check_dependencies(activities: Sequence[Activity]) -> None:
    names = {activity["name"] for activity in activities}
    graph: dict[str, set[str]] = {}
    for activity in activities:
        graph[activity["name"]] = set()
        for dependency in activity.get("dependsOn", []):
            wanted, conditions = dependency["activity"], set(dependency["dependencyConditions"])
            if wanted not in names:
                raise InvalidPipeline(f"activity '{activity['name']}' depends on '{wanted}', which is not beside it.")
            if not conditions or conditions - CONDITIONS:
                raise InvalidPipeline(f"activity '{activity['name']}' has wrong conditions on '{wanted}'.")
            graph[activity["name"]].add(wanted)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as cycle:
        raise InvalidPipeline(f"activities depend on each other: {' → '.join(cycle.args[1])}.") from cycle
