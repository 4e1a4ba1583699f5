"""The prep step as a job runs it: which files it takes, what it writes, what it says of a batch it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ml.conftest import RunStep, columns, rows, write_manifest

pytestmark = pytest.mark.ml

STAGE = "0-raw/diabetes/b1/stage"
AGE = "Id,PatientID,Age"
LEVELS = (
    "Id,PatientID,Pregnancies,PlasmaGlucose,DiastolicBloodPressure,TricepsThickness,SerumInsulin,BMI,DiabetesPedigree"
)
GOOD = {
    "patient-age.csv": f"{AGE}\n1,100,10\n2,200,11\n3,100,92\n",
    "patient-levels.csv": (
        f"{LEVELS}\n3,100,1,90,70,30,100,31.5,0.30000000000000004\n1,100,0,80,60,20,50,29.123456789,0.1\n"
        "2,200,2,99,71,31,101,22.5,0.2\n"
    ),
}


def prep(run_step: RunStep, folder: Path, files: dict[str, str | bytes], events: list[tuple[str, bool]] | None = None):
    """Land the files and run the step; unless told otherwise the manifest lists them all as current."""
    raw = folder / "raw"
    for name, content in files.items():
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    raw.mkdir(exist_ok=True)
    listed = [(f"{STAGE}/{name}", True) for name in files] if events is None else events
    manifest = write_manifest(folder / "manifest.json", listed)
    return run_step(
        "prep", raw=raw, manifest=manifest, reaction_id="r-1", attempt="2", bronze=folder / "out" / "bronze"
    )


def test_a_batch_is_joined_binned_and_aggregated(run_step, tmp_path):
    done = prep(run_step, tmp_path, GOOD)

    assert done.returncode == 0, done.stderr
    bronze = tmp_path / "out" / "bronze"
    assert (bronze / "diabetes.csv").read_text().splitlines() == [
        "Id,PatientID,Age,Age_quantized,Pregnancies,PlasmaGlucose,DiastolicBloodPressure,TricepsThickness,"
        "SerumInsulin,BMI,DiabetesPedigree",
        "1,100,10,1,0,80,60,20,50,29.123456789,0.1",
        "2,200,11,2,2,99,71,31,101,22.5,0.2",
        "3,100,92,10,1,90,70,30,100,31.5,0.30000000000000004",
    ]
    assert (bronze / "diabetes_sql_example.csv").read_text().splitlines() == [
        "PatientID,MAX(BMI)",
        "100,31.5",
        "200,22.5",
    ]
    assert json.loads((bronze / "_lineage.json").read_text()) == {
        "reaction_id": "r-1",
        "attempt": "2",
        "manifest": {"reaction_id": "r-1", "rule": "score-patients", "key": "b1", "count": 2},
        "rows": 3,
    }


def test_only_current_files_below_the_raw_folder_are_used(run_step, tmp_path):
    files = {
        **GOOD,
        "patient-age-unlisted.csv": f"{AGE}\n9,900,50\n",
        "patient-age-old.csv": f"{AGE}\n8,800,50\n",
        "late/patient-age-002.csv": f"{AGE}\n4,400,91\n",
        "late/patient-levels-002.csv": f"{LEVELS}\n4,400,1,1,1,1,1,1,1\n",
    }
    events = [
        (f"{STAGE}/patient-age.csv", False),
        (f"{STAGE}/patient-age.csv", True),
        (f"{STAGE}/patient-levels.csv", True),
        (f"{STAGE}/patient-age-old.csv", False),
        (f"{STAGE}/late/patient-age-002.csv", True),
        (f"{STAGE}/late/patient-levels-002.csv", True),
        ("0-raw/diabetes/b1/target/patient-age.csv", True),
        (f"{STAGE}/readme.csv", True),
    ]

    done = prep(run_step, tmp_path, files, events)

    assert done.returncode == 0, done.stderr
    prepared = rows(tmp_path / "out" / "bronze" / "diabetes.csv")
    assert sorted(row["Id"] for row in prepared) == ["1", "2", "3", "4"]
    assert [row["Age_quantized"] for row in prepared if row["Id"] == "4"] == ["10"]


def test_two_hundred_parts_give_the_same_table_as_the_whole_files(run_step, sample, tmp_path):
    results = []
    for name, folder in (("whole", sample), ("parts", sample / "parts")):
        files = sorted(folder.glob("patient-*.csv"))
        manifest = write_manifest(tmp_path / f"{name}.json", [(f"{STAGE}/{file.name}", True) for file in files])
        bronze = tmp_path / name
        done = run_step("prep", raw=folder, manifest=manifest, reaction_id="r-1", attempt="1", bronze=bronze)
        assert done.returncode == 0, done.stderr
        results.append((len(files), (bronze / "diabetes.csv").read_bytes()))

    assert [count for count, _ in results] == [2, 200]
    assert results[0][1] == results[1][1]
    assert columns(tmp_path / "whole" / "diabetes.csv")[:4] == ["Id", "PatientID", "Age", "Age_quantized"]
    assert len(rows(tmp_path / "parts" / "diabetes.csv")) == 2_000


def test_a_day_of_single_rows_is_one_table_and_says_which_file_each_row_is_of(run_step, tmp_path):
    files = {
        "measurements-b.csv": "0,80,60,20,50,29.123456789,0.1,92\n",
        "measurements-a.csv": "2,99,71,31,101,22.5,0.2,11",
    }

    done = prep(run_step, tmp_path, files)

    assert done.returncode == 0, done.stderr
    bronze = tmp_path / "out" / "bronze"
    assert (bronze / "diabetes.csv").read_text().splitlines() == [
        "File,Age,Age_quantized,Pregnancies,PlasmaGlucose,DiastolicBloodPressure,TricepsThickness,SerumInsulin,BMI,"
        "DiabetesPedigree",
        "measurements-a.csv,11,2,2,99,71,31,101,22.5,0.2",
        "measurements-b.csv,92,10,0,80,60,20,50,29.123456789,0.1",
    ]
    assert sorted(file.name for file in bronze.iterdir()) == ["_lineage.json", "diabetes.csv"]
    assert json.loads((bronze / "_lineage.json").read_text())["rows"] == 2


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"measurements-1.csv": "1,2,3,4,5,6,7\n"},
            "prep: measurements-1.csv: it has 1 rows of 7 values, not one row of 8",
        ),
        ({"measurements-1.csv": "1,2,3,4,5,6,7,8\n" * 2}, "prep: measurements-1.csv: it has 2 rows of 8 values"),
        ({"measurements-1.csv": ""}, "prep: measurements-1.csv: the file is empty"),
        (
            {"measurements-1.csv": "1,2,3,4,,6,7,8\n"},
            "prep: measurements-1.csv: column SerumInsulin, row 1: 'nan' is not a",
        ),
        (
            {**GOOD, "measurements-1.csv": "1,2,3,4,5,6,7,8\n"},
            "prep: manifest: it lists measurements*.csv and patients'",
        ),
    ],
)
def test_a_day_that_is_not_of_single_rows_fails_the_step(run_step, tmp_path, files, message):
    done = prep(run_step, tmp_path, files)

    _assert_refused(done, message, tmp_path)


def test_a_file_without_its_column_fails_the_step(run_step, tmp_path):
    done = prep(run_step, tmp_path, {**GOOD, "patient-age.csv": "Id,PatientID,Years\n1,100,10\n"})

    _assert_refused(done, "prep: patient-age.csv: column Age is missing; it has Id, PatientID, Years.", tmp_path)


def test_a_missing_manifest_fails_the_step(run_step, tmp_path):
    manifest = tmp_path / "absent.json"

    done = run_step("prep", raw=tmp_path, manifest=manifest, reaction_id="r", attempt="1", bronze=tmp_path / "out")

    _assert_refused(done, "absent.json", tmp_path)


def _assert_refused(done, message: str, folder: Path) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not (folder / "out").exists()
