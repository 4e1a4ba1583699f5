"""Models that others made: what evaluate, score and the scoring script of a deployment make of them."""
# That environment has no pytest.
# ruff: noqa: PT009, PT027

from __future__ import annotations

import inspect
import json
import logging
import os
import shutil
import tempfile
import unittest
from pathlib import Path

import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from ml import sample
from tests.ml.inside.steps import ML, evaluate, main, score, serving, train

logging.getLogger("mlflow").setLevel(logging.ERROR)  # pickles, missing examples: no news here
FRAME = sample.patients(200, seed=5)
REQUEST = json.loads((ML / "samples" / "diabetes-request.json").read_text())
PINS = ["scikit-learn"]
DOUBLES = ModelSignature(inputs=Schema([ColSpec(DataType.double, name) for name in train.FEATURES]))
MIXED = ModelSignature(
    inputs=Schema(
        [
            ColSpec(DataType.long, "Age"),
            ColSpec(DataType.float, "BMI"),
            ColSpec(DataType.integer, "Pregnancies"),
            ColSpec(DataType.string, "Ward", required=False),
        ]
    )
)


class Says(mlflow.pyfunc.PythonModel):
    """Answers each row with the same, in whatever shape."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def predict(self, context: object, model_input: pd.DataFrame, params: object = None) -> object:
        return self.answer(model_input)


class Others(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "model"

    def saved(self, model: object, signature: ModelSignature | None = DOUBLES) -> Path:
        if isinstance(model, mlflow.pyfunc.PythonModel):
            mlflow.pyfunc.save_model(str(self.folder), python_model=model, signature=signature, pip_requirements=PINS)
        else:
            save = {"serialization_format": "cloudpickle"}
            mlflow.sklearn.save_model(model, str(self.folder), signature=signature, pip_requirements=PINS, **save)
        return self.folder

    def measured(self, folder: Path) -> dict[str, float]:
        return evaluate.measure(evaluate.load(folder, "live model"), FRAME, "live model", "holdout.csv")


class Measured(Others):
    def test_a_pipeline_of_anothers_is_measured_as_it_predicts(self) -> None:
        model = make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=4, random_state=0))
        model.fit(FRAME[train.FEATURES], FRAME.Diabetic)
        found = self.measured(self.saved(model))
        self.assertAlmostEqual(found["Accuracy"], model.score(FRAME[train.FEATURES], FRAME.Diabetic))
        self.assertGreater(found["AUC"], found["Accuracy"])

    def test_other_columns_in_other_types_are_given_as_the_signature_says(self) -> None:
        columns = ["Age", "BMI", "Pregnancies"]
        model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(FRAME[columns], FRAME.Diabetic)
        found = self.measured(self.saved(model, MIXED))
        self.assertAlmostEqual(found["Accuracy"], model.score(FRAME[columns], FRAME.Diabetic), delta=0.01)

    def test_the_probability_of_one_is_found_wherever_it_is(self) -> None:
        turned = DecisionTreeClassifier(max_depth=2, random_state=0).fit(FRAME[train.FEATURES], FRAME.Diabetic)
        right = evaluate.positive(turned, turned.predict_proba(FRAME[train.FEATURES]))
        turned.classes_ = np.array(["1", "0"])
        wrong = evaluate.positive(turned, turned.predict_proba(FRAME[train.FEATURES]))
        np.testing.assert_allclose(right + wrong, 1)

    def test_without_probabilities_there_is_no_auc(self) -> None:
        model = LinearSVC(random_state=0).fit(FRAME[train.FEATURES], FRAME.Diabetic)
        self.assertEqual(list(self.measured(self.saved(model))), ["Accuracy"])

    def test_zero_and_one_in_any_shape_are_an_answer(self) -> None:
        zeros = int((FRAME.Diabetic == 0).sum())
        shapes = {
            "array": lambda rows: np.zeros(len(rows)),
            "list": lambda rows: [0] * len(rows),
            "column": lambda rows: pd.Series(["0"] * len(rows)),
            "table": lambda rows: pd.DataFrame({"Diabetic": [False] * len(rows)}),
        }
        for shape, answer in shapes.items():
            with self.subTest(shape):
                shutil.rmtree(self.folder, ignore_errors=True)
                self.assertEqual(self.measured(self.saved(Says(answer))), {"Accuracy": zeros / len(FRAME)})


class Refused(Others):
    def refused(self, folder: Path, message: str) -> None:
        with self.assertRaisesRegex(evaluate.DataError, f"^live model: {message}"):
            self.measured(folder)

    def test_what_is_no_model_or_does_not_load(self) -> None:
        self.refused(self.folder, "no model in MLflow's format in ")
        self.saved(Says(len))
        (self.folder / "python_model.pkl").write_bytes(b"not a pickle")
        self.refused(self.folder, r"it cannot be loaded here \(UnpicklingError: .*If it needs other packages")

    def test_a_model_that_needs_packages_that_are_not_here(self) -> None:
        self.saved(Says(len))
        text = (self.folder / "MLmodel").read_text()
        (self.folder / "MLmodel").write_text(
            text.replace("loader_module: mlflow.pyfunc.model", "loader_module: xgbost")
        )
        self.refused(self.folder, r"it cannot be loaded here \(ModuleNotFoundError: .*xgbost")

    def test_signatures_that_name_no_columns(self) -> None:
        nameless = {
            "none": None,
            "a tensor": ModelSignature(inputs=Schema([TensorSpec(np.dtype("float64"), (-1, 8))])),
            "columns without names": ModelSignature(inputs=Schema([ColSpec(DataType.double)] * 8)),
        }
        for name, signature in nameless.items():
            with self.subTest(name):
                shutil.rmtree(self.folder, ignore_errors=True)
                model = DecisionTreeClassifier(random_state=0).fit(FRAME[train.FEATURES], FRAME.Diabetic)
                self.refused(self.saved(model, signature), "its signature does not name its columns")

    def test_answers_that_are_no_class(self) -> None:
        answers = {
            "a probability": lambda rows: np.full(len(rows), 0.3),
            "words": lambda rows: ["yes"] * len(rows),
            "two columns": lambda rows: np.zeros((len(rows), 2)),
            "too few": lambda rows: [],
        }
        for name, answer in answers.items():
            with self.subTest(name):
                shutil.rmtree(self.folder, ignore_errors=True)
                self.refused(self.saved(Says(answer)), "it does not answer each row with 0 or 1")

    def test_a_model_that_raises(self) -> None:
        self.refused(self.saved(Says(lambda rows: rows["Ward"])), r"it does not predict \(KeyError: ")

    def test_columns_the_holdout_does_not_have(self) -> None:
        signature = ModelSignature(inputs=Schema([ColSpec(DataType.double, "Weight"), ColSpec(DataType.double, "Age")]))
        folder = self.saved(Says(len), signature)
        with self.assertRaisesRegex(evaluate.DataError, "^holdout.csv: column Weight is missing, the model needs it"):
            self.measured(folder)

    def test_the_step_says_so_in_one_line_and_writes_nothing(self) -> None:
        good = make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=4, random_state=0))
        good.fit(FRAME[train.FEATURES], FRAME.Diabetic)
        candidate = self.saved(good)
        (self.folder.parent / "live").mkdir()
        (self.folder.parent / "live" / "MLmodel").write_text("flavors: {}")
        FRAME.to_csv(self.folder.parent / "holdout.csv", index=False)
        folders = {"data": self.folder.parent, "candidate": candidate, "live": self.folder.parent / "live"}
        metrics = self.folder.parent / "metrics"
        arguments = [f"--{name}={folder}" for name, folder in {**folders, "metrics": metrics}.items()]
        code, stderr = main("evaluate", *arguments, "--live-version=3")
        self.assertEqual(code, 1)
        self.assertRegex(stderr, r"^evaluate: live model: it cannot be loaded here \(MlflowException: .*\n$")
        self.assertFalse(metrics.exists())


class Types(unittest.TestCase):
    def test_the_three_scripts_that_stand_alone_have_the_same(self) -> None:
        texts = {inspect.getsource(script.typed) for script in (evaluate, score, serving)}
        self.assertEqual(len(texts), 1)

    def test_every_column_gets_its_type_in_the_signatures_order(self) -> None:
        rows = pd.DataFrame([{"Extra": "x", "Pregnancies": 2.0, "BMI": "31.5", "Age": "40"}])
        typed = serving.typed(rows, MIXED.inputs, "data", "Correct it.")
        self.assertEqual({name: str(kind) for name, kind in typed.dtypes.items()}, {
            "Age": "int64", "BMI": "float32", "Pregnancies": "int32",
        })  # fmt: skip

    def test_what_does_not_fit_the_type_is_named(self) -> None:
        good = {"Age": 40, "BMI": 31.5, "Pregnancies": 2}
        cases = {
            "column Age, BMI is missing": {"Pregnancies": 2},
            "column Age holds what is not a number": {**good, "Age": "old"},
            "column BMI holds what is not a number": {**good, "BMI": [1]},
            "column Pregnancies holds what is not a whole number": {**good, "Pregnancies": 2.5},
            "column Age holds what is not a whole number": {**good, "Age": 1e300},
        }
        for message, row in cases.items():
            with self.subTest(message), self.assertRaisesRegex(serving.DataError, f"^data: {message}.*Correct it.$"):
                serving.typed(pd.DataFrame([row]), MIXED.inputs, "data", "Correct it.")


class Served(Others):
    def serve(self, folder: Path) -> None:
        os.environ["AZUREML_MODEL_DIR"] = str(folder)
        self.addCleanup(os.environ.pop, "AZUREML_MODEL_DIR", None)
        serving.init()

    def answers(self, body: object) -> object:
        return serving.run(json.dumps(body))

    def test_another_signature_is_served_too_and_takes_what_it_names(self) -> None:
        columns = ["Age", "BMI", "Pregnancies"]
        model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(FRAME[columns], FRAME.Diabetic)
        self.serve(self.saved(model, MIXED).parent)
        expected = model.predict(pd.DataFrame(REQUEST["data"])[columns]).tolist()
        self.assertEqual(self.answers(REQUEST), {"result": expected})

    def test_a_table_of_one_column_is_that_column_and_a_wider_one_rows(self) -> None:
        for width, expected in ((1, [3, 3, 3]), (2, [[3, 3]] * 3)):
            shutil.rmtree(self.folder, ignore_errors=True)
            with self.subTest(width):
                self.serve(self.saved(Says(lambda rows, width=width: np.full((len(rows), width), 3))))
                self.assertEqual(self.answers(REQUEST), {"result": expected})

    def test_a_model_inside_another_is_not_taken_for_it(self) -> None:
        self.saved(Says(lambda rows: [1] * len(rows)))
        shutil.copytree(self.folder, self.folder / "artifacts" / "inner")
        self.serve(self.folder.parent)
        self.assertEqual(self.answers(REQUEST), {"result": [1, 1, 1]})

    def test_none_two_or_a_nameless_one_do_not_start(self) -> None:
        with self.assertRaisesRegex(ValueError, "0 models in MLflow's format"):
            self.serve(self.folder)
        self.saved(Says(len))
        shutil.copytree(self.folder, self.folder.parent / "second")
        with self.assertRaisesRegex(ValueError, "2 models in MLflow's format"):
            self.serve(self.folder.parent)
        shutil.rmtree(self.folder)
        self.saved(Says(len), None)
        with self.assertRaisesRegex(ValueError, "does not name its columns"):
            self.serve(self.folder)
