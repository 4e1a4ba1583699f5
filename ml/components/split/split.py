"""From folders of labelled CSV files to the rows to train on and the rows to measure on."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

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
COLUMNS = [*FEATURES, LABEL]
HELD_OUT = 0.30


class DataError(ValueError):
    """The data cannot be split; the message names the file, the column and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """All rows of a folder, in the order of its files' names. `role` is what messages call the folder."""

    role: str
    files: list[str]
    rows: pd.DataFrame

    def facts(self) -> dict[str, object]:
        return {"files": self.files, "rows": len(self.rows)}


def read(folder: Path, role: str) -> Data:
    """The CSV files below the folder; hidden ones, and those that tools write (`_…`), are not data."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.csv") if path.is_file())
    files = [name for name in names if not name.rpartition("/")[2].startswith(("_", "."))]
    if not files:
        raise DataError(f"{role}: there is no CSV file in {folder}. Land one there and start again.")
    rows = pd.concat([read_file(folder / name, f"{role}/{name}") for name in files], ignore_index=True)
    return Data(role=role, files=files, rows=rows)


def read_file(file: Path, name: str) -> pd.DataFrame:
    """The features and the label of one file.

    Rows with one value too many are refused: pandas would put every value under the wrong name.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(file, index_col=False, encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        raise DataError(f"{name}: the file is empty. Land it again with its header and rows.") from None
    except (ValueError, pd.errors.ParserWarning) as error:
        raise DataError(f"{name}: it cannot be read as CSV ({str(error).strip()}). Land it again.") from error
    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        raise DataError(f"{name}: column {', '.join(missing)} is missing. Land a labelled file with all nine columns.")
    if frame.empty:
        raise DataError(f"{name}: it has a header and no rows. Land it again with its rows.")
    return _numbers(frame[COLUMNS], name)


def _numbers(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    numbers = frame.apply(pd.to_numeric, errors="coerce").replace([np.inf, -np.inf], np.nan)
    for column in COLUMNS:
        bad = ~numbers[column].isin([0, 1]) if column == LABEL else numbers[column].isna()
        if bad.any():
            row = int(bad.to_numpy().argmax())
            kind = "0 or 1" if column == LABEL else "a number"
            raise DataError(
                f"{name}: column {column}, row {row + 1}: '{frame[column].iloc[row]}' is not {kind}. Correct it."
            )
    return numbers.astype({LABEL: "int64"})


def split(baseline: Data, target: Data | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows to train on and the rows to measure on, the same for the same data."""
    divided = target or baseline
    if len(divided.rows) < 2:
        raise DataError(f"{divided.role}: one row cannot be split. Land more rows.")
    fitting, holdout = train_test_split(divided.rows, test_size=HELD_OUT, random_state=0)
    training = pd.concat([baseline.rows, fitting], ignore_index=True) if target else fitting
    for part, rows in (("to train on", training), ("to measure on", holdout)):
        if rows[LABEL].nunique() < 2:
            raise DataError(
                f"{divided.role}: column {LABEL}: the {len(rows)} rows {part} are all {rows[LABEL].iloc[0]}, "
                "so nothing can be learnt or measured. Land more rows of both kinds."
            )
    return training, holdout
