"""What is wrong with one file by itself, as a compiler would say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from tests.infra.bicep import functions, tree
from tests.infra.bicep.symbols import Symbols, nested, symbols_of, walk_value
from tests.infra.bicep.tree import bare

# What can be read of a resource before it is deployed.
AT_START = {"id", "name", "type", "apiVersion"}
DECORATORS = {
    "allowed", "batchSize", "description", "discriminator", "export", "maxLength", "maxValue", "metadata", "minLength",
    "minValue", "onlyIfNotExists", "retryOn", "sealed", "secure", "waitUntil",
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    line: int
    kind: str
    message: str


@cache
def findings(file: tree.File) -> tuple[Finding, ...]:
    return tuple(_Check(symbols_of(file)).findings())


def at(node: tree.Node, kind: str, message: str) -> Finding:
    return Finding(node.line, kind, message)


@dataclass(frozen=True)
class _Check:
    known: Symbols

    def findings(self) -> Iterator[Finding]:
        yield from self._duplicates()
        for declaration in self.known.file.declarations:
            yield from self._names(declaration, {})
            yield from self._decorators(declaration)
            yield from self._loops(declaration)
        yield from self._calls()
        yield from self._defaults()
        yield from self._cycles()
        yield from self._unused()
        yield from self._starts()
        for declaration in self.known.deployables():
            yield from self._body(declaration)
        for _, node in self.known.nodes:
            yield from self._member_of_deployable(node)

    # Names

    def _duplicates(self) -> Iterator[Finding]:
        for outputs in (False, True):
            found = [each for each in self.known.file.declarations if isinstance(each, tree.Output) is outputs]
            counts = Counter(each.name for each in found)
            yield from (
                at(each, "duplicate", f"{each.name} is declared more than once")
                for each in found
                if counts[each.name] > 1
            )
        for node in (each for declaration in self.known.file.declarations for each in tree.walk(declaration)):
            if isinstance(node, tree.Object):
                keys = Counter(key.parts for key, _ in node.properties if isinstance(key, tree.Text) and plain(key))
                yield from (
                    at(node, "duplicate", f"property {key[0]} is given more than once")
                    for key, count in keys.items()
                    if count > 1
                )

    def _names(self, node: tree.Node, local: dict[str, Any]) -> Iterator[Finding]:
        """Names that nothing declares. `local` has what loops, lambdas and nested resources add."""
        match node:
            case tree.Name(name=name) if name not in self.known.symbols and name not in local:
                yield at(node, "undefined", f"nothing is called {name}")
            case tree.Type(kind="name", value=name) if not isinstance(self.known.symbols.get(name), tree.TypeName):
                yield at(node, "undefined", f"no type is called {name}")
            case tree.Nested():
                yield from self._nested_name(node, local)
        if isinstance(node, tree.Deployable):
            yield from self._names_of_body(node, local)
            return
        if isinstance(node, tree.Loop):
            yield from self._names(node.source, local)
            yield from self._names(node.body, {**local, node.item: None, node.index or node.item: None})
            return
        if isinstance(node, tree.Function):
            yield from self._names(node.body, dict.fromkeys((name for name, _ in node.parameters), None))
            return
        inner = {**local, **dict.fromkeys(node.parameters)} if isinstance(node, tree.Lambda) else local
        for child in tree.children(node):
            yield from self._names(child, inner)

    def _names_of_body(self, node: tree.Deployable, local: dict[str, Any]) -> Iterator[Finding]:
        inner = dict(local)
        if node.loop is not None:
            yield from self._names(node.loop.source, local)
            inner |= {node.loop.item: None, node.loop.index or node.loop.item: None}
        if node.condition is not None:
            yield from self._names(node.condition, inner)
        yield from self._names(node.body, inner | {each.name: each for each in node.body.nested})

    def _nested_name(self, node: tree.Nested, local: dict[str, Any]) -> Iterator[Finding]:
        parent = self.known.declared(node.of, local)
        if parent is None or node.name not in {each.name for each in parent.body.nested}:
            yield at(node, "undefined", f"no nested resource is called {node.name}")

    # Calls

    def _calls(self) -> Iterator[Finding]:
        own = {each.name: each for each in self.known.of(tree.Function)}
        for declaration, node in self.known.nodes:
            if isinstance(node, tree.Call):
                yield from self._call(node, own, declaration)

    def _call(self, node: tree.Call, own: dict[str, tree.Function], declaration: tree.Declaration) -> Iterator[Finding]:
        name, count = node.function, len(node.arguments)
        if node.of is not None:
            if not functions.is_list_function(name) and name != "getSecret":
                yield at(node, "unknown-function", f"a resource has no {name}")
        elif name in own:
            if count != len(own[name].parameters):
                yield at(node, "arguments", f"{name} takes {len(own[name].parameters)} arguments, not {count}")
        elif functions.is_list_function(name):
            return
        elif name not in functions.TABLE:
            yield at(node, "unknown-function", f"{name} is no function that this evaluator knows")
        else:
            yield from self._built_in(node, declaration)

    def _built_in(self, node: tree.Call, declaration: tree.Declaration) -> Iterator[Finding]:
        name, count = node.function, len(node.arguments)
        least, most = functions.arity(name)
        if count < least or (most is not None and count > most):
            yield at(node, "arguments", f"{name} takes {least} to {most} arguments, not {count}")
        if name in functions.ONLY_AS_DEFAULT and not isinstance(declaration, tree.Parameter):
            yield at(node, "arguments", f"{name} can only be used in a parameter's default")
        if name in functions.LOADERS and node.arguments:
            path = node.arguments[0]
            if not isinstance(path, tree.Text) or not plain(path):
                yield at(node, "file", f"{name} wants a path that is written out")

    def _decorators(self, declaration: tree.Declaration) -> Iterator[Finding]:
        for each in declaration.decorators:
            if each.function not in DECORATORS:
                yield at(each, "decorator", f"there is no decorator @{each.function}")

    # Where things may stand

    def _loops(self, declaration: tree.Declaration) -> Iterator[Finding]:
        """A loop is the value of a declaration, or of a property of a resource or module."""
        allowed: set[int] = set()
        if isinstance(declaration, (tree.Variable, tree.Output)):
            allowed = {id(declaration.value)}
        elif isinstance(declaration, tree.Deployable):
            bodies = [declaration.body, *(each.body for each in nested(declaration))]
            allowed = {id(value) for body in bodies for value in property_values(body)}
        for node in walk_value(declaration):
            if isinstance(node, tree.Loop) and id(node) not in allowed:
                yield at(node, "loop-place", "a loop cannot stand here")
            if isinstance(node, tree.Condition):
                yield at(node, "loop-place", "only a resource or module can have a condition")

    def _defaults(self) -> Iterator[Finding]:
        for parameter in self.known.file.declarations:
            if isinstance(parameter, tree.Parameter) and parameter.default is not None:
                for node in tree.walk(parameter.default):
                    other = self.known.symbols.get(node.name) if isinstance(node, tree.Name) else None
                    if other is not None and not isinstance(other, tree.Parameter):
                        yield at(node, "parameter-default", f"a default cannot use {node.name}")

    # Uses

    def _cycles(self) -> Iterator[Finding]:
        for name, declaration in self.known.symbols.items():
            seen: set[str] = set()
            waiting = list(self.known.uses[name])
            while waiting:
                other = waiting.pop()
                if other not in seen:
                    seen.add(other)
                    waiting.extend(self.known.uses[other])
            # A nested resource's own name may be that of its parent: only what is declared here counts.
            if name in seen:
                yield at(declaration, "cycle", f"{name} leads back to itself")

    def _unused(self) -> Iterator[Finding]:
        used = {name for names in self.known.uses.values() for name in names}
        for name, declaration in self.known.symbols.items():
            kind = type(declaration).__name__.lower()
            counts = isinstance(declaration, (tree.Parameter, tree.Variable, tree.Function, tree.TypeName))
            existing = isinstance(declaration, tree.Resource) and declaration.existing
            inner = {other for each in nested(declaration) for other in [each.name] if not each.existing}
            if (counts or (existing and not inner)) and name not in used:
                yield at(declaration, "unused", f"{kind} {name} is not used")

    # What must be known when the deployment starts

    def _starts(self) -> Iterator[Finding]:
        needed = [(each, *need) for each in self.known.deployables() for need in self._needed_at_start(each)]
        for declaration in self.known.file.declarations:
            if isinstance(declaration, tree.Variable) and isinstance(declaration.value, tree.Loop):
                needed.append((declaration, "the loop", declaration.value))
            if isinstance(declaration, tree.Output) and isinstance(declaration.value, tree.Loop):
                needed.append((declaration, "the loop", declaration.value.source))
        for declaration, what, node in needed:
            reason = self.late(node)
            if reason is not None:
                yield at(node, "start", f"{what} of {declaration.name} needs {reason}")

    def _needed_at_start(self, declaration: tree.Deployable) -> Iterator[tuple[str, tree.Node]]:
        if declaration.condition is not None:
            yield "the condition", declaration.condition
        if declaration.loop is not None:
            yield "the loop", declaration.loop.source
        name, scope = declaration.body.get("name"), declaration.body.get("scope")
        if name is not None:
            yield "the name", name
        if scope is not None and self.known.declared(scope) is None:
            yield "the scope", scope
        for value in property_values(declaration.body):
            if isinstance(value, tree.Loop):
                yield "a loop", value.source

    def late(self, node: tree.Node, seen: frozenset[str] = frozenset()) -> str | None:
        """Why an expression has no value before something is deployed."""
        node, reason = bare(node), None
        if isinstance(node, tree.Member) and (target := self.known.declared(node.of)) is not None:
            known = {"name"} if isinstance(target, tree.Module) else AT_START
            return None if node.name in known else f"{target.name}.{node.name}"
        if isinstance(node, tree.Call) and (node.of is not None or is_late_function(node.function)):
            return f"{node.function}()"
        if isinstance(node, tree.Name):
            found = self.known.symbols.get(node.name)
            if isinstance(found, tree.Deployable):
                reason = f"the whole of {node.name}"
            elif isinstance(found, tree.Variable) and node.name not in seen:
                reason = self.late(found.value, seen | {node.name})
        return reason or next(filter(None, (self.late(child, seen) for child in tree.children(node))), None)

    # Bodies

    @cached_property
    def _near(self) -> dict[str, tree.Resource]:
        """A nested resource is known by its name alone to those beside it."""
        return {each.name: each for above in self.known.deployables() for each in above.body.nested}

    def _waits(self, declaration: tree.Deployable) -> Iterator[Finding]:
        waits = declaration.body.get("dependsOn")
        for each in waits.items if isinstance(waits, tree.Items) else ():
            if self.known.declared(each, self._near) is None and not isinstance(each, tree.Text):  # ARM JSON has names
                yield at(each, "body", f"{declaration.name} depends on what is no resource or module")

    def _body(self, declaration: tree.Deployable) -> Iterator[Finding]:
        if declaration.body.get("name") is None and isinstance(declaration, tree.Resource):
            yield at(declaration, "body", f"{declaration.name} has no name")
        yield from self._waits(declaration)
        if not isinstance(declaration, tree.Resource):
            return
        if not declaration.api_version and declaration.name in self.known.symbols:
            yield at(declaration, "body", f"{declaration.name} has no api version")
        parent = declaration.body.get("parent")
        if parent is None:
            return
        above = self.known.declared(parent)
        if not isinstance(above, tree.Resource):
            yield at(parent, "parent", f"the parent of {declaration.name} is no resource of this file")
        elif declaration.type.lower().rpartition("/")[0] != self.known.full_type(above).lower():
            yield at(parent, "parent", f"{declaration.type} is no child of {self.known.full_type(above)}")

    def _member_of_deployable(self, node: tree.Node) -> Iterator[Finding]:
        match node:
            case tree.Member(of=of, name=name):
                target = self.known.declared(of)
                if isinstance(target, tree.Module) and name not in ("outputs", "name"):
                    yield at(node, "module-output", f"a module has no {name}")
                if target is not None and target.loop is not None and isinstance(bare(of), tree.Name):
                    yield at(node, "collection", f"{target.name} is many: which one is meant?")


def plain(text: tree.Text) -> bool:
    return len(text.parts) == 1 and isinstance(text.parts[0], str)


def property_values(body: tree.Object) -> Iterator[tree.Node]:
    """Every value of a property, at any depth of objects."""
    for node in tree.walk(body):
        if isinstance(node, tree.Object):
            yield from (value for _, value in node.properties)


def is_late_function(name: str) -> bool:
    return name == "reference" or functions.is_list_function(name)
