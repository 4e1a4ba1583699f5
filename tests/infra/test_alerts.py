"""Alerts and workbook ask for what the app records, and for nothing else. No KQL parser is here to say so."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.infra.recorded import recorded

ROOT = Path(__file__).resolve().parents[2]
TABLES = {"traces", "requests", "_LogOperation"}
TEXT = re.compile(r'@?"(?:[^"\\]|\\.)*"')
BEGINS = re.compile(r'message startswith "([^"]*)"')
IS_ONE_OF = re.compile(r'action (?:in \(([^)]*)\)|== ("[^"]*"))')
FACT = re.compile(r"\bfact\.(\w+)")
FUNCTION = re.compile(r'requests\n\| where name == "(\w+)"')
STAGES = {"where", "parse", "extend", "project", "summarize", "order"}
FUNCTIONS = {
    "arg_max", "bin", "count", "datetime_diff", "iff", "in", "max", "min", "minif", "parse_json", "percentile", "round",
    "sum", "sumif", "take_any", "tolong", "tostring",
}  # fmt: skip
FIRES = {"GreaterThan": lambda count, threshold: count > threshold, "LessThan": lambda count, limit: count < limit}


def queries(infra: Path) -> dict[str, str]:
    alerts = json.loads((infra / "alerts.json").read_text())["alerts"]
    charts = json.loads((infra / "workbook.json").read_text())["charts"]
    found = {f"alert {alert['name']}": "\n".join(alert["query"]) for alert in alerts}
    return found | {f"chart {chart['name']}": "\n".join(chart["query"]) for chart in charts}


@pytest.fixture(scope="module")
def functions() -> set[str]:
    decorated = (ROOT / "functions").glob("*.py")
    named = {name for file in decorated for name in re.findall(r'function_name\("(\w+)"\)', file.read_text())}
    assert named
    return named


def problems(infra: Path, shared: Path, functions: set[str]) -> list[str]:
    """Everything a query asks for that is not there, and whatever cannot be a query at all."""
    known = recorded(shared)
    return [
        f"{name}: {problem}"
        for name, query in queries(infra).items()
        for problem in (*unsound(query), *unrecorded(query, known), *unknown_functions(query, functions))
    ]


def unrecorded(query: str, known: dict[str, set[str]]) -> Iterator[str]:
    asked: set[str] = set()
    for beginning in BEGINS.findall(query):
        matches = {action for action in known if f"{action} ".startswith(beginning)}
        if not matches:
            yield f"nothing is recorded that begins with {beginning!r}"
        asked |= matches
    chosen = {name.strip('" ') for many, one in IS_ONE_OF.findall(query) for name in (many or one).split(",")}
    yield from (f"{action} is not among what is asked for" for action in sorted(chosen - asked))
    facts = set().union(*(known[action] for action in asked))
    yield from (f"no fact {fact} comes with {sorted(asked)}" for fact in FACT.findall(query) if fact not in facts)


def unknown_functions(query: str, functions: set[str]) -> Iterator[str]:
    yield from (f"there is no function {name}" for name in FUNCTION.findall(query) if name not in functions)


def unsound(query: str) -> Iterator[str]:
    """What anyone who knows KQL sees at once: an unknown table or stage, brackets or quotes that do not close."""
    bare = TEXT.sub('""', query)
    table, *stages = bare.split("\n")
    if table not in TABLES:
        yield f"there is no table {table!r}"
    for stage in stages:
        words = re.match(r"\| (\w+) .", stage)
        if words is None or words[1] not in STAGES:
            yield f"this is no stage: {stage!r}"
    if '"' in bare.replace('""', ""):
        yield "a text is not closed"
    opened: list[str] = []
    for sign in re.findall(r"[()\[\]{}]", bare):
        if sign in "([{":
            opened.append(sign)
        elif not opened or opened.pop() + sign not in {"()", "[]", "{}"}:
            yield f"{sign!r} closes nothing"
    yield from (f"{sign!r} is not closed" for sign in opened)
    called = set(re.findall(r"\b([a-z_]+) ?\(", bare)) - {"by", "and", "or"}
    yield from (f"there is no KQL function {name} here" for name in sorted(called - FUNCTIONS))


def test_every_query_asks_for_what_is_recorded(functions: set[str]) -> None:
    assert problems(ROOT / "infra", ROOT / "shared", functions) == []


def test_what_is_recorded_is_told_in_the_page_on_reactions() -> None:
    page = (ROOT / "docs" / "reaction-lifecycle.md").read_text()
    told = set(re.findall(r"`([a-z_-]+)`", page[page.index("## What the log says") : page.index("## Why an event")]))
    assert {name for name in recorded(ROOT / "shared") if name != "reaction_awaiting-approval"} == told


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("infra/alerts.json", "duplicate_start ", "duplicated_start ", "alert duplicate-start: nothing is recorded"),
        ("infra/alerts.json", "fact.problems", "fact.problem", "alert configuration-wrong: no fact problem"),
        ("infra/alerts.json", '\\"sweep\\"', '\\"sweeps\\"', "alert sweep-silent: there is no function sweeps"),
        ("infra/alerts.json", '"traces",', '"trace",', "alert reaction-failed: there is no table 'trace'"),
        ("infra/workbook.json", '\\"event_known\\"', '\\"event_seen\\"', "event_seen is not among what is asked for"),
        ("infra/workbook.json", "tolong(fact.waited)", "tolong(fact.waited", "chart lag: '(' is not closed"),
        ("infra/workbook.json", "| order by timestamp", "| sort_by timestamp", "this is no stage"),
        ("infra/workbook.json", "take_any(facts)", "any_of(facts)", "there is no KQL function any_of"),
        ("shared/runs/duplicates.py", '"duplicate_start"', '"second_start"', "alert duplicate-start: nothing is"),
        ("shared/looks.py", '"seconds": int', '"age": int', "alert lag: no fact seconds comes with ['looks_overdue']"),
        ("shared/claims.py", '"waited": waited, ', "", "chart lag: no fact waited"),
        ("shared/reactions.py", '"run": self.run_id', '"pipeline_run": self.run_id', "reaction-failed: no fact run"),
    ],
)  # fmt: skip
def test_an_edit_on_one_side_is_noticed(
    tmp_path: Path, functions: set[str], file: str, old: str, new: str, said: str
) -> None:
    for folder in ("infra", "shared"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new))
    found = problems(tmp_path / "infra", tmp_path / "shared", functions)
    assert [problem for problem in found if said in problem], found


# --- what Azure asks of an alert --------------------------------------------------------------------------------------


def alerts() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((ROOT / "infra" / "alerts.json").read_text())["alerts"]
    return found


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["name"])
def test_an_alert_can_fire_and_be_told_apart(alert: dict[str, Any]) -> None:
    assert alert["of"] in {"app", "logs"}
    assert 0 <= alert["severity"] <= 4
    minutes = {key: int(re.fullmatch(r"PT(\d+)M", alert[key])[1]) for key in ("every", "window")}
    # Telemetry takes minutes to arrive: a window no longer than the pause between two looks would miss the late ones.
    assert minutes["window"] >= 2 * minutes["every"]
    nothing, something = (
        FIRES[alert["operator"]](0, alert["threshold"]),
        FIRES[alert["operator"]](9, alert["threshold"]),
    )
    assert nothing is not something
    if alert["each"]:
        assert f"{alert['each']} = tostring(" in "\n".join(alert["query"])


def test_whoever_operates_it_hears_of_all_of_these() -> None:
    assert {"reaction-failed", "duplicate-start", "lag", "configuration-wrong", "poisoned"} <= {
        a["name"] for a in alerts()
    }
    assert "DeadLetteredCount" in (ROOT / "infra" / "modules" / "alerts.bicep").read_text()
