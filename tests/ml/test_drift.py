"""The drift step as the monitor runs it: AML's custom signal, and the report behind it."""

from __future__ import annotations

import json

import pytest
from ruamel.yaml import YAML

from tests.ml.conftest import columns, folder_of, rows

pytestmark = pytest.mark.ml


def drift(run_step, sample, folder, target, **more):
    made = {"report": folder / "report", "signal_metrics": folder / "signal"}
    folders = {
        "baseline": folder_of(folder / "baseline", sample / "drift" / "baseline.csv"),
        "target": folder_of(folder / "target", sample / "drift" / f"{target}.csv"),
    }
    return run_step("drift", **folders, **made, **more)


def test_drifted_data_breach_the_threshold(run_step, sample, tmp_path):
    done = drift(run_step, sample, tmp_path, "target")

    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    features = report.pop("features")
    assert report == {
        "baseline": {"files": ["baseline.csv"], "rows": 1_000, "day": "2022-01-01"},
        "target": {"files": ["target.csv"], "rows": 1_000, "day": "2022-02-01"},
        "threshold": 0.1,
        "metric": "JensenShannonDistance",
    }
    assert [feature["name"] for feature in features] == ["Pregnancies", "Age", "BMI"]
    for feature in features:
        assert feature.keys() == {"name", "value", "threshold", "breached", "edges", "baseline", "target"}
        assert 0.3 < feature["value"] < 0.8
        assert (feature["threshold"], feature["breached"]) == (0.1, True)
        assert (len(feature["edges"]), len(feature["baseline"]), len(feature["target"])) == (21, 20, 20)
        assert sum(feature["baseline"]) == sum(feature["target"]) == pytest.approx(1)
    signal = tmp_path / "signal" / "signal.csv"
    assert columns(signal) == ["group", "metric_name", "metric_value", "threshold_value"]
    told = [(row["group"], row["metric_name"], float(row["metric_value"])) for row in rows(signal)]
    assert told == [(feature["name"], "JensenShannonDistance", feature["value"]) for feature in features]
    assert {row["threshold_value"] for row in rows(signal)} == {"0.1"}
    table = YAML(typ="safe", pure=True).load(tmp_path / "signal" / "MLTable")
    assert (table["type"], table["paths"]) == ("mltable", [{"file": "./signal.csv"}])


def test_other_patients_of_the_same_world_do_not(run_step, sample, tmp_path):
    done = drift(run_step, sample, tmp_path, "undrifted")

    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [feature["breached"] for feature in report["features"]] == [False, False, False]
    assert len(rows(tmp_path / "signal" / "signal.csv")) == 3


def test_features_and_threshold_can_be_chosen(run_step, sample, tmp_path):
    chosen = {"features": "PlasmaGlucose, Age", "JensenShannonDistance_threshold": 0.9}

    done = drift(run_step, sample, tmp_path, "target", **chosen)

    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    glucose, age = report["features"]
    assert (glucose["name"], glucose["value"]) == ("PlasmaGlucose", 0)
    assert (age["name"], age["threshold"], age["breached"]) == ("Age", 0.9, False)
