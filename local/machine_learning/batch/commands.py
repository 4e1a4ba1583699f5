"""A component's command line: AML's placeholders, checked when the component is read, filled in without a shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

_OPTIONAL = re.compile(r"\$\[\[(?P<part>.*?)\]\]", re.DOTALL)
_PLACEHOLDER = re.compile(r"\$\{\{\s*(?P<side>inputs|outputs)\.(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_OPERATORS = frozenset("();<>|&")


class CommandError(ValueError):
    """The command does not fit its component, or needs a shell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A checked command. In AML a shell runs it; here nothing does, so nothing in a value can become a command."""

    text: str

    @classmethod
    def parse(
        cls, text: str, *, always: AbstractSet[str], maybe: AbstractSet[str], outputs: AbstractSet[str]
    ) -> Command:
        """Check a command against the inputs that always have a value, those that may have none, and the outputs.

        Raises:
            CommandError: says what does not fit.
        """
        required = _OPTIONAL.sub(" ", text)
        for match in _PLACEHOLDER.finditer(text):
            known = outputs if match["side"] == "outputs" else always | maybe
            if match["name"] not in known:
                raise CommandError(f"{match[0]} is not one of the component's {match['side']}")
        for match in _PLACEHOLDER.finditer(required):
            if match["side"] == "inputs" and match["name"] not in always:
                raise CommandError(f"{match[0]} is optional: write $[[--option {match[0]}]]")
        command = cls(text=text)
        _refuse_shell(command._words(always | maybe))
        return command

    def argv(self, *, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> tuple[str, ...]:
        """The words of the command with the values in place; a value is never split, whatever it holds."""
        values = {"inputs": inputs, "outputs": outputs}
        return tuple(
            _PLACEHOLDER.sub(lambda match: values[match["side"]][match["name"]], word)
            for word in self._words(inputs.keys())
        )

    def _words(self, given: AbstractSet[str]) -> list[str]:
        def keep(match: re.Match[str]) -> str:
            wanted = {found["name"] for found in _PLACEHOLDER.finditer(match["part"]) if found["side"] == "inputs"}
            return match["part"] if wanted <= given else " "

        text = _OPTIONAL.sub(keep, self.text).replace("\\\n", " ").strip()
        if "\n" in text:
            raise CommandError("has several lines, which a shell would run one by one: fold them with '>-'")
        # Without the blanks that AML allows inside a placeholder, it is one word.
        text = _PLACEHOLDER.sub(lambda match: f"${{{{{match['side']}.{match['name']}}}}}", text)
        words = shlex.shlex(text, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        words.commenters = ""
        try:
            return list(words)
        except ValueError as problem:
            raise CommandError(f"cannot be split into words: {problem}") from problem


def _refuse_shell(words: list[str]) -> None:
    if not words:
        raise CommandError("is empty")
    for word in words:
        if word and set(word) <= _OPERATORS:
            raise CommandError(f"needs a shell for {word!r}; the local cloud runs commands without one")
        if "$" in _PLACEHOLDER.sub("", word) or "`" in word:
            raise CommandError(f"{word!r} needs a shell or is not one of AML's placeholders that are imitated")
