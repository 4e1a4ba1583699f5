"""What must hold between the parts of a rule, checked on whatever parts of it can be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Final, TypeVar

from shared.rules.durations import parse_duration
from shared.rules.patterns import Exclusion, PathPattern, Template
from shared.rules.values import BUILT_INS, STAMPS
from shared.rules.yaml_lines import Found

_MOST_PARAMETERS: Final = 50  # of an ADF pipeline
_MAY_DIFFER: Final = (
    "may differ between the events of one batch; add it to collect.by, set collect.max-events: 1, or use {manifest}, "
    "which lists them all"
)
_T = TypeVar("_T")


def check(rule: Mapping[str, object]) -> Iterator[Found]:
    """Finds every contradiction of a rule as the file gives it. What is wrong in itself is not said again."""
    pattern = _read(PathPattern.parse, _at(rule, "when", "file-landed", "path"))
    by = _read(Template.parse, _at(rule, "collect", "by"))
    yield from _captures(pattern)
    yield from _by(by, pattern)
    yield from _collect(rule)
    yield from _all_of(rule, pattern)
    yield from _parameters(rule)
    yield from _placeholders(rule, pattern, by)
    if _at(rule, "retry", "backoff") is not None and _at(rule, "retry", "attempts") in (None, 1):
        yield ("retry", "backoff"), "has no effect without attempts: 2 or more"


def _captures(pattern: PathPattern | None) -> Iterator[Found]:
    for name in sorted(BUILT_INS.intersection(pattern.captures if pattern else ())):
        yield ("when", "file-landed", "path"), f"must not capture {{{name}}}: Relearn itself gives that name a value"


def _by(by: Template | None, pattern: PathPattern | None) -> Iterator[Found]:
    place = ("collect", "by")
    if by is None or pattern is None:
        return
    for name in by.placeholders:
        if name in BUILT_INS:
            yield place, f"must not use {{{name}}}, which is known only when a reaction starts"
        elif name not in pattern.captures:
            yield place, _unknown(name, pattern)
    if not by.placeholders:
        yield (
            place,
            f"{by.text!r} has no {{capture}} in it, so every file would be in the same batch; leave `by` out for that",
        )
    if by.ambiguous:
        yield place, f"{by.text!r} may be the same text for different files; put a slash between its placeholders"


def _collect(rule: Mapping[str, object]) -> Iterator[Found]:
    collect = _at(rule, "collect")
    if not isinstance(collect, Mapping):
        return
    quiet, max_wait = (_read(parse_duration, collect.get(key)) for key in ("quiet", "max-wait"))
    if collect.get("give-up-after") is not None and collect.get("all-of") is None:
        yield ("collect", "give-up-after"), "has no effect without all-of"
    if collect.get("max-wait") is not None and collect.get("quiet") is None:
        yield ("collect", "max-wait"), "has no effect without quiet"
    if quiet is not None and max_wait is not None and max_wait < quiet:
        yield ("collect", "max-wait"), f"is shorter than quiet ({collect['quiet']}); make it longer"


def _all_of(rule: Mapping[str, object], pattern: PathPattern | None) -> Iterator[Found]:
    names = _at(rule, "collect", "all-of")
    if not isinstance(names, list):
        return
    counts = Counter(name for name in names if isinstance(name, str))
    for i, name in enumerate(names):
        if not isinstance(name, str):
            continue
        place = ("collect", "all-of", i)
        if counts[name] > 1 and names.index(name) != i:
            yield place, f"{name!r} is named twice"
        elif message := _not_a_name(name) or _never_comes(name, rule, pattern):
            yield place, message
    most = _at(rule, "collect", "max-events")
    if isinstance(most, int) and 0 < most < len(counts):
        yield (
            ("collect", "max-events"),
            f"is less than the {len(counts)} files of all-of, so no batch would ever be complete",
        )


def _not_a_name(name: str) -> str | None:
    if not name:
        return "is empty; name a file"
    for sign in "*{}\\":
        if sign in name:
            return f"{name!r} must be the plain name of a file, without {sign}"
    if name.startswith("/") or name.endswith("/"):
        return f"{name!r} must be a name within the pattern's folder, without a slash at its beginning or end"
    return None


def _never_comes(name: str, rule: Mapping[str, object], pattern: PathPattern | None) -> str | None:
    if pattern is None:
        return None
    if not pattern.fits_within(name):
        folder = "/".join(pattern.text.split("/")[: pattern.folder + 1])
        return f"{name!r} can never come: {folder}/{name} does not fit {pattern.text!r}"
    exclude = _at(rule, "when", "file-landed", "exclude")
    for text in exclude if isinstance(exclude, list) else ():
        glob = _read(Exclusion.parse, text)
        if glob is not None and glob.match(name):
            return f"{name!r} can never come: it is excluded by {text!r}"
    return None


def _parameters(rule: Mapping[str, object]) -> Iterator[Found]:
    parameters = _at(rule, "with")
    names = list(parameters) if isinstance(parameters, Mapping) else []
    if len(names) + len(STAMPS) > _MOST_PARAMETERS:
        yield ("with",), f"has {len(names)} parameters; a pipeline takes {_MOST_PARAMETERS}, two of them Relearn's own"
    for i, name in enumerate(names):
        same = [other for other in names[:i] if other.casefold() == name.casefold()]
        if name.casefold() in STAMPS:
            yield ("with", name), "is sent by Relearn itself with every start; leave it out"
        elif not name.strip():
            yield ("with", name), "has no name"
        elif same:
            yield ("with", name), f"is the same parameter as {same[0]}: the names differ only in the case of letters"


def _placeholders(rule: Mapping[str, object], pattern: PathPattern | None, by: Template | None) -> Iterator[Found]:
    parameters = _at(rule, "with")
    if pattern is None or not isinstance(parameters, Mapping):
        return
    usable = BUILT_INS.union(by.placeholders if by is not None else ())
    unclear = _at(rule, "collect", "by") is not None and not (by and set(by.placeholders) <= set(pattern.captures))
    any_capture = unclear or _at(rule, "collect", "max-events") == 1
    for name, text in parameters.items():
        template = _read(Template.parse, text)
        for used in template.placeholders if template else ():
            if used not in pattern.captures and used not in BUILT_INS:
                yield ("with", name), _unknown(used, pattern)
            elif used not in usable and not any_capture:
                yield ("with", name), f"{{{used}}} {_MAY_DIFFER}"


def _unknown(name: str, pattern: PathPattern) -> str:
    close = get_close_matches(name, [*pattern.captures, *BUILT_INS], n=1)
    meant = f"; did you mean {{{close[0]}}}?" if close else ""
    return f"{{{name}}} is not captured by {pattern.text!r}{meant}"


def _at(value: object, *path: str) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _read(parse: Callable[[str], _T], text: object) -> _T | None:
    try:
        return parse(text) if isinstance(text, str) else None
    except ValueError:
        return None
