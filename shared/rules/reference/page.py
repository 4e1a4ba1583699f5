"""The parts of `docs/rules.md` that are made of the schema and the examples: `python -m shared.rules docs FILE`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.rules.reference.examples import EXAMPLES, Key, shown
from shared.rules.reference.loading import answers
from shared.rules.reference.policies import POLICIES
from shared.rules.schema import IN_A_REACTION, Section, json_schema, sections

_BEGIN: Final = "<!-- {}, made by python -m shared.rules docs: begin -->\n"
_END: Final = "<!-- {}: end -->\n"
_TITLES: Final = {"": "The top of the file", "reactions.NAME": "A rule"}
_BY_DEFAULT: Final = re.compile(r" ?By default ([^.]+)\.")
_IN_A_RULE: Final = ".".join((*IN_A_REACTION, ""))


def written(page: str) -> str:
    """The page with these parts as the language is now.

    Raises:
        ValueError: it has no place for one of them.
    """
    for name, part in {"policies": _policies(), "keys": _keys()}.items():
        begin, end = _BEGIN.format(name), _END.format(name)
        head, found, rest = page.partition(begin)
        _, closed, tail = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"the page has no place for the {name}: the lines {begin.strip()} and {end.strip()}")
        page = f"{head}{begin}\n{part}\n\n{end}{tail}"
    return page


def _policies() -> str:
    return "\n".join(_table(("with", "what happens"), ([_code(key), sentence] for key, sentence in POLICIES)))


def _keys() -> str:
    return "\n\n".join("\n".join(_section(".".join(place), section)) for place, section in sections())


def _section(place: str, section: type[Section]) -> Iterator[str]:
    keys = EXAMPLES[place]
    name = place.removeprefix(_IN_A_RULE)
    yield f"### {_TITLES.get(place) or f'`{name}`'}"
    yield ""
    yield _doc(section)
    yield ""
    rows = (
        [_code(key.name), key.does, key.default, _lines(shown(key.name, keys[key.name].example))]
        for key in described(section)
    )
    yield from _table(("key", "what it does", "default", "for example"), rows)
    yield ""
    yield from _table(("written", "answered"), _wrong(keys))


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A key of a section, and what the schema says of it."""

    name: str
    does: str
    default: str


def described(section: type[Section]) -> list[Described]:
    """The keys of a section, in its order."""
    inner = {place[0]: within for place, within in sections(section) if len(place) == 1}
    schema = json_schema()
    properties: Mapping[str, Any] = {**schema, **schema["$defs"].get(section.__name__, {})}["properties"]
    found = []
    for field, info in section.model_fields.items():
        name = info.alias or field
        text = info.description or _doc(inner[name])
        told = _BY_DEFAULT.search(text)
        default = properties[name].get("default")
        if info.is_required():
            told_default = "required"
        elif default is not None:
            told_default = _code(str(default))
        else:
            told_default = told[1] if told is not None else "none"
        found.append(Described(name=name, does=_BY_DEFAULT.sub("", text).strip(), default=told_default))
    return found


def _doc(section: type[Section]) -> str:
    return " ".join((section.__doc__ or "").split())


def _wrong(keys: Mapping[str, Key]) -> Iterator[list[str]]:
    for name, key in keys.items():
        beside = dict(key.against)
        for lines, text in key.wrongly():
            written = _lines(shown(name, lines))
            if beside.get(lines):
                written += f"<br>with {_code(beside[lines])} at the top of the file"
            yield [written, "<br>".join(_code(answer) for answer in answers(text))]


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    titles = list(head)
    yield f"| {' | '.join(titles)} |"
    yield "|" + "---|" * len(titles)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _lines(text: str) -> str:
    return "<br>".join(_code(line) for line in text.splitlines())


def _code(text: str) -> str:
    ticks = "``" if "`" in text else "`"
    return f"{ticks}{text}{ticks}".replace("|", "\\|")
