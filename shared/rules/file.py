"""Reads `reactions.yaml` into rules, or says everything that is wrong with it, each with its line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path as FilePath
from typing import Final

from pydantic import ValidationError

from shared.errors import ConfigurationError, Problem
from shared.rules import building, checks, problems, yaml_lines
from shared.rules.schema import RulesFile
from shared.rules.values import Revision, Rules
from shared.rules.yaml_lines import Document, Found, Path, Plain

_SETTING: Final = re.compile(r"\$\{([^{}]*)\}?")
_SETTING_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WITH: Final = ("with",)
_TAGS: Final = ("when", "model-registered", "tags")
_MARGIN: Final = ("deploy-model", "gate", "by")


def load(
    text: str, *, file: str, settings: Mapping[str, str], modified: datetime, folder: FilePath | None = None
) -> Rules:
    """The rules in a file's text, with `${NAME}` replaced by settings.

    Args:
        file: its name, for problems.
        modified: when it was last changed: of two revisions that differ, this tells the older.
        folder: the app's folder, where the files are that the rules refer to.

    Raises:
        ConfigurationError: with every problem of the file.
    """
    reader = _Reader(text, settings, folder)
    content = reader.read()
    if content is None or reader.problems:
        raise ConfigurationError([Problem(where=file, line=line, message=m) for line, m in sorted(reader.problems)])
    revision = Revision(hash=_hash(text, reader.used, content), modified=modified)
    return building.rules(content, revision)


class _Reader:
    """Reads one text, and collects its problems and the settings it uses."""

    def __init__(self, text: str, settings: Mapping[str, str], folder: FilePath | None) -> None:
        self._document: Document = yaml_lines.read(text)
        self._settings = settings
        self._folder = folder
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
        rules, wrong = _validated(content, self._folder)
        for place, message in (*_contradictions(content), *wrong):
            if place not in self._unresolved:  # there a setting that is missing was found; the rest follows from it
                self._found(place, message)
        return rules

    def _prepared(self, value: Plain, path: Path) -> Plain:
        """The value with settings put in, and what is taken as it is written as a text."""
        if isinstance(value, dict):
            return {key: self._prepared(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._prepared(item, (*path, i)) for i, item in enumerate(value)]
        if value is None:
            self._no_value(path)
            return None
        if _taken_as_written(path):
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


def _taken_as_written(path: Path) -> bool:
    """Whether 0.10 stays 0.10 there: parameters and tags are texts, and a gate's margin is not rounded."""
    place = path[2:] if path[:1] == ("reactions",) else ()
    return place[:-1] in (_WITH, _TAGS) or place == _MARGIN


def _validated(content: Plain, folder: FilePath | None) -> tuple[RulesFile | None, list[Found]]:
    try:
        return RulesFile.model_validate(content, context={"folder": folder}), []
    except ValidationError as error:
        return None, list(problems.in_words(error.errors(include_url=False)))


def _contradictions(content: Plain) -> Iterator[Found]:
    if isinstance(content, dict):
        yield from checks.check_together(content)
    reactions = content.get("reactions") if isinstance(content, dict) else None
    for name, rule in reactions.items() if isinstance(reactions, dict) else ():
        for place, message in checks.check(rule) if isinstance(rule, dict) else ():
            yield ("reactions", name, *place), message


def _hash(text: str, used: Mapping[str, str], content: RulesFile) -> str:
    requests = [rule.deploy_model.smoke_test for rule in content.reactions.values() if rule.deploy_model is not None]
    return sha256(json.dumps([text, sorted(used.items()), requests]).encode()).hexdigest()[:12]
