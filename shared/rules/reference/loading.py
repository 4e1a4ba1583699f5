"""Loads examples as the app loads its rules file, and says what it answers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from shared.errors import ConfigurationError
from shared.rules import file as rules_file
from shared.rules.values import Rules

APP: Final = Path(__file__).resolve().parents[3]
"""The app's folder: examples refer to files in it."""
_LONG_AGO: Final = datetime(2026, 1, 1, tzinfo=UTC)
_RULE: Final = "reactions.score."


def load(text: str) -> Rules:
    """The rules of an example.

    Raises:
        ConfigurationError: it is a wrong one.
    """
    return rules_file.load(text, file="reactions.yaml", settings={}, modified=_LONG_AGO, folder=APP)


def answers(text: str) -> list[str]:
    """What a wrong file is answered with, by the name of the key within its rule; nothing where it is right."""
    try:
        load(text)
    except ConfigurationError as wrong:
        return [problem.message.removeprefix(_RULE) for problem in wrong.problems]
    return []
