"""Predictions of an MLflow model as a new column of the bronze table."""

from __future__ import annotations

import warnings
from pathlib import Path
from zipfile import BadZipFile

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.types import DataType, Schema

PREDICTION = "Diabetes"
AGAIN = "Run the prep step again."
NUMBERS = (DataType.double, DataType.float, DataType.long, DataType.integer)


class DataError(ValueError):
    """The batch cannot be scored; the message names the file, the column and what to do."""


def load(folder: Path) -> mlflow.pyfunc.PyFuncModel:
    if not (folder / "MLmodel").is_file():
        raise DataError(f"{folder}: no model in MLflow's format there. Hand over the folder that holds MLmodel.")
    try:
        model = mlflow.pyfunc.load_model(str(folder))
    except (MlflowException, BadZipFile, ImportError, TypeError, ValueError) as error:
        raise DataError(f"{folder}: the model cannot be loaded ({error}). Train and save it again.") from error
    schema = model.metadata.get_input_schema()
    if schema is None or schema.is_tensor_spec() or not schema.has_input_names():
        raise DataError(f"{folder}: the model does not name its columns. Save it with a signature that does.")
    return model


def read(file: Path) -> pd.DataFrame:
    """Rows with one value too many are refused: pandas would put every value under the wrong name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(file, index_col=False, encoding="utf-8-sig")
    except (ValueError, pd.errors.ParserWarning) as error:
        raise DataError(f"{file}: it cannot be read as CSV ({str(error).strip()}). {AGAIN}") from error


def score(model: mlflow.pyfunc.PyFuncModel, patients: pd.DataFrame, source: str) -> pd.DataFrame:
    if patients.empty:
        raise DataError(f"{source}: it has no rows. {AGAIN}")
    measurements = typed(patients, model.metadata.get_input_schema(), source, AGAIN)
    return patients.assign(**{PREDICTION: model.predict(measurements)})


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
