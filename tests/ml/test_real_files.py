"""The scenario's own files: the row counts, columns, accuracies and distances it states."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ml.conftest import ROOT, columns, rows, run_inside, write_manifest

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


def test_models_and_distances_are_the_scenarios(run_python):
    run_inside(run_python, "real.py", extra={"DIABETES_DATA": str(DATA)})
