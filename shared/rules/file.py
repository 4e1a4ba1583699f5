"""Reads `reactions.yaml` into rules, or says everything that is wrong with it, each with its line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final

from pydantic import ValidationError

from shared.errors import ConfigurationError, Problem
from shared.rules import checks, problems, yaml_lines
from shared.rules.schema import Reaction, RulesFile
from shared.rules.values import (
    DEFAULT_GIVE_UP_AFTER,
    DEFAULT_TIMEOUT,
    MAX_WAIT_PER_QUIET,
    Collect,
    FileLandedTrigger,
    Limits,
    Retry,
    Revision,
    Rule,
    Rules,
    RunPipeline,
)
from shared.rules.yaml_lines import Document, Found, Path, Plain

_SETTING: Final = re.compile(r"\$\{([^{}]*)\}?")
_SETTING_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def load(text: str, *, file: str, settings: Mapping[str, str], modified: datetime) -> Rules:
    """The rules in a file's text, with `${NAME}` replaced by settings.

    Args:
        file: its name, for problems.
        modified: when it was last changed: of two revisions that differ, this tells the older.

    Raises:
        ConfigurationError: with every problem of the file.
    """
    reader = _Reader(text, settings)
    content = reader.read()
    if content is None or reader.problems:
        raise ConfigurationError([Problem(where=file, line=line, message=m) for line, m in sorted(reader.problems)])
    revision = Revision(hash=_hash(text, reader.used), modified=modified)
    return Rules(revision=revision, rules={name: _rule(name, r) for name, r in content.reactions.items()})


class _Reader:
    """Reads one text, and collects its problems and the settings it uses."""

    def __init__(self, text: str, settings: Mapping[str, str]) -> None:
        self._document: Document = yaml_lines.read(text)
        self._settings = settings
        self.problems: set[tuple[int, str]] = set(self._document.problems)
        self.used: dict[str, str] = {}
        self._unresolved: set[Path] = set()

    def read(self) -> RulesFile | None:
        if self._document.value is None and self.problems:
            return None
        if not isinstance(self._document.value, dict):
            self._found((), "has no rules: it must begin with version: 1 and reactions:")
            return None
        content = self._prepared(self._document.value, ())
        rules, wrong = _validated(content)
        for place, message in (*_contradictions(content), *wrong):
            if place not in self._unresolved:  # there a setting that is missing was found; the rest follows from it
                self._found(place, message)
        return rules

    def _prepared(self, value: Plain, path: Path) -> Plain:
        """The value with settings put in, and with pipeline parameters as the texts they are written as."""
        if isinstance(value, dict):
            return {key: self._prepared(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._prepared(item, (*path, i)) for i, item in enumerate(value)]
        if value is None:
            self._no_value(path)
            return None
        if len(path) == 4 and path[2] == "with":
            value = self._document.texts[path]
        return self._with_settings(value, path) if isinstance(value, str) else value

    def _no_value(self, path: Path) -> None:
        if path not in self._document.texts:
            return  # it is None because of a problem with the YAML, which is among the others already
        advice = 'write one, leave the key out, or write "" for an empty text'
        if isinstance(path[-1], str) and self._document.line_of(path) == self._document.line_of(path[:-1]):
            advice = f"write one, or leave the key out; if the text {{{path[-1]}}} is meant, put it in quotes"
        self._found(path, f"has no value; {advice}")

    def _with_settings(self, text: str, path: Path) -> str:
        def setting(found: re.Match[str]) -> str:
            name = found.group(1)
            value = self.used[name] = self._settings.get(name, "")
            if value and found.group().endswith("}"):
                return value
            if not found.group().endswith("}") or not _SETTING_NAME.fullmatch(name):
                self._found(path, f"{found.group()} is not a setting; write ${{NAME}}")
            else:
                self._found(path, f"the setting {name} is {'empty' if name in self._settings else 'not set'}")
            self._unresolved.add(path)
            return "x"  # stands in for it while the other problems are looked for

        return _SETTING.sub(setting, text)

    def _found(self, path: Path, message: str) -> None:
        where = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
        self.problems.add((self._document.line_of(path), f"{where}: {message}" if where else message))


def _validated(content: Plain) -> tuple[RulesFile | None, list[Found]]:
    try:
        return RulesFile.model_validate(content), []
    except ValidationError as error:
        return None, list(problems.in_words(error.errors(include_url=False)))


def _contradictions(content: Plain) -> Iterator[Found]:
    reactions = content.get("reactions") if isinstance(content, dict) else None
    for name, rule in reactions.items() if isinstance(reactions, dict) else ():
        for place, message in checks.check(rule) if isinstance(rule, dict) else ():
            yield ("reactions", name, *place), message


def _hash(text: str, used: Mapping[str, str]) -> str:
    return sha256(json.dumps([text, sorted(used.items())]).encode()).hexdigest()[:12]


def _rule(name: str, reaction: Reaction) -> Rule:
    file_landed = reaction.when.file_landed
    return Rule(
        name=name,
        trigger=FileLandedTrigger(path=file_landed.path, exclude=tuple(file_landed.exclude)),
        collect=_collect(reaction),
        action=RunPipeline(pipeline=reaction.run_pipeline, with_=reaction.with_),
        limits=Limits(**reaction.limits.given()),
        retry=Retry(**reaction.retry.given()),
        timeout=reaction.timeout or DEFAULT_TIMEOUT,
    )


def _collect(reaction: Reaction) -> Collect:
    given = reaction.collect.given()
    if "all_of" in given:
        given = {"give_up_after": DEFAULT_GIVE_UP_AFTER, **given, "all_of": tuple(given["all_of"])}
    if "quiet" in given:
        given = {"max_wait": MAX_WAIT_PER_QUIET * given["quiet"], **given}
    return Collect(**given)
