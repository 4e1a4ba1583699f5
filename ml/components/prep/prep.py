"""From a batch of patient files to one checked table.

A batch is two tables, in parts or whole: they are joined on Id. Or it is one patient's measurements in each file,
without a header: they are put together. Then the ages are put into bins and the table is aggregated.
"""

from __future__ import annotations

import sqlite3
import warnings
from collections import Counter
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

AGE = ["Id", "PatientID", "Age"]
LEVELS = [
    "Id",
    "PatientID",
    "Pregnancies",
    "PlasmaGlucose",
    "DiastolicBloodPressure",
    "TricepsThickness",
    "SerumInsulin",
    "BMI",
    "DiabetesPedigree",
]
BRONZE = ["Id", "PatientID", "Age", "Age_quantized", *LEVELS[2:]]
MEASURED = [*LEVELS[2:], "Age"]  # the order of the values in a file that has no header
SINGLE = ["File", "Age", "Age_quantized", *LEVELS[2:]]  # such a file does not say whose values they are
KEYS = ("Id", "PatientID")
AGE_EDGES = list(range(1, 92, 10))  # each begins a bin; the last bin has no upper end
HIGHEST_BMI = "SELECT PatientID, MAX(BMI) FROM diabetes GROUP BY PatientID"


class DataError(ValueError):
    """The batch cannot be prepared; the message names the file, the column and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that a batch consists of; it may arrive in several files."""

    name: str
    columns: list[str]

    @property
    def pattern(self) -> str:
        return f"{self.name}*.csv"


PATIENT_AGE = Table(name="patient-age", columns=AGE)
PATIENT_LEVELS = Table(name="patient-levels", columns=LEVELS)
MEASUREMENTS = Table(name="measurements", columns=MEASURED)


def current_paths(manifest: dict[str, Any], table: Table) -> list[str]:
    """The lake paths of a table's files, as the manifest has them: an older version of a path is not current."""
    events = manifest.get("events")
    if not isinstance(events, list):
        raise DataError("manifest: it has no list 'events'. Hand over the manifest of the reaction.")
    try:
        current = [event["path"] for event in events if event["current"]]
    except (KeyError, TypeError) as missing:
        raise DataError(f"manifest: an event lacks {missing}. Hand over the manifest of the reaction.") from missing
    return sorted({path for path in current if fnmatchcase(PurePosixPath(path).name, table.pattern)})


def raw_folder(paths: Collection[str], present: Collection[str]) -> PurePosixPath:
    """Where in the lake the raw folder is: the folder below which most of the manifest's files are present.

    A job sees the raw folder under a mount path, which says nothing about its place in the lake.
    """
    folders = ((folder, path) for path in paths for folder in PurePosixPath(path).parents)
    found = Counter(folder for folder, path in folders if _below(path, folder) in present)
    best = sorted(folder for folder, count in found.items() if count == max(found.values()))
    apart = [folder for folder in best if not folder.is_relative_to(best[0])]
    if apart:
        raise DataError(f"manifest: {best[0]} and {apart[0]} list the same names. Give each folder its own reaction.")
    return best[0] if best else PurePosixPath(min(paths, default="")).parent


def _below(path: str, folder: PurePosixPath) -> str:
    return PurePosixPath(path).relative_to(folder).as_posix()


def parts(table: Table, paths: Collection[str], folder: PurePosixPath, present: Collection[str]) -> list[str]:
    """The table's files relative to the raw folder; files elsewhere in the lake are not this batch's."""
    names = [_below(path, folder) for path in paths if PurePosixPath(path).is_relative_to(folder)]
    if not names:
        raise DataError(f"{table.pattern}: the manifest lists no current file of that name. Land it and start again.")
    for name in names:
        if name not in present:
            raise DataError(f"{name}: the manifest lists it, the raw folder lacks it. Land it again.")
    return names


