"""What would drift apart if nothing tied it together: settings, bindings, samples, docs, direction of imports."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from relearn import arguments
from shared import settings as product_settings
from shared.cloud.online_deployments import REQUEST_TIMEOUT_MS
from shared.rules import DeployModel, RunPipeline
from shared.wiring import configuration, load_rules
from tests.callers import HttpFunction, functions, http_functions

ROOT = Path(__file__).resolve().parents[1]


def sample() -> dict[str, str]:
    values: dict[str, str] = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    return values


def bindings() -> dict[str, dict[str, Any]]:
    return {f.get_function_name(): f.get_trigger().get_dict_repr() for f in functions()}


def test_there_are_these_functions_and_no_others() -> None:
    triggers = {name: binding["type"] for name, binding in bindings().items()}
    assert triggers == {
        "receive_event": "eventGridTrigger",
        "receive_queued_event": "queueTrigger",
        "look": "queueTrigger",
        "sweep": "timerTrigger",
        "health": "httpTrigger",
        "list_reactions": "httpTrigger",
        "show_reaction": "httpTrigger",
        "show_model": "httpTrigger",
        "explain_file": "httpTrigger",
        "explain_event": "httpTrigger",
        "show_controls": "httpTrigger",
        "list_acts": "httpTrigger",
        "cancel_reaction": "httpTrigger",
        "replay_reaction": "httpTrigger",
        "replay_event": "httpTrigger",
        "replay": "httpTrigger",
        "pause": "httpTrigger",
        "resume": "httpTrigger",
        "list_dead_letters": "httpTrigger",
        "show_dead_letter": "httpTrigger",
        "replay_dead_letters": "httpTrigger",
        "purge_dead_letters": "httpTrigger",
        "backfill": "httpTrigger",
    }


@pytest.mark.parametrize(
    ("function", "queue", "poison"),
    [
        ("look", product_settings.WAKE_UP_QUEUE, product_settings.POISON_QUEUE),
        ("receive_queued_event", product_settings.EVENT_QUEUE, product_settings.EVENT_POISON_QUEUE),
    ],
)
def test_a_queue_trigger_reads_its_queue_and_the_host_poisons_where_the_sweep_looks(
    function: str, queue: str, poison: str
) -> None:
    binding = bindings()[function]
    assert binding["queueName"] == queue
    assert binding["connection"] == product_settings.STORAGE_CONNECTION
    assert f"{queue}-poison" == poison
    assert {queue, poison} <= set(product_settings.QUEUES)


def test_the_sample_settings_are_complete_and_right() -> None:
    found, rules = configuration(ROOT, sample())
    assert found.lake_accounts == {"strelearnlake": "https://strelearnlake.blob.core.windows.net"}
    assert rules.rules


def test_only_settings_py_reads_the_environment() -> None:
    readers = [
        str(file.relative_to(ROOT))
        for folder in ("functions", "shared")
        for file in (ROOT / folder).rglob("*.py")
        if re.search(r"os\.environ|os\.getenv", file.read_text())
    ]
    assert readers == ["shared/settings.py"]


def test_no_test_mocks_anything() -> None:
    banned = re.compile(r"unittest[.]mock|from unittest import mock|monkeypatch[.]setattr|mocker[.]")
    files = [file for file in (ROOT / "tests").rglob("*.py") if file.name != "test_architecture.py"]
    assert [str(f.relative_to(ROOT)) for f in files if banned.search(f.read_text())] == []


def test_every_core_module_is_under_the_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [core] = [c for c in contracts if "core imports no Azure" in c["name"]]
    found = [p for p in (ROOT / "shared").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()]
    modules = {f"shared.{p.stem}" for p in found} - {"shared.__init__", "shared.wiring", "shared.cloud"}
    assert set(core["source_modules"]) == modules


LAZY = ("azure.ai", "azure.eventgrid", "azure.mgmt", "local.", "ml.", "pytest", "hypothesis", "rich")


def test_importing_and_building_the_app_loads_no_machine_learning_sdk_and_no_test_package() -> None:
    script = "import sys, function_app; from shared import wiring; wiring.app(); print(*sys.modules)"
    environment = {**sample(), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "shared.cloud.online_deployments" in loaded
    assert not {m for m in loaded if m.startswith(LAZY)}


def test_importing_the_app_needs_no_settings() -> None:
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", "import function_app; print(len(function_app.app.get_functions()))"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(len(bindings()))


def test_the_package_holds_what_the_app_imports_and_nothing_of_the_workshop() -> None:
    ignored = {line.strip().rstrip("/") for line in (ROOT / ".funcignore").read_text().splitlines() if line.strip()}
    assert {"local", "tests", "infra", "docs"} <= ignored
    assert not {"functions", "shared", "function_app.py", "host.json", "requirements.txt", "reactions.yaml"} & ignored


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_readme_names_commands_that_exist(command: str) -> None:
    assert command in (ROOT / "README.md").read_text()
    target = command.removeprefix("make ")
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_ci_runs_the_readmes_test_command() -> None:
    assert re.search(r"^make test$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)


def test_host_json_keeps_the_designs_figures() -> None:
    queues = json.loads((ROOT / "host.json").read_text())["extensions"]["queues"]
    assert (queues["visibilityTimeout"], queues["maxDequeueCount"]) == ("00:00:30", 5)
    assert (queues["maxPollingInterval"], queues["messageEncoding"]) == ("00:00:30", "base64")


def test_the_rules_that_ship_name_pipelines_that_ship_and_declare_every_parameter() -> None:
    rules = load_rules(ROOT / "reactions.yaml", sample())
    actions = [rule.action for rule in rules.rules.values() if isinstance(rule.action, RunPipeline)]
    assert {action.pipeline for action in actions} == {"score-diabetes", "train-diabetes"}
    for action in actions:
        file = ROOT / "infra" / "adf" / "pipeline" / f"{action.pipeline}.json"
        declared = set(json.loads(file.read_text())["properties"]["parameters"])
        assert {"reaction_id", "attempt", *action.with_} == declared


def test_the_rule_that_deploys_names_what_ships() -> None:
    rules = load_rules(ROOT / "reactions.yaml", sample())
    [action] = [rule.action for rule in rules.rules.values() if isinstance(rule.action, DeployModel)]
    environment = YAML(typ="safe").load(ROOT / "ml" / "environments" / "relearn-sklearn.yml")
    assert action.serving.environment == f"azureml:{environment['name']}:{environment['version']}"
    assert (ROOT / "ml" / "serving" / action.serving.script).is_file()
    assert action.keep_previous > timedelta(milliseconds=REQUEST_TIMEOUT_MS)


def test_what_the_rules_read_is_in_the_package() -> None:
    """A rule's smoke test is read by the app: its folder must not be left out, the rest of ml/ must."""
    ignored = {line.strip().rstrip("/") for line in (ROOT / ".funcignore").read_text().splitlines() if line.strip()}
    folders = {f"ml/{each.name}" for each in (ROOT / "ml").iterdir() if each.is_dir() and each.name != "__pycache__"}
    assert "ml" not in ignored
    assert folders - ignored == {"ml/samples"}


def test_dev_requirements_include_the_runtimes() -> None:
    assert "-r requirements.txt" in (ROOT / "requirements-dev.txt").read_text().splitlines()


def test_decision_records_are_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    assert all(f"({file.name})" in index for file in folder.glob("0*.md"))


OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_the_page_on_operations_names_every_route_and_its_role() -> None:
    rows = re.findall(r"^\| `(\w+) /api/(\S+)` \| (\w+) \|", OPERATIONS, re.M)
    found = {(each.method, each.route, _role(each)) for each in http_functions()}
    assert set(rows) == found


def _role(function: HttpFunction) -> str:
    asks = re.search(r"Role\.(\w+)", inspect.getsource(function.call))
    return asks[1].capitalize() if asks is not None else "none"


def test_the_page_on_operations_names_every_command() -> None:
    table = OPERATIONS.partition("| command |")[2].partition("\n\n")[0]
    told = set(re.findall(r"`([a-z-]+)", "\n".join(row.split("|")[1] for row in table.splitlines() if "|" in row[1:])))
    [commands] = [each for each in arguments.parser()._actions if isinstance(each, argparse._SubParsersAction)]
    assert told == set(commands.choices)
