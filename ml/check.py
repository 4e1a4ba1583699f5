"""Checks what azure-ai-ml's loaders do not see: that components, the pipelines made of them and their environment fit.

`python -m ml.check` prints every problem with its file and key and exits with 1 where there is one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

REFERENCE = re.compile(r"\$\{\{\s*([^{}]*?)\s*\}\}")
LITERALS: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}
PLAIN_TYPES = frozenset(LITERALS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    file: Path
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One YAML file: a component (`type: command`), a pipeline component (`type: pipeline`) or an environment."""

    file: Path
    body: dict[str, Any]

    def section(self, name: str) -> dict[str, Any]:
        return _mapping(self.body.get(name))

    def type_of(self, section: str, name: str) -> str | None:
        """The declared type of an input or output; None where there is none of that name."""
        port = self.section(section).get(name)
        return None if port is None else str(_mapping(port).get("type"))

    def required_inputs(self) -> list[str]:
        ports = self.section("inputs").items()
        return [name for name, port in ports if not _mapping(port).get("optional") and "default" not in _mapping(port)]

    def problem(self, key: str, message: str) -> Problem:
        return Problem(file=self.file, key=key, message=message)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def read(file: Path) -> Asset | Problem:
    try:
        body = YAML(typ="safe", pure=True).load(file)
    except (OSError, YAMLError) as error:
        return Problem(file=file, key="(file)", message=" ".join(str(error).split()))
    if not isinstance(body, dict):
        return Problem(file=file, key="(file)", message="it is not a mapping")
    return Asset(file=file, body=body)


def problems(root: Path) -> list[Problem]:
    """Everything that is wrong in the `components`, `pipelines` and `environments` folders below `root`."""
    assets: dict[str, list[Asset]] = {}
    found: list[Problem] = []
    for folder, pattern in (("components", "*/component.yml"), ("pipelines", "*.yml"), ("environments", "*.yml")):
        read_files = [read(file) for file in sorted((root / folder).glob(pattern))]
        found += [item for item in read_files if isinstance(item, Problem)]
        assets[folder] = [item for item in read_files if isinstance(item, Asset)]
        if not read_files:
            found.append(Problem(file=root / folder, key="(folder)", message="it holds no YAML file"))
    environments = {f"azureml:{e.body.get('name')}:{e.body.get('version')}" for e in assets["environments"]}
    for component in assets["components"]:
        found += component_problems(component, environments)
    for pipeline in assets["pipelines"]:
        found += Pipeline(pipeline).problems()
    return found


def component_problems(component: Asset, environments: set[str]) -> Iterator[Problem]:
    """A command refers to every declared input and output and to nothing else, in a pinned environment of ours."""
    environment = component.body.get("environment")
    if environment not in environments:
        yield component.problem("environment", f"{environment} is none of {', '.join(sorted(environments))}")
    declared = {f"{section}.{name}" for section in ("inputs", "outputs") for name in component.section(section)}
    used = set(REFERENCE.findall(str(component.body.get("command"))))
    for reference in sorted(used - declared):
        yield component.problem("command", f"{reference} is not declared")
    for reference in sorted(declared - used):
        yield component.problem(reference, "the command does not use it")


class Pipeline:
    """A pipeline component with the components its steps refer to by relative path."""

    def __init__(self, asset: Asset) -> None:
        self.asset = asset
        self.steps: dict[str, dict[str, Any]] = {n: _mapping(step) for n, step in asset.section("jobs").items()}
        self.components = {name: self._component(name, step) for name, step in self.steps.items()}
        self.used: set[str] = set()

    def _component(self, name: str, step: dict[str, Any]) -> Asset | Problem:
        where = step.get("component")
        if not isinstance(where, str) or where.startswith("azureml:"):
            return self.asset.problem(
                f"jobs.{name}.component", f"{where} is not a file of ours, so it cannot be checked"
            )
        component = read(self.asset.file.parent / where)
        if isinstance(component, Problem):
            return self.asset.problem(f"jobs.{name}.component", component.message)
        return component

    def problems(self) -> Iterator[Problem]:
        if not self.steps:
            yield self.asset.problem("jobs", "there is no step")
        for name, step in self.steps.items():
            component = self.components[name]
            if isinstance(component, Problem):
                yield component
            else:
                yield from self._step_problems(name, step, component)
        for section in ("inputs", "outputs"):
            for name in self.asset.section(section):
                if f"parent.{section}.{name}" not in self.used:
                    yield self.asset.problem(f"{section}.{name}", "no step refers to it")

    def _step_problems(self, name: str, step: dict[str, Any], component: Asset) -> Iterator[Problem]:
        if step.get("type") != component.body.get("type"):
            yield self.asset.problem(f"jobs.{name}.type", f"{step.get('type')}, but the component's is not")
        for section, resolve in (("inputs", self._input_type), ("outputs", self._output_type)):
            for port, value in _mapping(step.get(section)).items():
                key = f"jobs.{name}.{section}.{port}"
                for message in self._binding_messages(value, component.type_of(section, port), resolve):
                    yield self.asset.problem(key, message)
        for port in component.required_inputs():
            if port not in _mapping(step.get("inputs")):
                yield self.asset.problem(
                    f"jobs.{name}.inputs.{port}", "the component needs it, the step does not bind it"
                )

    def _binding_messages(
        self, value: object, wanted: str | None, resolve: Callable[[str], str | None]
    ) -> Iterator[str]:
        if wanted is None:
            yield "the component has nothing of that name"
        text = _mapping(value).get("path", value)
        references = REFERENCE.findall(text) if isinstance(text, str) else []
        self.used.update(references)
        unknown = [reference for reference in references if resolve(reference) is None]
        yield from (f"{reference} refers to nothing" for reference in unknown)
        if wanted is None or unknown:
            return
        whole = isinstance(text, str) and REFERENCE.fullmatch(text)
        given = resolve(references[0]) if whole else _literal_type(value, wanted)
        if given != wanted and (given, wanted) != ("integer", "number"):
            yield f"it is given {given}, the component declares {wanted}"

    def _input_type(self, reference: str) -> str | None:
        """The type of what a step's input may refer to: an input of the pipeline, an output of another step."""
        match reference.split("."):
            case ["parent", "inputs", name]:
                return self.asset.type_of("inputs", name)
            case ["parent", "jobs", step, "outputs", name]:
                component = self.components.get(step)
                return component.type_of("outputs", name) if isinstance(component, Asset) else None
        return None

    def _output_type(self, reference: str) -> str | None:
        match reference.split("."):
            case ["parent", "outputs", name]:
                return self.asset.type_of("outputs", name)
        return None


def _literal_type(value: object, wanted: str) -> str:
    if isinstance(value, dict):
        return str(value.get("type", wanted))
    given = LITERALS.get(type(value), "nothing")
    return wanted if given == "string" and wanted not in PLAIN_TYPES else given  # a path to data is a string


def main(argv: list[str]) -> int:
    found = problems(Path(argv[0]) if argv else Path(__file__).parent)
    for problem in found:
        print(problem, file=sys.stderr)
    print(f"ml: {len(found)} problems" if found else "ml: components, pipelines and environment fit")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
