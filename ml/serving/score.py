"""What answers at an online deployment: `{"data": [{column: value, …}, …]}` in, `{"result": [0, …]}` out.

The inference server imports this file, calls `init` once and `run` per request. It serves every MLflow model whose
signature names its columns.
"""

from __future__ import annotations

import json
import os
from http import HTTPStatus
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when mlflow is imported

import mlflow.pyfunc
import numpy as np
import pandas as pd
from azureml_inference_server_http.api.aml_response import AMLResponse
from mlflow.types import DataType, Schema

NUMBERS = (DataType.double, DataType.float, DataType.long, DataType.integer)

model: mlflow.pyfunc.PyFuncModel


class DataError(ValueError):
    """The request cannot be answered; the message says what is wrong with it and what to do."""


def init() -> None:
    """Load the model. Where that fails the deployment must not become healthy, so nothing is caught."""
    global model  # noqa: PLW0603  (the server's contract: init prepares what run uses)
    model = mlflow.pyfunc.load_model(str(folder(Path(os.environ["AZUREML_MODEL_DIR"]))))
    schema = model.metadata.get_input_schema()
    if schema is None or schema.is_tensor_spec() or not schema.has_input_names():
        raise ValueError("The model's signature does not name its columns. Deploy one whose signature does.")


def folder(root: Path) -> Path:
    """The model's folder: AML puts it below the root, under names of its own. A model may hold others inside."""
    found = sorted((path.parent for path in root.rglob("MLmodel")), key=lambda path: len(path.parts))
    if not found or any(not path.is_relative_to(found[0]) for path in found):
        raise ValueError(f"{root}: {len(found)} models in MLflow's format below it. Deploy exactly one.")
    return found[0]


def run(raw: str) -> dict[str, list[object]] | AMLResponse:
    try:
        rows = typed(table(raw), model.metadata.get_input_schema(), "data", "Correct the request.")
    except DataError as error:
        return AMLResponse({"error": str(error)}, HTTPStatus.BAD_REQUEST, json_str=True)
    return {"result": answers(model.predict(rows))}


def table(raw: str) -> pd.DataFrame:
    """The request's patients, a row each."""
    try:
        body = json.loads(raw, parse_int=float)  # so that no number is too long to convert
    except ValueError as error:
        raise DataError(f"The body is not JSON ({error}). Send {{'data': [{{…}}]}}.") from error
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list) or not data or not all(isinstance(row, dict) for row in data):
        raise DataError("The body has no list 'data' of objects, at least one. Send {'data': [{…}]}.")
    return pd.DataFrame(data)


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


def answers(predicted: object) -> list[object]:
    """Plain values, whatever the model answers with; a table of one column is that column."""
    values = np.asarray(predicted)
    return list(values[:, 0].tolist() if values.ndim == 2 and values.shape[1] == 1 else values.tolist())
