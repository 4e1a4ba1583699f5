"""The pure functions of the components and of the generator, run by `python -m unittest` inside the ML environment."""
# That environment has no pytest.
# ruff: noqa: PT009, PT027

from __future__ import annotations

import unittest
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from ml import sample
from tests.ml.inside.steps import prep, train


class AgeBins(unittest.TestCase):
    def test_each_edge_begins_a_bin_and_the_last_has_no_end(self) -> None:
        ages = [0, 1, 10, 11, 20, 21, 80, 81, 90, 91, 92, 120]
        self.assertEqual(prep.age_bin(pd.Series(ages)).tolist(), [1, 1, 1, 2, 2, 3, 8, 9, 9, 10, 10, 10])

    def test_the_index_of_the_ages_is_kept(self) -> None:
        self.assertEqual(prep.age_bin(pd.Series([5, 95], index=[7, 9])).to_dict(), {7: 1, 9: 10})


class RawFolder(unittest.TestCase):
    def found(self, paths: list[str], present: set[str]) -> PurePosixPath:
        return prep.raw_folder(paths, present)

    def test_it_is_the_folder_below_which_the_listed_files_are(self) -> None:
        paths = ["0-raw/d/b1/stage/patient-age.csv", "0-raw/d/b1/stage/patient-levels.csv"]
        names = {"patient-age.csv", "patient-levels.csv", "patient-age-old.csv"}
        self.assertEqual(self.found(paths, names), PurePosixPath("0-raw/d/b1/stage"))

    def test_files_in_folders_of_their_own_are_found(self) -> None:
        paths = ["b1/stage/monday/patient-age.csv", "b1/stage/tuesday/patient-levels.csv"]
        names = {"monday/patient-age.csv", "tuesday/patient-levels.csv"}
        self.assertEqual(self.found(paths, names), PurePosixPath("b1/stage"))

    def test_an_older_file_of_the_same_name_higher_up_does_not_mislead(self) -> None:
        names = {"patient-age.csv", "monday/patient-age.csv"}
        self.assertEqual(self.found(["stage/monday/patient-age.csv"], names), PurePosixPath("stage"))

    def test_a_mounted_container_is_a_raw_folder_too(self) -> None:
        self.assertEqual(self.found(["b1/patient-age.csv"], {"b1/patient-age.csv"}), PurePosixPath())

    def test_where_nothing_is_present_it_is_where_the_files_should_be(self) -> None:
        self.assertEqual(self.found(["b1/stage/patient-age.csv"], set()), PurePosixPath("b1/stage"))


class HighestBmi(unittest.TestCase):
    def test_a_patient_measured_twice_counts_once(self) -> None:
        prepared = pd.DataFrame({"PatientID": [2, 1, 2], "BMI": [20.5, 30.0, 41.25], "Age": [1, 2, 3]})
        self.assertEqual(prep.highest_bmi(prepared).to_dict("list"), {"PatientID": [1, 2], "MAX(BMI)": [30.0, 41.25]})


class Training(unittest.TestCase):
    def test_thirty_percent_are_held_out_and_measured(self) -> None:
        frame = sample.patients(400, seed=3)
        model, metrics = train.train(frame, "logistic", 0.1)
        self.assertEqual((metrics["train_rows"], metrics["test_rows"]), (280, 120))
        self.assertEqual((model.C, model.solver), (10.0, "liblinear"))
        _, testing = train.train_test_split(frame, test_size=0.3, random_state=0)
        self.assertAlmostEqual(metrics["Accuracy"], np.mean(model.predict(testing[train.FEATURES]) == testing.Diabetic))

    def test_the_order_of_the_features_is_the_scenarios(self) -> None:
        model, _ = train.train(sample.patients(100, seed=3), "boosting", 0.1)
        self.assertEqual(
            list(model.feature_names_in_),
            [
                "Pregnancies",
                "PlasmaGlucose",
                "DiastolicBloodPressure",
                "TricepsThickness",
                "SerumInsulin",
                "BMI",
                "DiabetesPedigree",
                "Age",
            ],
        )

    def test_the_penalty_shrinks_the_weights(self) -> None:
        frame = sample.patients(400, seed=3)
        weights = [np.abs(train.train(frame, "logistic", penalty)[0].coef_).sum() for penalty in (0.1, 1_000)]
        self.assertGreater(weights[0], 2 * weights[1])


class Sample(unittest.TestCase):
    def test_the_same_seed_gives_the_same_patients_and_another_seed_others(self) -> None:
        first, again, other = (sample.patients(50, seed) for seed in (1, 1, 2))
        pd.testing.assert_frame_equal(first, again)
        self.assertFalse(first.equals(other))

    def test_ranges_are_those_of_the_real_files(self) -> None:
        frame = sample.patients(5_000, seed=0)
        ranges = {
            "PatientID": (1_000_000, 1_999_999),
            "Pregnancies": (0, 14),
            "PlasmaGlucose": (44, 192),
            "DiastolicBloodPressure": (24, 117),
            "TricepsThickness": (7, 93),
            "SerumInsulin": (14, 799),
            "BMI": (18.2, 56.1),
            "DiabetesPedigree": (0.078, 2.31),
            "Age": (21, 77),
            "Diabetic": (0, 1),
        }
        self.assertEqual(list(frame.columns), list(ranges))
        for column, (low, high) in ranges.items():
            self.assertTrue(frame[column].between(low, high).all(), column)
        self.assertEqual(frame.PatientID.nunique(), 5_000 - 20)
        self.assertAlmostEqual(frame.Diabetic.mean(), 0.33, delta=0.02)

    def test_parts_reassemble_and_none_is_empty(self) -> None:
        table = sample.patient_tables(sample.patients(103, seed=0))["patient-age"]
        parts = sample.split_into_parts(table, 10)
        self.assertEqual({len(part) for part in parts}, {10, 11})
        pd.testing.assert_frame_equal(pd.concat(parts), table)
        for impossible in (0, 104):
            with self.assertRaisesRegex(ValueError, "103 rows cannot be split"):
                sample.split_into_parts(table, impossible)

    def test_drift_is_the_scenarios_and_leaves_the_rest_alone(self) -> None:
        frame = sample.patients(200, seed=0)
        target = sample.drifted(frame)
        self.assertTrue((target.Pregnancies == frame.Pregnancies + 1).all())
        self.assertTrue((target.Age == (frame.Age * 1.2).round()).all())
        self.assertTrue(np.allclose(target.BMI, frame.BMI * 1.1))
        self.assertEqual(target.Age.dtype, frame.Age.dtype)
        rest = [column for column in frame if column not in ("Pregnancies", "Age", "BMI")]
        pd.testing.assert_frame_equal(target[rest], frame[rest])

    def test_retraining_on_the_changed_world_is_worth_it(self) -> None:
        for seed in range(3):
            live, second = sample.patients(2_000, seed), sample.patients(1_000, seed + 1)
            fitting, testing = train.train_test_split(
                sample.drifted(second, relabel_seed=seed), test_size=0.3, random_state=0
            )
            both = pd.concat([second, fitting])
            for algorithm in train.ALGORITHMS:
                old, new = (
                    train.ALGORITHMS[algorithm](0.1).fit(data[train.FEATURES], data.Diabetic) for data in (live, both)
                )
                gain = train.measure(new, testing)["Accuracy"] - train.measure(old, testing)["Accuracy"]
                self.assertGreaterEqual(gain, 0.005, f"{algorithm}, seed {seed}")
