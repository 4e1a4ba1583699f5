"""A rules file becomes rules, and rules match events."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from shared.events import DriftDetected, FileLanded, ModelRegistered
from shared.rules import file as rules_file
from shared.rules.values import (
    DEFAULT_GIVE_UP_AFTER,
    DEFAULT_ROLLOUT_TIMEOUT,
    Gate,
    Limits,
    Retry,
    Revision,
    Rule,
    Serving,
    WhileRunning,
)

ROOT = Path(__file__).parents[2]
SHIPPED = (ROOT / "reactions.yaml").read_text(encoding="utf-8")
MODEL = "azureml:/subscriptions/1/…/models/diabetes-classifier/versions/1"
MODIFIED = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)

SMALLEST = """
version: 1
reactions:
  score:
    when: {file-landed: {path: "lake/in/{batch}/*.csv"}}
    run-pipeline: score-diabetes
"""


DRIFT = """
version: 1
reactions:
  score:
    when: {drift-detected: {monitor: "*-{batch}-x"}}
    run-pipeline: train
"""
DEPLOY = """
version: 1
reactions:
  score:
    when: {model-registered: {model: m}}
    deploy-model:
      endpoint: abc
      smoke-test: ml/samples/diabetes-request.json
      serving: {code: azureml:c:1, environment: azureml:e:1}
