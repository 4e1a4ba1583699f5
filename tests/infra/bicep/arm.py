"""An ARM JSON template as the same declarations as a Bicep file: some modules can only be written in it.

Its expressions (`[parameters('scope')]`) become Bicep's. Its `copy` is not known here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from tests.infra.bicep import tree

TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+)|(?P<name>[A-Za-z_]\w*)|(?P<mark>[().,\[\]]))")
TYPES = {"securestring": "string", "secureobject": "object"}
OPERATORS = {
    "equals": "==", "and": "&&", "or": "||", "less": "<", "lessOrEquals": "<=", "greater": ">", "greaterOrEquals": ">=",
    "add": "+", "sub": "-", "mul": "*", "div": "/", "mod": "%",
}  # fmt: skip
CONSTANTS = {"true": True, "false": False, "null": None}
SCOPES = {"subscription": "subscription", "managementGroup": "managementGroup", "tenant": "tenant"}


@cache
def parse(text: str, name: str) -> tree.File:
    """
    Raises:
        Unreadable: not JSON, or a part of a template that this evaluator does not know.
    """
    try:
        content = json.loads(text)
    except ValueError as problem:
        raise tree.Unreadable(f"{name}: not JSON: {problem}") from problem
    schema = re.search(r"/(\w*?)[dD]eploymentTemplate\.json", content.get("$schema", ""))
    if schema is None:
        raise tree.Unreadable(f"{name}: no schema of a deployment template")
    unknown = content.keys() - {
        "$schema", "contentVersion", "languageVersion", "metadata", "parameters", "variables", "resources", "outputs",
    }  # fmt: skip
    if unknown:
        raise tree.Unreadable(f"{name}: this evaluator knows no {', '.join(sorted(unknown))}")
    return tree.File(target_scope=SCOPES.get(schema[1], "resourceGroup"), declarations=tuple(_declarations(content)))


def _declarations(content: Mapping[str, Any]) -> Iterator[tree.Declaration]:
    for name, given in content.get("parameters", {}).items():
        default = value(given["defaultValue"]) if "defaultValue" in given else None
        limits = {
            "allowedValues": "allowed",
            **{each: each for each in ("minLength", "maxLength", "minValue", "maxValue")},
        }
        decorators = tuple(
            tree.Call(line=0, function=limits[each], arguments=(value(given[each]),))
            for each in given
            if each in limits
        )
        yield tree.Parameter(line=0, name=name, type=_type(given), default=default, decorators=decorators)
    for name, given in content.get("variables", {}).items():
        yield tree.Variable(line=0, name=name, value=value(given))
    resources = content["resources"]
    named = resources if isinstance(resources, dict) else {f"resource{at}": each for at, each in enumerate(resources)}
    for name, given in named.items():
        yield _resource(name, given)
    for name, given in content.get("outputs", {}).items():
        yield tree.Output(line=0, name=name, type=_type(given), value=value(given["value"]))


def _type(given: Mapping[str, Any]) -> tree.Type:
    name = given["type"].lower()
    kind = tree.Type(line=0, kind=TYPES.get(name, name))
    return tree.Type(line=0, kind="nullable", parts=(kind,)) if given.get("nullable") else kind


def _resource(name: str, given: Mapping[str, Any]) -> tree.Resource:
    if "copy" in given:
        raise tree.Unreadable(f"{name}: this evaluator knows no copy in ARM JSON")
    body = {k: v for k, v in given.items() if k not in ("type", "apiVersion", "condition", "existing", "comments")}
    written = value(body)
    assert isinstance(written, tree.Object)
    return tree.Resource(
        line=0,
        name=name,
        type=given["type"],
        api_version=given["apiVersion"],
        existing=given.get("existing", False),
        condition=value(given["condition"]) if "condition" in given else None,
        body=written,
    )


def value(given: Any) -> tree.Node:
    """A value of the template as an expression."""
    if isinstance(given, dict):
        return tree.Object(
            line=0, properties=tuple((tree.Text(line=0, parts=(k,)), value(v)) for k, v in given.items())
        )
    if isinstance(given, list):
        return tree.Items(line=0, items=tuple(value(each) for each in given))
    if not isinstance(given, str):
        return tree.Literal(line=0, value=given)
    if given.startswith("[") and given.endswith("]") and not given.startswith("[["):
        return _Expression(given[1:-1]).whole()
    text = given[1:] if given.startswith("[[") else given
    return tree.Text(line=0, parts=(text,) if text else ())


class _Expression:
    def __init__(self, text: str) -> None:
        self._text, self._tokens = text, []
        at = 0
        while at < len(text.rstrip()):
            found = TOKEN.match(text, at)
            if found is None:
                raise tree.Unreadable(f"cannot read {text[at : at + 30]!r} in {text!r}")
            self._tokens.append((found.lastgroup, found[found.lastgroup or 0]))
            at = found.end()

    def whole(self) -> tree.Node:
        found = self._one()
        if self._tokens:
            raise tree.Unreadable(f"something follows the expression in {self._text!r}")
        return found

    def _next(self, wanted: str | None = None) -> tuple[str | None, str]:
        if not self._tokens or (wanted and self._tokens[0][1] != wanted):
            raise tree.Unreadable(f"{wanted or 'more'} is missing in {self._text!r}")
        return self._tokens.pop(0)

    def _sees(self, mark: str) -> bool:
        return bool(self._tokens) and self._tokens[0] == ("mark", mark)

    def _one(self) -> tree.Node:
        kind, text = self._next()
        if kind == "text":
            content = text[1:-1].replace("''", "'")
            found: tree.Node = tree.Text(line=0, parts=(content,) if content else ())
        elif kind == "number":
            found = tree.Literal(line=0, value=int(text))
        elif kind == "name":
            found = self._call(text)
        else:
            raise tree.Unreadable(f"{text} cannot stand there in {self._text!r}")
        return self._followed(found)

    def _followed(self, found: tree.Node) -> tree.Node:
        while self._sees(".") or self._sees("["):
            if self._next()[1] == ".":
                found = tree.Member(line=0, of=found, name=self._next()[1])
            else:
                found = tree.Index(line=0, of=found, index=self._one())
                self._next("]")
        return found

    def _call(self, name: str) -> tree.Node:
        self._next("(")
        given: list[tree.Node] = []
        while not self._sees(")"):
            given.append(self._one())
            if not self._sees(")"):
                self._next(",")
        self._next(")")
        return self._meaning(name, given)

    def _meaning(self, name: str, given: list[tree.Node]) -> tree.Node:
        found: tree.Node
        match name, given:
            case (("parameters" | "variables"), [tree.Text(parts=(str(symbol),))]):
                found = tree.Name(line=0, name=symbol)
            case ("if", [condition, yes, no]):
                found = tree.Ternary(line=0, condition=condition, yes=yes, no=no)
            case ("not", [operand]):
                found = tree.Unary(line=0, operator="!", operand=operand)
            case ("createArray", _):
                found = tree.Items(line=0, items=tuple(given))
            case ("createObject", _):
                found = tree.Object(line=0, properties=tuple(zip(given[::2], given[1::2], strict=True)))
            case (("true" | "false" | "null"), []):
                found = tree.Literal(line=0, value=CONSTANTS[name])
            case _ if name in OPERATORS and len(given) > 1:
                found = _chained(OPERATORS[name], given)
            case _:
                found = tree.Call(line=0, function=name, arguments=tuple(given))
        return found


def _chained(operator: str, given: list[tree.Node]) -> tree.Node:
    first, *others = given
    for other in others:
        first = tree.Binary(line=0, operator=operator, left=first, right=other)
    return first
