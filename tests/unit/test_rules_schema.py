"""The JSON Schema for editors says what the app says, as far as the shape of the file can tell."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import timedelta

import jsonschema
import pytest

from shared.rules import yaml_lines
from shared.rules.durations import parse_duration
from shared.rules.schema import json_schema
from shared.rules.values import DEFAULT_GIVE_UP_AFTER, Gate, Rate
from tests.unit.test_rules import DEPLOY, DRIFT, ROOT, SHIPPED, SMALLEST, load, rule

SCHEMA = json.loads((ROOT / "reactions.schema.json").read_text(encoding="utf-8"))


def as_plain(text):
    return yaml_lines.read(text).value


def test_the_schema_file_is_current():
    assert json_schema() == SCHEMA, "run: python -m shared.rules schema > reactions.schema.json"


def test_the_schema_command_writes_the_schema_file():
    done = subprocess.run(
        [sys.executable, "-m", "shared.rules", "schema"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == (ROOT / "reactions.schema.json").read_text(encoding="utf-8")


def test_the_schema_is_valid_and_accepts_what_the_app_accepts():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    gate = '      gate: {metric: a, better-than: live, by: "${MARGIN}"}\n      keep-previous: ${KEEP}\n'
    for text in (
        SHIPPED,
        SMALLEST,
        SMALLEST + "    timeout: ${WAIT}\n    with: {a: 1, b: true, c: x}",
        DRIFT,
        DRIFT.replace('x"}', 'x", signals: [a], times: 2, within: 1d}'),
        DEPLOY,
        DEPLOY.replace("abc", '"${ENDPOINT}"').replace("model: m", "model: m, tags: {a: 1, b: true}") + gate,
    ):
        validator.validate(as_plain(text))


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (SMALLEST, "    run-pipeline: score-diabetes\n", ""),
        (SMALLEST, "when: {", "when: {drift-detected: {monitor: m}, "),
        (SMALLEST, 'when: {file-landed: {path: "lake/in/{batch}/*.csv"}}', "when: {}"),
        (DRIFT, "    run-pipeline: train\n", DEPLOY[DEPLOY.index("    deploy-model") :] + "    run-pipeline: p\n"),
        (DRIFT, 'x"}', 'x", times: 0}'),
        (DRIFT, 'x"}', 'x", signals: a}'),
        (DRIFT, 'monitor: "*-{batch}-x"', ""),
        (DEPLOY, "endpoint: abc", "endpoint: a--b"),
        (DEPLOY, "endpoint: abc", "endpoint:"),
        (DEPLOY, "code: azureml:c:1, ", ""),
        (DEPLOY, "code:", "instances: 51, code:"),
        (DEPLOY, "    deploy-model", "    with: {a: 1}\n    deploy-model"),
        (DEPLOY, "    deploy-model", "    collect: {quiet: 5s}\n    deploy-model"),
        (DEPLOY, "endpoint: abc", "endpoint: abc\n      gate: {metric: a, better-than: previous}"),
        (DEPLOY, "endpoint: abc", "endpoint: abc\n      gate: {metric: a, better-than: live, by: -1}"),
        (DEPLOY, "model: m", "model: m, tags: {}"),
    ],
)
def test_the_schema_refuses_what_is_wrong_with_events_and_actions(text, old, new):
    assert text.count(old) == 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(as_plain(text.replace(old, new)))


@pytest.mark.parametrize(
    "more",
    [
        "    timeout: 5",
        "    timeout: 5min",
        "    timout: 5m",
        "    collect: {max-events: 0}",
        "    collect: {all-of: []}",
        "    collect: {quiet: }",
        "    limits: {while-running: no}",
        "    retry: {attempts: 1.5}",
        "    with: {a: [1]}",
        "  Not-A-Name:\n    when: {file-landed: {path: lake/a}}\n    run-pipeline: p",
    ],
)
def test_the_schema_refuses_what_can_be_seen_from_the_shape(more):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(as_plain(SMALLEST + more))


def test_the_defaults_told_to_editors_are_the_defaults():
    defaults = {
        (section, key): value["default"]
        for section, definition in SCHEMA["$defs"].items()
        for key, value in definition["properties"].items()
        if "default" in value
    }
    smallest, drift, deployment = rule(), rule(text=DRIFT).trigger, rule(text=DEPLOY).action
    assert defaults == {
        ("Collect", "give-up-after"): "24h",
        ("DeployModel", "keep-previous"): "1m",
        ("DriftDetected", "times"): drift.times,
        ("Gate", "by"): Gate(metric="a").by,
        ("Limits", "start-rate"): "60/h",
        ("Limits", "priority"): smallest.limits.priority.name.lower(),
        ("Limits", "during-cooldown"): smallest.limits.during_cooldown,
        ("Limits", "while-running"): smallest.limits.while_running,
        ("Reaction", "mode"): smallest.mode,
        ("Retry", "attempts"): smallest.retry.attempts,
        ("Retry", "backoff"): "1m",
        ("Serving", "script"): deployment.serving.script,
        ("Serving", "instance-type"): deployment.serving.instance_type,
        ("Serving", "instances"): deployment.serving.instances,
    }
    assert parse_duration(defaults["Collect", "give-up-after"]) == DEFAULT_GIVE_UP_AFTER
    assert parse_duration(defaults["DeployModel", "keep-previous"]) == deployment.keep_previous
    assert smallest.limits.start_rate == Rate(count=60, per=timedelta(hours=1))
    assert SCHEMA["properties"]["mode"]["default"] == load(SMALLEST).mode
    assert parse_duration(defaults["Retry", "backoff"]) == smallest.retry.backoff
    timeout = SCHEMA["$defs"]["Reaction"]["properties"]["timeout"]["description"]
    by_default = re.search(r"By default (\w+), with deploy-model (\w+)\.", timeout).groups()
    assert [parse_duration(text) for text in by_default] == [smallest.timeout, rule(text=DEPLOY).timeout]


def test_every_key_is_described_for_editors():
    undescribed = [
        f"{name}.{key}"
        for name, section in SCHEMA["$defs"].items()
        for key, value in section["properties"].items()
        if "description" not in value and "$ref" not in value
    ]
    assert undescribed == []


def test_the_shipped_file_names_the_schema_for_editors():
    assert SHIPPED.startswith("# yaml-language-server: $schema=reactions.schema.json\n")


@pytest.mark.parametrize(
    ("file", "settings", "problem"),
    [
        ("none.yaml", "local.settings.sample.json", "none.yaml: No such file or directory"),
        ("reactions.yaml", "none.json", "none.json: No such file or directory"),
        ("reactions.yaml", "README.md", "README.md: must be JSON with the settings under Values"),
        (
            "reactions.yaml",
            "reactions.schema.json",
            "reactions.schema.json: must be JSON with",
        ),
    ],
)
def test_a_check_of_files_that_cannot_be_read_says_which(file, settings, problem):
    command = [sys.executable, "-m", "shared.rules", "check", file, "--settings", settings]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(problem)
