"""The pure functions of the components and of the generator, run by `python -m unittest` inside the ML environment."""
# That environment has no pytest.
# ruff: noqa: PT009, PT027

from __future__ import annotations

import tempfile
import typing
import unittest
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from ml import sample
from tests.ml.inside.steps import drift, prep, register, score, split, train


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


def data(role: str, frame: pd.DataFrame) -> split.Data:
    return split.Data(role=role, files=[f"{role}.csv"], rows=frame[split.COLUMNS])


class Splitting(unittest.TestCase):
    def test_without_a_target_thirty_percent_of_the_baseline_are_held_out(self) -> None:
        frame = sample.patients(400, seed=3)
        fitting, holdout = split.split(data("baseline", frame), None)
        expected = train_test_split(frame[split.COLUMNS], test_size=0.3, random_state=0)
        pd.testing.assert_frame_equal(fitting, expected[0])
        pd.testing.assert_frame_equal(holdout, expected[1])

    def test_with_a_target_its_thirty_percent_are_held_out_and_the_baseline_is_learnt_from_whole(self) -> None:
        baseline, target = sample.patients(100, seed=3), sample.drifted(sample.patients(200, seed=4))
        fitting, holdout = split.split(data("baseline", baseline), data("target", target))
        self.assertEqual((len(fitting), len(holdout)), (100 + 140, 60))
        pd.testing.assert_frame_equal(fitting[:100], baseline[split.COLUMNS])
        both = pd.concat([fitting[100:], holdout]).sort_values(split.COLUMNS, ignore_index=True)
        pd.testing.assert_frame_equal(both, target[split.COLUMNS].sort_values(split.COLUMNS, ignore_index=True))

    def test_it_is_the_same_each_time(self) -> None:
        baseline, target = (data(role, sample.patients(100, seed)) for role, seed in (("baseline", 1), ("target", 2)))
        for first, again in zip(split.split(baseline, target), split.split(baseline, target), strict=True):
            pd.testing.assert_frame_equal(first, again)


class Registering(unittest.TestCase):
    LINEAGE: typing.ClassVar = {
        "reaction_id": "r-1",
        "attempt": "2",
        "reason": "data_drift",
        "monitor_run": None,
        "baseline": {"files": ["a.csv", "b.csv"], "rows": 2},
        "target": None,
        "train_rows": 70,
        "test_rows": 30,
    }

    def test_what_is_not_known_has_no_tag(self) -> None:
        expected = {
            "stage": "candidate",
            "relearn_reaction": "r-1",
            "relearn_attempt": "2",
            "relearn_job": "job-1",
            "relearn_reason": "data_drift",
            "baseline": "a.csv,b.csv",
        }
        self.assertEqual(register.tags(self.LINEAGE, "job-1"), expected)

    def test_a_tag_is_never_too_long(self) -> None:
        names = [f"part-{number:03}.csv" for number in range(100)]
        tags = register.tags({**self.LINEAGE, "target": {"files": names, "rows": 100}}, "job-1")
        self.assertEqual(tags["target"], ",".join(names)[:256])

    def test_properties_are_texts_and_without_a_live_model_there_are_none_of_it(self) -> None:
        metrics = {"Accuracy": 0.75, "AUC": 0.8, "live.Accuracy": 0.5, "live.version": "7"}
        found = register.properties(self.LINEAGE, metrics, "logistic", 0.1)
        about = {"algorithm": "logistic", "regularisation": "0.1", "train_rows": "70", "test_rows": "30"}
        self.assertEqual(found, {name: str(value) for name, value in metrics.items()} | about)


class Drifting(unittest.TestCase):
    def compared(self, baseline: list[float], target: list[float]) -> drift.Feature:
        return drift.compare(pd.Series(baseline), pd.Series(target), "Age", 0.1)

    def test_the_same_values_are_no_distance_apart_and_disjoint_ones_one(self) -> None:
        self.assertEqual(self.compared([1, 2, 3], [3, 1, 2]).value, 0)
        self.assertAlmostEqual(self.compared([1, 2], [8, 9]).value, 1)

    def test_a_distance_known_by_hand(self) -> None:
        # Half of the target is where the baseline is: 0.5 · log2(1 / 0.75) + 0.25 · log2(0.5 / 0.75) + 0.25 · log2(2)
        expected = (np.log2(4 / 3) / 2 + np.log2(2 / 3) / 4 + 1 / 4) ** 0.5
        self.assertAlmostEqual(self.compared([0, 0], [0, 20]).value, expected)
        self.assertAlmostEqual(self.compared([0, 20], [0, 0]).value, expected)

    def test_twenty_bins_of_equal_width_over_the_range_of_both(self) -> None:
        feature = self.compared([0, 5], [5, 40])
        self.assertEqual(feature.edges, [2.0 * number for number in range(21)])
        self.assertEqual((len(feature.baseline), sum(feature.baseline), sum(feature.target)), (20, 1, 1))
        self.assertEqual((feature.baseline[0], feature.baseline[2], feature.target[19]), (0.5, 0.5, 0.5))

    def test_a_constant_column_does_not_drift(self) -> None:
        feature = self.compared([7, 7], [7])
        self.assertEqual((feature.value, feature.breached, len(feature.edges)), (0, False, 21))

    def test_only_more_than_the_threshold_is_a_breach(self) -> None:
        values = pd.Series([1, 2]), pd.Series([8, 9])
        self.assertTrue(drift.compare(*values, "Age", 0.99).breached)
        self.assertFalse(drift.compare(*values, "Age", 1.0).breached)


