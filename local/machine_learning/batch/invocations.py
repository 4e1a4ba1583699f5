"""Reads what a batch endpoint is asked to do, and names everything that does not fit its component."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.machine_learning.batch.components import Port, Scalar, Type, read_literal
from local.machine_learning.batch.pipelines import PipelineComponent
from local.machine_learning.batch.records import Data, Literal, Value
from local.machine_learning.references import BadReference, is_reference
from local.machine_learning.registry.assets import Model
from local.machine_learning.registry.registry import UnknownAsset

FindModel = Callable[[str], Model]

# The data plane's spelling of the types; the service ignores the case of names and types alike.
SPELLINGS = {
    Type.FILE: "UriFile",
    Type.FOLDER: "UriFolder",
    Type.MLFLOW_MODEL: "MLFlowModel",
    Type.CUSTOM_MODEL: "CustomModel",
    Type.MLTABLE: "MLTable",
}
LITERAL = "Literal"
_INPUT_TYPE = "jobInputType"
_DATA_TYPES = {spelling.lower(): kind for kind, spelling in SPELLINGS.items()}


class InvalidInvocation(ValueError):
    """The body does not fit the deployment; one problem per thing that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


class NotImitated(RuntimeError):
    """AML would know what to do with this, the local cloud does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """A checked body. Inputs left out have their default; an output without a place is not in `outputs`."""

    inputs: Mapping[str, Value]
    outputs: Mapping[str, Data]
    display_name: str | None = None
    experiment: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def read_invocation(body: object, component: PipelineComponent, find_model: FindModel) -> Invocation:
    """Check a request body against the component it is for, and the models it refers to against the registry.

    Raises:
        InvalidInvocation: with every problem found.
        NotImitated: it refers to data in a way that is not imitated.
    """
    properties = _Fields(body).fields("properties")
    if properties is None:
        raise InvalidInvocation(["the body has no 'properties' object"])
    inputs, outputs = read_data(
        component, properties.get("inputData"), properties.get("outputData"), find_model=find_model
    )
    extra = properties.fields("properties") or _Fields({})
    tags = properties.fields("tags") or _Fields({})
    return Invocation(
        inputs=inputs,
        outputs=outputs,
        display_name=properties.text("name"),
        experiment=extra.text("experimentName"),
        tags={name: str(value) for name, value in tags.content.items()},
    )


def read_data(
    component: PipelineComponent, inputs: object, outputs: object, *, find_model: FindModel
) -> tuple[dict[str, Value], dict[str, Data]]:
    """Values by input and places by output, checked against the component and the registry.

    Raises:
        InvalidInvocation: with every problem found.
        NotImitated: it refers to data in a way that is not imitated.
    """
    problems: list[str] = []
    values = dict(_inputs(_Fields(inputs), component.inputs, problems))
    problems.extend(_wrong_models(values, find_model))
    places = dict(_outputs(_Fields(outputs), component.outputs, problems))
    if problems:
        raise InvalidInvocation(problems)
    return values, places


class _Fields:
    """A JSON object whose members are found whatever their case: clients send PascalCase and camelCase."""

    def __init__(self, content: object) -> None:
        self.content: Mapping[str, Any] = content if isinstance(content, Mapping) else {}
        self._by_name = {str(name).lower(): value for name, value in self.content.items()}

    def get(self, name: str) -> object:
        return self._by_name.get(name.lower())

    def fields(self, name: str) -> _Fields | None:
        value = self.get(name)
        return _Fields(value) if isinstance(value, Mapping) else None

    def text(self, name: str) -> str | None:
        value = self.get(name)
        return value if isinstance(value, str) and value else None


def _inputs(given: _Fields, ports: Mapping[str, Port], problems: list[str]) -> Iterator[tuple[str, Value]]:
    problems.extend(_unknown("input", given, ports))
    for name, port in ports.items():
        entry = given.content.get(name)
        if entry is None:
            if port.required:
                problems.append(f"input {name!r} is required and missing")
            elif port.default is not None:
                yield name, Literal(value=port.default)
            continue
        try:
            yield name, _value(f"input {name!r}", _Fields(entry), port, _INPUT_TYPE)
        except InvalidInvocation as problem:
            problems.extend(problem.problems)


def _outputs(given: _Fields, ports: Mapping[str, Port], problems: list[str]) -> Iterator[tuple[str, Data]]:
    problems.extend(_unknown("output", given, ports))
    for name, port in ports.items():
        entry = given.content.get(name)
        if entry is None or not _Fields(entry).text("uri"):
            continue
        try:
            value = _value(f"output {name!r}", _Fields(entry), port, "jobOutputType")
        except InvalidInvocation as problem:
            problems.extend(problem.problems)
        else:
            if isinstance(value, Data):
                yield name, value


def _wrong_models(inputs: Mapping[str, Value], find_model: FindModel) -> Iterator[str]:
    for name, value in inputs.items():
        if not isinstance(value, Data) or not is_reference(value.uri):
            continue
        try:
            model = find_model(value.uri)
        except (BadReference, UnknownAsset) as problem:
            yield f"input {name!r}: {problem}"
            continue
        if model.type != value.type:
            yield f"input {name!r} is a {value.type}, and {model.name}:{model.version} is a {model.type}"


def _unknown(what: str, given: _Fields, ports: Mapping[str, Port]) -> Iterator[str]:
    known = ", ".join(sorted(ports)) or "it has none"
    for name in given.content:
        if name not in ports:
            yield f"{what} {name!r} is not one of the component's {what}s ({known})"


def _value(what: str, entry: _Fields, port: Port, type_key: str) -> Value:
    kind = entry.text(type_key)
    if kind is None:
        raise InvalidInvocation([f"{what} has no {type_key}"])
    if port.type.is_literal:
        if kind.lower() != LITERAL.lower():
            raise InvalidInvocation([f"{what} is a {port.type} and must be sent as {LITERAL}, not {kind}"])
        return Literal(value=_literal(what, entry.get("value"), port.type))
    if _DATA_TYPES.get(kind.lower().replace("_", "")) is not port.type:  # the control plane writes uri_folder
        raise InvalidInvocation([f"{what} is a {port.type} and must be sent as {SPELLINGS[port.type]}, not {kind}"])
    uri = entry.text("uri")
    if uri is None:
        raise InvalidInvocation([f"{what} has no uri"])
    if port.type.is_model and type_key == _INPUT_TYPE and is_reference(uri):
        return Data(type=port.type, uri=uri)
    if not uri.startswith(("azureml://", "https://")):
        raise NotImitated(f"{what}: {uri!r}; only azureml://datastores/… and https addresses are imitated")
    return Data(type=port.type, uri=uri)


def _literal(what: str, value: object, kind: Type) -> Scalar:
    try:
        return read_literal(kind, value)
    except ValueError as problem:
        raise InvalidInvocation([f"{what} {problem}"]) from problem