"""


def load(text, folder=ROOT, **settings):
    return rules_file.load(text, file="reactions.yaml", settings=settings, modified=MODIFIED, folder=folder)


def rule(more="", text=SMALLEST, **settings):
    return load(text + more, **settings).rules["score"]


def landed(path, **changes):
    event = FileLanded(
        source="s", event_id="1", subject="x", time=MODIFIED, account="a", container="lake", path=path, etag="0x1"
    )
    return replace(event, **changes)


def drifted(monitor="diabetes-b1", **changes):
    event = DriftDetected(
        source="w", event_id="1", subject="x", time=MODIFIED, run_id="m-1", monitor=monitor, signal="data_drift"
    )
    return replace(event, **changes)


def registered(name="diabetes-classifier", **changes):
    event = ModelRegistered(
        source="w", event_id="1", subject="x", time=MODIFIED, name=name, version="2", tags={}, properties={}
    )
    return replace(event, **changes)


# --- the shipped file -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped():
    return load(SHIPPED, DIABETES_ENDPOINT="diabetes-relearn", DIABETES_OVERNIGHT="30 1 * * *")


def test_the_shipped_rules_score_patients(shipped):
    scoring = shipped.rules["score-patients"]
    assert scoring.collect.all_of == ("patient-age.csv", "patient-levels.csv")
    assert scoring.collect.give_up_after == timedelta(hours=24)
    assert scoring.action.pipeline == "score-diabetes"
    assert (scoring.retry, scoring.timeout) == (Retry(attempts=3, backoff=timedelta(minutes=1)), timedelta(hours=2))
    assert scoring.limits.while_running is WhileRunning.COALESCE
    values = {"batch": "b1", "manifest": "https://x/m.json", "live:diabetes-relearn": MODEL}
    assert {name: text.render(values) for name, text in scoring.action.with_.items()} == {
        "batch": "b1",
        "folder": "0-raw/diabetes/b1/stage",
        "files": "https://x/m.json",
        "model": MODEL,
    }


def test_the_shipped_rules_score_parts_when_it_is_quiet(shipped):
    collect = shipped.rules["score-patients-in-parts"].collect
    assert (collect.quiet, collect.max_wait, collect.all_of) == (timedelta(seconds=5), timedelta(minutes=2), ())


def test_the_shipped_rules_score_a_day_at_night(shipped):
    overnight = shipped.rules["score-overnight"]
    assert (overnight.collect.until.text, overnight.collect.quiet) == ("30 1 * * *", None)
    match = overnight.match(landed("0-raw/diabetes/b1/day/measurements-001.csv"))
    assert match.key == "b1"
    assert overnight.action.with_["folder"].render({"batch": "b1"}) == "0-raw/diabetes/b1/day"


def test_the_shipped_rules_train_on_drift(shipped):
    training = shipped.rules["retrain-on-drift"]
    assert (training.trigger.monitor.text, training.trigger.signals) == ("diabetes-{batch}", ("data_drift",))
    assert (training.trigger.times, training.trigger.within) == (1, None)
    assert training.limits == Limits(cooldown=timedelta(hours=6), while_running=WhileRunning.SKIP)
    assert (training.require.min_rows, training.require.max_missing) == (500, Decimal("0.05"))
    match = training.match(drifted())
    assert match.key == "b1"
    assert training.require.report.render(match.captures) == "lake/monitoring/diabetes-b1/report.json"
    values = {**match.captures, "live:diabetes-relearn": MODEL}
    assert {name: text.render(values) for name, text in training.action.with_.items()} == {
        "batch": "b1",
        "reason": "data_drift",
        "monitor_run": "m-1",
        "live": MODEL,
        "algorithm": "logistic",
        "regularisation": "0.1",
    }


def test_the_shipped_rules_deploy_candidates(shipped):
    deployment = shipped.rules["deploy-registered"]
    assert deployment.action.gate == Gate(metric="Accuracy", by=Decimal("0.002"))
    assert deployment.action.serving == Serving(
        code="azureml:diabetes-serving:1", environment="azureml:relearn-sklearn:1"
    )
    assert (deployment.timeout, deployment.action.keep_previous) == (DEFAULT_ROLLOUT_TIMEOUT, timedelta(seconds=10))
    assert json.loads(deployment.action.smoke_test)["data"]
    assert deployment.match(registered(tags={"stage": "candidate", "b": "c"})).key == "diabetes-relearn"
    assert deployment.match(registered(tags={"stage": "archived"})) is None


@pytest.mark.parametrize(
    ("event", "matched"),
    [
        (drifted(), ["retrain-on-drift"]),
        (drifted(monitor="churn-b1"), []),
        (drifted(monitor=None), []),
        (drifted(signal="data_quality"), []),
        (drifted(signal=None), []),
        (registered(tags={"stage": "candidate"}), ["deploy-registered"]),
        (registered(), []),
        (registered(name="Diabetes-classifier", tags={"stage": "candidate"}), []),
    ],
)
def test_the_shipped_rules_match_these_events(shipped, event, matched):
    assert [found.name for found, _ in shipped.match(event)] == matched


@pytest.mark.parametrize(
    ("path", "matched"),
    [
        ("0-raw/diabetes/b1/stage/patient-age.csv", ["score-patients"]),
        ("0-raw/diabetes/b1/parts/part-7.csv", ["score-patients-in-parts"]),
        ("0-raw/diabetes/b1/stage/_patient-age.csv", []),
        ("0-raw/diabetes/b1/stage/patient-age.csv.tmp", []),
        ("0-raw/diabetes/b1/stage/deeper/patient-age.csv", []),
        ("1-bronze/diabetes/b1/r-1-1/diabetes.csv", []),
    ],
)
def test_the_shipped_rules_match_these_files(shipped, path, matched):
    assert [found.name for found, _ in shipped.match(landed(path))] == matched


# --- matching ---------------------------------------------------------------------------------------------------------


def test_a_match_has_the_key_and_the_captures(shipped):
    [(found, match)] = shipped.match(landed("0-raw/diabetes/b1/stage/patient-age.csv"))
    assert (match.key, match.captures) == ("b1", {"batch": "b1"})
    assert found.relative_name(landed("0-raw/diabetes/b1/stage/patient-age.csv")) == "patient-age.csv"


def test_without_by_a_rule_has_one_key():
    assert rule().match(landed("in/b1/x.csv")).key == rule().match(landed("in/b2/x.csv")).key == ""


def test_two_rules_may_match_one_event_in_the_order_of_the_file():
    twice = SMALLEST + SMALLEST.split("reactions:\n")[1].replace("score:", "archive:")
    assert [found.name for found, _ in load(twice).match(landed("in/b1/x.csv"))] == ["score", "archive"]


def test_other_containers_and_other_events_do_not_match():
    assert rule().match(landed("in/b1/x.csv", container="lake2")) is None
    for event in (registered(), drifted()):
        assert rule().match(event) is None
        assert rule().relative_name(event) == ""
    assert rule(text=DRIFT).match(landed("in/b1/x.csv")) is None
    assert rule(text=DRIFT).relative_name(landed("in/b1/x.csv")) == ""
    assert rule(text=DEPLOY).match(drifted()) is None


# --- what the file says -----------------------------------------------------------------------------------------------


def test_what_a_rule_leaves_out_has_its_default():
    smallest = rule()
    assert smallest == Rule(name="score", trigger=smallest.trigger, action=smallest.action)
    assert (smallest.limits, smallest.retry) == (Limits(), Retry())
    assert smallest.timeout == timedelta(hours=24)
    assert (smallest.collect.quiet, smallest.collect.max_wait, smallest.collect.give_up_after) == (None, None, None)


def test_a_quiet_batch_waits_at_most_ten_times_as_long():
    assert rule("    collect: {quiet: 90s}").collect.max_wait == timedelta(minutes=15)
    assert rule("    collect: {quiet: 90s, max-wait: 2m}").collect.max_wait == timedelta(minutes=2)


def test_an_incomplete_batch_gives_up_some_day():
    assert rule("    collect: {all-of: [a.csv]}").collect.give_up_after == DEFAULT_GIVE_UP_AFTER
    assert rule("    collect: {all-of: [a.csv], give-up-after: 3d}").collect.give_up_after == timedelta(days=3)


def test_every_key_reaches_its_field():
    text = """
