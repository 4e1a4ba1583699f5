"""Patterns that capture, globs that exclude, and templates that use what was captured."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from shared.rules.pieces import LIVE, PatternError, Piece, Pieces, pattern_pieces, template_pieces

_CONTAINER: Final = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(?:-[a-z0-9]+)*|\$web|\$root")
_FOLDER: Final = "(?:[^/]+/)"
_ANY_FOLDERS: Final[Pieces] = (Piece("stars", "**"),)


@dataclass(frozen=True, slots=True)
class PathPattern:
    """`container/folder/{capture}/*.csv`: `{name}` is text within one segment, `*` too, `**` any number of folders.

    Attributes:
        folder: how many of the path's first segments are the pattern's folder: those before the first with a star,
            and never the last.
        prefix: the text that every fitting path begins with.
    """

    text: str
    container: str
    prefix: str
    captures: tuple[str, ...]
    folder: int
    _path: re.Pattern[str] = field(repr=False, compare=False)
    _within: re.Pattern[str] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> PathPattern:
        """Reads a pattern.

        Raises:
            PatternError: with what is wrong with it.
        """
        container, *segments = segments_of(text)
        if not is_container(container):
            raise PatternError(
                f"{text!r} must begin with the name of a container: 3 to 63 small letters, digits, hyphens"
            )
        if not segments:
            raise PatternError(f"{text!r} names a container only; add the files, such as {container}/**/*.csv")
        parsed = [pattern_pieces(segment) for segment in segments]
        starred = (i for i, pieces in enumerate(parsed) if any(piece.kind == "stars" for piece in pieces))
        folder = min(next(starred, len(parsed)), len(parsed) - 1)
        return cls(
            text=text,
            container=container,
            prefix=_prefix(parsed),
            captures=_captures(text, parsed),
            folder=folder,
            _path=re.compile(_regex(parsed)),
            _within=re.compile(_regex(parsed[folder:])),
        )

    @property
    def folder_text(self) -> str:
        """The pattern's folder, the container first."""
        return "/".join(self.text.split("/")[: self.folder + 1])

    def match(self, container: str, path: str) -> dict[str, str] | None:
        """What the pattern captures of a path, or None where it does not fit."""
        found = self._path.fullmatch(path) if container == self.container else None
        return found.groupdict() if found else None

    def relative_name(self, path: str) -> str:
        """The rest of a fitting path below the pattern's folder."""
        return path.split("/", self.folder)[-1]

    def fits_within(self, name: str) -> bool:
        """Whether a file of this name within the pattern's folder would fit."""
        return self._within.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A glob for file names; with a slash in it, for a row of segments anywhere in the path."""

    text: str
    _path: re.Pattern[str] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Exclusion:
        """Reads a glob.

        Raises:
            PatternError: with what is wrong with it.
        """
        parsed = [pattern_pieces(segment) for segment in segments_of(text.removesuffix("/"))]
        if any(piece.kind == "name" for pieces in parsed for piece in pieces):
            raise PatternError(f"{text!r} must not capture: an exclusion has only text and stars")
        below = "(?:/.*)?" if "/" in text else ""
        return cls(text=text, _path=re.compile(f"(?:[^/]*/)*?{_regex(parsed)}{below}", re.DOTALL))

    def match(self, path: str) -> bool:
        return self._path.fullmatch(path) is not None


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A pattern for a name, such as a monitor's or a model's: `{name}` captures a part of it, `*` stands for any text.

    A slash is a character like any other only outside captures and stars: they end there, as in a path.
    """

    text: str
    captures: tuple[str, ...]
    _name: re.Pattern[str] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> NamePattern:
        """Reads a pattern.

        Raises:
            PatternError: with what is wrong with it.
        """
        _refuse_signs(text)
        parsed = pattern_pieces(text)
        if any(piece.kind == "stars" and len(piece.text) > 1 for piece in parsed):
            raise PatternError(f"{text!r} has ** in it; in a name * stands for any text")
        return cls(text=text, captures=_captures(text, [parsed]), _name=re.compile(_segment(parsed)))

    def match(self, name: str) -> dict[str, str] | None:
        """What the pattern captures of a name, or None where it does not fit."""
        found = self._name.fullmatch(name)
        return found.groupdict() if found else None


