"""The files of the demo: made up, or made of somebody's own."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local.demo.expectations import DemoFailed
from local.system import sample

PARTS: Final = 100
DAY: Final = 100
SPLIT: Final = ("--parts", str(PARTS), "--day", str(DAY))
LABELLED: Final = "diabetes2.csv"
PATIENT_FILES: Final = ("patient-age.csv", "patient-levels.csv")
FILES: Final = (LABELLED, *PATIENT_FILES)
FEATURES: Final = (
    *("Pregnancies", "PlasmaGlucose", "DiastolicBloodPressure", "TricepsThickness"),
    *("SerumInsulin", "BMI", "DiabetesPedigree", "Age"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """A folder with the patient files, whole, in parts and one by one, and the labelled baseline and target."""

    folder: Path

    @property
    def patients(self) -> list[Path]:
        return [self.folder / name for name in PATIENT_FILES]

    @property
    def parts(self) -> list[Path]:
        return sorted((self.folder / "parts").glob("*.csv"))

    @property
    def day(self) -> list[Path]:
        return sorted((self.folder / "day").glob("*.csv"))

    @property
    def baseline(self) -> Path:
        return self.folder / "drift" / "baseline.csv"

    @property
    def target(self) -> Path:
        return self.folder / "drift" / "target.csv"

    def two_patients(self) -> dict[str, list[dict[str, float]]]:
        """A request about the first two of the target."""
        first = _read(self.target.read_bytes())[:2]
        return {"data": [{name: float(row[name]) for name in FEATURES} for row in first]}


def must_be_complete(data: Path) -> None:
    """Raises DemoFailed: a file is missing; says which."""
    missing = [name for name in FILES if not (data / name).is_file()]
    if missing:
        raise DemoFailed(f"{data} lacks {', '.join(missing)}; it must hold {', '.join(FILES)}")


def prepare(made: Path, data: Path | None, say: Callable[[str], None]) -> Files:
    """The files, in the new folder `made`."""
    made.mkdir(parents=True)
    if data is None:
        say("making up sample data (2,000 patients, seed 1)")
        sample(["--out", str(made), "--rows", "2000", "--seed", "1", *SPLIT])
        return Files(folder=made)
    say(f"taking the files in {data}; the drifted ones are made of {LABELLED}")
    for name in FILES:
        (made / name).write_bytes((data / name).read_bytes())
    sample(["--of", str(made), "--out", str(made), *SPLIT])
    return Files(folder=made)


def rows(content: bytes) -> int:
    return len(_read(content))


def scored(content: bytes) -> tuple[int, int]:
    """How many rows of a silver file have a prediction, and how many of those are positive."""
    predictions = [row.get("Diabetes") for row in _read(content)]
    return sum(1 for found in predictions if found in {"0", "1"}), predictions.count("1")


def _read(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))
