"""Prints answers for people: columns as wide as they need to be, and no wider than the terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

GAP: Final = "  "


def show(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], none: str = "nothing") -> None:
    """A table; the last column takes what is left of the line."""
    if not rows:
        print(none)
        return
    texts = [[cell(row.get(column)) for column in columns] for row in rows]
    table = [[column.replace("_", " ") for column in columns], *texts]
    widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
    for line in table:
        print(_cut(GAP.join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()))


def facts(content: Mapping[str, Any]) -> None:
    """Names and values, a line each. What is empty is left out."""
    known = {name.replace("_", " "): cell(value) for name, value in content.items() if value not in (None, "", [], {})}
    width = max((len(name) for name in known), default=0)
    for name, value in known.items():
        print(f"{name.ljust(width)}{GAP}{value}")


def cell(value: object) -> str:
    """On one line, whatever it is, and nothing that a terminal would obey; of a time, the seconds are enough."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={cell(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(cell(each) for each in value)
    text = "".join(sign if sign.isprintable() else "?" for sign in " ".join(str(value).split()))
    if len(text) > 19 and text[10:11] == "T" and text[:4].isdecimal() and text.endswith("+00:00"):
        return text[:19] + "Z"
    return text


def _cut(line: str) -> str:
    if not sys.stdout.isatty():
        return line  # whoever reads it may want all of it
    width = shutil.get_terminal_size().columns
    return line if len(line) <= width else line[: width - 1] + "…"
