"""Reads one YAML 1.2 document into plain values, remembering the line of every key and value."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

Path = tuple[str | int, ...]
Found = tuple[Path, str]
"""A place, and what is wrong there."""
Plain = dict[str, "Plain"] | list["Plain"] | str | int | float | bool | None

# Far more than any real file has: aliases of aliases grow without end, and so may a list inside itself.
_MOST_NODES: Final = 50_000

# YAML 1.2's core schema. The parser's own resolver also knows times and 1_000, which here are text.
_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}|0o[0-7]{1,18}|0x[0-9a-fA-F]{1,15}")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")
_IN_BRACES: Final = "while parsing a flow mapping"
_TAG: Final = "tag:yaml.org,2002:"
_TAGS: Final = frozenset(_TAG + kind for kind in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq"))


@dataclass(slots=True)
class Document:
    """What a text holds, and where.

    Attributes:
        lines: of every value, by its path of keys and indexes; a value with a key is where its key is.
        texts: of every scalar, as written.
        problems: what is wrong with the YAML itself: lines and messages.
    """

    value: Plain = None
    lines: dict[Path, int] = field(default_factory=dict)
    texts: dict[Path, str] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)

    def line_of(self, path: Path) -> int:
        """Where a value stands, or where it would have to be added."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read(text: str) -> Document:
    """Reads a text. Where it is not YAML, or not one document, the value is None and a problem says why."""
    document = Document()
    try:
        parser = YAML(typ="safe", pure=True)
        parser.composer.warn_double_anchors = False  # YAML allows it, and a warning reaches nobody here
        root = parser.compose(text)
        document.value = None if root is None else _Builder(document).value(root, ())
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        document.problems.append((line, f"is not YAML: the character U+{ord(text[error.position]):04X} must not occur"))
    except MarkedYAMLError as error:
        document.problems.append(_of_parser(error))
    except YAMLError as error:
        document.problems.append((1, f"is not YAML: {error}"))
    except (RecursionError, _TooMuch):
        document.value = None
        document.problems.append((1, "is nested too deeply, or its aliases grow without end"))
    return document


def _of_parser(error: MarkedYAMLError) -> tuple[int, str]:
    at_end = "end of stream" in str(error.problem)  # then where the unfinished thing began says more
    mark = (error.context_mark if at_end else error.problem_mark) or error.problem_mark or error.context_mark
    line = 1 if mark is None else mark.line + 1
    if error.context == "expected a single document in the stream":
        return line, "has a second document (---); a rules file is one document"
    if "'\\t'" in str(error.problem):
        return line, "is not YAML: a tab; indent with spaces"
    context = f" ({error.context})" if error.context else ""
    return line, f"is not YAML: {error.problem}{context}{_hint(error)}"


def _hint(error: MarkedYAMLError) -> str:
    """What most often is meant by text that is not in quotes."""
    problem = str(error.problem)
    if "undefined alias" in problem:
        return "; put text that begins with * in quotes"
    if problem.endswith("start>'"):
        return "; indent the line as those beside it"
    if "mapping values are not allowed" in problem:
        return "; put text with a colon in quotes, or indent the line as those beside it"
    if error.context == _IN_BRACES and "got ':'" in problem:
        return "; put text with a colon in quotes"
    if error.context == _IN_BRACES:
        return "; put text with braces in quotes"
    return "; put the whole text in quotes" if problem.endswith(("found '<scalar>'", "found '{'")) else ""


class _TooMuch(Exception):
    pass


class _Builder:
    """Turns the parser's nodes into plain values and notes where they stand."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._nodes = 0

    def value(self, node: Node, path: Path) -> Plain:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise _TooMuch
        self._document.lines.setdefault(path, _line(node))
        if node.tag not in _TAGS:
            self._problem(node, f"has the tag {node.tag}; tags are not used here")
        elif isinstance(node, MappingNode):
            return self._mapping(node, path)
        elif isinstance(node, SequenceNode):
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        elif isinstance(node, ScalarNode):
            text = self._document.texts[path] = str(node.value)
            return _resolved(text) if node.style is None else text
        return None

    def _mapping(self, node: MappingNode, path: Path) -> Plain:
        values: dict[str, Plain] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key is None:
                continue
            at = (*path, key)
            if key in values:
                first = self._document.lines[at]
                self._problem(key_node, f"{key!r} appears twice in one place, first on line {first}; remove one")
                continue
            self._document.lines[at] = _line(key_node)
            values[key] = self.value(value_node, at)
        return values

    def _key(self, node: Node) -> str | None:
        if not isinstance(node, ScalarNode):
            self._problem(node, "has a key that is not text")
            return None
        if node.tag == f"{_TAG}merge":
            self._problem(
                node, "merges with <<, which YAML 1.2 does not have; write the keys, or use *alias as a value"
            )
            return None
        return str(node.value)

    def _problem(self, node: Node, message: str) -> None:
        self._document.problems.append((_line(node), message))


def _resolved(text: str) -> Plain:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1
