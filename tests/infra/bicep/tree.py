"""What a Bicep file consists of: declarations and expressions, each with its line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any


class Unreadable(Exception):
    """The text is not Bicep, or a part of Bicep that this evaluator does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal(Node):
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Node):
    parts: tuple[str | Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Name(Node):
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Member(Node):
    of: Node
    name: str
    safe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Index(Node):
    of: Node
    index: Node
    safe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested(Node):
    """`parent::child`"""

    of: Node
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Node):
    function: str
    arguments: tuple[Node, ...]
    of: Node | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lambda(Node):
    parameters: tuple[str, ...]
    body: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary(Node):
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Unary(Node):
    operator: str
    operand: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Ternary(Node):
    condition: Node
    yes: Node
    no: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(Node):
    inner: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments(Node):
    """What a call has in its brackets, while a file is read."""

    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Items(Node):
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Object(Node):
    properties: tuple[tuple[Node, Node], ...]
    nested: tuple[Resource, ...] = ()

    def get(self, name: str) -> Node | None:
        return next((v for k, v in self.properties if isinstance(k, Text) and k.parts == (name,)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop(Node):
    item: str
    index: str | None
    source: Node
    body: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition(Node):
    test: Node
    body: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Type(Node):
    """kind: a primitive's name, `name`, `array`, `object`, `union`, `nullable` or `any`."""

    kind: str
    parts: tuple[Type, ...] = ()
    properties: tuple[tuple[str, Type], ...] = ()
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration(Node):
    name: str
    decorators: tuple[Call, ...] = ()

    def decorator(self, name: str) -> Call | None:
        return next((each for each in self.decorators if each.function == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter(Declaration):
    type: Type
    default: Node | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable(Declaration):
    value: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Function(Declaration):
    parameters: tuple[tuple[str, Type], ...]
    body: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeName(Declaration):
    type: Type


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(Declaration):
    type: Type
    value: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployable(Declaration):
    """A resource or a module: one body, perhaps conditional, perhaps for each item of an array."""

    body: Object
    condition: Node | None = None
    loop: Loop | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource(Deployable):
    type: str
    api_version: str
    existing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Module(Deployable):
    path: str


@dataclass(frozen=True, kw_only=True, eq=False)
class File:
    target_scope: str = "resourceGroup"
    declarations: tuple[Declaration, ...] = field(default=())


def children(node: Any) -> Iterator[Any]:
    """Every node directly below; for an object also what is nested in it."""
    for name in _parts(type(node)):
        yield from _nodes(getattr(node, name))


@cache
def _parts(kind: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind) if each.name not in ("line", "name"))


def _nodes(value: Any) -> Iterator[Any]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _nodes(item)


def walk(node: Any) -> Iterator[Any]:
    yield node
    for child in children(node):
        yield from walk(child)


def bare(node: Node) -> Node:
    return bare(node.inner) if isinstance(node, Group) else node
