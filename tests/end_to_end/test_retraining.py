"""The demo's main story, on made-up data and on the real files: drift, a better model that goes live, a worse one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.end_to_end.demos import Demo
from tests.local.pages import must_be_a_good_page

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(480)]
MODEL = "diabetes-classifier"
TRAIN_STEPS = ["split", "train", "evaluate", "register"]


@pytest.fixture(params=["demo", "real_demo"], ids=["made up", "real files"])
def told(request: pytest.FixtureRequest) -> Demo:
    """Either demo."""
    ended: Demo = request.getfixturevalue(request.param)
    assert ended.exit_code == 0, ended.said
    return ended


def facts(told: Demo, *path: str) -> Any:
    found: Any = told.result
    for name in path:
        found = found[name]
    return found


def test_the_monitored_features_have_drifted(told: Demo) -> None:
    drift = facts(told, "drift")
    assert (drift["monitor"], drift["signal"], drift["threshold"]) == ("diabetes-clinic", "data_drift", 0.1)
    assert [feature["name"] for feature in drift["features"]] == ["Pregnancies", "Age", "BMI"]
    for feature in drift["features"]:
        assert feature["breached"]
        assert feature["value"] > drift["threshold"]
        assert (len(feature["edges"]), len(feature["baseline"]), len(feature["target"])) == (21, 20, 20)
        assert sum(feature["baseline"]) == pytest.approx(1)
        assert sum(feature["target"]) == pytest.approx(1)


def test_the_app_was_told_the_same_distances(told: Demo) -> None:
    """What the event said, as the app recorded it, against the report that the component wrote to the lake."""
    chain = next(entry for entry in facts(told, "lineage") if entry["monitor_runs"])
    [run] = chain["monitor_runs"]
    measured = {feature["name"]: feature["value"] for feature in facts(told, "drift", "features")}
    assert {breach["feature"]: breach["value"] for breach in run["breaches"]} == pytest.approx(measured)


def test_the_new_model_is_better_on_rows_that_neither_was_trained_on(told: Demo) -> None:
    model = facts(told, "model")
    assert (model["name"], model["version"]) == (MODEL, "2")
    assert sorted(model["metrics"]) == ["AUC", "Accuracy", "live.AUC", "live.Accuracy"]
    assert model["metrics"]["Accuracy"] - model["metrics"]["live.Accuracy"] >= 0.005
    assert model["properties"]["live.version"] == "1"
    assert model["tags"]["stage"] == "candidate"
    assert model["tags"]["target"] == "target.csv"


def test_the_new_model_takes_the_first_ones_place(told: Demo) -> None:
    before, after = facts(told, "live_before"), facts(told, "live_after")
    assert (before["model"], before["version"]) == (MODEL, "1")
    assert (after["model"], after["version"]) == (MODEL, "2")
    assert before["deployment"] != after["deployment"]
    assert facts(told, "endpoint", "traffic") == {after["deployment"]: 100}
    assert facts(told, "endpoint", "deployments") == [after["deployment"]]


def test_the_endpoint_answers_with_the_new_model_from_a_real_inference_server(told: Demo) -> None:
    answer, after = facts(told, "answer"), facts(told, "live_after")
    assert answer["deployment"] == answer["headers"]["azureml-model-deployment"] == after["deployment"]
    assert answer["headers"]["x-ms-request-id"]
    assert answer["headers"]["x-ms-server-version"].startswith("azmlinfsrv/")
    assert len(answer["response"]["result"]) == len(answer["request"]["data"]) == 2
    assert set(answer["response"]["result"]) <= {0, 1}
    server = facts(told, "endpoint", "servers", after["deployment"])
    assert server["argv"][1].endswith("online/inference_server.py")
    assert f"/{MODEL}/2" in server["argv"][server["argv"].index("--model_dir") + 1]


def test_no_request_failed_from_the_first_go_live_on(told: Demo) -> None:
    calls = facts(told, "calls")
    assert (calls["failed"], calls["failures"]) == (0, [])
    assert calls["sent"] == sum(calls["answered_by"].values()) > 100
    assert set(calls["answered_by"]) == {
        facts(told, "live_before", "deployment"),
        facts(told, "live_after", "deployment"),
    }
    assert set(facts(told, "endpoint", "answered")) == {"200"}


def test_the_worse_model_is_registered_and_refused(told: Demo) -> None:
    refused = facts(told, "refused_model")
    assert (refused["name"], refused["version"]) == (MODEL, "3")
    assert refused["metrics"]["Accuracy"] < refused["metrics"]["live.Accuracy"]
    assert refused["metrics"]["live.Accuracy"] == pytest.approx(facts(told, "model", "metrics", "Accuracy"))
    assert refused["reason"].startswith("gate: Accuracy ")
    assert f"of {MODEL}:2" in refused["reason"]
    assert refused["traffic"] == 0
    assert len(facts(told, "endpoint", "deployments_made")) == 2


def test_the_chain_leads_from_the_file_to_the_endpoint(told: Demo) -> None:
    chain = facts(told, "chain")
    by_rule = {r["rule"]: r for r in facts(told, "reactions")}
    assert chain["file"]["path"] == "0-raw/diabetes/clinic/target/target.csv"
    assert chain["monitor_run"] == facts(told, "drift", "run_id")
    assert chain["training_reaction"] == by_rule["retrain-on-drift"]["id"]
    assert [chain["pipeline_run"]] == by_rule["retrain-on-drift"]["run_ids"]
    [job] = chain["jobs"]
    assert [(step["name"], step["exit_code"]) for step in job["steps"]] == [(name, 0) for name in TRAIN_STEPS]
    assert chain["model"] == {"name": MODEL, "version": "2"}
    assert chain["deployment"] == facts(told, "live_after", "deployment")
    assert chain["endpoint"] == "diabetes-relearn"


def test_whoever_wants_to_know_is_told(told: Demo) -> None:
    published = {(event["type"], event["data"]["version"]) for event in facts(told, "published")}
    assert published == {
        ("Relearn.ModelPromoted", "1"),
        ("Relearn.ModelPromoted", "2"),
        ("Relearn.ReactionRefused", "3"),
    }


def test_the_pictures_show_the_facts(told: Demo) -> None:
    drift = must_be_a_good_page((told.state / "drift.html").read_text(encoding="utf-8"))
    for feature in facts(told, "drift", "features"):
        assert f"{feature['name']} drifted Jensen-Shannon distance {feature['value']:.3f}, threshold 0.1." in drift.text
    lineage = must_be_a_good_page((told.state / "lineage.html").read_text(encoding="utf-8"))
    chain = facts(told, "chain")
    links = ("monitor_run", "training_reaction", "pipeline_run", "deploy_reaction", "deployment", "endpoint")
    assert [name for name in links if chain[name] not in lineage.text] == []
    assert f"Version 3 never took a request: {facts(told, 'refused_model', 'reason')}." in lineage.text
    assert "drift.html" in told.said
    assert "lineage.html" in told.said


def test_the_real_files_are_scored_to_the_last_row(real_demo: Demo) -> None:
    assert real_demo.exit_code == 0, real_demo.said
    assert real_demo.result["scored_rows"] == 10_000
    states = [(r["state"], r["events"]) for r in real_demo.result["reactions"] if r["rule"] == "score-patients"]
    assert states == [("succeeded", 2)]


def test_the_real_files_drift_as_the_scenario_says(real_demo: Demo) -> None:
    distances = {f["name"]: round(f["value"], 2) for f in real_demo.result["drift"]["features"]}
    assert distances == {"Pregnancies": 0.45, "Age": 0.67, "BMI": 0.39}
    rows = [real_demo.result["drift"][side]["rows"] for side in ("baseline", "target")]
    assert rows == [5000, 5000]


def test_the_models_of_the_real_files_are_as_good_as_the_scenarios(real_demo: Demo) -> None:
    first, second, third = (model["metrics"]["Accuracy"] for model in real_demo.result["models"])
    assert (first, second) == (pytest.approx(0.788, abs=0.01), pytest.approx(0.782, abs=0.01))
    assert third < 0.7
