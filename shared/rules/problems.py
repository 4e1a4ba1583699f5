"""Says in a user's words, and with its place, what pydantic found wrong with the shape of a rules file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from pydantic_core import ErrorDetails

from shared.rules.fields import LONGEST_NAME, either, kind_of
from shared.rules.parts import NOT_BUILT, close
from shared.rules.schema import IN_A_REACTION, Section, sections
from shared.rules.yaml_lines import Found, Path

_SECTIONS: Final[dict[Path, type[Section]]] = dict(sections())
_HOMES: Final[dict[Path, str]] = {(): "the top of the file", IN_A_REACTION: "the name of a reaction"}
_NO_NAME: Final = f"is not the name of a reaction: small letters, digits and single hyphens, up to {LONGEST_NAME}"
_SHAPES: Final = {
    "model_type": "must be a mapping (indented keys and values), not {kind}",
    "dict_type": "must be a mapping (indented keys and values), not {kind}",
    "list_type": "must be a list, such as [a, b], not {kind}",
    "too_short": "is empty",
    "string_pattern_mismatch": _NO_NAME,
    "string_too_long": _NO_NAME,
}


def in_words(errors: Iterable[ErrorDetails]) -> Iterator[Found]:
    """What a user should know of the errors. One mistake that pydantic reports twice is said once."""
    details = list(errors)
    unknown = {_place(error) for error in details if error["type"] == "extra_forbidden"}
    for error in details:
        place = _place(error)
        if error["input"] is None and error["type"] != "extra_forbidden":
            continue  # that it has no value was said before
        if error["type"] != "missing":
            yield place, _message(error, place)
        elif not any(_meant(other, place) for other in unknown):
            yield place[:-1], f"{place[-1]} is missing"


def _place(error: ErrorDetails) -> Path:
    return tuple(part for part in error["loc"] if part != "[key]")


def _message(error: ErrorDetails, place: Path) -> str:
    kind = error["type"]
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "extra_forbidden":
        return _unknown_key(place)
    return _SHAPES.get(kind, error["msg"]).format(kind=kind_of(error["input"]))


def _meant(unknown: Path, missing: Path) -> bool:
    """Whether the key that is missing is there, only misspelled."""
    return unknown[:-1] == missing[:-1] and close(str(unknown[-1]), [str(missing[-1])]) is not None


def _unknown_key(place: Path) -> str:
    key = str(place[-1])
    if key in NOT_BUILT:
        return "is not built yet"
    homes = [home for home, section in _SECTIONS.items() if key in _keys(section)]
    if homes:
        return f"does not belong here, but under {either([_home(home, place) for home in homes])}"
    keys = _keys(_section_at(place[:-1]))
    found = close(key, keys)
    return f"is not a key; did you mean {found}?" if found is not None else f"is not a key; there are {', '.join(keys)}"


def _section_at(place: Path) -> type[Section]:
    named = IN_A_REACTION if place[:1] == IN_A_REACTION[:1] else place[:2]
    return _SECTIONS[(*named, *place[2:])]


def _home(home: Path, seen_from: Path) -> str:
    if home in _HOMES:
        return _HOMES[home]
    in_a_rule = home[:2] == IN_A_REACTION
    name = ".".join(map(str, home[2:] if in_a_rule else home))
    return f"{name} of a reaction" if in_a_rule and seen_from[:1] != IN_A_REACTION[:1] else name


def _keys(section: type[Section]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]
