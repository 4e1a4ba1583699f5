"""One classifier of the scenario: its features and algorithms, and its model in MLflow's format."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import mlflow.sklearn
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

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
LABEL = "Diabetic"
# A tree's node indices are used unchecked, so skops loads boosting only where the model says that it may: these
# models come from our own training.
TRUSTED_TYPES = ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]
SERVING = ("mlflow-skinny", "numpy", "pandas", "scikit-learn", "skops")


class DataError(ValueError):
    """The file cannot be trained on; the message names it, the column and what to do."""


def logistic(regularisation: float) -> ClassifierMixin:
    return LogisticRegression(C=1 / regularisation, solver="liblinear", random_state=0)


def boosting(_regularisation: float) -> ClassifierMixin:
    return HistGradientBoostingClassifier(random_state=0)


ALGORITHMS: dict[str, Callable[[float], ClassifierMixin]] = {"logistic": logistic, "boosting": boosting}


def read(file: Path) -> pd.DataFrame:
    """Rows with one value too many are refused: pandas would put every value under the wrong name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(file, index_col=False, encoding="utf-8-sig")
    except (ValueError, pd.errors.ParserWarning) as error:
        raise DataError(
            f"{file}: it cannot be read as CSV ({str(error).strip()}). Run the split step again."
        ) from error
    missing = [column for column in [*FEATURES, LABEL] if column not in frame.columns]
    if missing:
        raise DataError(f"{file}: column {', '.join(missing)} is missing. Run the split step again.")
    for column in FEATURES:
        if not pd.api.types.is_numeric_dtype(frame[column]) or frame[column].isna().any():
            raise DataError(f"{file}: column {column} holds something that is not a number. Run the split step again.")
    if not frame[LABEL].isin([0, 1]).all() or frame[LABEL].nunique() < 2:
        raise DataError(f"{file}: column {LABEL} must hold 0 and 1, both. Run the split step again.")
    return frame


def train(frame: pd.DataFrame, algorithm: str, regularisation: float) -> ClassifierMixin:
    """Fit on every row; which rows those are was decided before, and what the model is worth is measured after."""
    return ALGORITHMS[algorithm](regularisation).fit(frame[FEATURES], frame[LABEL])


def save(model: ClassifierMixin, folder: Path) -> None:
    """Every feature is declared a double; MLflow converts no whole numbers, so callers convert first.

    The requirements are named because MLflow would otherwise load the model in a new process to find them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise DataError(f"{folder}: the model's folder is not empty. Hand over an empty one.")
    mlflow.sklearn.save_model(
        model,
        str(folder),
        signature=ModelSignature(
            inputs=Schema([ColSpec(DataType.double, name) for name in FEATURES]),
            outputs=Schema([ColSpec(DataType.long)]),
        ),
        skops_trusted_types=TRUSTED_TYPES if isinstance(model, HistGradientBoostingClassifier) else None,
        pip_requirements=[f"{package}=={version(package)}" for package in SERVING],
    )
