"""The scenario's own files: the row counts, columns and accuracies it states."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ml.conftest import ROOT, columns, rows, train, write_manifest

DATA = ROOT.parent / "shared" / "data" / "diabetes"

pytestmark = [pytest.mark.ml, pytest.mark.skipif(not DATA.is_dir(), reason=f"the real files are not at {DATA}")]

PREPARED = [
    "Id",
    "PatientID",
    "Age",
    "Age_quantized",
    "Pregnancies",
    "PlasmaGlucose",
    "DiastolicBloodPressure",
    "TricepsThickness",
    "SerumInsulin",
    "BMI",
    "DiabetesPedigree",
]


def test_prep_gives_the_scenarios_table(run_step, tmp_path):
    paths = [f"0-raw/diabetes/b1/stage/patient-{table}.csv" for table in ("age", "levels")]
    manifest = write_manifest(tmp_path / "manifest.json", [(path, True) for path in paths])

    done = run_step("prep", raw=DATA, manifest=manifest, reaction_id="r-1", attempt="1", bronze=tmp_path / "bronze")

    assert done.returncode == 0, done.stderr
    prepared = tmp_path / "bronze" / "diabetes.csv"
    assert columns(prepared) == PREPARED
    assert len(rows(prepared)) == 10_000
    assert len(rows(tmp_path / "bronze" / "diabetes_sql_example.csv")) == 9_959
    untouched = [name for name in PREPARED if name != "Age_quantized"]
    for line, age, level in zip(*map(rows, (prepared, *_patient_files())), strict=True):
        assert {name: line[name] for name in untouched} == {**level, **age}


def _patient_files() -> tuple[Path, Path]:
    return DATA / "patient-age.csv", DATA / "patient-levels.csv"


@pytest.mark.parametrize(("algorithm", "accuracy", "auc"), [("logistic", 0.774, 0.848), ("boosting", 0.949, 0.988)])
def test_training_reaches_the_scenarios_accuracy(run_step, tmp_path, algorithm, accuracy, auc):
    _, metrics = train(run_step, DATA / "diabetes.csv", tmp_path, algorithm)

    assert metrics["Accuracy"] == pytest.approx(accuracy, abs=0.01)
    assert metrics["AUC"] == pytest.approx(auc, abs=0.01)
    assert (metrics["train_rows"], metrics["test_rows"]) == (7_000, 3_000)