class Training(unittest.TestCase):
    def test_every_row_is_learnt_from(self) -> None:
        frame = sample.patients(400, seed=3)
        model = train.train(frame, "logistic", 0.1)
        self.assertEqual((model.C, model.solver), (10.0, "liblinear"))
        again = LogisticRegression(C=10, solver="liblinear", random_state=0).fit(frame[train.FEATURES], frame.Diabetic)
        np.testing.assert_array_equal(model.coef_, again.coef_)

    def test_the_order_of_the_features_is_the_scenarios(self) -> None:
        model = train.train(sample.patients(100, seed=3), "boosting", 0.1)
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

    def test_boosting_scores_as_it_was_saved(self) -> None:
        frame = sample.patients(1_000, seed=3)
        with tempfile.TemporaryDirectory() as folder:
            train.save(train.train(frame, "boosting", 0.1), Path(folder))
            scored = score.score(score.load(Path(folder)), frame, "diabetes.csv")
        self.assertEqual(list(scored), [*frame, "Diabetes"])
        self.assertGreater((scored.Diabetes == scored.Diabetic).mean(), 0.95)

    def test_the_penalty_shrinks_the_weights(self) -> None:
        frame = sample.patients(400, seed=3)
        weights = [np.abs(train.train(frame, "logistic", penalty).coef_).sum() for penalty in (0.1, 1_000)]
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

    def test_a_straight_line_learns_part_of_it_and_trees_clearly_more(self) -> None:
        fitting, holdout = split.split(data("baseline", sample.patients(2_000, seed=0)), None)
        logistic, boosting = (
            train.train(fitting, algorithm, 0.1).score(holdout[train.FEATURES], holdout.Diabetic)
            for algorithm in ("logistic", "boosting")
        )
        self.assertAlmostEqual(logistic, 0.775, delta=0.025)
        self.assertGreater(boosting, logistic + 0.1)


class Retraining(unittest.TestCase):
    """What a gate that asks for 0.002 more Accuracy decides, on made-up data."""

    def live(self, baseline: pd.DataFrame) -> ClassifierMixin:
        return train.train(split.split(data("baseline", baseline), None)[0], "logistic", 0.1)

    def gain(
        self, baseline: pd.DataFrame, target: pd.DataFrame, *, live: ClassifierMixin, penalty: float = 0.1
    ) -> float:
        fitting, holdout = split.split(data("baseline", baseline), data("target", target))
        candidate = train.train(fitting, "logistic", penalty)
        new, old = (model.score(holdout[train.FEATURES], holdout.Diabetic) for model in (candidate, live))
        return new - old

    def test_on_a_changed_world_it_is_worth_it(self) -> None:
        for seed in range(10):
            baseline = sample.patients(1_000, seed + 1)
            target = sample.drifted(baseline, relabel_seed=seed)
            with self.subTest(seed=seed):
                self.assertGreaterEqual(self.gain(baseline, target, live=self.live(baseline)), 0.005)

    def test_on_the_same_world_it_is_not(self) -> None:
        gains = []
        for seed in range(10):
            baseline = sample.patients(1_000, seed + 1)
            target = sample.patients(1_000, seed + sample.UNDRIFTED)
            gains.append(self.gain(baseline, target, live=self.live(baseline)))
        self.assertTrue(all(gain < 0.002 for gain in gains[:2]), gains)
        self.assertLess(np.mean(gains), 0.002)  # what a single seed gains is chance

    def test_too_strong_a_penalty_makes_a_worse_model(self) -> None:
        for seed in range(5):
            baseline = sample.patients(1_000, seed + 1)
            target = sample.drifted(baseline, relabel_seed=seed)
            fitting, _ = split.split(data("baseline", baseline), data("target", target))
            for live in (self.live(baseline), train.train(fitting, "logistic", 0.1)):
                with self.subTest(seed=seed):
                    gain = self.gain(baseline, target, live=live, penalty=sample.WORSE_REGULARISATION)
                    self.assertLess(gain, -0.02)