version: 1
reactions:
  score:
    when: {file-landed: {path: "lake/in/{batch}/*.csv", exclude: ["_*", "tmp/"]}}
    collect: {by: "{batch}", all-of: [a.csv, b.csv], give-up-after: 1h, quiet: 30s, max-wait: 10m, max-events: 20}
    run-pipeline: Score Diabetes_2
    with: {batch: "{batch}"}
    limits: {cooldown: 6h, while-running: skip}
    retry: {attempts: 4, backoff: 30s}
    timeout: 1h30m
"""
    found = rule(text=text)
    assert [glob.text for glob in found.trigger.exclude] == ["_*", "tmp/"]
    collect = found.collect
    assert (collect.by.text, collect.all_of, collect.max_events) == ("{batch}", ("a.csv", "b.csv"), 20)
    waits = (collect.give_up_after, collect.quiet, collect.max_wait)
    assert waits == (timedelta(hours=1), timedelta(seconds=30), timedelta(minutes=10))
    assert found.limits == Limits(cooldown=timedelta(hours=6), while_running=WhileRunning.SKIP)
    assert found.retry == Retry(attempts=4, backoff=timedelta(seconds=30))
    assert (found.action.pipeline, found.timeout) == ("Score Diabetes_2", timedelta(minutes=90))


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("5", "5"),
        ("0.10", "0.10"),
        ("1e3", "1e3"),
        ("0x1F", "0x1F"),
        ("true", "true"),
        ("True", "True"),
        ("no", "no"),
        ("2026-11-22", "2026-11-22"),
        ("1_000", "1_000"),
        ("'5'", "5"),
        ('""', ""),
        ('"null"', "null"),
        ("'{{\"a\": 1}}'", '{"a": 1}'),
        ("'${EPOCHS}'", "12"),
        ("'a-${EPOCHS}-${EPOCHS}'", "a-12-12"),
    ],
)
def test_parameters_are_sent_as_text_as_they_are_written(written, sent):
    assert rule(f"    with: {{p: {written}}}", EPOCHS="12").action.with_["p"].render({}) == sent


def test_settings_may_stand_in_any_text():
    text = SMALLEST.replace("lake/in", "${LAKE}/${FOLDER}").replace("score-diabetes", "${PIPELINE}")
    found = rule("    timeout: ${WAIT}", text=text, LAKE="lake", FOLDER="in", PIPELINE="p", WAIT="5m")
    assert (found.trigger.path.text, found.action.pipeline) == ("lake/in/{batch}/*.csv", "p")
    assert found.timeout == timedelta(minutes=5)


def test_yaml_1_2_has_no_norway_problem():
    assert rule(text=SMALLEST.replace("score-diabetes", "no")).action.pipeline == "no"


def test_aliases_may_repeat_a_value():
    text = SMALLEST + "    retry: &again {attempts: 2}\n  other:\n    when: {file-landed: {path: lake/x/*.csv}}\n"
    text += "    run-pipeline: p\n    retry: *again\n"
    assert load(text).rules["other"].retry.attempts == 2


def test_a_folded_text_and_windows_line_ends_are_read():
    assert rule("    with:\n      p: >-\n        a\n        b\n").action.with_["p"].text == "a b"
    assert load(SMALLEST.replace("\n", "\r\n")).rules == load(SMALLEST).rules


def test_rules_can_be_pickled(shipped):
    assert pickle.loads(pickle.dumps(shipped)) == shipped


# --- revisions --------------------------------------------------------------------------------------------------------


def test_a_revision_is_its_text_and_the_settings_it_uses():
    text = SMALLEST + "    with: {p: '${A}'}"
    assert load(text, A="1").revision == load(text, A="1", UNUSED="2").revision
    assert load(text, A="1").revision != load(text, A="2").revision
    assert load(text, A="1").revision != load(text + " # a comment", A="1").revision
    assert len(load(text, A="1").revision.hash) == 12


def test_a_revision_is_also_the_requests_of_its_smoke_tests(tmp_path):
    text = DEPLOY.replace("ml/samples/", "")
    hashes = []
    for content in ('{"data": [1]}', '{"data": [1]}', '{"data": [2]}'):
        (tmp_path / "diabetes-request.json").write_text(content, encoding="utf-8")
        hashes.append(load(text, folder=tmp_path).revision.hash)
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("one", "other", "older"),
    [
        (("a", 0), ("b", 1), True),
        (("a", 1), ("b", 0), False),
        (("a", 0), ("a", 1), False),
        (("a", 0), ("b", 0), False),
    ],
)
def test_older_is_another_text_of_an_earlier_time(one, other, older):
    revisions = [Revision(hash=hash_, modified=MODIFIED + timedelta(minutes=m)) for hash_, m in (one, other)]
    assert revisions[0].older_than(revisions[1]) is older


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5))])
def test_a_revision_survives_as_text(zone):
    revision = Revision(hash="0123456789ab", modified=datetime(2026, 11, 22, 4, 0, 0, 17, tzinfo=zone))
    assert Revision.from_text(revision.to_text()) == revision


def test_the_values_of_rules_need_neither_pydantic_nor_yaml():
    code = "import sys, shared.rules; sys.exit(bool({'pydantic', 'ruamel.yaml'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
