"""Reads AML's command components from their YAML: what they take, what they give, what they run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from local.machine_learning.batch.commands import Command, CommandError

Scalar = str | int | float | bool


class ComponentError(ValueError):
    """A component file is wrong, or uses something that is not imitated; says where."""


class Type(StrEnum):
    """The types of inputs and outputs that are imitated."""

    FILE = "uri_file"
    FOLDER = "uri_folder"
    MLFLOW_MODEL = "mlflow_model"
    CUSTOM_MODEL = "custom_model"
    MLTABLE = "mltable"
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"

    @property
    def is_literal(self) -> bool:
        return self in {Type.STRING, Type.INTEGER, Type.NUMBER, Type.BOOLEAN}

    @property
    def is_model(self) -> bool:
        return self in {Type.MLFLOW_MODEL, Type.CUSTOM_MODEL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One input or output. `default` and `optional` belong to inputs."""

    type: Type
    optional: bool = False
    default: Scalar | None = None

    @property
    def required(self) -> bool:
        return not self.optional and self.default is None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandComponent:
    """A command and the folder of code it runs in (None: it brings no code)."""

    name: str
    version: str
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    command: Command
    code: Path | None


def load_command(file: Path) -> CommandComponent:
    """The command component in this file.

    Raises:
        ComponentError: the file cannot be read, is not a command component, or its command does not fit.
    """
    root = Node.load(file)
    if root.text("type", "command") != "command":
        raise root.error("type", f"{root.text('type')!r} is not imitated as a step, only command is")
    inputs, outputs = ports(root, "inputs"), ports(root, "outputs")
    try:
        command = Command.parse(
            root.text("command"),
            always={name for name, port in inputs.items() if port.required or port.default is not None},
            maybe={name for name, port in inputs.items() if port.optional},
            outputs=set(outputs),
        )
    except CommandError as problem:
        raise root.error("command", str(problem)) from problem
    code = root.text("code", "")
    folder = (file.parent / code).resolve() if code else None
    if folder is not None and not folder.is_dir():
        raise root.error("code", f"{code!r} is not a folder beside the file")
    return CommandComponent(
        name=root.text("name"),
        version=root.text("version", "1"),
        inputs=inputs,
        outputs=outputs,
        command=command,
        code=folder,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A mapping somewhere in a YAML file, which knows its place for error messages."""

    file: Path
    place: str
    content: Mapping[str, Any]

    @classmethod
    def load(cls, file: Path) -> Node:
        try:
            content = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, YAMLError) as problem:
            raise ComponentError(f"{file}: cannot be read: {problem}") from problem
        if not isinstance(content, Mapping):
            raise ComponentError(f"{file}: is not a mapping")
        return cls(file=file, place="", content=content)

    def error(self, key: str, message: str) -> ComponentError:
        return ComponentError(f"{self.file}: {self.place}{key}: {message}")

    def text(self, key: str, default: str | None = None) -> str:
        value = self.content.get(key, default)
        if value is None:
            raise self.error(key, "is missing")
        if isinstance(value, (Mapping, list)):
            raise self.error(key, "must be a single value")
        return str(value)

    def mapping(self, key: str) -> Mapping[str, Any]:
        value = self.content.get(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self.error(key, "must be a mapping")
        return value

    def children(self, key: str) -> Iterator[tuple[str, Node]]:
        for name in self.mapping(key):
            yield str(name), self.child(key, name)

    def child_of(self, key: str) -> Node:
        """The mapping under this key."""
        if key not in self.content:
            raise self.error(key, "is missing")
        return Node(file=self.file, place=f"{self.place}{key}.", content=self.mapping(key))

    def child(self, key: str, name: str) -> Node:
        value = self.mapping(key)[name]
        if not isinstance(value, Mapping):
            raise self.error(f"{key}.{name}", "must be a mapping")
        return Node(file=self.file, place=f"{self.place}{key}.{name}.", content=value)


def ports(root: Node, key: str) -> dict[str, Port]:
    ports = {}
    for name, node in root.children(key):
        kind = node.text("type")
        if kind not in set(Type):
            raise node.error("type", f"{kind!r} is not imitated; one of {', '.join(Type)} is")
        default = node.content.get("default")
        if default is not None:
            try:
                default = read_literal(Type(kind), default)
            except ValueError as problem:
                raise node.error("default", str(problem)) from problem
        ports[name] = Port(type=Type(kind), optional=bool(node.content.get("optional")), default=default)
    return ports


def read_literal(kind: Type, value: object) -> Scalar:
    """The value in this type; texts are read, as AML keeps literals as texts.

    Raises:
        ValueError: it is no value of the type.
    """
    reader = _READERS.get(kind)
    if reader is not None and isinstance(value, (str, int, float)):  # a bool is an int
        with contextlib.suppress(TypeError, ValueError):
            return reader(value)
    raise ValueError(f"must be of type {kind}, which {value!r} is not")


def _integer(value: Scalar) -> Scalar:
    if isinstance(value, (bool, float)):
        raise TypeError
    return int(value)


def _number(value: Scalar) -> Scalar:
    if isinstance(value, bool):
        raise TypeError
    return value if isinstance(value, (int, float)) else float(value)


def _boolean(value: Scalar) -> Scalar:
    if isinstance(value, bool):
        return value
    if str(value).lower() not in {"true", "false"}:
        raise ValueError
    return str(value).lower() == "true"


_READERS: Mapping[Type, Callable[[Scalar], Scalar]] = {
    Type.STRING: str,
    Type.INTEGER: _integer,
    Type.NUMBER: _number,
    Type.BOOLEAN: _boolean,
}
