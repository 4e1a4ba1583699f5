"""Split, train, evaluate and score as jobs run them: what each step leaves for the next, and clear refusals."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.ml.conftest import columns, folder_of, rows, train

pytestmark = pytest.mark.ml

FEATURES = [
    "Pregnancies",
    "PlasmaGlucose",
    "DiastolicBloodPressure",
    "TricepsThickness",
    "SerumInsulin",
    "BMI",
    "DiabetesPedigree",
    "Age",
]


@pytest.fixture(scope="module")
def bronze(sample, tmp_path_factory):
    """A prepared batch: the labelled rows with some columns more, of which the model takes no notice."""
    folder = tmp_path_factory.mktemp("bronze")
    shutil.copy(sample / "diabetes.csv", folder / "diabetes.csv")
    return folder


def score(run_step, folder, bronze, model):
    return run_step("score", bronze=bronze, model=model, reaction_id="r-1", attempt="1", silver=folder / "silver")


def test_a_first_model_is_measured_on_what_it_has_not_seen(trained):
    assert trained.metrics.keys() == {"Accuracy", "AUC"}
    assert 0.7 < trained.metrics["Accuracy"] < 1
    train, holdout = (trained.data / f"{part}.csv" for part in ("train", "holdout"))
    assert columns(train) == columns(holdout) == [*FEATURES, "Diabetic"]
    assert (len(rows(train)), len(rows(holdout))) == (1_400, 600)


def test_a_retrained_model_is_measured_against_the_live_one_on_the_same_rows(run_step, sample, trained, tmp_path):
    drift = sample / "drift"
    baseline = folder_of(tmp_path / "baseline", drift / "baseline.csv")
    half, other_half = _halves(drift / "target.csv", tmp_path / "target")

    made = train(run_step, tmp_path / "made", baseline=baseline, target=tmp_path / "target", live=trained)

    assert (len(rows(made.data / "train.csv")), len(rows(made.data / "holdout.csv"))) == (1_000 + 700, 300)
    assert made.metrics.keys() == {"Accuracy", "AUC", *(f"live.{n}" for n in ("Accuracy", "AUC", "name", "version"))}
    assert made.metrics["Accuracy"] >= made.metrics["live.Accuracy"] + 0.005
    assert (made.metrics["live.name"], made.metrics["live.version"]) == ("diabetes-classifier", "7")
    lineage = json.loads((made.data / "_lineage.json").read_text())
    assert lineage == {
        "reaction_id": "r-1",
        "attempt": "1",
        "reason": None,
        "monitor_run": None,
        "baseline": {"files": ["baseline.csv"], "rows": 1_000},
        "target": {"files": [f"days/{half}", other_half], "rows": 1_000},
        "train_rows": 1_700,
        "test_rows": 300,
    }


def _halves(file, folder):
    """The file in two, one of them deeper: both belong to the folder's data."""
    header, *lines = file.read_text().splitlines(keepends=True)
    (folder / "days").mkdir(parents=True)
    (folder / "days" / "1.csv").write_text("".join([header, *lines[:500]]))
    (folder / "later.csv").write_text("".join([header, *lines[500:]]))
    (folder / "_SUCCESS.csv").write_text("not data")
    return "1.csv", "later.csv"


def test_why_a_model_is_trained_is_kept_word_for_word(run_step, sample, tmp_path):
    baseline = folder_of(tmp_path / "baseline", sample / "diabetes2.csv")
    stamps = {"reaction_id": "r-1", "attempt": "2", "reason": "data_drift, 'and' more", "monitor_run": ""}

    done = run_step("split", baseline=baseline, **stamps, data=tmp_path / "data")

    assert done.returncode == 0, done.stderr
    lineage = json.loads((tmp_path / "data" / "_lineage.json").read_text())
    assert (lineage["attempt"], lineage["reason"]) == ("2", "data_drift, 'and' more")
    assert lineage["monitor_run"] is lineage["target"] is None


def test_every_row_gets_a_prediction(run_step, bronze, trained, tmp_path):
    done = score(run_step, tmp_path, bronze, trained.model)

    assert done.returncode == 0, done.stderr
    silver = tmp_path / "silver" / "diabetes.csv"
    scored = rows(silver)
    assert columns(silver) == [*columns(bronze / "diabetes.csv"), "Diabetes"]
    assert [{k: v for k, v in row.items() if k != "Diabetes"} for row in scored] == rows(bronze / "diabetes.csv")
    assert {row["Diabetes"] for row in scored} == {"0", "1"}
    right = sum(row["Diabetes"] == row["Diabetic"] for row in scored) / len(scored)
    assert right >= trained.metrics["Accuracy"] - 0.02
    lineage = json.loads((tmp_path / "silver" / "_lineage.json").read_text())
    assert (lineage["reaction_id"], lineage["attempt"], lineage["rows"]) == ("r-1", "1", 2_000)
    assert lineage["positive"] == sum(row["Diabetes"] == "1" for row in scored)
    assert lineage["model"]["uuid"] in (trained.model / "MLmodel").read_text()


def test_a_saved_model_names_its_columns_and_pins_what_it_needs(trained):
    model = trained.model

    pins = (model / "requirements.txt").read_text().splitlines()
    assert {pin.split("==")[0] for pin in pins} == {"mlflow-skinny", "numpy", "pandas", "scikit-learn", "skops"}
    assert all(pin.count("==") == 1 for pin in pins)
    assert '"name": "Pregnancies"' in (model / "MLmodel").read_text()
    assert not (model / "input_example.json").exists()


def test_a_batch_without_the_models_columns_fails_the_step(run_step, trained, tmp_path):
    (tmp_path / "diabetes.csv").write_text("PatientID,Age\n1,30\n")

    done = score(run_step, tmp_path, tmp_path, trained.model)

    assert done.returncode == 1, done.stdout + done.stderr
    assert f"score: {tmp_path / 'diabetes.csv'}: column Pregnancies, PlasmaGlucose," in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / "silver").exists()
