"""What is wrong with a file and with the modules it names, whatever its parameters are: what the compiler refuses.

The kinds are: syntax, duplicate, undefined, unknown-function, arguments, cycle, parameter-default, loop-place,
collection, start (what must be known when the deployment starts and is not: BCP120, 177, 178, 182), parent, body,
module-path, module-parameter, module-output, module-scope, decorator, file, and `unused`, which is a lint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.infra.bicep import arm, functions, tree
from tests.infra.bicep.tree import bare

# What can be read of a resource before it is deployed.
AT_START = {"id", "name", "type", "apiVersion"}
DECORATORS = {
    "allowed", "batchSize", "description", "discriminator", "export", "maxLength", "maxValue", "metadata", "minLength",
    "minValue", "onlyIfNotExists", "retryOn", "sealed", "secure", "waitUntil",
}  # fmt: skip


@dataclass(frozen=True, order=True)
class Problem:
    file: str
    line: int
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}: {self.message}"


class Refused(Exception):
    """A compiler or Azure would not take this deployment."""

    def __init__(self, *problems: Problem | str) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def problems(path: Path) -> list[Problem]:
    """Everything that is wrong with the file and the modules it leads to, in order."""
    found: list[Problem] = []
    done: set[Path] = set()
    waiting = [path.resolve()]
    root = path.resolve().parent
    while waiting:
        current = waiting.pop()
        if current in done:
            continue
        done.add(current)
        try:
            file = load(current)
        except tree.Unreadable as problem:
            found.append(Problem(shown(current, root), 0, "syntax", str(problem)))
            continue
        check = Check(current, file, shown(current, root))
        found.extend(check.problems())
        waiting.extend(path for path in check.module_paths() if path.is_file())
    return sorted(set(found))


def shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def load(path: Path) -> tree.File:
    return arm.parse(path.read_text(), path.name) if path.suffix == ".json" else tree.parse(path.read_text(), path.name)


@dataclass(frozen=True)
class Check:
    path: Path
    file: tree.File
    shown: str

    @cached_property
    def symbols(self) -> dict[str, tree.Declaration]:
        return {each.name: each for each in self.file.declarations if not isinstance(each, tree.Output)}

    def module_paths(self) -> list[Path]:
        return [
            (self.path.parent / each.path).resolve() for each in self.file.declarations if isinstance(each, tree.Module)
        ]

    def problem(self, node: tree.Node, kind: str, message: str) -> Problem:
        return Problem(self.shown, node.line, kind, message)

    def problems(self) -> Iterator[Problem]:
        yield from self._duplicates()
        for declaration in self.file.declarations:
            yield from self._names(declaration, {})
            yield from self._calls(declaration)
            yield from self._decorators(declaration)
            yield from self._loops(declaration)
        yield from self._defaults()
        yield from self._cycles()
        yield from self._unused()
        yield from self._starts()
        for declaration in self._deployables():
            yield from self._body(declaration)
        for declaration in self.file.declarations:
            if isinstance(declaration, tree.Module):
                yield from self._module(declaration)
        yield from self._outputs_read()

    def _deployables(self) -> Iterator[tree.Deployable]:
        for declaration in self.file.declarations:
            if isinstance(declaration, tree.Deployable):
                yield declaration
                yield from nested(declaration)

    # Names

    def _duplicates(self) -> Iterator[Problem]:
        for outputs in (False, True):
            found = [each for each in self.file.declarations if isinstance(each, tree.Output) is outputs]
            counts = Counter(each.name for each in found)
            yield from (
                self.problem(each, "duplicate", f"{each.name} is declared more than once")
                for each in found
                if counts[each.name] > 1
            )
        for node in (each for declaration in self.file.declarations for each in tree.walk(declaration)):
            if isinstance(node, tree.Object):
                keys = Counter(key.parts for key, _ in node.properties if isinstance(key, tree.Text) and plain(key))
                yield from (
                    self.problem(node, "duplicate", f"property {key[0]} is given more than once")
                    for key, count in keys.items()
                    if count > 1
                )

    def _names(self, node: tree.Node, local: dict[str, Any]) -> Iterator[Problem]:
        """Names that nothing declares. `local` has what loops, lambdas and nested resources add."""
        match node:
            case tree.Name(name=name) if name not in self.symbols and name not in local:
                yield self.problem(node, "undefined", f"nothing is called {name}")
            case tree.Type(kind="name", value=name) if not isinstance(self.symbols.get(name), tree.TypeName):
                yield self.problem(node, "undefined", f"no type is called {name}")
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

    def _names_of_body(self, node: tree.Deployable, local: dict[str, Any]) -> Iterator[Problem]:
        inner = dict(local)
        if node.loop is not None:
            yield from self._names(node.loop.source, local)
            inner |= {node.loop.item: None, node.loop.index or node.loop.item: None}
        if node.condition is not None:
            yield from self._names(node.condition, inner)
        yield from self._names(node.body, inner | {each.name: each for each in node.body.nested})

    def _nested_name(self, node: tree.Nested, local: dict[str, Any]) -> Iterator[Problem]:
        parent = self.declared(node.of, local)
        if parent is None or node.name not in {each.name for each in parent.body.nested}:
            yield self.problem(node, "undefined", f"no nested resource is called {node.name}")

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

    # Calls

    def _calls(self, declaration: tree.Declaration) -> Iterator[Problem]:
        own = {each.name: each for each in self.file.declarations if isinstance(each, tree.Function)}
        for node in walk_value(declaration):
            if isinstance(node, tree.Call):
                yield from self._call(node, own, declaration)

    def _call(self, node: tree.Call, own: dict[str, tree.Function], declaration: tree.Declaration) -> Iterator[Problem]:
        name, count = node.function, len(node.arguments)
        if node.of is not None:
            if not functions.is_list_function(name) and name != "getSecret":
                yield self.problem(node, "unknown-function", f"a resource has no {name}")
        elif name in own:
            if count != len(own[name].parameters):
                yield self.problem(
                    node, "arguments", f"{name} takes {len(own[name].parameters)} arguments, not {count}"
                )
        elif functions.is_list_function(name):
            return
        elif name not in functions.TABLE:
            yield self.problem(node, "unknown-function", f"{name} is no function that this evaluator knows")
        else:
            yield from self._built_in(node, declaration)

    def _built_in(self, node: tree.Call, declaration: tree.Declaration) -> Iterator[Problem]:
        name, count = node.function, len(node.arguments)
        least, most = functions.arity(name)
        if count < least or (most is not None and count > most):
            yield self.problem(node, "arguments", f"{name} takes {least} to {most} arguments, not {count}")
        if name in functions.ONLY_AS_DEFAULT and not isinstance(declaration, tree.Parameter):
            yield self.problem(node, "arguments", f"{name} can only be used in a parameter's default")
        if name in functions.LOADERS and node.arguments:
            path = node.arguments[0]
            if not isinstance(path, tree.Text) or not plain(path):
                yield self.problem(node, "file", f"{name} wants a path that is written out")
            elif not (self.path.parent / str(path.parts[0])).is_file():
                yield self.problem(node, "file", f"there is no file {path.parts[0]}")

    def _decorators(self, declaration: tree.Declaration) -> Iterator[Problem]:
        for each in declaration.decorators:
            if each.function not in DECORATORS:
                yield self.problem(each, "decorator", f"there is no decorator @{each.function}")

    # Where things may stand

    def _loops(self, declaration: tree.Declaration) -> Iterator[Problem]:
        """A loop is the value of a declaration, or of a property of a resource or module."""
        allowed: set[int] = set()
        if isinstance(declaration, (tree.Variable, tree.Output)):
            allowed = {id(declaration.value)}
        elif isinstance(declaration, tree.Deployable):
            bodies = [declaration.body, *(each.body for each in nested(declaration))]
            allowed = {id(value) for body in bodies for value in property_values(body)}
        for node in walk_value(declaration):
            if isinstance(node, tree.Loop) and id(node) not in allowed:
                yield self.problem(node, "loop-place", "a loop cannot stand here")
            if isinstance(node, tree.Condition):
                yield self.problem(node, "loop-place", "only a resource or module can have a condition")

    def _defaults(self) -> Iterator[Problem]:
        for parameter in self.file.declarations:
            if isinstance(parameter, tree.Parameter) and parameter.default is not None:
                for node in tree.walk(parameter.default):
                    other = self.symbols.get(node.name) if isinstance(node, tree.Name) else None
                    if other is not None and not isinstance(other, tree.Parameter):
                        yield self.problem(node, "parameter-default", f"a default cannot use {node.name}")

    # Uses

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

    def _cycles(self) -> Iterator[Problem]:
        for name, declaration in self.symbols.items():
            seen: set[str] = set()
            waiting = list(self.uses[name])
            while waiting:
                other = waiting.pop()
                if other not in seen:
                    seen.add(other)
                    waiting.extend(self.uses[other])
            # A nested resource's own name may be that of its parent: only what is declared here counts.
            if name in seen:
                yield self.problem(declaration, "cycle", f"{name} leads back to itself")

    def _unused(self) -> Iterator[Problem]:
        used = {name for names in self.uses.values() for name in names}
        for name, declaration in self.symbols.items():
            kind = type(declaration).__name__.lower()
            counts = isinstance(declaration, (tree.Parameter, tree.Variable, tree.Function, tree.TypeName))
            existing = isinstance(declaration, tree.Resource) and declaration.existing
            inner = {other for each in nested(declaration) for other in [each.name] if not each.existing}
            if (counts or (existing and not inner)) and name not in used:
                yield self.problem(declaration, "unused", f"{kind} {name} is not used")

    # What must be known when the deployment starts

    def _starts(self) -> Iterator[Problem]:
        needed = [(each, *need) for each in self._deployables() for need in self._needed_at_start(each)]
        for declaration in self.file.declarations:
            if isinstance(declaration, tree.Variable) and isinstance(declaration.value, tree.Loop):
                needed.append((declaration, "the loop", declaration.value))
            if isinstance(declaration, tree.Output) and isinstance(declaration.value, tree.Loop):
                needed.append((declaration, "the loop", declaration.value.source))
        for declaration, what, node in needed:
            reason = self.late(node)
            if reason is not None:
                yield self.problem(node, "start", f"{what} of {declaration.name} needs {reason}")

    def _needed_at_start(self, declaration: tree.Deployable) -> Iterator[tuple[str, tree.Node]]:
        if declaration.condition is not None:
            yield "the condition", declaration.condition
        if declaration.loop is not None:
            yield "the loop", declaration.loop.source
        name, scope = declaration.body.get("name"), declaration.body.get("scope")
        if name is not None:
            yield "the name", name
        if scope is not None and self.declared(scope) is None:
            yield "the scope", scope
        for value in property_values(declaration.body):
            if isinstance(value, tree.Loop):
                yield "a loop", value.source

    def late(self, node: tree.Node, seen: frozenset[str] = frozenset()) -> str | None:
        """Why an expression has no value before something is deployed."""
        node, reason = bare(node), None
        if isinstance(node, tree.Member) and (target := self.declared(node.of)) is not None:
            known = {"name"} if isinstance(target, tree.Module) else AT_START
            return None if node.name in known else f"{target.name}.{node.name}"
        if isinstance(node, tree.Call) and (node.of is not None or is_late_function(node.function)):
            return f"{node.function}()"
        if isinstance(node, tree.Name):
            found = self.symbols.get(node.name)
            if isinstance(found, tree.Deployable):
                reason = f"the whole of {node.name}"
            elif isinstance(found, tree.Variable) and node.name not in seen:
                reason = self.late(found.value, seen | {node.name})
        return reason or next(filter(None, (self.late(child, seen) for child in tree.children(node))), None)

    # Bodies

    def _body(self, declaration: tree.Deployable) -> Iterator[Problem]:
        if declaration.body.get("name") is None and isinstance(declaration, tree.Resource):
            yield self.problem(declaration, "body", f"{declaration.name} has no name")
        if not isinstance(declaration, tree.Resource):
            return
        if not declaration.api_version and declaration.name in self.symbols:
            yield self.problem(declaration, "body", f"{declaration.name} has no api version")
        parent = declaration.body.get("parent")
        if parent is None:
            return
        above = self.declared(parent)
        if not isinstance(above, tree.Resource):
            yield self.problem(parent, "parent", f"the parent of {declaration.name} is no resource of this file")
        elif declaration.type.lower().rpartition("/")[0] != self.full_type(above).lower():
            yield self.problem(parent, "parent", f"{declaration.type} is no child of {self.full_type(above)}")

    def full_type(self, resource: tree.Resource) -> str:
        """A nested resource is declared with the last part of its type only."""
        for above in self._deployables():
            if isinstance(above, tree.Resource) and resource in above.body.nested:
                return f"{self.full_type(above)}/{resource.type}"
        return resource.type

    # Modules

    def _module(self, module: tree.Module) -> Iterator[Problem]:
        path = self.path.parent / module.path
        if not path.is_file():
            yield self.problem(module, "module-path", f"there is no file {module.path}")
            return
        try:
            file = load(path)
        except tree.Unreadable:
            return
        yield from self._parameters_of(module, file)
        for key, _ in module.body.properties:
            if key.parts[0] not in ("name", "params", "scope", "dependsOn", "identity"):
                yield self.problem(module, "body", f"a module has no {key.parts[0]}")
        if module.body.get("scope") is None and file.target_scope != self.file.target_scope:
            yield self.problem(module, "module-scope", f"{module.path} is for a {file.target_scope}: it needs a scope")

    def _parameters_of(self, module: tree.Module, file: tree.File) -> Iterator[Problem]:
        given = module.body.get("params")
        names = {key.parts[0] for key, _ in given.properties} if isinstance(given, tree.Object) else set()
        declared = {each.name: each for each in file.declarations if isinstance(each, tree.Parameter)}
        for name in sorted(names - declared.keys()):
            yield self.problem(module, "module-parameter", f"{module.path} has no parameter {name}")
        for name, parameter in declared.items():
            if name not in names and parameter.default is None and parameter.type.kind != "nullable":
                yield self.problem(module, "module-parameter", f"{module.path} needs the parameter {name}")

    def _outputs_read(self) -> Iterator[Problem]:
        for declaration in self.file.declarations:
            for node in walk_value(declaration):
                yield from self._member_of_deployable(node)

    def _member_of_deployable(self, node: tree.Node) -> Iterator[Problem]:
        match node:
            case tree.Member(of=tree.Member(of=of, name="outputs"), name=name):
                module = self.declared(of)
                path = self.path.parent / module.path if isinstance(module, tree.Module) else None
                if path is not None and path.is_file() and name not in self._outputs_of(path):
                    yield self.problem(node, "module-output", f"{module.path} has no output {name}")
            case tree.Member(of=of, name=name):
                target = self.declared(of)
                if isinstance(target, tree.Module) and name not in ("outputs", "name"):
                    yield self.problem(node, "module-output", f"a module has no {name}")
                if target is not None and target.loop is not None and isinstance(bare(of), tree.Name):
                    yield self.problem(node, "collection", f"{target.name} is many: which one is meant?")

    @staticmethod
    def _outputs_of(path: Path) -> set[str]:
        try:
            return {each.name for each in load(path).declarations if isinstance(each, tree.Output)}
        except tree.Unreadable:
            return set()


def plain(text: tree.Text) -> bool:
    return len(text.parts) == 1 and isinstance(text.parts[0], str)


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


def property_values(body: tree.Object) -> Iterator[tree.Node]:
    """Every value of a property, at any depth of objects."""
    for node in tree.walk(body):
        if isinstance(node, tree.Object):
            yield from (value for _, value in node.properties)


def is_late_function(name: str) -> bool:
    return name == "reference" or functions.is_list_function(name)
