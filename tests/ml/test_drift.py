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
        "rows": 1_000,
        "missing_share": 0,
        "baseline": {"files": ["baseline.csv"], "rows": 1_000, "missing_share": 0, "day": "2022-01-01"},
        "target": {"files": ["target.csv"], "rows": 1_000, "missing_share": 0, "day": "2022-02-01"},
        "threshold": 0.1,
        "metric": "JensenShannonDistance",
    }
    assert [feature["name"] for feature in features] == ["Pregnancies", "Age", "BMI"]
    for feature in features:
        assert feature.keys() == {"name", "value", "threshold", "breached", "edges", "baseline", "target", "missing"}
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


def test_missing_values_are_counted_and_what_is_there_is_compared(run_step, sample, tmp_path):
    whole = drift(run_step, sample, tmp_path / "whole", "target")
    lines = (sample / "drift" / "target.csv").read_text().splitlines()
    age = lines[0].split(",").index("Age")
    for number in range(1, 101):
        lines[number] = ",".join("" if at == age else cell for at, cell in enumerate(lines[number].split(",")))
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "target.csv").write_text("\n".join(lines) + "\n")

    done = run_step(
        "drift",
        baseline=folder_of(tmp_path / "baseline", sample / "drift" / "baseline.csv"),
        target=tmp_path / "target",
        report=tmp_path / "report",
        signal_metrics=tmp_path / "signal",
    )

    assert (whole.returncode, done.returncode) == (0, 0), done.stderr
    before, report = (
        json.loads((tmp_path / place).read_text()) for place in ("whole/report/report.json", "report/report.json")
    )
    assert (report["rows"], report["missing_share"]) == (1_000, pytest.approx(100 / 3_000))
    assert (report["baseline"]["missing_share"], report["target"]["missing_share"]) == (0, report["missing_share"])
    missing = {feature["name"]: feature["missing"] for feature in report["features"]}
    assert missing == {
        "Pregnancies": {"baseline": 0, "target": 0},
        "Age": {"baseline": 0, "target": 0.1},
        "BMI": {"baseline": 0, "target": 0},
    }
    changed = [
        old["name"]
        for old, new in zip(before["features"], report["features"], strict=True)
        if old["value"] != new["value"]
    ]
    assert changed == ["Age"]
    assert sum(report["features"][1]["target"]) == pytest.approx(1)
    assert "1000 new rows, 3.3% of their monitored values missing" in done.stdout
