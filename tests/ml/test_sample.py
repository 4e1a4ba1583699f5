"""The sample data: its files, that a seed fixes them, and that there is something to learn in them."""

from __future__ import annotations

import pytest

from tests.ml.conftest import columns, rows

pytestmark = pytest.mark.ml

LABELLED = [
    "PatientID",
    "Pregnancies",
    "PlasmaGlucose",
    "DiastolicBloodPressure",
    "TricepsThickness",
    "SerumInsulin",
    "BMI",
    "DiabetesPedigree",
    "Age",
    "Diabetic",
]
FILES = {
    "diabetes.csv": (LABELLED, 2_000),
    "diabetes2.csv": (LABELLED, 1_000),
    "patient-age.csv": (["Id", "PatientID", "Age"], 2_000),
    "patient-levels.csv": (["Id", *LABELLED[:-2]], 2_000),
    "drift/baseline.csv": ([*LABELLED, "Datetime"], 1_000),
    "drift/target.csv": ([*LABELLED, "Datetime"], 1_000),
    "drift/undrifted.csv": ([*LABELLED, "Datetime"], 1_000),
}


def test_the_files_have_the_scenarios_columns(sample):
    assert {name: (columns(sample / name), len(rows(sample / name))) for name in FILES} == FILES
    assert {row["Datetime"] for row in rows(sample / "drift/baseline.csv")} == {"2022-01-01"}
    for name in ("target", "undrifted"):
        assert {row["Datetime"] for row in rows(sample / f"drift/{name}.csv")} == {"2022-02-01"}


def test_the_patient_files_are_the_labelled_patients_and_join_on_id(sample):
    ages, levels = rows(sample / "patient-age.csv"), rows(sample / "patient-levels.csv")

    assert [row["Id"] for row in ages] == [row["Id"] for row in levels] == [str(n) for n in range(1, 2_001)]
    joined = [{**level, **age} for level, age in zip(levels, ages, strict=True)]
    assert all(level["PatientID"] == age["PatientID"] for level, age in zip(levels, ages, strict=True))
    seen = sorted(tuple(row[name] for name in LABELLED[:-1]) for row in joined)
    assert seen == sorted(tuple(row[name] for name in LABELLED[:-1]) for row in rows(sample / "diabetes.csv"))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(run_python, tmp_path):
    for name, seed in (("first", 7), ("again", 7), ("other", 8)):
        assert run_python("-m", "ml.sample", "--out", tmp_path / name, "--rows", 60, "--seed", seed).returncode == 0

    for name in FILES:
        first, again, other = ((tmp_path / run / name).read_bytes() for run in ("first", "again", "other"))
        assert first == again
        assert first != other


def test_two_hundred_parts_reassemble_to_the_whole(sample):
    parts = sample / "parts"

    assert len(list(parts.iterdir())) == 200
    for table in ("patient-age", "patient-levels"):
        pieces = [(parts / f"{table}-{number:03d}.csv").read_text().splitlines() for number in range(1, 101)]
        header, *body = (sample / f"{table}.csv").read_text().splitlines()
        assert all(piece[0] == header and len(piece) > 1 for piece in pieces)
        assert [line for piece in pieces for line in piece[1:]] == body


def test_of_files_of_ones_own_come_parts_and_the_scenarios_drift_pair(run_python, sample, tmp_path):
    done = run_python("-m", "ml.sample", "--out", tmp_path, "--of", sample, "--parts", 3)

    assert done.returncode == 0, done.stderr
    assert sorted(file.name for file in tmp_path.rglob("*.*")) == ["baseline.csv"] + [
        f"patient-{table}-00{number}.csv" for table in ("age", "levels") for number in (1, 2, 3)
    ] + ["target.csv"]
    assert sum(len(rows(file)) for file in tmp_path.rglob("patient-levels-*.csv")) == 2_000
    pairs = (rows(sample / "diabetes2.csv"), *(rows(tmp_path / f"drift/{n}.csv") for n in ("baseline", "target")))
    for given, before, after in zip(*pairs, strict=True):
        assert before == {**given, "Datetime": "2022-01-01"}
        moved = {
            "Pregnancies": str(int(given["Pregnancies"]) + 1),
            "Age": str(round(int(given["Age"]) * 1.2)),
            "BMI": pytest.approx(float(given["BMI"]) * 1.1),
            "Datetime": "2022-02-01",
        }
        assert {**after, "BMI": float(after["BMI"])} == {**given, **moved}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", 0], "0 rows asked for"),
        (["--rows", 10, "--parts", 11], "10 rows cannot be split into 11 parts"),
        (["--of", "absent"], "patient-age.csv"),
    ],
)
def test_what_cannot_be_made_is_refused(run_python, tmp_path, arguments, message):
    done = run_python("-m", "ml.sample", "--out", tmp_path, *arguments)

    assert done.returncode == 1
    assert message in done.stderr


def test_a_day_is_a_file_for_each_patient_without_a_header(run_python, tmp_path):
    assert run_python("-m", "ml.sample", "--out", tmp_path, "--rows", 20, "--day", 12).returncode == 0

    files = sorted((tmp_path / "day").iterdir())
    assert [file.name for file in files] == [f"measurements-{number:03d}.csv" for number in range(1, 13)]
    ages = {row["Id"]: row["Age"] for row in rows(tmp_path / "patient-age.csv")}
    levels = rows(tmp_path / "patient-levels.csv")[:12]
    expected = [[*list(row.values())[2:], ages[row["Id"]]] for row in levels]
    assert [file.read_text().splitlines() for file in files] == [[",".join(values)] for values in expected]


def test_more_patients_than_there_are_make_no_day(run_python, tmp_path):
    done = run_python("-m", "ml.sample", "--out", tmp_path, "--rows", 20, "--day", 21)

    assert (done.returncode, "20 patients give no day of 21 files" in done.stderr) == (1, True)
