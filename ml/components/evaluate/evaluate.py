"""Accuracy and AUC of MLflow models, whoever made them, on the same labelled rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.types import DataType, Schema
from sklearn.metrics import accuracy_score, roc_auc_score

LABEL = "Diabetic"
AGAIN = "Run the split step again."
NUMBERS = (DataType.double, DataType.float, DataType.long, DataType.integer)


class DataError(ValueError):
    """A model cannot be measured; the message names it or the file, the column and what to do."""


def read(file: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(file, index_col=False)
    except ValueError as error:
        raise DataError(f"{file}: it cannot be read as CSV ({str(error).strip()}). {AGAIN}") from error
    if LABEL not in frame.columns or not frame[LABEL].isin([0, 1]).all() or frame[LABEL].nunique() < 2:
        raise DataError(f"{file}: column {LABEL} must hold 0 and 1, both. {AGAIN}")
    return frame


def load(folder: Path, role: str) -> mlflow.pyfunc.PyFuncModel:
    """Another's model may fail to load in any way whatever: its own code runs."""
    if not (folder / "MLmodel").is_file():
        raise DataError(f"{role}: no model in MLflow's format in {folder}. Hand over the folder that holds MLmodel.")
    try:
        model = mlflow.pyfunc.load_model(str(folder))
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise DataError(
            f"{role}: it cannot be loaded here ({reason[:500]}). If it needs other packages than ml/requirements.txt "
            "has, add them; otherwise register a model that loads."
        ) from error
    schema = model.metadata.get_input_schema()
    if schema is None or schema.is_tensor_spec() or not schema.has_input_names():
        raise DataError(f"{role}: its signature does not name its columns. Save it with a signature that does.")
    return model


def typed(frame: pd.DataFrame, schema: Schema, source: str, remedy: str) -> pd.DataFrame:
    """The columns a signature names, in its order and types: MLflow makes no double of a whole number, nor back."""
    needed = [column for column in schema.inputs if column.required or column.name in frame.columns]
    missing = [column.name for column in needed if column.name not in frame.columns]
    if missing:
        raise DataError(f"{source}: column {', '.join(missing)} is missing, the model needs it. {remedy}")
    numbers = {column.name: column.type.to_pandas() for column in needed if column.type in NUMBERS}
    values = frame[list(numbers)].apply(pd.to_numeric, errors="coerce").replace([np.inf, -np.inf], np.nan)
    unreadable = [name for name in numbers if values[name].isna().any()]
    if unreadable:
        raise DataError(f"{source}: column {', '.join(unreadable)} holds what is not a number. {remedy}")
    for name, kind in numbers.items():
        converted = values[name].astype(kind)
        if kind.kind == "i" and (converted != values[name]).any():
            raise DataError(f"{source}: column {name} holds what is not a whole number. {remedy}")
        values[name] = converted
    return pd.DataFrame({column.name: values.get(column.name, frame[column.name]) for column in needed})


def measure(model: mlflow.pyfunc.PyFuncModel, labelled: pd.DataFrame, role: str, source: str) -> dict[str, float]:
    """Accuracy, and AUC where the model gives probabilities."""
    measurements = typed(labelled, model.metadata.get_input_schema(), source, f"The {role} cannot be measured on it.")
    predicted = classes(_ask(model.predict, measurements, role), len(labelled), role)
    metrics = {"Accuracy": float(accuracy_score(labelled[LABEL], predicted))}
    classifier = inside(model)
    if classifier is not None:
        probabilities = _ask(classifier.predict_proba, measurements, role)
        metrics["AUC"] = float(roc_auc_score(labelled[LABEL], positive(classifier, probabilities)))
    return metrics


def _ask(question: Callable[[pd.DataFrame], object], measurements: pd.DataFrame, role: str) -> object:
    """A model that loads may still fail to answer, in any way whatever."""
    try:
        return question(measurements)
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise DataError(f"{role}: it does not predict ({reason[:500]}). Register a model that does.") from error


def classes(predicted: object, rows: int, role: str) -> np.ndarray:
    """A model may answer with an array, a column or a table; what counts is that it says 0 or 1 for each row."""
    answers = pd.to_numeric(pd.Series(np.asarray(predicted).ravel()), errors="coerce")
    if len(answers) != rows or not answers.isin([0, 1]).all():
        raise DataError(f"{role}: it does not answer each row with 0 or 1. Register a model that predicts the class.")
    return answers.astype("int64").to_numpy()


class Classifier(Protocol):
    def predict_proba(self, measurements: pd.DataFrame) -> object: ...


def inside(model: mlflow.pyfunc.PyFuncModel) -> Classifier | None:
    """What the MLflow model was made of, if that gives probabilities; MLflow's own interface has none."""
    for open_it in (model.get_raw_model, model.unwrap_python_model):
        try:
            found = open_it()
        except (NotImplementedError, AttributeError, MlflowException):
            continue
        if hasattr(found, "predict_proba"):
            return found
    return None


def positive(classifier: Classifier, probabilities: object) -> np.ndarray:
    """The probability of 1, wherever the classifier has that column."""
    known = [str(value) for value in getattr(classifier, "classes_", [0, 1])]
    return np.asarray(probabilities)[:, known.index("1") if "1" in known else -1]
