"""Predictions of an MLflow model as a new column of the bronze table."""

from __future__ import annotations

import warnings
from pathlib import Path
from zipfile import BadZipFile

import mlflow.pyfunc
import pandas as pd
from mlflow.exceptions import MlflowException

PREDICTION = "Diabetes"


class DataError(ValueError):
    """The batch cannot be scored; the message names the file, the column and what to do."""


def load(folder: Path) -> mlflow.pyfunc.PyFuncModel:
    if not (folder / "MLmodel").is_file():
        raise DataError(f"{folder}: no model in MLflow's format there. Hand over the folder that holds MLmodel.")
    try:
        model = mlflow.pyfunc.load_model(str(folder))
    except (MlflowException, BadZipFile, ImportError, TypeError, ValueError) as error:
        raise DataError(f"{folder}: the model cannot be loaded ({error}). Train and save it again.") from error
    if model.metadata.get_input_schema() is None:
        raise DataError(f"{folder}: the model does not name its columns. Save it with a signature.")
    return model


def read(file: Path) -> pd.DataFrame:
    """Rows with one value too many are refused: pandas would put every value under the wrong name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(file, index_col=False, encoding="utf-8-sig")
    except (ValueError, pd.errors.ParserWarning) as error:
        raise DataError(f"{file}: it cannot be read as CSV ({str(error).strip()}). Run the prep step again.") from error


def score(model: mlflow.pyfunc.PyFuncModel, patients: pd.DataFrame, source: str) -> pd.DataFrame:
    features = model.metadata.get_input_schema().input_names()
    missing = [name for name in features if name not in patients.columns]
    if missing:
        raise DataError(
            f"{source}: column {', '.join(missing)} is missing, the model needs it. Run the prep step again."
        )
    if patients.empty:
        raise DataError(f"{source}: it has no rows. Run the prep step again.")
    measurements = patients[features].apply(pd.to_numeric, errors="coerce").astype("float64")
    unreadable = [name for name in features if measurements[name].isna().any()]
    if unreadable:
        raise DataError(
            f"{source}: column {', '.join(unreadable)} holds what is not a number. Run the prep step again."
        )
    return patients.assign(**{PREDICTION: model.predict(measurements)})
