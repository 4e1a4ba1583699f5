"""What a rule's run writes: it must not be what the rule waits for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.rules import lake_paths, loops
from shared.rules.parts import FILE_LANDED, at, event_of, read
from shared.rules.patterns import Exclusion, PathPattern, Template
from shared.rules.yaml_lines import Found


def check_paths(rule: Mapping[str, object]) -> Iterator[Found]:
    """What is wrong with a rule's `writes`, and with paths among its parameters."""
    event = event_of(rule)
    if event is not None and event != FILE_LANDED and at(rule, "writes") is not None:
        yield ("writes",), f"has no effect without {FILE_LANDED}: only a rule about files could start itself"
    pattern = read(PathPattern.parse, at(rule, "when", FILE_LANDED, "path"))
    if pattern is None or event is None:
        return
    given = at(rule, "when", FILE_LANDED, "exclude")
    texts = given if isinstance(given, list) else []
    exclude = [glob for text in texts if (glob := read(Exclusion.parse, text)) is not None]
    yield from _written(rule, pattern, exclude)
    yield from _parameters(rule, pattern, exclude)


def _written(rule: Mapping[str, object], pattern: PathPattern, exclude: list[Exclusion]) -> Iterator[Found]:
    writes = at(rule, "writes")
    for i, text in enumerate(writes if isinstance(writes, list) else ()):
        template = read(lake_paths.written, text)
        path = loops.example(pattern, exclude, loops.written_tokens(template)) if template is not None else None
        if path is not None:
            yield (
                ("writes", i),
                f"{text!r} may be what the rule itself waits for, such as {path}: it would start itself for ever; have "
                "the run write elsewhere, or exclude that",
            )


def _parameters(rule: Mapping[str, object], pattern: PathPattern, exclude: list[Exclusion]) -> Iterator[Found]:
    given = at(rule, "with")
    landed = {pattern.text, *(f"{pattern.folder_text}/{name}" for name in _needed(rule))}
    for name, text in given.items() if isinstance(given, Mapping) else ():
        template = read(Template.parse, text)
        in_the_lake = template is not None and template.text.startswith(f"{pattern.container}/")
        if template is None or not in_the_lake or text in landed or not loops.names_a_file(template.text):
            continue
        path = loops.example(pattern, exclude, loops.value_tokens(template))
        if path is not None:
            yield (
                ("with", name),
                f"{text!r} may be a file that the rule itself waits for, such as {path}: a run that writes it would "
                "start the rule for ever; write elsewhere, or exclude it; one that is only read belongs into "
                "collect.all-of",
            )


def _needed(rule: Mapping[str, object]) -> Iterator[str]:
    names = at(rule, "collect", "all-of")
    for name in names if isinstance(names, list) else ():
        if isinstance(name, str):
            yield name
