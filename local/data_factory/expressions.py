"""ADF's expression language: parses an expression, evaluates it, and resolves the expressions inside JSON values."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.data_factory.functions import TABLE, Function
from local.data_factory.values import ExpressionError, as_text, bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """`target.name`, `target['name']`, `target[0]`; with `safe`, the ?. and ?[ that give null for what is not there."""

    target: Node
    key: Node
    safe: bool


Node = Literal | Call | Select

_TOKENS = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^']|'')*')
    | (?P<number>[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign>\?\.|\?\[|[.,()\[\]])
    )""",
    re.VERBOSE,
)
_WORDS = {"true": True, "false": False, "null": None}
_END = ""


def evaluate(text: str, functions: Mapping[str, Function]) -> object:
    """Evaluates an expression written without its leading @.

    Args:
        functions: what the surroundings add to the language: pipeline, activity, variables, item, utcNow.

    Raises:
        ExpressionError: it cannot be parsed or evaluated; the message names the expression and the culprit.
    """
    try:
        return _value(_parse(text), functions)
    except ExpressionError as reason:
        raise ExpressionError(f"The expression '{text}' cannot be evaluated because {reason}") from reason


def resolve(value: object, functions: Mapping[str, Function]) -> object:
    """Replaces every expression in a JSON value by its result, however deep it lies.

    A string that starts with @ is an expression of any type; @{…} within a string is interpolated and the whole
    stays a string; a leading @@ is an @, and nothing behind it is evaluated. {"value": …, "type": "Expression"} is the
    designer's way to write the same.
    """
    match value:
        case str():
            return _resolve_text(value, functions)
        case list():
            return [resolve(item, functions) for item in value]
        case {"value": str() as text, "type": "Expression", **rest} if not rest:
            return _resolve_text(text, functions)
        case dict():
            return {key: resolve(item, functions) for key, item in value.items()}
    return value


def _resolve_text(text: str, functions: Mapping[str, Function]) -> object:
    if text == "@":
        return text
    if text.startswith("@@"):
        return text[1:]
    if text.startswith("@") and not text.startswith("@{"):
        return evaluate(text[1:], functions)
    return _interpolate(text, functions)


def _interpolate(text: str, functions: Mapping[str, Function]) -> str:
    parts: list[str] = []
    rest = text
    while True:
        before, found, after = rest.partition("@{")
        if not found:
            return "".join([*parts, rest])
        if before.endswith("@"):  # @@{ is the text @{
            parts.append(before + "{")
            rest = after
            continue
        end = _closing_brace(after)
        parts += [before, as_text(evaluate(after[:end], functions))]
        rest = after[end + 1 :]


def _closing_brace(text: str) -> int:
    quoted = False
    for index, character in enumerate(text):
        if character == "'":
            quoted = not quoted  # a doubled quote toggles twice
        elif character == "}" and not quoted:
            return index
    raise ExpressionError(f"The string interpolation '@{{{text}' has no closing brace.")


def _value(node: Node, functions: Mapping[str, Function]) -> object:
    match node:
        case Literal():
            return node.value
        case Call():
            function = functions.get(node.function.lower()) or TABLE.get(node.function.lower())
            if function is None:
                raise ExpressionError(f"the template function '{node.function}' is not defined or not valid.")
            return function([_value(argument, functions) for argument in node.arguments])
    return _select(_value(node.target, functions), _value(node.key, functions), safe=node.safe)


def _select(target: object, key: object, *, safe: bool) -> object:
    """Properties are found by their exact spelling; stricter than any service can be, so never a surprise there."""
    if safe and target is None:
        return None
    if isinstance(target, dict) and isinstance(key, str):
        if key in target or safe:
            return target.get(key)
        available = ", ".join(target)
        raise ExpressionError(f"property '{key}' doesn't exist, available properties are '{available}'.")
    if isinstance(target, list) and isinstance(key, int) and not isinstance(key, bool):
        if 0 <= key < len(target):
            return target[key]
        if safe:
            return None
        raise ExpressionError(f"array index '{key}' is outside bounds (0, {len(target) - 1}) of the array.")
    raise ExpressionError(f"property '{as_text(key)}' cannot be selected.")


@functools.lru_cache(maxsize=1024)
def _parse(text: str) -> Node:
    return _Parser(text).whole()


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokenize(text))
        self._next = 0

    def whole(self) -> Node:
        node = self._expression()
        if self._peek() != _END:
            raise ExpressionError(f"there is '{self._peek()}' where it should end.")
        return node

    def _peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else _END

    def _take(self) -> str:
        token = self._peek()
        self._next += 1
        return token

    def _expect(self, wanted: str) -> None:
        if (token := self._take()) != wanted:
            raise ExpressionError(
                f"there is '{token}' where '{wanted}' should be." if token else f"'{wanted}' is missing."
            )

    def _expression(self) -> Node:
        node = self._primary()
        while self._peek() in {".", "?.", "[", "?["}:
            sign = self._take()
            if sign.endswith("."):
                key: Node = Literal(value=self._name())
            else:
                key = self._expression()
                self._expect("]")
            node = Select(target=node, key=key, safe=sign.startswith("?"))
        return node

    def _name(self) -> str:
        token = self._take()
        if not (token[:1].isalpha() or token.startswith("_")):
            raise ExpressionError(f"there is '{token}' where a property name should be.")
        return token

    def _primary(self) -> Node:
        token = self._take()
        if token.startswith("'"):
            return Literal(value=token[1:-1].replace("''", "'"))
        if token[:1].isdigit() or token[:1] in {"-", "+"}:
            return Literal(value=bounded(int(token) if token.lstrip("-+").isdigit() else float(token)))
        if self._peek() == "(" and (token[:1].isalpha() or token.startswith("_")):
            return Call(function=token, arguments=self._arguments())
        if token.lower() in _WORDS:
            return Literal(value=_WORDS[token.lower()])
        raise ExpressionError(f"'{token}' is neither a value nor a function call." if token else "it ends too early.")

    def _arguments(self) -> tuple[Node, ...]:
        self._expect("(")
        arguments: list[Node] = []
        while self._peek() not in {")", _END}:
            if arguments:
                self._expect(",")
            arguments.append(self._expression())
        self._expect(")")
        return tuple(arguments)


def _tokenize(text: str) -> list[str]:
    tokens: list[str] = []
    position = 0
    while text[position:].strip():
        match = _TOKENS.match(text, position)
        if match is None:
            raise ExpressionError(f"'{text[position:].strip()[0]}' has no meaning in it.")
        tokens.append(match.group().strip())
        position = match.end()
    return tokens
