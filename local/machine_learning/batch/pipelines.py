"""Reads AML's pipeline components from their YAML: which steps there are, and what flows between them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from local.machine_learning.batch.components import CommandComponent, Node, Port, Scalar, load_command, ports

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_FROM_PIPELINE = re.compile(rf"\$\{{\{{\s*parent\.(?P<side>inputs|outputs)\.(?P<name>{_NAME})\s*\}}\}}")
_FROM_STEP = re.compile(rf"\$\{{\{{\s*parent\.jobs\.(?P<step>{_NAME})\.outputs\.(?P<name>{_NAME})\s*\}}\}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineValue:
    """The step's input is an input of the pipeline."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepValue:
    """The step's input is what an earlier step put out."""

    step: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedValue:
    """The step's input is written in the pipeline itself: a literal, or the URI of data."""

    value: Scalar


Binding = PipelineValue | StepValue | FixedValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One use of a component. `outputs` maps its outputs to the pipeline's; those left out stay inside the job."""

    name: str
    component: CommandComponent
    inputs: Mapping[str, Binding]
    outputs: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None

    def needs(self) -> Iterator[str]:
        return (binding.step for binding in self.inputs.values() if isinstance(binding, StepValue))


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineComponent:
    """Steps in an order in which they can run."""

    name: str
    version: str
    description: str
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    steps: tuple[Step, ...]


def load_pipeline(file: Path) -> PipelineComponent:
    """The pipeline component in this file, with the command components it refers to.

    Raises:
        ComponentError: a file cannot be read, is not a component, or its parts do not fit together.
    """
    root = Node.load(file)
    if root.text("type") != "pipeline":
        raise root.error("type", "must be pipeline: batch endpoints deploy pipeline components")
    inputs, outputs = ports(root, "inputs"), ports(root, "outputs")
    steps = {name: _step(node, name) for name, node in root.children("jobs")}
    if not steps:
        raise root.error("jobs", "has no step")
    pipeline = PipelineComponent(
        name=root.text("name"),
        version=root.text("version", "1"),
        description=root.text("description", ""),
        inputs=inputs,
        outputs=outputs,
        steps=_in_order(root, steps),
    )
    _check_bindings(root, pipeline, steps)
    return pipeline


def _step(node: Node, name: str) -> Step:
    kind = node.text("type", "command")
    if kind != "command":
        raise node.error("type", f"{kind!r} is not imitated as a step, only command is")
    reference = node.text("component").removeprefix("file:")
    if reference.startswith("azureml:"):
        raise node.error("component", f"{reference!r} is registered; only components in files are imitated")
    component = load_command((node.file.parent / reference).resolve())
    limit = node.mapping("limits").get("timeout")
    if limit is not None and not isinstance(limit, (int, float)):
        raise node.error("limits.timeout", f"{limit!r} is not a number of seconds")
    return Step(
        name=name,
        component=component,
        inputs={key: _binding(node, key, value) for key, value in node.mapping("inputs").items()},
        outputs=dict(_pipeline_outputs(node)),
        seconds=None if limit is None else float(limit),
    )


def _binding(node: Node, name: str, value: object) -> Binding:
    if isinstance(value, Mapping):  # the long spelling: {type: uri_folder, path: …}
        value = value.get("path")
    if not isinstance(value, (str, int, float, bool)):
        raise node.error(f"inputs.{name}", "must be a value or an expression")
    text = str(value).strip()
    if match := _FROM_STEP.fullmatch(text):
        return StepValue(step=match["step"], name=match["name"])
    match = _FROM_PIPELINE.fullmatch(text)
    if match and match["side"] == "inputs":
        return PipelineValue(name=match["name"])
    if "${{" in text:
        raise node.error(f"inputs.{name}", f"{text!r} is not an expression that is imitated")
    return FixedValue(value=value)


def _pipeline_outputs(node: Node) -> Iterator[tuple[str, str]]:
    for name, value in node.mapping("outputs").items():
        target = value.get("path") if isinstance(value, Mapping) else value
        if target is None:  # only a type or a mode: the output stays inside the job
            continue
        match = _FROM_PIPELINE.fullmatch(str(target).strip())
        if match is None or match["side"] != "outputs":
            raise node.error(f"outputs.{name}", f"{target!r} must be ${{{{parent.outputs.<name>}}}}")
        yield name, match["name"]


def _in_order(root: Node, steps: Mapping[str, Step]) -> tuple[Step, ...]:
    for step in steps.values():
        for needed in step.needs():
            if needed not in steps:
                raise root.error(f"jobs.{step.name}", f"refers to a step {needed!r} that is not there")
    try:
        order = TopologicalSorter({name: set(step.needs()) for name, step in steps.items()}).static_order()
        return tuple(steps[name] for name in order)
    except CycleError as problem:
        raise root.error("jobs", f"wait for each other: {' -> '.join(problem.args[1])}") from problem


def _check_bindings(root: Node, pipeline: PipelineComponent, steps: Mapping[str, Step]) -> None:
    for step in pipeline.steps:
        where = f"jobs.{step.name}.inputs"
        _check_names(root, where, step.inputs, step.component.inputs)
        for name, port in step.component.inputs.items():
            if port.required and name not in step.inputs:
                raise root.error(where, f"lacks {name!r}, which {step.component.name} requires")
        for name, binding in step.inputs.items():
            _check_optional(root, f"{where}.{name}", binding, pipeline, step.component.inputs[name])
            _check_source(root, f"{where}.{name}", binding, pipeline, steps)
    _check_outputs(root, pipeline)


def _check_optional(root: Node, where: str, binding: Binding, pipeline: PipelineComponent, port: Port) -> None:
    """What may be left out of the job may not be missed by a step."""
    if not isinstance(binding, PipelineValue) or not port.required:
        return
    source = pipeline.inputs.get(binding.name)
    if source is not None and source.optional and source.default is None:
        raise root.error(where, f"is required, and the pipeline's input {binding.name!r} is optional")


def _check_outputs(root: Node, pipeline: PipelineComponent) -> None:
    produced: dict[str, str] = {}
    for step in pipeline.steps:
        where = f"jobs.{step.name}.outputs"
        _check_names(root, where, step.outputs, step.component.outputs)
        for target in step.outputs.values():
            if target not in pipeline.outputs:
                raise root.error(where, f"the pipeline has no output {target!r}")
            if target in produced:
                raise root.error(where, f"{target!r} is already put out by {produced[target]!r}")
            produced[target] = step.name
    for name in pipeline.outputs.keys() - produced.keys():
        raise root.error(f"outputs.{name}", "is put out by no step")


def _check_names(root: Node, where: str, given: Mapping[str, object], known: Mapping[str, Port]) -> None:
    for name in given:
        if name not in known:
            raise root.error(where, f"{name!r} is not one of the component's: {', '.join(known) or 'it has none'}")


def _check_source(
    root: Node, where: str, binding: Binding, pipeline: PipelineComponent, steps: Mapping[str, Step]
) -> None:
    if isinstance(binding, PipelineValue) and binding.name not in pipeline.inputs:
        raise root.error(where, f"the pipeline has no input {binding.name!r}")
    if isinstance(binding, StepValue) and binding.name not in steps[binding.step].component.outputs:
        raise root.error(where, f"step {binding.step!r} has no output {binding.name!r}")
