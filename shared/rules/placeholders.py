"""Checks that the templates of a rule use what its event gives, and nothing that could mean two things."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final

from shared.rules.parts import FILE_LANDED, Source, at, read, source
from shared.rules.patterns import Template
from shared.rules.values import BUILT_INS, STAMPS
from shared.rules.yaml_lines import Found

_MOST_PARAMETERS: Final = 50  # of an ADF pipeline
_MAY_DIFFER: Final = (
    "may differ between the events of one batch; add it to collect.by, set collect.max-events: 1, or use {manifest}, "
    "which lists them all"
)
_BY: Final = ("collect", "by")


def check_placeholders(rule: Mapping[str, object]) -> Iterator[Found]:
    """What is wrong with a rule's captures, its batches' key and its parameters."""
    yield from _parameters(rule)
    event = source(rule)
    if event is None:
        return
    by = read(Template.parse, at(rule, *_BY))
    yield from _captures(event)
    if by is not None:
        yield from _by(by, event)
    yield from _used(rule, event, by)
    yield from _report(rule, event)


def _captures(event: Source) -> Iterator[Found]:
    for name in event.pattern.captures:
        if name in BUILT_INS:
            yield event.place, f"must not capture {{{name}}}: Relearn itself gives that name a value"
        elif name in event.gives:
            yield event.place, f"must not capture {{{name}}}: {event.event} itself gives that name a value"


def _by(by: Template, event: Source) -> Iterator[Found]:
    for name in by.placeholders:
        if name in BUILT_INS:
            yield _BY, f"must not use {{{name}}}, which is known only when a reaction starts"
        elif name not in event.names:
            yield _BY, _unknown(name, event)
    for endpoint in by.live:
        yield _BY, f"must not use {{live:{endpoint}}}, which is known only when a reaction starts"
    if not by.placeholders and not by.live:
        yield (
            _BY,
            f"{by.text!r} has no {{capture}} in it, so every event would be in the same batch; leave `by` out for that",
        )
    if by.ambiguous:
        yield _BY, f"{by.text!r} may be the same text for different events; put a slash between its placeholders"


def _parameters(rule: Mapping[str, object]) -> Iterator[Found]:
    parameters = at(rule, "with")
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


def _used(rule: Mapping[str, object], event: Source, by: Template | None) -> Iterator[Found]:
    parameters = at(rule, "with")
    if not isinstance(parameters, Mapping):
        return
    usable = _usable(rule, event, by)
    for name, text in parameters.items():
        template = read(Template.parse, text)
        for used in template.placeholders if template else ():
            if used not in event.names and used not in BUILT_INS:
                yield ("with", name), _unknown(used, event)
            elif used not in usable:
                yield ("with", name), f"{{{used}}} {_MAY_DIFFER}"


def _report(rule: Mapping[str, object], event: Source) -> Iterator[Found]:
    """It is about one breach, so all that a breach gives is clear."""
    place = ("require", "report")
    template = read(Template.parse, at(rule, *place))
    if template is None:
        return
    for name in template.placeholders:
        if name in BUILT_INS:
            yield place, f"must not use {{{name}}}: the data are judged before a reaction starts"
        elif name not in event.names:
            yield place, _unknown(name, event)
    for endpoint in template.live:
        yield place, f"must not use {{live:{endpoint}}}: the data are judged before a reaction starts"
    container, _, path = template.text.partition("/")
    if not container or "{" in container or not path:
        yield place, f"{template.text!r} must begin with the lake's container: lake/monitoring/{{monitor}}/report.json"


def _usable(rule: Mapping[str, object], event: Source, by: Template | None) -> frozenset[str]:
    """What a parameter may use. Of files there may be very many; the values of other events are joined."""
    unclear = at(rule, *_BY) is not None and not (by and event.names.issuperset(by.placeholders))
    if event.event != FILE_LANDED or unclear or at(rule, "collect", "max-events") == 1:
        return BUILT_INS | event.names
    return BUILT_INS.union(by.placeholders if by is not None else ())


def _unknown(name: str, event: Source) -> str:
    if name == "live":
        return "{live} needs an endpoint: {live:ENDPOINT}"
    alike = get_close_matches(name, [*event.names, *BUILT_INS], n=1)
    meant = f"; did you mean {{{alike[0]}}}?" if alike else ""
    return f"{{{name}}} is not captured by {event.pattern.text!r}{meant}"