@dataclass(frozen=True, slots=True)
class Template:
    """Text with `{name}` or `{live:ENDPOINT}` in it; `{{` and `}}` are braces."""

    text: str
    _parsed: Pieces = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Template:
        """Reads a template.

        Raises:
            PatternError: with what is wrong with it.
        """
        return cls(text=text, _parsed=template_pieces(text))

    @property
    def placeholders(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(piece.text for piece in self._parsed if piece.kind == "name"))

    @property
    def live(self) -> tuple[str, ...]:
        """The endpoints whose live model is asked for."""
        return tuple(dict.fromkeys(piece.text.removeprefix(LIVE) for piece in self._parsed if piece.kind == "live"))

    @property
    def ambiguous(self) -> bool:
        """Whether different values may render the same text: they may, unless a slash parts the placeholders."""
        literal = "/"
        for piece in self._parsed:
            if piece.kind != "text":
                if "/" not in literal:
                    return True
                literal = ""
            else:
                literal += piece.text
        return False

    def render(self, values: Mapping[str, str]) -> str:
        """The text with values put in: each placeholder's by its name, a live model's by `live:ENDPOINT`."""
        return "".join(piece.text if piece.kind == "text" else values[piece.text] for piece in self._parsed)


def _captures(text: str, parsed: Sequence[Pieces]) -> tuple[str, ...]:
    captures = tuple(piece.text for pieces in parsed for piece in pieces if piece.kind == "name")
    for name in captures:
        if captures.count(name) > 1:
            raise PatternError(f"{text!r} captures {{{name}}} twice; give each capture a name of its own")
    return captures


def _prefix(parsed: Sequence[Pieces]) -> str:
    """What comes before the first capture or star."""
    prefix = ""
    for i, pieces in enumerate(parsed):
        prefix += "/" if i else ""
        for piece in pieces:
            if piece.kind != "text":
                return prefix
            prefix += piece.text
    return prefix


def _refuse_signs(text: str) -> None:
    if not text:
        raise PatternError("is empty")
    for sign, advice in (("\\", "write /"), ("?", "write * or {name}"), ("[", "write * or {name}")):
        if sign in text:
            raise PatternError(f"{text!r} has a {sign}, which has no meaning in a pattern; {advice}")


def is_container(name: str) -> bool:
    return _CONTAINER.fullmatch(name) is not None


def segments_of(text: str) -> list[str]:
    """The segments of a path.

    Raises:
        PatternError: it is none.
    """
    _refuse_signs(text)
    segments = text.split("/")
    if "://" in text:
        raise PatternError(f"{text!r} is an address; write the container and the path in it, such as lake/in/a.csv")
    if text.startswith("/"):
        raise PatternError(f"{text!r} begins with a slash; leave it out")
    if "" in segments:
        raise PatternError(f"{text!r} has an empty segment: two slashes in a row, or one at its end")
    if "." in segments or ".." in segments:
        raise PatternError(f"{text!r} has a . or .. segment; write the path as storage shows it")
    return segments


def _regex(parsed: Sequence[Pieces]) -> str:
    """One expression for a row of segments, in linear time.

    What stands between two `**` is taken at the first place where it fits, and so is what stands between two captures
    or stars of a segment (atomic groups). Taking it later would never make a path fit that does not fit so.
    """
    groups: list[list[str]] = [[]]
    for pieces in parsed:
        if pieces == _ANY_FOLDERS:
            groups.append([])
        else:
            groups[-1].append(_segment(pieces))
    first, *rest = groups
    if not rest:
        return "/".join(first)
    *middle, last = rest
    found = "".join(f"(?>{_FOLDER}*?{'/'.join(group)}/)" for group in middle if group)
    return "".join(f"{segment}/" for segment in first) + found + f"{_FOLDER}*" + ("/".join(last) or "[^/]+")


def _segment(pieces: Pieces) -> str:
    text = "".join(piece.spelled for piece in pieces)
    if any(piece.kind == "stars" and len(piece.text) > 1 for piece in pieces):
        raise PatternError(f"{text!r} is not possible: ** stands alone between slashes, for any number of folders")
    wild = [i for i, piece in enumerate(pieces) if piece.kind != "text"]
    if any(after == before + 1 for before, after in pairwise(wild)):
        raise PatternError(f"{text!r} has two captures or stars side by side; put text between them")
    regex = ""
    for i, piece in enumerate(pieces):
        if piece.kind == "text":
            regex += re.escape(piece.text) + (")" if i - 1 in wild[:-1] else "")
            continue
        some = "[^/]*" if piece.kind == "stars" and len(pieces) > 1 else "[^/]+"
        some += "" if i == wild[-1] else "?"
        regex += "" if i == wild[-1] else "(?>"  # until after the text that follows
        regex += f"(?P<{piece.text}>{some})" if piece.kind == "name" else some
    return regex
