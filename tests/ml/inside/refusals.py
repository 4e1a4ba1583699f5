"""What the steps refuse, and what they say, run by `python -m unittest` inside the ML environment."""
# That environment has no pytest.
# ruff: noqa: PT009, PT027

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import typing
import unittest
from collections.abc import Iterable
from pathlib import Path

import mlflow.sklearn

from ml import sample
from tests.ml.inside.steps import evaluate, main, prep, score, split, train


class PrepRefusals(unittest.TestCase):
    """Nothing is written, and one line says which file, which column, and what to do."""

    AGE = "Id,PatientID,Age"
    LEVELS = ",".join(prep.LEVELS)
    GOOD: typing.ClassVar[dict[str, str | bytes]] = {
        "patient-age.csv": f"{AGE}\n1,100,10\n2,200,11\n3,100,92\n",
        "patient-levels.csv": f"{LEVELS}\n3,100,1,9,7,3,1,31.5,0.3\n1,100,0,8,6,2,5,29,0.1\n2,200,2,9,7,3,1,22,0.2\n",
    }

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def assert_refused(self, files: dict[str, str | bytes], manifest: str, message: str) -> None:
        raw = self.folder / "raw"
        shutil.rmtree(raw, ignore_errors=True)
        raw.mkdir()
        for name, content in files.items():
            (raw / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        listed = self.folder / "manifest.json"
        listed.write_text(manifest)
        stamps = ("--reaction-id=r-1", "--attempt=1", f"--bronze={self.folder}/bronze")
        code, stderr = main("prep", f"--raw={raw}", f"--manifest={listed}", *stamps)
        self.assertEqual(code, 1)
        self.assertRegex(stderr, f"^prep: {re.escape(message)}.*\\. [A-Z].*\\.\n$")
        self.assertFalse((self.folder / "bronze").exists())

    def manifest(self, paths: Iterable[str]) -> str:
        return json.dumps({"events": [{"path": path, "current": True} for path in paths]})

    def test_files_that_do_not_make_a_batch(self) -> None:
        cases: dict[str, dict[str, str | bytes]] = {
            "patient-age.csv: column Age is missing; it has Id, PatientID, Years": {
                "patient-age.csv": "Id,PatientID,Years\n1,100,10\n",
            },
            "patient-levels*.csv: column Id: 7 missing, but in patient-age*.csv": {
                "patient-age-2.csv": f"{self.AGE}\n7,700,30\n",
            },
            "patient-age*.csv: column Id: 2 missing, but in patient-levels*.csv": {
                "patient-age.csv": f"{self.AGE}\n1,100,10\n3,100,92\n",
            },
            "patient-age*.csv: column Id: 2 more than once": {"patient-age-2.csv": f"{self.AGE}\n2,200,11\n"},
            "patient-levels*.csv: column Id: 11, 12, 13, 14, 15 and 4 others missing": {
                "patient-age-2.csv": f"{self.AGE}\n" + "".join(f"{n},{n},30\n" for n in range(11, 20)),
            },
            "patient-age*.csv and patient-levels*.csv: column PatientID differs for Id 2": {
                "patient-age.csv": f"{self.AGE}\n1,100,10\n2,201,11\n3,100,92\n",
            },
            "patient-age.csv: the file is empty": {"patient-age.csv": ""},
            "patient-age.csv: it has a header and no rows": {"patient-age.csv": f"{self.AGE}\n"},
            "patient-age.csv: it cannot be read as CSV ('utf-8' codec": {"patient-age.csv": b"PK\x03\x04\xff\xfe\x00"},
            "patient-age.csv: it cannot be read as CSV (Error tokenizing data": {
                "patient-age.csv": f"{self.AGE}\n1,100,10\n2,200,11,5\n3,100,92\n",
            },
            "patient-age.csv: it cannot be read as CSV (Length of header": {
                "patient-age.csv": f"{self.AGE}\n1,100,10,5\n2,200,11,5\n3,100,92,5\n",
            },
            "patient-age.csv: column Age, row 2: 'old' is not a number": {
                "patient-age.csv": f"{self.AGE}\n1,100,10\n2,200,old\n3,100,92\n",
            },
            "patient-age.csv: column Age, row 2: 'nan' is not a number": {
                "patient-age.csv": f"{self.AGE}\n1,100,10\n2,200\n3,100,92\n",
            },
            "patient-age.csv: column Id, row 1: '1.5' is not a whole number": {
                "patient-age.csv": f"{self.AGE}\n1.5,100,10\n2,200,11\n3,100,92\n",
            },
        }
        for message, files in cases.items():
            landed = {**self.GOOD, **files}
            with self.subTest(message):
                self.assert_refused(landed, self.manifest(f"b1/stage/{name}" for name in landed), message)

    def test_a_manifest_that_does_not_fit_the_raw_folder(self) -> None:
        first = ["b1/stage/patient-age.csv", "b1/stage/patient-levels.csv"]
        second = ["b2/stage/patient-age.csv", "b2/stage/patient-levels.csv"]
        third_part = "b1/stage/patient-age-3.csv"
        cases = {
            "patient-age-3.csv: the manifest lists it, the raw folder lacks it": [*first, third_part],
            "patient-levels*.csv: the manifest lists no current file of that name": first[:1],
            "patient-age*.csv: the manifest lists no current file of that name": [],
            "manifest: b1/stage and b2/stage list the same names": [*first, *second],
        }
        for message, paths in cases.items():
            with self.subTest(message):
                self.assert_refused(self.GOOD, self.manifest(paths), message)

    def test_what_is_not_a_manifest(self) -> None:
        cases = {
            "not JSON": "manifest: not JSON",
            "[]": "manifest: not a JSON object",
            "{}": "manifest: it has no list 'events'",
            '{"events": [{"current": true}]}': "manifest: an event lacks 'path'",
        }
        for manifest, message in cases.items():
            with self.subTest(message):
                self.assert_refused(self.GOOD, manifest, message)


HEADER = ",".join(split.COLUMNS)
ROWS = "1,1,1,1,1,1,1,30,0\n2,1,1,1,1,1,1,40,1\n" * 20
LINEAGE = {"reaction_id": "r-1", "attempt": "1", "train_rows": 7, "test_rows": 3}


class InAFolder(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, name: str, content: str) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return file


class SplitRefusals(InAFolder):
    """Nothing is written, and one line says which file, which column, and what to do."""

    CASES: typing.ClassVar = {
        "baseline: there is no CSV file in ": {"baseline/_old.csv": f"{HEADER}\n{ROWS}", "baseline/a.txt": "a"},
        "target: there is no CSV file in ": {"target/.hidden.csv": f"{HEADER}\n{ROWS}"},
        "target/new.csv: the file is empty": {"target/new.csv": ""},
        "target/new.csv: it has a header and no rows": {"target/new.csv": f"{HEADER}\n"},
        "target/sub/new.csv: column Diabetic is missing": {
            "target/sub/new.csv": HEADER.replace(",Diabetic", "") + "\n1,1,1,1,1,1,1,30\n"
        },
        "target/new.csv: it cannot be read as CSV": {"target/new.csv": f"{HEADER}\n" + "1,1,1,1,1,1,1,1,0,7\n" * 9},
        "target/new.csv: column Age, row 2: 'old' is not a number": {
            "target/new.csv": f"{HEADER}\n1,1,1,1,1,1,1,30,0\n1,1,1,1,1,1,1,old,0\n"
        },
        "target/new.csv: column BMI, row 1: 'nan' is not a number": {
            "target/new.csv": f"{HEADER}\n1,1,1,1,1,,1,30,0\n"
        },
        "target/new.csv: column Diabetic, row 1: '2' is not 0 or 1": {
            "target/new.csv": f"{HEADER}\n1,1,1,1,1,1,1,30,2\n"
        },
        "target/new.csv: column Diabetic, row 1: 'nan' is not 0 or 1": {
            "target/new.csv": f"{HEADER}\n1,1,1,1,1,1,1,30,\n"
        },
        "target: one row cannot be split": {"target/new.csv": f"{HEADER}\n1,1,1,1,1,1,1,30,0\n"},
        "target: column Diabetic: the 3 rows to measure on are all 0": {
            "target/new.csv": f"{HEADER}\n" + "1,1,1,1,1,1,1,30,0\n" * 10
        },
    }

    def test_folders_that_cannot_be_split(self) -> None:
        for message, files in self.CASES.items():
            shutil.rmtree(self.folder, ignore_errors=True)
            role = next(iter(files)).split("/")[0]
            if role == "target":
                self.write("baseline/base.csv", f"{HEADER}\n{ROWS}")
            for name, content in files.items():
                self.write(name, content)
            with self.subTest(message):
                self.assert_refused(message, target=role == "target")

    def assert_refused(self, message: str, *, target: bool) -> None:
        folders = [f"--{role}={self.folder}/{role}" for role in ("baseline", *(["target"] if target else []))]
        code, stderr = main("split", *folders, "--reaction-id=r-1", "--attempt=1", f"--data={self.folder}/data")
        self.assertEqual(code, 1)
        self.assertRegex(stderr, f"^split: {re.escape(message)}.*\\. [A-Z].*\\.\n$")
        self.assertFalse((self.folder / "data").exists())

    def test_a_baseline_of_one_kind_teaches_nothing(self) -> None:
        self.write("baseline/base.csv", f"{HEADER}\n" + "1,1,1,1,1,1,1,30,1\n" * 10)
        self.assert_refused("baseline: column Diabetic: the 7 rows to train on are all 1", target=False)


class DriftRefusals(InAFolder):
    CASES: typing.ClassVar = {
        "target: there is no CSV file in ": ("_x.csv", "Age\n1\n", "Age"),
        "target/x.csv: column BMI is missing": ("x.csv", "Age\n1\n", "Age,BMI"),
        "target/x.csv: column Age, row 2: 'old' is not a number": ("x.csv", "Age,BMI\n1,1\nold,1\n", "Age"),
        "target/x.csv: column Age, row 2: 'inf' is not a number": ("x.csv", "Age,BMI\n,1\ninf,1\n", "Age"),
        "target: column Age has no value in any row": ("x.csv", "Age,BMI\n,1\n,1\n", "Age,BMI"),
        "target/x.csv: it has a header and no rows": ("x.csv", "Age,BMI\n", "Age"),
        "target/x.csv: the file is empty": ("x.csv", "", "Age"),
        "target/x.csv: it cannot be read as CSV": ("x.csv", "Age,BMI\n1,2,3\n", "Age"),
        "features: 'Age,Age' does not name each column once": ("x.csv", "Age\n1\n", "Age,Age"),
        "features: ' ,' does not name each column once": ("x.csv", "Age\n1\n", " ,"),
    }

    def test_folders_that_cannot_be_compared(self) -> None:
        for message, (name, content, features) in self.CASES.items():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.write("baseline/base.csv", "Age,BMI\n1,1\n2,2\n")
            self.write(f"target/{name}", content)
            folders = [f"--{role}={self.folder}/{role}" for role in ("baseline", "target")]
            made = [f"--report={self.folder}/report", f"--signal-metrics={self.folder}/signal"]
            with self.subTest(message):
                code, stderr = main("drift", *folders, *made, f"--features={features}")
                self.assertEqual(code, 1)
                self.assertRegex(stderr, f"^drift: {re.escape(message)}.*\n$")
                self.assertFalse((self.folder / "report").exists() or (self.folder / "signal").exists())

    def test_a_threshold_is_a_distance(self) -> None:
        for threshold in ("-0.1", "1.1", "nan", "much"):
            with self.subTest(threshold):
                code, stderr = main("drift", "--baseline=x", "--target=x", "--report=x", f"--threshold={threshold}")
                self.assertEqual((code, f"invalid share value: '{threshold}'" in stderr), (2, True))


class Refusals(InAFolder):
    """Each file is named, with the column and what to do."""

    def refused(self, error: type[Exception], message: str) -> unittest.TestCase:
        return self.assertRaisesRegex(error, f"^{re.escape(str(self.file))}: {message}")

    def trained(self) -> Path:
        folder = self.folder / "model"
        train.save(train.train(sample.patients(100, seed=0), "logistic", 0.1), folder)
        return folder

    def test_a_file_that_cannot_be_trained_on(self) -> None:
        cases = {
            "PatientID,Diabetic\n1,0\n": "column Pregnancies, PlasmaGlucose,.* is missing",
            "": "it cannot be read as CSV",
            f"{HEADER}\n" + "1,1,1,1,1,1,1,1,0,7\n" * 9: "it cannot be read as CSV",
            f"{HEADER}\n" + "1,1,1,1,1,1,1,1,0\n" * 9: "column Diabetic must hold 0 and 1",
            f"{HEADER}\n" + "1,1,1,1,1,1,1,1,2\n" * 9: "column Diabetic must hold 0 and 1",
            f"{HEADER}\n1,1,1,1,1,1,1,old,0\n": "column Age holds something that is not a number",
            f"{HEADER}\n1,1,1,1,1,,1,30,0\n": "column BMI holds something that is not a number",
        }
        for content, message in cases.items():
            self.file = self.write("train.csv", content)
            with self.subTest(message), self.refused(train.DataError, message):
                train.read(self.file)

    def test_a_file_that_nothing_can_be_measured_on(self) -> None:
        for content in ("", "Age\n1\n", f"{HEADER}\n" + "1,1,1,1,1,1,1,1,0\n" * 9):
            self.file = self.write("holdout.csv", content)
            with (
                self.subTest(content),
                self.refused(evaluate.DataError, "(it cannot be read|column Diabetic must hold)"),
            ):
                evaluate.read(self.file)

    def test_a_batch_that_cannot_be_scored(self) -> None:
        loaded = score.load(self.trained())
        cases = {
            "PatientID,Age\n1,30\n": "column Pregnancies, PlasmaGlucose,.* is missing",
            f"{HEADER}\n": "it has no rows",
            f"{HEADER}\n1,1,1,1,1,1,1,old,0\n": "column Age holds what is not a number",
            f"{HEADER}\n1,1,1,1,1,,1,30,0\n": "column BMI holds what is not a number",
            f"{HEADER}\n1,1,1,1,1,1,1,1,0,7\n": "it cannot be read as CSV",
        }
        for content, message in cases.items():
            self.file = self.write("diabetes.csv", content)
            with self.subTest(message), self.refused(score.DataError, message):
                score.score(loaded, score.read(self.file), str(self.file))

    def test_a_model_that_is_not_there_broken_or_nameless(self) -> None:
        self.file = self.folder / "model"
        with self.refused(score.DataError, "no model in MLflow's format there"):
            score.load(self.file)
        self.trained()
        with self.refused(train.DataError, "the model's folder is not empty"):
            self.trained()
        (self.file / "model.skops").write_bytes(b"not a model")
        with self.refused(score.DataError, "the model cannot be loaded"):
            score.load(self.file)
        self.file = self.folder / "nameless"
        model = train.train(sample.patients(100, seed=0), "logistic", 0.1)
        mlflow.sklearn.save_model(model, str(self.file), pip_requirements=["scikit-learn"])
        with self.refused(score.DataError, "the model does not name its columns"):
            score.load(self.file)


class RegisterRefusals(InAFolder):
    """Before anybody is asked."""

    def refused(self, message: str) -> None:
        made = [f"--{name}={self.folder}/{name}" for name in ("data", "metrics", "model", "report")]
        about = ["--model-uri=azureml://m", "--model-name=m", "--algorithm=logistic", "--regularisation=0.1"]
        code, stderr = main("register", *made, *about)
        self.assertEqual(code, 1)
        self.assertRegex(stderr, f"^register: .*{re.escape(message)}.*\n$")

    def test_what_lacks_a_part_is_not_registered(self) -> None:
        self.refused("there is no model in MLflow's format")
        self.write("model/MLmodel", "")
        self.refused("_lineage.json")
        self.write("data/_lineage.json", json.dumps(LINEAGE))
        self.write("metrics/metrics.json", "{")
        self.refused("metrics.json: not JSON")
        self.write("metrics/metrics.json", '{"Accuracy": 0.7}')
        self.refused("AZUREML_ROOT_RUN_ID is not set")
        os.environ["AZUREML_ROOT_RUN_ID"] = "job-1"
        self.addCleanup(os.environ.pop, "AZUREML_ROOT_RUN_ID")
        self.refused("AZUREML_ARM_SUBSCRIPTION is not set: AML sets it in a job's environment")
        self.assertFalse((self.folder / "report").exists())


class Commands(InAFolder):
    """What only `run.py` decides; the steps' own tests run it as a process."""

    def test_a_penalty_must_be_positive_and_finite(self) -> None:
        for penalty in ("0", "-1", "inf", "nan", "much"):
            with self.subTest(penalty):
                code, stderr = main("train", "--data=x", "--model=x", f"--regularisation={penalty}")
                self.assertEqual(code, 2)
                self.assertIn(f"argument --regularisation: invalid positive value: '{penalty}'", stderr)

    def test_a_missing_file_is_named(self) -> None:
        model = train.train(sample.patients(100, seed=0), "logistic", 0.1)
        train.save(model, self.folder / "model")
        stamps = ("--reaction-id=r", "--attempt=1", f"--silver={self.folder}/silver")
        code, stderr = main("score", f"--bronze={self.folder}", f"--model={self.folder}/model", *stamps)
        self.assertEqual((code, f"{self.folder}/diabetes.csv" in stderr), (1, True))
        code, stderr = main("train", f"--data={self.folder}", "--model=x")
        self.assertEqual((code, f"{self.folder}/train.csv" in stderr), (1, True))
        code, stderr = main("evaluate", f"--data={self.folder}", f"--candidate={self.folder}/model", "--metrics=x")
        self.assertEqual((code, f"{self.folder}/holdout.csv" in stderr), (1, True))
