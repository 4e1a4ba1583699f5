"""Seeded sample data with the files, columns and ranges of the diabetes scenario, and a signal that can be learnt."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

LABEL = "Diabetic"
LEVELS = [
    "Pregnancies",
    "PlasmaGlucose",
    "DiastolicBloodPressure",
    "TricepsThickness",
    "SerumInsulin",
    "BMI",
    "DiabetesPedigree",
]
TABLES = ("patient-age", "patient-levels")
BASELINE_DAY, TARGET_DAY = "2022-01-01", "2022-02-01"
# Added to the seed for the undrifted target. What retraining on it gains is chance, nothing on average: with this
# number it gains nothing for the seeds 0 and 1 and the default number of rows, so there is a refusal to show.
UNDRIFTED = 11
PREGNANCY_WEIGHTS = np.array([29, 19, 7, 7, 5, 5, 7, 6, 5, 5, 3, 1, 0.5, 0.3, 0.2])


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How much each finding adds to the risk; above `threshold` a patient is diabetic.

    Steps, and one interaction (BMI high or skin fold thick, but not both): a straight line explains part of
    it, a tree nearly all.
    """

    threshold: float = 3.0
    pregnancies: float = 1.7
    age: float = 1.0
    insulin: float = 0.8
    glucose: float = 0.5
    pedigree: float = 0.5
    bmi: float = 0.5
    bmi_or_triceps: float = 0.9

    def risk(self, frame: pd.DataFrame) -> pd.Series:
        heavy = frame["BMI"] >= 30
        return (
            self.pregnancies * (frame["Pregnancies"] >= 2)
            + self.age * (frame["Age"] >= 33)
            + self.insulin * (frame["SerumInsulin"] >= 110)
            + self.glucose * (frame["PlasmaGlucose"] >= 125)
            + self.pedigree * (frame["DiabetesPedigree"] >= 0.5)
            + self.bmi * heavy
            + self.bmi_or_triceps * (heavy != (frame["TricepsThickness"] >= 25))
        )

    def outcome(self, frame: pd.DataFrame, random: np.random.Generator) -> pd.Series:
        doubt = random.normal(0, 0.12, len(frame))
        return (self.risk(frame) + doubt > self.threshold).astype("int64")


# A penalty that leaves the weights so small that the model is worse than any other here, on made-up data and on the
# scenario's own: what to train with to see a candidate refused.
WORSE_REGULARISATION = 100_000
USUAL = World()
# Family history weighs far more and age nothing: what was learnt in the usual world no longer holds.
CHANGED = World(pedigree=1.8, age=0.0)


def patients(rows: int, seed: int) -> pd.DataFrame:
    """Labelled measurements, a row each; about one patient in 250 was measured twice."""
    if rows < 1:
        raise ValueError(f"{rows} rows asked for: ask for at least 1.")
    random = np.random.default_rng(seed)
    young = random.random(rows) < 0.55
    frame = pd.DataFrame(
        {
            "PatientID": _patient_ids(random, rows),
            "Pregnancies": random.choice(15, rows, p=PREGNANCY_WEIGHTS / PREGNANCY_WEIGHTS.sum()),
            "PlasmaGlucose": _whole(random.normal(108, 32, rows), 44, 192),
            "DiastolicBloodPressure": _whole(random.normal(71, 17, rows), 24, 117),
            "TricepsThickness": _whole(_thin_or_thick(random, rows, (12, 3.5), (41, 8)), 7, 93),
            "SerumInsulin": _whole(random.lognormal(4.45, 1.0, rows), 14, 799),
            "BMI": _thin_or_thick(random, rows, (20.5, 1.2), (39, 5.5)).clip(18.2, 56.1).round(8),
            "DiabetesPedigree": random.lognormal(-1.4, 0.85, rows).clip(0.078, 2.31).round(9),
            "Age": _whole(21 + random.exponential(np.where(young, 1.2, 18.0)), 21, 77),
        }
    )
    frame[LABEL] = USUAL.outcome(frame, random)
    return frame


def _patient_ids(random: np.random.Generator, rows: int) -> np.ndarray:
    ids = 1_000_000 + random.choice(1_000_000, rows, replace=False)
    repeated = rows // 250
    ids[rows - repeated :] = ids[:repeated]
    return random.permutation(ids)


def _thin_or_thick(
    random: np.random.Generator, rows: int, thin: tuple[float, float], thick: tuple[float, float]
) -> np.ndarray:
    return np.where(random.random(rows) < 0.45, random.normal(*thin, rows), random.normal(*thick, rows))


def _whole(values: np.ndarray, low: int, high: int) -> np.ndarray:
    return np.rint(values).clip(low, high).astype("int64")


