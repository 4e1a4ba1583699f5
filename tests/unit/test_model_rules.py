"""Rules about drift and models: what they match, what they give, and what they say about a deployment."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.rules.values import DEFAULT_KEEP_PREVIOUS, DEFAULT_ROLLOUT_TIMEOUT, Gate, Serving
from tests.unit.test_rules import DEPLOY, DRIFT, drifted, load, registered, rule


def test_drift_gives_its_monitor_signal_and_run():
    match = rule('    collect: {by: "{signal}"}', text=DRIFT).match(drifted(monitor="a-b1-x"))
    assert match.key == "data_drift"
    assert match.captures == {"batch": "b1", "monitor": "a-b1-x", "signal": "data_drift", "run_id": "m-1"}
    assert rule(text=DRIFT).match(drifted(monitor="a-b1-x", signal=None)).captures["signal"] == ""


def test_without_signals_any_signal_counts():
    assert rule(text=DRIFT).match(drifted(monitor="a-b1-x", signal="prediction_drift")) is not None


def test_a_model_gives_its_name_and_version_and_all_tags_must_be_there():
    text = DEPLOY.replace("model: m", 'model: "{family}-classifier", tags: {stage: candidate, fold: 0.10, ok: true}')
    tags = {"stage": "candidate", "fold": "0.10", "ok": "true"}
    match = rule(text=text).match(registered(tags={**tags, "more": "x"}))
    assert match.captures == {"family": "diabetes", "model": "diabetes-classifier", "version": "2"}
    assert rule(text=text).match(registered(tags={**tags, "fold": "0.1"})) is None


def test_every_model_of_an_endpoint_is_in_one_lane():
    assert rule(text=DEPLOY).match(registered(name="m")).key == "abc"


def test_what_a_deployment_leaves_out_has_its_default():
    smallest = rule(text=DEPLOY)
    assert (smallest.timeout, smallest.action.keep_previous) == (DEFAULT_ROLLOUT_TIMEOUT, DEFAULT_KEEP_PREVIOUS)
    assert smallest.action.gate is None
    assert smallest.action.serving == Serving(code="azureml:c:1", environment="azureml:e:1")
    assert (smallest.trigger.tags, smallest.collect.by) == ({}, None)
    assert rule("      gate: {metric: a, better-than: live}", text=DEPLOY).action.gate == Gate(metric="a")


def test_every_key_of_drift_reaches_its_field():
    text = DRIFT.replace('x"}', 'x", signals: [a, b], times: 3, within: 2d}')
    found = rule('    collect: {by: "{batch}", quiet: 1m, max-events: 3}', text=text)
    assert (found.trigger.signals, found.trigger.times, found.trigger.within) == (("a", "b"), 3, timedelta(days=2))
    assert (found.collect.by.text, found.collect.max_wait, found.collect.max_events) == (
        "{batch}",
        timedelta(minutes=10),
        3,
    )


def test_every_key_of_a_deployment_reaches_its_field():
    text = DEPLOY.replace("environment: azureml:e:1}", "environment: azureml:e:1, script: a.py, instances: 3,")
    text = text.rstrip() + " instance-type: Standard_F4s_v2}\n"
    text += "      gate: {metric: AUC, better-than: live, by: 0.10}\n      keep-previous: 1h\n"
    found = rule("    limits: {cooldown: 5m}\n    retry: {attempts: 2}\n    timeout: 30m\n", text=text)
    assert found.action.serving == Serving(
        code="azureml:c:1", environment="azureml:e:1", script="a.py", instance_type="Standard_F4s_v2", instances=3
    )
    assert (found.action.gate.metric, str(found.action.gate.by)) == ("AUC", "0.10")
    assert (found.action.keep_previous, found.timeout) == (timedelta(hours=1), timedelta(minutes=30))
    assert (found.limits.cooldown, found.retry.attempts) == (timedelta(minutes=5), 2)


@pytest.mark.parametrize(
    ("written", "margin"),
    [
        ("0.002", "0.002"),
        ("0.1000000000000000055", "0.1000000000000000055"),
        ("0", "0"),
        ("1e-3", "0.001"),
        (".5", "0.5"),
        ("'0.002'", "0.002"),
        ("'${MARGIN}'", "0.0050"),
    ],
)
def test_a_margin_is_taken_as_it_is_written(written, margin):
    more = f"      gate: {{metric: a, better-than: live, by: {written}}}"
    assert str(rule(more, text=DEPLOY, MARGIN="0.0050").action.gate.by) == margin


def test_a_smoke_test_is_the_text_of_its_file(tmp_path):
    (tmp_path / "requests").mkdir()
    (tmp_path / "requests" / "one.json").write_text('{ "data": [{"Größe": 1}] }\n', encoding="utf-8")
    text = DEPLOY.replace("ml/samples/diabetes-request.json", "${FOLDER}/one.json")
    found = load(text, folder=tmp_path, FOLDER="requests").rules["score"]
    assert found.action.smoke_test == '{ "data": [{"Größe": 1}] }\n'
