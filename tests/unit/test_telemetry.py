"""Log lines are facts with a name: the page that lists the names knows every one of them."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest

from shared import telemetry
from shared.reactions import State

ROOT = Path(__file__).resolve().parents[2]


def test_a_fact_is_its_name_and_compact_json(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        telemetry.record(logging.getLogger("t"), "event_accepted", {"event": "ä\n", "run": None, "n": 1})
    name, _, fields = caplog.messages[0].partition(" ")
    assert (name, json.loads(fields)) == ("event_accepted", {"event": "ä\n", "n": 1})
    assert "\n" not in caplog.messages[0]


def test_every_action_name_is_documented() -> None:
    page = (ROOT / "docs" / "reaction-lifecycle.md").read_text()
    named = set(re.findall(r"`([a-z]+(?:[_-][a-z]+)+)`", page))
    source = "\n".join(file.read_text() for file in (ROOT / "shared").rglob("*.py"))
    used = set(re.findall(r'telemetry\.record\(\s*logger,\s*"([a-z_-]+)"', source))
    used |= {"event_accepted", "event_known"}
    used |= {f"reaction_{state}" for state in State if state is not State.AWAITING_APPROVAL}
    assert used <= named
    assert {name for name in named if "_" in name} <= used
