"""The train and score steps as jobs run them: model and metrics out, predictions in a new column, clear refusals."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.ml.conftest import columns, rows

pytestmark = pytest.mark.ml


@pytest.fixture(scope="module")
def bronze(sample, tmp_path_factory):
    """A prepared batch: the labelled rows with some columns more, of which the model takes no notice."""
    folder = tmp_path_factory.mktemp("bronze")
    shutil.copy(sample / "diabetes.csv", folder / "diabetes.csv")
    return folder


def score(run_step, folder, bronze, model):
    return run_step("score", bronze=bronze, model=model, reaction_id="r-1", attempt="1", silver=folder / "silver")


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
def test_every_row_gets_a_prediction(run_step, bronze, trained, tmp_path, algorithm):
    model, metrics = trained[algorithm]

    done = score(run_step, tmp_path, bronze, model)

    assert done.returncode == 0, done.stderr
    silver = tmp_path / "silver" / "diabetes.csv"
    scored = rows(silver)
    assert columns(silver) == [*columns(bronze / "diabetes.csv"), "Diabetes"]
    assert [{k: v for k, v in row.items() if k != "Diabetes"} for row in scored] == rows(bronze / "diabetes.csv")
    assert {row["Diabetes"] for row in scored} == {"0", "1"}
    right = sum(row["Diabetes"] == row["Diabetic"] for row in scored) / len(scored)
    assert right >= metrics["Accuracy"] - 0.02
    lineage = json.loads((tmp_path / "silver" / "_lineage.json").read_text())
    assert (lineage["reaction_id"], lineage["attempt"], lineage["rows"]) == ("r-1", "1", 2_000)
    assert lineage["positive"] == sum(row["Diabetes"] == "1" for row in scored)
    assert lineage["model"]["uuid"] in (model / "MLmodel").read_text()


def test_a_saved_model_names_its_columns_and_pins_what_it_needs(trained):
    model, _ = trained["logistic"]

    pins = (model / "requirements.txt").read_text().splitlines()
    assert {pin.split("==")[0] for pin in pins} == {"mlflow-skinny", "numpy", "pandas", "scikit-learn", "skops"}
    assert all(pin.count("==") == 1 for pin in pins)
    assert '"name": "Pregnancies"' in (model / "MLmodel").read_text()
    assert not (model / "input_example.json").exists()


def test_a_batch_without_the_models_columns_fails_the_step(run_step, trained, tmp_path):
    (tmp_path / "diabetes.csv").write_text("PatientID,Age\n1,30\n")

    done = score(run_step, tmp_path, tmp_path, trained["logistic"][0])

    assert done.returncode == 1, done.stdout + done.stderr
    assert f"score: {tmp_path / 'diabetes.csv'}: column Pregnancies, PlasmaGlucose," in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / "silver").exists()
