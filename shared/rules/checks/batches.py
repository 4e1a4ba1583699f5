"""How events become a batch: what `collect` says against itself, and against the event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from shared.rules.durations import parse_duration
from shared.rules.parts import DRIFT_DETECTED, FILE_LANDED, FILE_OVERDUE, at, event_of, read, whole_number
from shared.rules.patterns import Exclusion, PathPattern
from shared.rules.yaml_lines import Found

_ALL_OF: Final = ("collect", "all-of")
_GIVE_UP_AFTER: Final = ("collect", "give-up-after")
_MAX_WAIT: Final = ("collect", "max-wait")
_MAX_EVENTS: Final = ("collect", "max-events")
_UNTIL: Final = ("collect", "until")


def check_batches(rule: Mapping[str, object]) -> Iterator[Found]:
    """What is wrong with a rule's batches."""
    if event_of(rule) == FILE_OVERDUE:
        yield from _overdue(rule)
        return
    yield from _closing(rule)
    yield from _max_events(rule)
    yield from _all_of(rule)


def _overdue(rule: Mapping[str, object]) -> Iterator[Found]:
    collect = at(rule, "collect")
    for key in collect if isinstance(collect, Mapping) else ():
        if key in {"all-of", "give-up-after", "quiet", "max-wait", "max-events", "until"}:
            yield ("collect", key), f"has no effect with {FILE_OVERDUE}: an overdue file is told at once, by itself"


def _closing(rule: Mapping[str, object]) -> Iterator[Found]:
    files = event_of(rule) in (None, FILE_LANDED)
    for place in (_ALL_OF, _GIVE_UP_AFTER):
        if not files and at(rule, *place) is not None:
            yield place, f"needs {FILE_LANDED}: only files have names to wait for"
    if files and at(rule, *_GIVE_UP_AFTER) is not None and at(rule, *_ALL_OF) is None:
        yield _GIVE_UP_AFTER, "has no effect without all-of"
    if at(rule, *_MAX_WAIT) is not None and at(rule, "collect", "quiet") is None:
        yield _MAX_WAIT, "has no effect without quiet"
    # With all-of it goes well: what is complete by then is started then. But there is one time to close a batch.
    if at(rule, *_UNTIL) is not None and at(rule, "collect", "quiet") is not None:
        yield _UNTIL, "closes the batch at a time, and quiet when nothing comes any more; keep one of them"
    quiet, max_wait = (read(parse_duration, at(rule, "collect", key)) for key in ("quiet", "max-wait"))
    if quiet is not None and max_wait is not None and max_wait < quiet:
        yield _MAX_WAIT, f"is shorter than quiet ({at(rule, 'collect', 'quiet')}); make it longer"


def _max_events(rule: Mapping[str, object]) -> Iterator[Found]:
    most = whole_number(at(rule, *_MAX_EVENTS)) or 0
    names = at(rule, *_ALL_OF)
    files = len({name for name in names if isinstance(name, str)}) if isinstance(names, list) else 0
    times = whole_number(at(rule, "when", DRIFT_DETECTED, "times")) or 0
    for needed, what in ((files, "files of all-of"), (times, "breaches of times")):
        if 0 < most < needed:
            yield _MAX_EVENTS, f"is less than the {needed} {what}, so no batch could hold what it waits for"


def _all_of(rule: Mapping[str, object]) -> Iterator[Found]:
    names = at(rule, *_ALL_OF)
    if not isinstance(names, list):
        return
    pattern = read(PathPattern.parse, at(rule, "when", FILE_LANDED, "path"))
    counts = Counter(name for name in names if isinstance(name, str))
    for i, name in enumerate(names):
        if not isinstance(name, str):
            continue
        place = (*_ALL_OF, i)
        if counts[name] > 1 and names.index(name) != i:
            yield place, f"{name!r} is named twice"
        elif message := _not_a_name(name) or _never_comes(name, rule, pattern):
            yield place, message


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
        return f"{name!r} can never come: {pattern.folder_text}/{name} does not fit {pattern.text!r}"
    exclude = at(rule, "when", FILE_LANDED, "exclude")
    for text in exclude if isinstance(exclude, list) else ():
        glob = read(Exclusion.parse, text)
        if glob is not None and glob.match(name):
            return f"{name!r} can never come: it is excluded by {text!r}"
    return None
