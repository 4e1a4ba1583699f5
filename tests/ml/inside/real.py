"""The scenario's reference figures, on its own files (DIABETES_DATA is their folder)."""
# That environment has no pytest.
# ruff: noqa: PT009

from __future__ import annotations

import os
import tempfile
import unittest
from pathlib import Path

import pandas as pd

from ml import sample
from tests.ml.inside.steps import drift, evaluate, split, train

DATA = Path(os.environ["DIABETES_DATA"])


def data(role: str, frame: pd.DataFrame) -> split.Data:
    return split.Data(role=role, files=[f"{role}.csv"], rows=frame[split.COLUMNS])


class Reference(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        sample.write_drift_of(DATA, cls.folder)
        cls.baseline, cls.target = (
            pd.read_csv(cls.folder / "drift" / f"{role}.csv") for role in ("baseline", "target")
        )

    def measured(
        self, fitting: pd.DataFrame, holdout: pd.DataFrame, algorithm: str, penalty: float
    ) -> dict[str, float]:
        """Saved and loaded, as the steps do."""
        with tempfile.TemporaryDirectory() as folder:
            train.save(train.train(fitting, algorithm, penalty), Path(folder))
            return evaluate.measure(evaluate.load(Path(folder), "model"), holdout, "model", "holdout")

    def test_each_algorithm_reaches_its_accuracy_and_auc(self) -> None:
        labelled = pd.read_csv(DATA / "diabetes.csv")
        fitting, holdout = split.split(data("baseline", labelled), None)
        self.assertEqual((len(fitting), len(holdout)), (7_000, 3_000))
        for algorithm, accuracy, auc in (("logistic", 0.774, 0.848), ("boosting", 0.949, 0.988)):
            with self.subTest(algorithm):
                found = self.measured(fitting, holdout, algorithm, 0.1)
                self.assertAlmostEqual(found["Accuracy"], accuracy, delta=0.005)
                self.assertAlmostEqual(found["AUC"], auc, delta=0.005)

    def test_retraining_on_the_drift_is_worth_it_and_too_strong_a_penalty_is_not(self) -> None:
        first, _ = split.split(data("baseline", self.baseline), None)
        fitting, holdout = split.split(data("baseline", self.baseline), data("target", self.target))
        live, better, worse = (
            self.measured(rows, holdout, "logistic", penalty)["Accuracy"]
            for rows, penalty in ((first, 0.1), (fitting, 0.1), (fitting, sample.WORSE_REGULARISATION))
        )
        self.assertAlmostEqual(live, 0.775, delta=0.01)
        self.assertTrue(0.005 <= better - live <= 0.02, better - live)
        self.assertLess(worse, live - 0.02)

    def test_retraining_on_other_patients_of_the_same_world_is_not(self) -> None:
        first, _ = split.split(data("baseline", self.baseline), None)
        others = data("target", pd.read_csv(DATA / "diabetes.csv")[:5_000])
        fitting, holdout = split.split(data("baseline", self.baseline), others)
        live, candidate = (self.measured(rows, holdout, "logistic", 0.1)["Accuracy"] for rows in (first, fitting))
        self.assertLess(candidate - live, 0.002)

    def test_the_distances(self) -> None:
        expected = {"Pregnancies": 0.45, "Age": 0.67, "BMI": 0.39, "PlasmaGlucose": 0}
        folders = {}
        for role in ("baseline", "target"):
            folders[role] = self.folder / role
            folders[role].mkdir()
            (self.folder / "drift" / f"{role}.csv").rename(folders[role] / f"{role}.csv")
        before, after = (drift.read(folder, role, list(expected)) for role, folder in folders.items())
        self.assertEqual((before.day, after.day, len(before.rows)), ("2022-01-01", "2022-02-01", 5_000))
        for name, distance in expected.items():
            with self.subTest(name):
                found = drift.compare(before.rows[name], after.rows[name], name, 0.1)
                self.assertAlmostEqual(found.value, distance, delta=0.005)
                self.assertEqual(found.breached, distance > 0.1)