def patient_tables(labelled: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The same patients as they arrive unlabelled: two tables that join on Id."""
    ordered = labelled.sort_values("PatientID", kind="stable", ignore_index=True)
    ordered.insert(0, "Id", np.arange(1, len(ordered) + 1))
    columns = {"patient-age": ["Age"], "patient-levels": LEVELS}
    return {name: ordered[["Id", "PatientID", *columns[name]]] for name in TABLES}


def split_into_parts(table: pd.DataFrame, parts: int) -> list[pd.DataFrame]:
    """Consecutive slices of nearly equal length, none of them empty."""
    if not 1 <= parts <= len(table):
        raise ValueError(f"{len(table)} rows cannot be split into {parts} parts: ask for 1 to {len(table)}.")
    edges = np.linspace(0, len(table), parts + 1).astype(int)
    return [table.iloc[start:end] for start, end in pairwise(edges)]


def dated(frame: pd.DataFrame, day: str) -> pd.DataFrame:
    return frame.assign(Datetime=day)


def drifted(frame: pd.DataFrame, relabel_seed: int | None = None) -> pd.DataFrame:
    """The scenario's drift. With `relabel_seed` the outcome changes too, so that retraining is worth it at any size."""
    shifted = frame.assign(
        Pregnancies=frame["Pregnancies"] + 1,
        Age=(frame["Age"] * 1.2).round().astype("int64"),
        BMI=(frame["BMI"] * 1.1).round(8),
    )
    if relabel_seed is not None:
        shifted[LABEL] = CHANGED.outcome(shifted, np.random.default_rng(relabel_seed))
    return shifted


def write_labelled(folder: Path, rows: int, seed: int) -> dict[str, pd.DataFrame]:
    """Write every whole file of the scenario, the drift files included; return the two patient tables."""
    labelled, second = patients(rows, seed), patients(max(rows // 2, 1), seed + 1)
    tables = patient_tables(labelled)
    for name, frame in {"diabetes": labelled, "diabetes2": second, **tables}.items():
        _write(frame, folder / f"{name}.csv")
    write_drift(folder, second, drifted(second, relabel_seed=seed))
    _write(dated(patients(len(second), seed + UNDRIFTED), TARGET_DAY), folder / "drift" / "undrifted.csv")
    return tables


def write_drift(folder: Path, baseline: pd.DataFrame, target: pd.DataFrame) -> None:
    _write(dated(baseline, BASELINE_DAY), folder / "drift" / "baseline.csv")
    _write(dated(target, TARGET_DAY), folder / "drift" / "target.csv")


def write_drift_of(given: Path, folder: Path) -> None:
    """The scenario's drift pair, made of a labelled file of one's own: the same patients and the same outcomes."""
    file = given / "diabetes2.csv"
    baseline = pd.read_csv(file)
    missing = [column for column in ("Pregnancies", "Age", "BMI", LABEL) if column not in baseline.columns]
    if missing:
        raise ValueError(f"{file}: column {', '.join(missing)} is missing: the drift pair is made of it.")
    write_drift(folder, baseline, drifted(baseline))


def write_parts(folder: Path, tables: dict[str, pd.DataFrame], parts: int) -> None:
    for name, table in tables.items():
        for number, part in enumerate(split_into_parts(table, parts), start=1):
            _write(part, folder / f"{name}-{number:03d}.csv")


def write_day(folder: Path, tables: dict[str, pd.DataFrame], patients: int) -> None:
    """One file for each of the first patients: the model's eight features, a row without a header."""
    ages, levels = (tables[name] for name in TABLES)
    first = levels.merge(ages[["Id", "Age"]], on="Id").head(patients)
    if not 1 <= patients <= len(first):
        raise ValueError(f"{len(first)} patients give no day of {patients} files: ask for 1 to {len(first)}.")
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(patients):
        row = first.iloc[[number]][[*LEVELS, "Age"]]
        row.to_csv(folder / f"measurements-{number + 1:03d}.csv", index=False, header=False, lineterminator="\n")


def _write(frame: pd.DataFrame, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(file, index=False, lineterminator="\n")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m ml.sample", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--rows", type=int, default=2_000, help="patients to make up (default 2,000)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same files")
    parser.add_argument("--parts", type=int, help="also write both patient files in this many parts, to OUT/parts")
    parser.add_argument("--day", type=int, help="also write so many patients in a file each, to OUT/day")
    parser.add_argument("--of", type=Path, help="make up nothing: take the files of this folder")
    args = parser.parse_args(argv)
    try:
        if args.of:
            tables = {name: pd.read_csv(args.of / f"{name}.csv", dtype=str) for name in TABLES}
            write_drift_of(args.of, args.out)
        else:
            tables = write_labelled(args.out, args.rows, args.seed)
        if args.parts is not None:
            write_parts(args.out / "parts", tables, args.parts)
        if args.day is not None:
            write_day(args.out / "day", tables, args.day)
    except (OSError, ValueError) as error:
        print(f"ml.sample: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
