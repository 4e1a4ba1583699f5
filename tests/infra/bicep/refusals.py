"""What is wrong with a file and with the modules it names, whatever its parameters are: what the compiler refuses.

The kinds are: syntax, duplicate, undefined, unknown-function, arguments, cycle, parameter-default, loop-place,
collection, start (what must be known when the deployment starts and is not: BCP120, 177, 178, 182), parent, body,
module-path, module-parameter, module-output, module-scope, decorator, file, and `unused`, which is a lint.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.infra.bicep import arm, functions, reading, tree
from tests.infra.bicep.symbols import Symbols, symbols_of
from tests.infra.bicep.within import findings, plain


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
    waiting = [path.absolute()]
    root = path.absolute().parent
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
    """A file as it is now; read again only if it has changed."""
    state = path.stat()
    return _loaded(path, state.st_mtime_ns, state.st_size)


@cache
def _loaded(path: Path, changed: int, size: int) -> tree.File:
    read = arm.parse if path.suffix == ".json" else reading.parse
    return read(path.read_text(), path.name)


@dataclass(frozen=True)
class Check:
    """One file, and how it fits the files it names."""

    path: Path
    file: tree.File
    shown: str

    @property
    def known(self) -> Symbols:
        return symbols_of(self.file)

    def _beside(self, path: str) -> Path:
        return functions.beside(self.path.parent, path)

    def module_paths(self) -> list[Path]:
        return [self._beside(each.path) for each in self.known.of(tree.Module)]

    def problem(self, node: tree.Node, kind: str, message: str) -> Problem:
        return Problem(self.shown, node.line, kind, message)

    def problems(self) -> Iterator[Problem]:
        yield from (Problem(self.shown, each.line, each.kind, each.message) for each in findings(self.file))
        yield from self._files_read()
        for module in self.known.of(tree.Module):
            yield from self._module(module)
        yield from self._outputs_read()

    def _files_read(self) -> Iterator[Problem]:
        for node in self.known.calls:
            path = node.arguments[0] if node.function in functions.LOADERS and node.arguments else None
            if isinstance(path, tree.Text) and plain(path) and not self._beside(str(path.parts[0])).is_file():
                yield self.problem(node, "file", f"there is no file {path.parts[0]}")

    def _module(self, module: tree.Module) -> Iterator[Problem]:
        path = self._beside(module.path)
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
        for node, module in self.known.outputs_read:
            path = self._beside(module.path)
            if path.is_file() and node.name not in self._outputs_of(path):
                yield self.problem(node, "module-output", f"{module.path} has no output {node.name}")

    @staticmethod
    def _outputs_of(path: Path) -> set[str]:
        try:
            return {each.name for each in symbols_of(load(path)).of(tree.Output)}
        except tree.Unreadable:
            return set()
