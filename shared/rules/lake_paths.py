"""Paths in the lake that a rule names, the container first, with placeholders in them."""

from __future__ import annotations

from typing import Final

from shared.rules.patterns import Template, is_container, segments_of
from shared.rules.pieces import PatternError

_BEGIN: Final = "must begin with the lake's container, such as lake/2-silver/"


def report(text: str) -> Template:
    """The path of one file.

    Raises:
        PatternError: with what is wrong with it.
    """
    template = _read(text)
    if text.endswith("/"):
        raise PatternError(f"{text!r} is a folder; name the file in it")
    if "*" in text:
        raise PatternError(f"{text!r} must name one file, without *")
    return template


def written(text: str) -> Template:
    """A folder, which ends in a slash, or files: `*` stands for any text within a segment, `**` for any folders.

    Raises:
        PatternError: with what is wrong with it.
    """
    template = _read(text)
    if any("**" in segment and segment != "**" for segment in text.split("/")):
        raise PatternError(f"{text!r} is not possible: ** stands alone between slashes, for any number of folders")
    return template


def _read(text: str) -> Template:
    container, *rest = segments_of(text.removesuffix("/"))
    if not is_container(container):
        raise PatternError(f"{text!r} {_BEGIN}")
    if not rest and not text.endswith("/"):
        raise PatternError(f"{text!r} names a container only; add a slash where all of it is meant, or a path")
    return Template.parse(text)
