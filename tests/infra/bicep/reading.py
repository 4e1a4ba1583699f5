"""A Bicep file's text as declarations and expressions, read from tree-sitter-bicep's tree.

That grammar gets the reach of a lambda's body wrong (`x => x.name` comes as `(x => x).name`), so whatever was attached
outside an expression that cannot have it is moved inside, by the language's own order of operators.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

import tree_sitter
import tree_sitter_bicep

from tests.infra.bicep.tree import (
    Arguments,
    Binary,
    Call,
    Condition,
    File,
    Function,
    Group,
    Index,
    Items,
    Lambda,
    Literal,
    Loop,
    Member,
    Module,
    Name,
    Nested,
    Node,
    Object,
    Output,
    Parameter,
    Resource,
    Ternary,
    Text,
    Type,
    TypeName,
    Unary,
    Unreadable,
    Variable,
    walk,
)

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bicep.language()))
PRECEDENCE = {
    operator: level
    for level, operators in enumerate(
        (("??",), ("||",), ("&&",), ("==", "!=", "=~", "!~"), ("<", "<=", ">", ">="), ("+", "-"), ("*", "/", "%"))
    )
    for operator in operators
}


@cache
def parse(text: str, name: str = "main.bicep") -> File:
    """The file's declarations.

    Raises:
        Unreadable: with the line of what cannot be read.
    """
    root = PARSER.parse(text.encode()).root_node
    if root.has_error:
        bad = next(each for each in _every(root) if each.is_error or each.is_missing)
        raise Unreadable(f"{name}:{_line(bad)}: syntax error at {_text(bad)[:40]!r}")
    declarations, decorators, scope = [], (), "resourceGroup"
    for node in _named(root):
        if node.type == "decorators":
            decorators = tuple(_decorator(each) for each in _named(node))
        elif node.type == "target_scope_assignment":
            scope = _text(_named(node)[0]).strip("'")
        elif node.type != "metadata_declaration":
            if node.type not in DECLARATIONS:
                raise Unreadable(f"{name}:{_line(node)}: this evaluator knows no {node.type}")
            declarations.append(replace(DECLARATIONS[node.type](node), decorators=decorators))
            decorators = ()
    left = next((each for d in declarations for each in walk(d) if isinstance(each, Arguments)), None)
    if left is not None:
        raise Unreadable(f"{name}:{left.line}: brackets around nothing, or around a list")
    return File(target_scope=scope, declarations=tuple(declarations))


def _every(node):
    yield node
    for child in node.children:
        yield from _every(child)


def _named(node):
    return [child for child in node.children if child.is_named and child.type != "comment"]


def _text(node) -> str:
    return node.text.decode()


def _line(node) -> int:
    return node.start_point[0] + 1


def _has(node, word: str) -> bool:
    return any(child.type == word for child in node.children)


def _decorator(node) -> Call:
    return _expression(_named(node)[0])


def _parameter(node) -> Parameter:
    name, kind, *default = _named(node)
    return Parameter(
        line=_line(node), name=_text(name), type=_type(kind), default=_expression(default[0]) if default else None
    )


def _variable(node) -> Variable:
    *head, value = _named(node)
    return Variable(line=_line(node), name=_text(head[0]), value=_expression(value))


def _output(node) -> Output:
    name, kind, value = _named(node)
    return Output(line=_line(node), name=_text(name), type=_type(kind), value=_expression(value))


def _type_name(node) -> TypeName:
    name, kind = _named(node)
    return TypeName(line=_line(node), name=_text(name), type=_type(kind))


def _function(node) -> Function:
    name, parameters, _, body = _named(node)
    given = tuple((_text(_named(each)[0]), _type(_named(each)[1])) for each in _named(parameters))
    return Function(line=_line(node), name=_text(name), parameters=given, body=_expression(body))


def _resource(node) -> Resource:
    name, kind, *_, body = [child for child in _named(node) if child.type != "existing"]
    full, _, version = _text(kind).strip("'").partition("@")
    return Resource(
        line=_line(node),
        name=_text(name),
        type=full,
        api_version=version,
        existing=_has(node, "existing"),
        **_body(body),
    )


def _module(node) -> Module:
    name, path, *_, body = _named(node)
    return Module(line=_line(node), name=_text(name), path=_text(path).strip("'"), **_body(body))


def _body(node) -> dict[str, Any]:
    """The parts of `[for x in xs: if (c) {…}]`."""
    value, loop, condition = _expression(node), None, None
    if isinstance(value, Loop):
        loop, value = value, value.body
    if isinstance(value, Condition):
        condition, value = value.test, value.body
    if not isinstance(value, Object):
        raise Unreadable(f"line {_line(node)}: a resource or module has an object for a body")
    return {"body": value, "loop": loop, "condition": condition}


DECLARATIONS = {
    "parameter_declaration": _parameter,
    "variable_declaration": _variable,
    "output_declaration": _output,
    "type_declaration": _type_name,
    "user_defined_function": _function,
    "resource_declaration": _resource,
    "module_declaration": _module,
}


def _type(node) -> Type:
    if node.type in ("type", "parenthesized_type"):
        return _type(_named(node)[0])
    if node.type not in TYPES:
        raise Unreadable(f"line {_line(node)}: a type this evaluator does not know: {_text(node)[:40]}")
    return replace(TYPES[node.type](node), line=_line(node))


def _made(kind: str, **more: Any) -> Type:
    return Type(line=0, kind=kind, **more)


def _parts(node) -> tuple[Type, ...]:
    return tuple(_type(each) for each in _named(node))


def _literal_type(node) -> Type:
    value = _expression(node)
    return _made("literal", value="".join(map(str, value.parts)) if isinstance(value, Text) else value.value)


def _object_type(node) -> Type:
    pairs = [_named(each) for each in _named(node)]
    return _made("object", properties=tuple((_text(name), _type(kind)) for name, *_, kind in pairs))


TYPES = {
    "primitive_type": lambda node: _made(_text(node)),
    "identifier": lambda node: _made("any") if _text(node) == "any" else _made("name", value=_text(node)),
    "array_type": lambda node: _made("array", parts=_parts(node)[:1]),
    "nullable_type": lambda node: _made("nullable", parts=_parts(node)),
    "union_type": lambda node: _made("union", parts=_parts(node)),
    "object": _object_type,
    "string": _literal_type,
    "number": _literal_type,
    "boolean": _literal_type,
    "null": _literal_type,
}


def _expression(node) -> Any:
    if node.type not in EXPRESSIONS:
        raise Unreadable(f"line {_line(node)}: this evaluator knows no {node.type}")
    return EXPRESSIONS[node.type](node)


ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", "$": "$"}


def _unescape(text: str) -> str:
    return re.sub(
        r"\\(?:u\{([0-9a-fA-F]+)\}|(.))",
        lambda found: chr(int(found[1], 16)) if found[1] else ESCAPES.get(found[2], found[0]),
        text,
    )


def _string(node) -> Text:
    """Its pieces, taken from between the quotes and interpolations (the grammar drops the escape `\\$`)."""
    quote, closing = node.children[0], node.children[-1]
    raw = quote.type == "'''"
    source, at, parts = node.text, quote.end_byte, []
    stops = [each for each in node.children if each.type == "interpolation" and not raw]
    for stop in [*stops, closing]:
        piece = source[at - node.start_byte : stop.start_byte - node.start_byte].decode()
        piece = piece.removeprefix("\n") if raw else _unescape(piece)
        parts.extend([piece] if piece else [])
        if stop is not closing:
            parts.append(_expression(_named(stop)[0]))
        at = stop.end_byte
    return Text(line=_line(node), parts=tuple(parts))


def _object(node) -> Object:
    properties, nested = [], []
    for each in _named(node):
        first, *rest = _named(each)
        if first.type == "resource_declaration":
            nested.append(_resource(first))
        elif first.type == "decorators":
            nested.extend(_resource(other) for other in rest if other.type == "resource_declaration")
        else:
            key = _string(first) if first.type == "string" else Text(line=_line(first), parts=(_text(first),))
            properties.append((key, _expression(rest[-1])))
    return Object(line=_line(node), properties=tuple(properties), nested=tuple(nested))


def _items(node) -> Items:
    """In an array the grammar may take `f(x)` and `a[0]` for two items; two items are never that close together."""
    found: list[Node] = []
    end = None
    for each in _named(node):
        item = _expression(each)
        if each.start_byte == end:
            found[-1] = _joined(found[-1], item)
        else:
            found.append(item)
        end = each.end_byte
    return Items(line=_line(node), items=tuple(found))


def _joined(before: Node, rest: Node) -> Node:
    """`a` and `[0].b` as `a[0].b`."""
    match rest:
        case Items(items=[index]):
            return _attach(before, lambda target: Index(line=rest.line, of=target, index=index))
        case Group(inner=argument):
            return _attach(before, lambda target: _called(target, (argument,), rest.line))
        case Arguments(arguments=arguments):
            return _attach(before, lambda target: _called(target, arguments, rest.line))
        case Member() | Index() | Nested():
            return _attach(_joined(before, rest.of), lambda target: replace(rest, of=target))
        case Binary():
            return _combine(_joined(before, rest.left), rest.operator, rest.right)
        case Ternary():
            return _choose(_joined(before, rest.condition), rest.yes, rest.no)
    raise Unreadable(f"line {rest.line}: two items need a comma")


def _loop(node) -> Loop:
    head, source, body = _named(node)
    names = [_text(each) for each in _named(head)] or [_text(head)]
    return Loop(
        line=_line(node),
        item=names[0],
        index=names[1] if len(names) > 1 else None,
        source=_expression(source),
        body=_expression(body),
    )


def _lambda(node) -> Lambda:
    head, body = _named(node)
    names = tuple(_text(each) for each in _named(head)) or (_text(head).strip("()"),)
    return Lambda(line=_line(node), parameters=tuple(filter(None, names)), body=_expression(body))


def _call(node) -> Node:
    function, arguments = _named(node)
    if arguments.start_byte != function.end_byte:
        raise Unreadable(f"line {_line(arguments)}: a call and its arguments are apart, or two items need a comma")
    given = tuple(_expression(each) for each in _named(arguments))
    callee = _expression(function)
    return _attach(callee, lambda target: _called(target, given, _line(node)))


def _called(target: Node, given: tuple[Node, ...], line: int) -> Call:
    if isinstance(target, Name):
        return Call(line=line, function=target.name, arguments=given)
    if not isinstance(target, Member):
        raise Unreadable(f"line {line}: only a name can be called")
    space = isinstance(target.of, Name) and target.of.name in ("sys", "az")
    return Call(line=line, function=target.name, arguments=given, of=None if space else target.of)


def _member(node) -> Node:
    of, name = _named(node)
    return _attach(
        _expression(of),
        lambda target: Member(line=_line(node), of=target, name=_text(name), safe=_has(node, ".?")),
    )


def _subscript(node) -> Node:
    of, index = _named(node)
    return _attach(
        _expression(of),
        lambda target: Index(line=_line(node), of=target, index=_expression(index), safe=_has(node, "?")),
    )


def _nested(node) -> Node:
    of, name = _named(node)
    return Nested(line=_line(node), of=_expression(of), name=_text(name))


def _attach(target: Node, wrap) -> Node:
    """What follows an expression belongs to its last operand, as `.`, `[` and `(` bind tightest."""
    match target:
        case Binary():
            return replace(target, right=_attach(target.right, wrap))
        case Unary():
            return replace(target, operand=_attach(target.operand, wrap))
        case Ternary():
            return replace(target, no=_attach(target.no, wrap))
        case Lambda():
            return replace(target, body=_attach(target.body, wrap))
    return wrap(target)


def _binary(node) -> Node:
    left, right = (_expression(each) for each in _named(node))
    operator = next(child.type for child in node.children if not child.is_named and child.type in PRECEDENCE)
    return _combine(left, operator, right)


def _combine(left: Node, operator: str, right: Node) -> Node:
    match left:
        case Lambda():
            return replace(left, body=_combine(left.body, operator, right))
        case Ternary():
            return replace(left, no=_combine(left.no, operator, right))
        case Binary() if PRECEDENCE[left.operator] < PRECEDENCE[operator]:
            return replace(left, right=_combine(left.right, operator, right))
    match right:
        case Binary() if PRECEDENCE[right.operator] <= PRECEDENCE[operator]:
            return replace(right, left=_combine(left, operator, right.left))
    return Binary(line=left.line, operator=operator, left=left, right=right)


def _ternary(node) -> Node:
    condition, yes, no = (_expression(each) for each in _named(node))
    return _choose(condition, yes, no)


def _choose(condition: Node, yes: Node, no: Node) -> Node:
    match condition:
        case Lambda():
            return replace(condition, body=_choose(condition.body, yes, no))
        case Ternary():
            return replace(condition, no=_choose(condition.no, yes, no))
    return Ternary(line=condition.line, condition=condition, yes=yes, no=no)


def _parenthesized(node) -> Node:
    inside = tuple(_expression(each) for each in _named(node))
    if len(inside) == 1:
        return Group(line=_line(node), inner=inside[0])
    return Arguments(line=_line(node), arguments=inside)


def _condition(node) -> Condition:
    test, body = _named(node)
    return Condition(line=_line(node), test=_expression(test), body=_expression(body))


EXPRESSIONS = {
    "string": _string,
    "number": lambda node: Literal(line=_line(node), value=int(_text(node))),
    "boolean": lambda node: Literal(line=_line(node), value=_text(node) == "true"),
    "null": lambda node: Literal(line=_line(node), value=None),
    "identifier": lambda node: Name(line=_line(node), name=_text(node)),
    "member_expression": _member,
    "subscript_expression": _subscript,
    "resource_expression": _nested,
    "call_expression": _call,
    "lambda_expression": _lambda,
    "binary_expression": _binary,
    "unary_expression": lambda node: Unary(
        line=_line(node), operator=node.children[0].type, operand=_expression(_named(node)[0])
    ),
    "ternary_expression": _ternary,
    "parenthesized_expression": _parenthesized,
    "array": _items,
    "object": _object,
    "for_statement": _loop,
    "if_statement": _condition,
}
