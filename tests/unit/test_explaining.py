"""Why a rule does not take an event: every part of every `when`, named."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest

from shared.events import DriftDetected, Event, FileOverdue, ModelRegistered
from shared.explaining import why_not
from shared.rules import Rule
from tests.fakes import T0, WORKSPACE, landed
from tests.world import rules_of

RULES = """\
version: 1
reactions:
  files:
    when: {file-landed: {path: "lake/in/{batch}/*.csv", exclude: ["_*", "old/"]}}
    run-pipeline: p
  drift:
    when: {drift-detected: {monitor: "diabetes-*", signals: [data_drift]}}
    run-pipeline: p
  models:
    when: {model-registered: {model: "clf", tags: {stage: candidate, team: a}}}
    run-pipeline: p
  overdue:
    when: {file-overdue: {path: "lake/in/daily/*.csv", expect: "every 24h"}}
    notify: "late"
"""
FOUND: Mapping[str, Rule] = rules_of(RULES).rules


def drift(monitor: str | None = "diabetes-a", signal: str | None = "data_drift") -> DriftDetected:
    return DriftDetected(
        source=WORKSPACE, event_id="1", subject="s", time=T0, run_id="r", monitor=monitor, signal=signal
    )


def model(name: str = "clf", **tags: str) -> ModelRegistered:
    return ModelRegistered(
        source=WORKSPACE, event_id="1", subject="s", time=T0, name=name, version="1", tags=tags, properties={}
    )


CASES: list[tuple[str, Event, list[str]]] = [
    ("files", landed("in/b1/a.csv"), []),
    ("files", landed("in/a.csv"), ["the path does not fit lake/in/{batch}/*.csv"]),
    (
        "files",
        landed("in/b1/a.csv", container="sea"),
        ["the file is in container sea, and it waits for files in lake"],
    ),
    ("files", landed("in/b1/_a.csv"), ["excluded by _*"]),
    (
        "files",
        landed("old/_a.csv"),
        ["the path does not fit lake/in/{batch}/*.csv", "excluded by _*", "excluded by old/"],
    ),
    ("files", drift(), ["it waits for file-landed, and this is drift-detected"]),
    ("drift", drift(), []),
    ("drift", drift(monitor=None), ["the event does not say which monitor it comes from"]),
    ("drift", drift(monitor="other"), ["monitor other does not fit diabetes-*"]),
    ("drift", drift(signal="quality"), ["signal quality is none of data_drift"]),
    ("drift", drift(signal=None), ["signal unknown is none of data_drift"]),
    ("drift", landed("in/b1/a.csv"), ["it waits for drift-detected, and this is file-landed"]),
    ("models", model(stage="candidate", team="a"), []),
    ("models", model(stage="candidate"), ["tag team is missing"]),
    ("models", model(stage="old", team="b"), ["tag stage is 'old', not 'candidate'", "tag team is 'b', not 'a'"]),
    ("models", model("other", stage="candidate", team="a"), ["model other does not fit clf"]),
    ("models", drift(), ["it waits for model-registered, and this is drift-detected"]),
    ("overdue", landed("in/daily/a.csv"), []),
    ("overdue", landed("in/weekly/a.csv"), ["the path does not fit lake/in/daily/*.csv"]),
    ("overdue", model(), ["it waits for file-overdue, and this is model-registered"]),
]


@pytest.mark.parametrize(("rule", "event", "said"), CASES)
def test_what_does_not_fit_is_named(rule: str, event: Event, said: list[str]) -> None:
    assert list(why_not(FOUND[rule], event)) == said
    assert (FOUND[rule].match(event) is None) == bool(said)


def test_another_patterns_files_are_overdue() -> None:
    event = FileOverdue(
        source="s", event_id="1", subject="s", time=T0, pattern="lake/out/*.csv", last=None, due=T0 + timedelta(1),
        captures={},
    )  # fmt: skip
    assert list(why_not(FOUND["overdue"], event)) == ["it watches lake/in/daily/*.csv, and lake/out/*.csv is overdue"]
