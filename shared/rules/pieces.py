"""What patterns and templates are made of: literal text, `{placeholders}` and stars."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from shared.rules import names

LIVE: Final = "live:"
"""Begins the placeholder for the model that is live at an endpoint: `{live:ENDPOINT}`."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
_PIECE: Final = re.compile(r"\{\{|\}\}|\{[^{}]*\}|\*+|[{}]|[^{}*]+")


class PatternError(ValueError):
    """The text is not a pattern or template; the message says why, and what to write."""


class Piece(NamedTuple):
    """Literal text, the name of a `{placeholder}`, `live:` and an endpoint, or stars."""

    kind: Literal["text", "name", "live", "stars"]
    text: str

    @property
    def spelled(self) -> str:
        return f"{{{self.text}}}" if self.kind in {"name", "live"} else self.text


Pieces = tuple[Piece, ...]


def pattern_pieces(text: str) -> Pieces:
    """The parts of a pattern. Two literal ones never follow each other.

    Raises:
        PatternError: a brace or a placeholder is wrong.
    """
    return _pieces(text, in_pattern=True)


def template_pieces(text: str) -> Pieces:
    """The parts of a template, where a star is text.

    Raises:
        PatternError: a brace or a placeholder is wrong.
    """
    return _pieces(text, in_pattern=False)


def _pieces(text: str, *, in_pattern: bool) -> Pieces:
    pieces: list[Piece] = []
    for found in _PIECE.findall(text):
        piece = _piece(found, text, in_pattern=in_pattern)
        if piece.kind == "text" and pieces and pieces[-1].kind == "text":
            piece = Piece("text", pieces.pop().text + piece.text)
        pieces.append(piece)
    return tuple(pieces)


def _piece(found: str, text: str, *, in_pattern: bool) -> Piece:
    if found in {"{{", "}}"}:
        return Piece("text", found[0])
    if found in {"{", "}"}:
        raise PatternError(f"{text!r} has a brace without its other half; write {found * 2} for the character")
    if found.startswith("{"):
        return _placeholder(found[1:-1], in_pattern=in_pattern)
    return Piece("stars" if in_pattern and found.startswith("*") else "text", found)


def _placeholder(name: str, *, in_pattern: bool) -> Piece:
    if name.startswith(LIVE):
        return _live(name, in_pattern=in_pattern)
    if not _NAME.fullmatch(name):
        raise PatternError(
            f"{{{name}}} is not a placeholder: a name has up to 32 letters, digits and underscores and begins with a "
            "letter; write {{ and }} for braces that are text"
        )
    return Piece("name", name)


def _live(name: str, *, in_pattern: bool) -> Piece:
    if in_pattern:
        raise PatternError(f"{{{name}}} has no meaning in a pattern; it is for parameters in `with`")
    try:
        names.endpoint(name.removeprefix(LIVE))
    except ValueError as wrong:
        raise PatternError(f"{{{name}}}: {wrong}") from None
    return Piece("live", name)