def read_part(file: Path, name: str, table: Table) -> pd.DataFrame:
    """One CSV file with exactly the table's columns as numbers.

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
    missing = [column for column in table.columns if column not in frame.columns]
    if missing:
        found = ", ".join(map(str, frame.columns))
        raise DataError(f"{name}: column {', '.join(missing)} is missing; it has {found}. Correct its header line.")
    if frame.empty:
        raise DataError(f"{name}: it has a header and no rows. Land it again with its rows.")
    return _numbers(frame[table.columns], name)


def _numbers(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    keys = [column for column in KEYS if column in frame.columns]
    for column in frame.columns:
        values = pd.to_numeric(frame[column], errors="coerce").replace([np.inf, -np.inf], np.nan)
        bad = values.isna() | (values.mod(1) != 0 if column in KEYS else False)
        if bad.any():
            row = int(bad.to_numpy().argmax())
            kind = "a whole number" if column in KEYS else "a number"
            raise DataError(
                f"{name}: column {column}, row {row + 1}: '{frame[column].iloc[row]}' is not {kind}. Correct it."
            )
    return frame.apply(pd.to_numeric).astype(dict.fromkeys(keys, "int64"))


def join(ages: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """One row per Id, which both tables have once and for the same patient."""
    for table, frame in ((PATIENT_AGE, ages), (PATIENT_LEVELS, levels)):
        repeated = frame["Id"][frame["Id"].duplicated()].unique()
        _refuse(repeated, f"{table.pattern}: column Id: %s more than once. Land each Id in one part only.")
    only_ages = np.setdiff1d(ages["Id"], levels["Id"])
    _refuse(only_ages, f"{PATIENT_LEVELS.pattern}: column Id: %s missing, but in {PATIENT_AGE.pattern}. Land the rest.")
    only_levels = np.setdiff1d(levels["Id"], ages["Id"])
    _refuse(
        only_levels, f"{PATIENT_AGE.pattern}: column Id: %s missing, but in {PATIENT_LEVELS.pattern}. Land the rest."
    )
    joined = ages.merge(levels, on="Id", suffixes=("", "_levels"), validate="one_to_one")
    differing = joined["Id"][joined["PatientID"] != joined["PatientID_levels"]].to_numpy()
    both = f"{PATIENT_AGE.pattern} and {PATIENT_LEVELS.pattern}"
    _refuse(differing, f"{both}: column PatientID differs for Id %s. Correct the wrong file.")
    return joined.drop(columns="PatientID_levels")


def _refuse(ids: np.ndarray, message: str) -> None:
    if len(ids):
        shown = ", ".join(str(value) for value in ids[:5])
        raise DataError(message % (f"{shown} and {len(ids) - 5} others" if len(ids) > 5 else shown))


def age_bin(ages: pd.Series) -> pd.Series:
    """1 for the ages up to 10, 2 for 11 to 20, … 10 for 91 and above."""
    return pd.Series(np.searchsorted(AGE_EDGES, ages, side="right").clip(1), index=ages.index, dtype="int64")


def prepare(ages: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    joined = join(ages, levels)
    return joined.assign(Age_quantized=age_bin(joined["Age"]))[BRONZE]


def highest_bmi(prepared: pd.DataFrame) -> pd.DataFrame:
    """The scenario's SQL transformation, run as SQL."""
    with closing(sqlite3.connect(":memory:")) as database:
        prepared[["PatientID", "BMI"]].to_sql("diabetes", database, index=False)
        return pd.read_sql_query(HIGHEST_BMI, database)


def read_measurements(file: Path, name: str) -> pd.DataFrame:
    """One file of one row, without a header: the eight values of a patient in the order of MEASURED."""
    try:
        frame = pd.read_csv(file, header=None, encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        raise DataError(f"{name}: the file is empty. Land it again with its row.") from None
    except ValueError as error:
        raise DataError(f"{name}: it cannot be read as CSV ({str(error).strip()}). Land it again.") from error
    if frame.shape != (1, len(MEASURED)):
        rows, values = frame.shape
        raise DataError(
            f"{name}: it has {rows} rows of {values} values, not one row of {len(MEASURED)}: {', '.join(MEASURED)}, "
            "without a header. Correct it."
        )
    return _numbers(frame.set_axis(MEASURED, axis="columns"), name)


def gather(raw: Path, paths: Collection[str], present: Collection[str]) -> pd.DataFrame:
    """A row for each file, in the order of the names, with the name in the column File."""
    names = parts(MEASUREMENTS, paths, raw_folder(paths, present), present)
    rows = pd.concat([read_measurements(raw / name, name) for name in names], ignore_index=True)
    return rows.assign(File=names, Age_quantized=age_bin(rows["Age"]))[SINGLE]


def read(raw: Path, manifest: dict[str, Any]) -> pd.DataFrame:
    """The batch as one table; which kind of batch it is, the names of the manifest's files tell."""
    present = {file.relative_to(raw).as_posix() for file in raw.rglob("*.csv")}
    tables = (PATIENT_AGE, PATIENT_LEVELS, MEASUREMENTS)
    listed = {table.name: current_paths(manifest, table) for table in tables}
    measured = listed.pop(MEASUREMENTS.name)
    joined = [path for paths in listed.values() for path in paths]
    if measured and joined:
        raise DataError(
            f"manifest: it lists {MEASUREMENTS.pattern} and patients' tables. Give each kind a reaction of its own."
        )
    if measured:
        return gather(raw, measured, present)
    folder = raw_folder(joined, present)
    return prepare(*(_table(raw, table, parts(table, listed[table.name], folder, present)) for table in tables[:2]))


def _table(raw: Path, table: Table, names: Collection[str]) -> pd.DataFrame:
    return pd.concat([read_part(raw / name, name, table) for name in names], ignore_index=True)
