"""Checks what azure-ai-ml's loaders do not see: that components, what is made of them and their environment fit.

`python -m ml.check` prints every problem with its file and key and exits with 1 where there is one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ml.assets import Asset, Problem, mapping, read
from ml.check_uses import batch_problems, code_problems, data_problems, monitor_problems

REFERENCE = re.compile(r"\$\{\{\s*([^{}]*?)\s*\}\}")
PARENT = re.compile(r"\$\{\{\s*parent\.inputs\.(\w+)\s*\}\}")
OPTIONAL = re.compile(r"\$\[\[.*?\]\]", re.DOTALL)
LITERALS: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}
PLAIN_TYPES = frozenset(LITERALS.values())
DATA_TYPES = frozenset({"uri_file", "uri_folder", "mltable", "mlflow_model", "custom_model"})


FOLDERS = {
    "components": "components/*/component.yml",
    "pipelines": "pipelines/*.yml",
    "environments": "environments/*.yml",
    "endpoints": "batch/*-endpoint.yml",
    "deployments": "batch/*-deployment.yml",
    "monitors": "monitors/*.yml",
    "codes": "codes/*.yml",
    "data": "data/*.yml",
}


def problems(root: Path) -> list[Problem]:
    """Everything that is wrong in the YAML files below `root`."""
    assets: dict[str, list[Asset]] = {}
    found: list[Problem] = []
    for name, pattern in FOLDERS.items():
        read_files = [read(file) for file in sorted(root.glob(pattern))]
        found += [item for item in read_files if isinstance(item, Problem)]
        assets[name] = [item for item in read_files if isinstance(item, Asset)]
        if not read_files:
            found.append(Problem(file=root / pattern, key="(files)", message="there is none"))
    environments = {environment.reference for environment in assets["environments"]}
    for component in assets["components"]:
        found += component_problems(component, environments)
    for pipeline in assets["pipelines"]:
        found += Pipeline(pipeline).problems()
    found += batch_problems(assets["endpoints"], assets["deployments"], assets["pipelines"])
    for code in assets["codes"]:
        found += code_problems(code)
    for data in assets["data"]:
        found += data_problems(data)
    for monitor in assets["monitors"]:
        found += monitor_problems(monitor, assets["components"])
    return found


def component_problems(component: Asset, environments: set[str]) -> Iterator[Problem]:
    """A command refers to every declared input and output and to nothing else, in a pinned environment of ours."""
    environment = component.body.get("environment")
    if environment not in environments:
        yield component.problem("environment", f"{environment} is none of {', '.join(sorted(environments))}")
    yield from type_problems(component)
    command = str(component.body.get("command"))
    declared = {f"{section}.{name}" for section in ("inputs", "outputs") for name in component.section(section)}
    used = set(REFERENCE.findall(command))
    for reference in sorted(used - declared):
        yield component.problem("command", f"{reference} is not declared")
    for reference in sorted(declared - used):
        yield component.problem(reference, "the command does not use it")
    for reference in sorted(set(REFERENCE.findall(OPTIONAL.sub("", command)))):
        side, _, name = reference.partition(".")
        if side == "inputs" and component.may_be_missing(name):
            yield component.problem("command", f"{reference} may be missing: write $[[--option ${{{{{reference}}}}}]]")


def type_problems(asset: Asset) -> Iterator[Problem]:
    for section, known in (("inputs", DATA_TYPES | PLAIN_TYPES), ("outputs", DATA_TYPES)):
        for name in asset.section(section):
            if (kind := asset.type_of(section, name)) not in known:
                yield asset.problem(f"{section}.{name}.type", f"{kind} is none of {', '.join(sorted(known))}")


class Pipeline:
    """A pipeline component with the components its steps refer to by relative path."""

    def __init__(self, asset: Asset) -> None:
        self.asset = asset
        self.steps: dict[str, dict[str, Any]] = {n: mapping(step) for n, step in asset.section("jobs").items()}
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
        yield from type_problems(self.asset)
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
            for port, value in mapping(step.get(section)).items():
                key = f"jobs.{name}.{section}.{port}"
                for message in self._binding_messages(value, component.type_of(section, port), resolve):
                    yield self.asset.problem(key, message)
        for port in component.required_inputs():
            key, value = f"jobs.{name}.inputs.{port}", mapping(step.get("inputs")).get(port)
            if value is None:
                yield self.asset.problem(key, "the component needs it, the step does not bind it")
            elif any(self.asset.may_be_missing(given) for given in PARENT.findall(str(value))):
                yield self.asset.problem(key, "the component needs it, but the pipeline may have no value for it")

    def _binding_messages(
        self, value: object, wanted: str | None, resolve: Callable[[str], str | None]
    ) -> Iterator[str]:
        if wanted is None:
            yield "the component has nothing of that name"
        text = mapping(value).get("path", value)
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
    print(f"ml: {len(found)} problems" if found else "ml: components, pipelines and their users fit")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
