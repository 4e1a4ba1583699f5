"""Checks that the templates of a rule use what its event gives, and nothing that could mean two things."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final

from shared.rules.parts import FILE_LANDED, FILE_OVERDUE, Source, at, read, source
from shared.rules.patterns import Template
from shared.rules.values import BUILT_INS
from shared.rules.yaml_lines import Found, Path

_MAY_DIFFER: Final = (
    "may differ between the events of one batch; add it to collect.by, set collect.max-events: 1, or use {manifest}, "
    "which lists them all"
)
_IN_A_PATH: Final = "may differ between the events of one batch; write * in its place, or add it to collect.by"
_OF_ONE_FILE: Final = "may differ between the files that are expected; add it to collect.by"
_BY: Final = ("collect", "by")
_REPORT: Final = ("require", "report")


def check_placeholders(rule: Mapping[str, object]) -> Iterator[Found]:
    """What is wrong with a rule's captures, its batches' key and its other templates."""
    event = source(rule)
    if event is None:
        return
    by = read(Template.parse, at(rule, *_BY))
    yield from _captures(event)
    if by is not None:
        yield from _by(by, event)
    usable = _usable(rule, event, by)
    for place, template in _used_at_the_start(rule):
        yield from _used(place, template, event, usable)
    for place, template in _written(rule):
        yield from _used(place, template, event, usable - {"manifest", "count"}, _IN_A_PATH)
        yield from _nothing_live(place, template)
    report = read(Template.parse, at(rule, *_REPORT))
    if report is not None:
        yield from _used(_REPORT, report, event, event.names)
        yield from _nothing_live(_REPORT, report)


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
        elif event.event == FILE_OVERDUE and name in event.gives:
            yield _BY, f"must not use {{{name}}}, which is known only once a file is overdue"
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


def _used_at_the_start(rule: Mapping[str, object]) -> Iterator[tuple[Path, Template]]:
    parameters = at(rule, "with")
    for name, text in parameters.items() if isinstance(parameters, Mapping) else ():
        template = read(Template.parse, text)
        if template is not None:
            yield ("with", name), template
    text = read(Template.parse, at(rule, "notify"))
    if text is not None:
        yield ("notify",), text


def _written(rule: Mapping[str, object]) -> Iterator[tuple[Path, Template]]:
    written = at(rule, "writes")
    for i, text in enumerate(written if isinstance(written, list) else ()):
        template = read(Template.parse, text)
        if template is not None:
            yield ("writes", i), template


def _used(
    place: Path, template: Template, event: Source, usable: frozenset[str], differs: str = _MAY_DIFFER
) -> Iterator[Found]:
    for name in template.placeholders:
        if name not in event.names and name not in BUILT_INS:
            yield place, _unknown(name, event)
        elif name in BUILT_INS and name not in usable:
            yield place, f"must not use {{{name}}}: it has no meaning in this path"
        elif name not in usable:
            yield place, f"{{{name}}} {_OF_ONE_FILE if event.event == FILE_OVERDUE else differs}"


def _nothing_live(place: Path, template: Template) -> Iterator[Found]:
    for endpoint in template.live:
        yield place, f"must not use {{live:{endpoint}}}: it has no meaning in this path"


def _usable(rule: Mapping[str, object], event: Source, by: Template | None) -> frozenset[str]:
    """What a text may use. Of files there may be very many; the values of other events are joined."""
    unclear = at(rule, *_BY) is not None and not (by and event.names.issuperset(by.placeholders))
    files = event.event in {FILE_LANDED, FILE_OVERDUE}
    if not files or unclear or at(rule, "collect", "max-events") == 1:
        return BUILT_INS | event.names
    return BUILT_INS | event.gives | frozenset(by.placeholders if by is not None else ())


def _unknown(name: str, event: Source) -> str:
    if name == "live":
        return "{live} needs an endpoint: {live:ENDPOINT}"
    alike = get_close_matches(name, [*event.names, *BUILT_INS], n=1)
    meant = f"; did you mean {{{alike[0]}}}?" if alike else ""
    return f"{{{name}}} is not captured by {event.pattern.text!r}{meant}"
