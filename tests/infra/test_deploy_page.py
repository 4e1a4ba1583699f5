"""docs/deploy.md says what is so: parameters as main.bicep has them, figures as counted, costs as they follow."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks import costs, storage_calls

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def parameter_rows(page: str) -> dict[str, str]:
    """Parameter of main.bicep to the variable that the page names for it."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| `(\w+)` \|", page, re.M)
    return {parameter: variable for variable, parameter in rows}


def parameter_problems(page: str, parameters: dict[str, Any], bicep: str) -> list[str]:
    read = {name: re.match(r"\$\{(\w+)", str(told["value"])) for name, told in parameters.items()}
    told = {name: found[1] for name, found in read.items() if found is not None}
    declared = set(re.findall(r"^param (\w+)", bicep, re.M))
    return [
        *(f"{name} is not on the page" for name in declared - set(parameter_rows(page))),
        *(f"{name} is no parameter" for name in set(parameter_rows(page)) - declared),
        *(f"{name} is {told.get(name)}" for name, named in parameter_rows(page).items() if told.get(name) != named),
    ]


def files() -> tuple[dict[str, Any], str]:
    parameters = json.loads((ROOT / "infra" / "main.parameters.json").read_text())["parameters"]
    return parameters, (ROOT / "infra" / "main.bicep").read_text()


def test_every_parameter_is_on_the_page() -> None:
    assert parameter_problems(PAGE, *files()) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("`RELEARN_COST_CENTER`", "`RELEARN_COST_CENTRE`"),
        ("`costCenter`", "`costCentre`"),
        ("| `maximumInstances`", "|"),
    ],
)
def test_an_edit_of_the_page_is_noticed(old: str, new: str) -> None:
    assert old in PAGE
    assert parameter_problems(PAGE.replace(old, new), *files())


def test_variables_and_steps_of_the_page_are_known() -> None:
    for module in re.findall(r"infra/start\.py ([\w.]+)", PAGE):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
    for link in re.findall(r"\]\(([\w./-]+\.md)", PAGE):
        assert (ROOT / "docs" / link).is_file(), link


@pytest.mark.cloud
def test_the_figures_are_counted_and_the_costs_follow_from_them(cloud: Any, credential: Any, tmp_path: Path) -> None:
    """When the product has become dearer or cheaper: `python -m benchmarks.storage_calls --write`."""
    found = storage_calls.measure(cloud, credential, tmp_path)
    assert costs.written(PAGE, found) == PAGE
    assert costs.prices()["as_of"] in PAGE
    found["lone_event"]["calls"] += 1
    assert costs.written(PAGE, found) != PAGE


def test_a_price_that_changes_changes_the_total() -> None:
    found = {
        "idle_day": {"calls": 3000},
        "lone_event": {"calls": 20},
        "further_look": {"calls": 4},
        "refused_event": {"calls": 1},
        "extra_event_of_a_burst": {"calls": 1},
        "activity_runs": {"score-diabetes": {"always": 8, "jobs": 2, "per_poll": 3}},
    }
    price = costs.prices()
    [runs] = [line for line in costs.thousand_runs(found, price) if line.what == "activity runs"]
    assert runs.amount == 8 + 2 * 6 * 3
    dearer = {**price, "factory_1000_activity_runs": 2 * price["factory_1000_activity_runs"]}
    [twice] = [line for line in costs.thousand_runs(found, dearer) if line.what == "activity runs"]
    assert twice.amount == 2 * runs.amount


def test_what_is_paid_for_is_what_is_made() -> None:
    alerts = json.loads((ROOT / "infra" / "alerts.json").read_text())["alerts"]
    outbound = (ROOT / "infra" / "modules" / "workspace-outbound.bicep").read_text()
    endpoints = re.findall("groupId: '", files()[1]) + re.findall(r"\{ name: '[\w-]+', id: ", outbound)
    assert (len(alerts), len(endpoints)) == (costs.LOG_ALERTS, costs.PRIVATE_ENDPOINTS)


def test_activity_runs_are_counted_from_the_pipeline() -> None:
    loop = {"type": "Until", "typeProperties": {"activities": [{}, {}, {}]}}
    pipeline = {"name": "p", "properties": {"activities": [{"type": "WebActivity"}, loop, loop]}}
    assert storage_calls.activity_runs(pipeline) == {"always": 3, "jobs": 2, "per_poll": 3}
