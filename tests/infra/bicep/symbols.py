"""The names of one file: what they stand for, and which declaration needs which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from tests.infra.bicep import tree
from tests.infra.bicep.tree import bare


@cache
def symbols_of(file: tree.File) -> Symbols:
    return Symbols(file)


@dataclass(frozen=True, eq=False)
class Symbols:
    file: tree.File

    @cached_property
    def symbols(self) -> dict[str, tree.Declaration]:
        return {each.name: each for each in self.file.declarations if not isinstance(each, tree.Output)}

    def of(self, kind: type[tree.Declaration]) -> list[Any]:
        return [each for each in self.file.declarations if isinstance(each, kind)]

    def deployables(self) -> Iterator[tree.Deployable]:
        """Resources and modules, nested resources too."""
        for declaration in self.of(tree.Deployable):
            yield declaration
            yield from nested(declaration)

    def declared(self, node: tree.Node, local: dict[str, Any] | None = None) -> tree.Deployable | None:
        """The resource or module that an expression names."""
        node = bare(node)
        match node:
            case tree.Name(name=name):
                found = (local or {}).get(name) or self.symbols.get(name)
                return found if isinstance(found, tree.Deployable) else None
            case tree.Index(of=of):
                found = self.declared(of, local)
                return found if found is not None and found.loop is not None else None
            case tree.Nested(of=of, name=name):
                parent = self.declared(of, local)
                inside = parent.body.nested if parent is not None else ()
                return next((each for each in inside if each.name == name), None)
        return None

    def full_type(self, resource: tree.Resource) -> str:
        """A nested resource is declared with the last part of its type only."""
        for above in self.deployables():
            if isinstance(above, tree.Resource) and resource in above.body.nested:
                return f"{self.full_type(above)}/{resource.type}"
        return resource.type

    @cached_property
    def uses(self) -> dict[str, set[str]]:
        """Which symbols each declaration names."""
        return {
            f"output {each.name}" if isinstance(each, tree.Output) else each.name: self._used(each)
            for each in self.file.declarations
        }

    def _used(self, declaration: tree.Declaration) -> set[str]:
        found = set()
        for node in tree.walk(declaration):
            if isinstance(node, tree.Name):
                found.add(node.name)
            elif isinstance(node, tree.Type) and node.kind == "name":
                found.add(node.value)
            elif isinstance(node, tree.Call) and node.of is None:
                found.add(node.function)
        return found & self.symbols.keys()

    def waits_for(self, name: str) -> frozenset[str]:
        """The resources and modules that a declaration names, itself or through variables."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            for other in self.uses.get(waiting.pop(), set()) - found:
                found.add(other)
                if not isinstance(self.symbols[other], tree.Deployable):
                    waiting.append(other)
        return frozenset(other for other in found if isinstance(self.symbols[other], tree.Deployable))

    @cached_property
    def nodes(self) -> list[tuple[tree.Declaration, tree.Node]]:
        """Every expression of every declaration."""
        return [(declaration, node) for declaration in self.file.declarations for node in walk_value(declaration)]

    @cached_property
    def calls(self) -> list[tree.Call]:
        return [node for _, node in self.nodes if isinstance(node, tree.Call)]

    @cached_property
    def outputs_read(self) -> list[tuple[tree.Member, tree.Module]]:
        """`module.outputs.name`, wherever it stands."""
        found = []
        for _, node in self.nodes:
            match node:
                case tree.Member(of=tree.Member(of=of, name="outputs")):
                    module = self.declared(of)
                    if isinstance(module, tree.Module):
                        found.append((node, module))
        return found


def nested(declaration: tree.Declaration) -> Iterator[tree.Resource]:
    if isinstance(declaration, tree.Deployable):
        for each in declaration.body.nested:
            yield each
            yield from nested(each)


def walk_value(declaration: tree.Declaration) -> Iterator[tree.Node]:
    """Every expression of a declaration, without its decorators and without its own loop."""
    if not isinstance(declaration, tree.Deployable):
        parts = [child for child in tree.children(declaration) if child not in declaration.decorators]
    else:
        loop = [declaration.loop.source] if declaration.loop is not None else []
        condition = [declaration.condition] if declaration.condition is not None else []
        parts = [*loop, *condition, *(value for pair in declaration.body.properties for value in pair)]
        for each in declaration.body.nested:
            yield from walk_value(each)
    for part in parts:
        yield from tree.walk(part)
