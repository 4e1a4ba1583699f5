"""Carries out a file with parameters: the resources that it and its modules would deploy, with their values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.infra.bicep import functions, refusals, tree, types
from tests.infra.bicep.refusals import Problem, Refused
from tests.infra.bicep.symbols import symbols_of
from tests.infra.bicep.values import (
    Answer,
    Resource,
    Runtime,
    Scope,
    group_scope,
    joined,
    subscription_scope,
)
from tests.infra.bicep.within import AT_START

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
GROUP_TYPE = "microsoft.resources/resourcegroups"
GUIDING = ("name", "parent", "scope", "dependsOn")
_MISSING = object()  # what `a.?b` is when there is no b: it ends the whole chain


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What would be deployed. Modules' resources and outputs are among them."""

    name: str
    file: str
    scope: str
    outputs: dict[str, Any]
    own: tuple[Resource, ...]
    modules: tuple[Deployment, ...]

    @cached_property
    def everything(self) -> tuple[Resource, ...]:
        return self.own + tuple(each for module in self.modules for each in module.everything)

    @cached_property
    def resources(self) -> tuple[Resource, ...]:
        """What is deployed, existing resources left out."""
        return tuple(each for each in self.everything if each.deployed and not each.existing)

    @cached_property
    def existing(self) -> tuple[Resource, ...]:
        return tuple(each for each in self.everything if each.deployed and each.existing)

    @property
    def all_modules(self) -> Iterator[Deployment]:
        for module in self.modules:
            yield module
            yield from module.all_modules

    def of_type(self, kind: str) -> list[Resource]:
        return [each for each in self.resources if each.type.lower() == kind.lower()]

    def by_id(self, identifier: str) -> Resource | None:
        return next((each for each in self.resources if each.id.lower() == identifier.lower()), None)


def deploy(
    path: Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    group: str = "rg-relearn",
    location: str = "westeurope",
    existing: Mapping[str, dict[str, Any]] | None = None,
) -> Deployment:
    """The deployment of a main file, to the subscription or to `group`, as the file says.

    `existing` tells, by id, what Azure answers about resources that are there already. Of others it is not known, and
    a condition on what is not known is refused.

    Raises:
        Refused: the compiler would refuse a file, or the deployment refuses these parameters.
    """
    wrong = [each for each in refusals.problems(path) if each.kind != "unused"]
    if wrong:
        raise Refused(*wrong)
    file = refusals.load(path)
    scopes = {
        "subscription": subscription_scope(SUBSCRIPTION),
        "resourceGroup": group_scope(SUBSCRIPTION, group, location),
    }
    if file.target_scope not in scopes:
        raise Refused(f"a deployment to a {file.target_scope} is not known here")
    there = {identifier.lower(): body for identifier, body in (existing or {}).items()}
    template = Template(path.absolute(), scopes[file.target_scope], location, root=path.absolute().parent, there=there)
    template.bind(parameters or {}, Problem(template.shown, 0, "parameter", ""))
    found = template.deployment()
    _refuse_repetitions(found)
    return found


def _refuse_repetitions(deployment: Deployment) -> None:
    """Two modules deployed under one name in one scope get into each other's way, so do two of one resource."""
    names = Counter((each.scope, each.name) for each in [deployment, *deployment.all_modules])
    twice = [f"{name} in {scope}" for (scope, name), count in names.items() if count > 1]
    ids = Counter(each.id.lower() for each in deployment.resources)
    twice += [each for each, count in ids.items() if count > 1]
    if twice:
        raise Refused(*(f"deployed more than once: {each}" for each in twice))


class ModuleRun:
    """A module's deployment, carried out when something of it is asked for."""

    def __init__(self, symbol: str, name: str, deployed: bool, carry_out: Callable[[], Deployment]) -> None:
        self._symbol, self.name, self.deployed, self._carry_out = symbol, name, deployed, carry_out

    @cached_property
    def deployment(self) -> Deployment:
        return self._carry_out()

    def member(self, name: str) -> Any:
        if name == "name":
            return self.name
        if not self.deployed:
            raise LookupError(f"module {self._symbol} is not deployed: it has no outputs")
        return self.deployment.outputs


