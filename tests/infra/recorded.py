"""What the product's log tells: every action that is recorded and the facts that may come with it, out of the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from shared.reactions import State


def recorded(root: Path) -> dict[str, set[str]]:
    """Actions and their facts, out of every call of `telemetry.record` below `root`."""
    found: dict[str, set[str]] = {}
    context = _context(root / "reactions.py")
    for file in sorted(root.rglob("*.py")):
        for function in ast.walk(ast.parse(file.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            for call in _calls(function):
                facts = set(_facts(call.args[2], function, context))
                for action in _actions(call.args[1]):
                    found.setdefault(action, set()).update(facts)
    return found


def _context(reactions: Path) -> set[str]:
    """The facts of `Reaction.log_context()`."""
    [function] = [
        node
        for node in ast.walk(ast.parse(reactions.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name == "log_context"
    ]
    [made] = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    return {key.value for key in made.keys}


def _calls(function: ast.FunctionDef) -> Iterator[ast.Call]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "telemetry.record":
            yield node


def _actions(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _actions(node.body)
        yield from _actions(node.orelse)
    elif ast.unparse(node) == "f'reaction_{reaction.state}'":
        yield from (f"reaction_{state}" for state in State)
    else:
        raise AssertionError(f"an action that these tests cannot read: {ast.unparse(node)}")


def _facts(node: ast.expr, function: ast.FunctionDef, context: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Name):
        for other in ast.walk(function):
            if isinstance(other, ast.Assign) and ast.unparse(other.targets[0]) == node.id:
                yield from _facts(other.value, function, context)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None:
                yield key.value
            elif ast.unparse(value).endswith("reaction.log_context()"):
                yield from context
            else:
                raise AssertionError(f"facts that these tests cannot read: {ast.unparse(value)}")
    else:
        raise AssertionError(f"facts that these tests cannot read: {ast.unparse(node)}")