class Template:
    """One file with its parameters' values, in a scope. Symbols are carried out when they are needed, once."""

    def __init__(
        self,
        path: Path,
        scope: Scope,
        location: str,
        *,
        root: Path,
        there: Mapping[str, dict[str, Any]],
        trail: tuple[str, ...] = (),
        name: str = "main",
    ) -> None:
        self.file = refusals.load(path)
        self.known, self.shown = symbols_of(self.file), refusals.shown(path, root)
        self.scope, self.folder, self.location = scope, path.parent, location
        self.subscription = scope.path.split("/")[2] if scope.path else SUBSCRIPTION
        self.deployment_name = name
        self.is_arm = path.suffix == ".json"
        self._root, self._trail, self._there = root, trail, there
        self._symbols: dict[str, Any] = {}
        self._types = {each.name: each.type for each in self.file.declarations if isinstance(each, tree.TypeName)}

    # Parameters and outputs

    def bind(self, given: Mapping[str, Any], caller: Problem) -> None:
        """Takes the parameters' values; refuses what does not fit, in the caller's name."""
        declared = {each.name: each for each in self.file.declarations if isinstance(each, tree.Parameter)}
        wrong = [f"there is no parameter {name}" for name in given if name not in declared]
        for name, parameter in declared.items():
            if name in given:
                value = given[name]
            elif parameter.default is not None:
                value = self.evaluate(parameter.default, {})
            elif parameter.type.kind == "nullable":
                value = None
            else:
                wrong.append(f"the parameter {name} is missing")
                continue
            self._symbols[name] = value
            wrong += [f"parameter {name}: {problem}" for problem in self._misfits(value, parameter)]
        if wrong:
            message = [f"{self.shown}: {each}" for each in wrong]
            raise Refused(*(Problem(caller.file, caller.line, "parameter", each) for each in message))

    def _misfits(self, value: Any, declaration: tree.Parameter | tree.Output) -> Iterator[str]:
        yield from types.misfits(value, declaration.type, self._types)
        limits = {
            each.function: self.evaluate(each.arguments[0], {}) for each in declaration.decorators if each.arguments
        }
        try:
            yield from types.broken_limits(value, limits)
        except TypeError:
            return  # its type is wrong already

    def _output(self, output: tree.Output) -> Any:
        value = self.evaluate(output.value, {})
        for problem in self._misfits(value, output):
            raise self.refused(output, f"output {output.name}: {problem}")
        return value

    def deployment(self) -> Deployment:
        own: list[Resource] = []
        modules: list[Deployment] = []
        for declaration in self.file.declarations:
            if isinstance(declaration, tree.Deployable):
                found = self.symbol(declaration.name)
                for each in found if isinstance(found, list) else [found]:
                    if isinstance(each, ModuleRun):
                        modules += [each.deployment] if each.deployed else []
                    else:
                        own += self._with_nested(each)
        outputs = {each.name: self._output(each) for each in self.file.declarations if isinstance(each, tree.Output)}
        return Deployment(
            name=self.deployment_name,
            file=self.shown,
            scope=self.scope.path,
            outputs=outputs,
            own=tuple(own),
            modules=tuple(modules),
        )

    # Symbols

    def refused(self, node: tree.Node, message: str) -> Refused:
        return Refused(Problem(self.shown, node.line, "value", message))

    def symbol(self, name: str) -> Any:
        if name not in self._symbols:
            self._symbols[name] = self._carry_out(self.known.symbols[name])
        return self._symbols[name]

    def _carry_out(self, declaration: tree.Declaration) -> Any:
        if isinstance(declaration, tree.Variable):
            return self.evaluate(declaration.value, {})
        make = self._module if isinstance(declaration, tree.Module) else self._resource
        return self._each(declaration, {}, make)

    def _each(self, declaration: Any, local: dict[str, Any], make: Callable[..., Any]) -> Any:
        """Carries out a body once, or for each item of its loop."""
        if declaration.loop is None:
            return make(declaration, local)
        return [make(declaration, {**local, **names}) for names in self._turns(declaration.loop, local)]

    def _turns(self, loop: tree.Loop, local: dict[str, Any]) -> Iterator[dict[str, Any]]:
        items = self.evaluate(loop.source, local)
        if not isinstance(items, list):
            raise self.refused(loop, f"a loop wants an array, not {items!r}")
        for at, item in enumerate(items):
            yield {loop.item: item, **({loop.index: at} if loop.index else {})}

    def _holds(self, condition: tree.Node | None, local: dict[str, Any]) -> bool:
        return condition is None or self._truth(condition, local)

    def _truth(self, node: tree.Node, local: dict[str, Any]) -> bool:
        value = self.evaluate(node, local)
        if not isinstance(value, bool):
            raise self.refused(node, f"a condition is true or false, not {value!r}")
        return value

    # Resources

    def _resource(self, declaration: tree.Resource, local: dict[str, Any], above: Resource | None = None) -> Resource:
        body = declaration.body
        deployed = self._holds(declaration.condition, local) and (above is None or above.deployed)
        parent = self._parent(declaration, local, deployed) or above
        full_type = f"{above.type}/{declaration.type}" if above is not None else declaration.type
        name = joined(
            [parent.name, self._name(declaration, local)] if parent else [self._name(declaration, local)], "/"
        )
        place = self._place(declaration, local, parent)
        identifier = self._identifier(declaration, place, full_type, name)
        resource = Resource(
            type=full_type,
            api_version=declaration.api_version or (above.api_version if above is not None else ""),
            symbol=declaration.name,
            file=self.shown,
            line=declaration.line,
            trail=self._trail,
            name=name,
            id=identifier,
            scope=place,
            parent=parent.id if parent else None,
            body={},
            depends_on=self.known.waits_for(declaration.name),
            existing=declaration.existing,
            deployed=deployed,
            known=declaration.existing and identifier.lower() in self._there,
        )
        if resource.known:
            resource.body.update(self._there[identifier.lower()])
        self._nest(resource, body, local)
        if deployed:
            inner = {**local, **self._nested_of(resource)}
            resource.body.update(
                (self.evaluate(key, inner), self.evaluate(value, inner))
                for key, value in body.properties
                if not (isinstance(key, tree.Text) and key.parts[0] in GUIDING)
            )
        return resource

    def _name(self, declaration: tree.Resource, local: dict[str, Any]) -> str:
        node = declaration.body.get("name")
        assert node is not None
        name = self.evaluate(node, local)
        if not isinstance(name, str) or not name:
            raise self.refused(node, f"the name of {declaration.name} is {name!r}")
        return name

    def _parent(self, declaration: tree.Resource, local: dict[str, Any], deployed: bool) -> Resource | None:
        node = declaration.body.get("parent")
        if node is None:
            return None
        parent: Resource = self.evaluate(node, local)
        if deployed and not parent.deployed:
            raise self.refused(node, f"{declaration.name} is deployed, its parent {parent.symbol} is not")
        return parent

    def _place(self, declaration: tree.Resource, local: dict[str, Any], parent: Resource | None) -> str:
        """The path that its id begins with."""
        node = declaration.body.get("scope")
        if node is None:
            return parent.scope if parent else self.scope.path
        found = self.evaluate(node, local)
        if isinstance(found, Resource):
            found = found.id
        path: str = found.path if isinstance(found, Scope) else found
        if not isinstance(path, str) or (isinstance(found, str) and not path.startswith("/")):
            raise self.refused(node, f"the scope of {declaration.name} is {found!r}")
        inside = path == self.scope.path or path.lower().startswith(f"{self.scope.path}/providers/".lower())
        if not declaration.existing and not inside and not isinstance(path, Runtime):
            raise self.refused(node, f"{declaration.name} lies in {path}: only a module for that scope can deploy it")
        return path

    def _identifier(self, declaration: tree.Resource, place: str, full_type: str, name: str) -> str:
        if full_type.lower() == GROUP_TYPE:
            return f"{place}/resourceGroups/{name}"
        provider, *kinds = full_type.split("/")
        names = name.split("/")
        if isinstance(name, Runtime):  # what it stands for may contain a slash
            return Runtime.of(f"{place}/providers/{full_type}/{name}")
        if len(kinds) != len(names):
            raise self.refused(declaration, f"{full_type} wants a name of {len(kinds)} parts, not {name!r}")
        pairs = "/".join(f"{kind}/{each}" for kind, each in zip(kinds, names, strict=True))
        return joined([f"{place}/providers/{provider}/{pairs}"])

    def _nest(self, resource: Resource, body: tree.Object, local: dict[str, Any]) -> None:
        for declaration in body.nested:
            inner = {**local, **self._nested_of(resource)}

            def make(each: tree.Resource, names: dict[str, Any]) -> Resource:
                return self._resource(each, names, resource)

            self._nested_of(resource)[declaration.name] = self._each(declaration, inner, make)

    @cached_property
    def _nested(self) -> dict[int, dict[str, Any]]:
        return {}

    def _nested_of(self, resource: Resource) -> dict[str, Any]:
        """The resources nested in one, by their names in the file."""
        return self._nested.setdefault(id(resource), {})

    def _with_nested(self, resource: Resource) -> Iterator[Resource]:
        yield resource
        for found in self._nested_of(resource).values():
            for each in found if isinstance(found, list) else [found]:
                yield from self._with_nested(each)

    # Modules

    def _module(self, declaration: tree.Module, local: dict[str, Any]) -> ModuleRun:
        deployed = self._holds(declaration.condition, local)
        node = declaration.body.get("name")
        name = self.evaluate(node, local) if node is not None else f"{declaration.name}-{len(self._trail)}"
        if deployed and not isinstance(name, Runtime) and not 0 < len(name) <= 64:
            raise self.refused(declaration, f"a deployment's name has 1 to 64 characters: {name!r}")

        def carry_out() -> Deployment:
            return self._template(declaration, name, local).deployment()

        return ModuleRun(declaration.name, name, deployed, carry_out)

    def _template(self, declaration: tree.Module, name: str, local: dict[str, Any]) -> Template:
        path = functions.beside(self.folder, declaration.path)
        scope = self._module_scope(declaration, local)
        trail = (*self._trail, declaration.name)
        template = Template(path, scope, self.location, root=self._root, there=self._there, trail=trail, name=name)
        if template.file.target_scope != scope.kind:
            raise self.refused(
                declaration, f"{declaration.path} is for a {template.file.target_scope}, not {scope.kind}"
            )
        node = declaration.body.get("params")
        given = self.evaluate(node, local) if node is not None else {}
        template.bind(given, Problem(self.shown, declaration.line, "parameter", ""))
        return template

    def _module_scope(self, declaration: tree.Module, local: dict[str, Any]) -> Scope:
        node = declaration.body.get("scope")
        found = self.evaluate(node, local) if node is not None else self.scope
        if isinstance(found, Resource) and found.type.lower() == GROUP_TYPE:
            return group_scope(found.id.split("/")[2], found.name, found.body.get("location", self.location))
        if not isinstance(found, Scope):
            raise self.refused(declaration, f"the scope of module {declaration.name} is no scope: {found!r}")
        return found

    # Expressions

    def evaluate(self, node: tree.Node, local: dict[str, Any]) -> Any:
        """
        Raises:
            Refused: with the line of the file.
        """
        value = self._chain(node, local)
        return None if value is _MISSING else value

    def _chain(self, node: tree.Node, local: dict[str, Any]) -> Any:
        try:
            return EVALUATIONS[type(node)](self, node, local)
        except (functions.Failed, LookupError, TypeError) as problem:
            raise self.refused(node, str(problem)) from problem

    def _text(self, node: tree.Text, local: dict[str, Any]) -> str:
        if len(node.parts) == 1 and isinstance(node.parts[0], str):
            return node.parts[0]
        parts = [part if isinstance(part, str) else self.evaluate(part, local) for part in node.parts]
        if any(isinstance(part, (list, dict, Resource, ModuleRun)) for part in parts):
            raise functions.Failed("a text can hold texts and numbers only")
        return joined(parts)

    def _name_value(self, node: tree.Name, local: dict[str, Any]) -> Any:
        return local[node.name] if node.name in local else self.symbol(node.name)

    def _member(self, node: tree.Member, local: dict[str, Any]) -> Any:
        of = self._chain(node.of, local)
        if of is _MISSING or (of is None and node.safe):
            return _MISSING
        if isinstance(of, Resource):
            return self._member_of(of, node)
        if isinstance(of, (Answer, ModuleRun)):
            return of.member(node.name)
        if isinstance(of, Runtime):
            return Runtime.of(f"{of[2:-1]}.{node.name}")
        return self._item(of, node.name, node.safe)

    def _member_of(self, resource: Resource, node: tree.Member) -> Any:
        if not resource.deployed and node.name not in AT_START:
            raise LookupError(f"{resource.symbol} is not deployed: it has no {node.name}")
        return resource.member(node.name)

    def _index(self, node: tree.Index, local: dict[str, Any]) -> Any:
        of, index = self._chain(node.of, local), self.evaluate(node.index, local)
        if of is _MISSING or (of is None and node.safe):
            return _MISSING
        if isinstance(of, Runtime) or isinstance(index, Runtime):
            return Runtime.of(f"{of}[{index}]")
        if isinstance(of, (Answer, ModuleRun)):
            return of.member(index)
        return self._item(of, index, node.safe)

    @staticmethod
    def _item(of: Any, key: Any, safe: bool) -> Any:
        found = _MISSING
        if isinstance(of, dict) and isinstance(key, str):
            found = of.get(key, _MISSING)
        elif isinstance(of, list) and isinstance(key, int):
            found = of[key] if 0 <= key < len(of) else _MISSING
        if found is _MISSING and not safe:
            raise LookupError(f"there is no {key!r} in {str(of)[:200]}")
        return found

    def _nested_resource(self, node: tree.Nested, local: dict[str, Any]) -> Any:
        return self._nested_of(self.evaluate(node.of, local))[node.name]

    def _call(self, node: tree.Call, local: dict[str, Any]) -> Any:
        if node.of is not None:
            return Runtime.of(f"{self.evaluate(node.of, local).id}.{node.function}()")
        own = self.known.symbols.get(node.function)
        values = [self.evaluate(each, local) for each in node.arguments]
        arguments = [each.as_argument() if isinstance(each, Answer) else each for each in values]
        if isinstance(own, tree.Function):
            names = [name for name, _ in own.parameters]
            return self.evaluate(own.body, dict(zip(names, arguments, strict=True)))
        return functions.call(node.function, self, arguments)

    def _lambda(self, node: tree.Lambda, local: dict[str, Any]) -> Callable[..., Any]:
        def called(*given: Any) -> Any:
            return self.evaluate(node.body, {**local, **dict(zip(node.parameters, given, strict=True))})

        return called

    def _binary(self, node: tree.Binary, local: dict[str, Any]) -> Any:
        if node.operator == "??":
            left = self.evaluate(node.left, local)
            return left if left is not None else self.evaluate(node.right, local)
        if node.operator in ("&&", "||"):
            left = self._truth(node.left, local)
            return self._truth(node.right, local) if left is (node.operator == "&&") else left
        left, right = self.evaluate(node.left, local), self.evaluate(node.right, local)
        return functions.OPERATORS[node.operator](left, right)

    def _unary(self, node: tree.Unary, local: dict[str, Any]) -> Any:
        if node.operator == "!":
            return not self._truth(node.operand, local)
        return functions.OPERATORS["-"](0, self.evaluate(node.operand, local))

    def _ternary(self, node: tree.Ternary, local: dict[str, Any]) -> Any:
        return self.evaluate(node.yes if self._truth(node.condition, local) else node.no, local)

    def _object(self, node: tree.Object, local: dict[str, Any]) -> dict[str, Any]:
        return {self.evaluate(key, local): self.evaluate(value, local) for key, value in node.properties}

    def _items(self, node: tree.Items, local: dict[str, Any]) -> list[Any]:
        return [self.evaluate(each, local) for each in node.items]

    def _loop(self, node: tree.Loop, local: dict[str, Any]) -> list[Any]:
        return [self.evaluate(node.body, {**local, **names}) for names in self._turns(node, local)]


EVALUATIONS: dict[type, Callable[..., Any]] = {
    tree.Literal: lambda template, node, local: node.value,
    tree.Group: lambda template, node, local: template._chain(node.inner, local),
    tree.Text: Template._text,
    tree.Name: Template._name_value,
    tree.Member: Template._member,
    tree.Index: Template._index,
    tree.Nested: Template._nested_resource,
    tree.Call: Template._call,
    tree.Lambda: Template._lambda,
    tree.Binary: Template._binary,
    tree.Unary: Template._unary,
    tree.Ternary: Template._ternary,
    tree.Object: Template._object,
    tree.Items: Template._items,
    tree.Loop: Template._loop,
}
