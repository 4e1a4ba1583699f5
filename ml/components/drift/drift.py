"""How far the distribution of each feature has moved from baseline to target."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

METRIC = "JensenShannonDistance"
BINS = 20
DAY = "Datetime"


class DataError(ValueError):
    """The data cannot be compared; the message names the file, the column and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The monitored columns of all files of a folder; `day` is the newest that its column Datetime names.

    An empty cell is a missing value (NaN): it is counted, and what is compared are the values that are there.
    """

    files: list[str]
    rows: pd.DataFrame
    day: str | None

    @property
    def missing_share(self) -> float:
        """Of all monitored cells, from 0 to 1."""
        return float(self.rows.isna().to_numpy().mean())

    def missing_of(self, feature: str) -> float:
        """Of one column's cells, from 0 to 1."""
        return float(self.rows[feature].isna().mean())

    def facts(self) -> dict[str, object]:
        return {"files": self.files, "rows": len(self.rows), "missing_share": self.missing_share, "day": self.day}


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One feature's distance, and the two histograms it is the distance of, as shares of the values that are there.

    Attributes:
        missing: the share of cells without a value, of the baseline's and of the target's.
    """

    name: str
    value: float
    threshold: float
    edges: list[float]
    baseline: list[float]
    target: list[float]
    missing: dict[str, float]

    @property
    def breached(self) -> bool:
        return self.value > self.threshold

    def facts(self) -> dict[str, object]:
        return {**asdict(self), "breached": self.breached}


def names(text: str) -> list[str]:
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found or len(set(found)) < len(found):
        raise DataError(f"features: '{text}' does not name each column once. Separate the names by commas.")
    return found


def read(folder: Path, role: str, features: Sequence[str]) -> Data:
    """The CSV files below the folder; hidden ones, and those that tools write (`_…`), are not data."""
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.csv") if path.is_file())
    files = [name for name in found if not name.rpartition("/")[2].startswith(("_", "."))]
    if not files:
        raise DataError(
            f"{role}: there is no CSV file in {folder}. Land one there; until then there is no drift to see."
        )
    frames = [_read_file(folder / name, f"{role}/{name}", features) for name in files]
    days = [day for frame in frames if DAY in frame.columns for day in frame[DAY].dropna()]
    rows = pd.concat([frame[list(features)] for frame in frames], ignore_index=True)
    empty = [name for name in features if rows[name].isna().all()]
    if empty:
        raise DataError(f"{role}: column {', '.join(empty)} has no value in any row. Correct what writes the files.")
    return Data(files=files, rows=rows, day=max(days, default=None))


def _read_file(file: Path, name: str, features: Sequence[str]) -> pd.DataFrame:
    """An empty cell stays one; what is there and no number is refused.

    So are rows with one value too many: pandas would put every value under the wrong name.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(file, index_col=False, encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        raise DataError(f"{name}: the file is empty. Land it again with its header and rows.") from None
    except (ValueError, pd.errors.ParserWarning) as error:
        raise DataError(f"{name}: it cannot be read as CSV ({str(error).strip()}). Land it again.") from error
    missing = [column for column in features if column not in frame.columns]
    if missing:
        raise DataError(f"{name}: column {', '.join(missing)} is missing. Correct its header line, or the features.")
    if frame.empty:
        raise DataError(f"{name}: it has a header and no rows. Land it again with its rows.")
    numbers = frame[list(features)].apply(pd.to_numeric, errors="coerce").replace([np.inf, -np.inf], np.nan)
    for column in features:
        wrong = (numbers[column].isna() & frame[column].notna()).to_numpy()
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(
                f"{name}: column {column}, row {row + 1}: '{frame[column].iloc[row]}' is not a number. Correct it."
            )
    if DAY not in frame.columns:
        return numbers
    return numbers.assign(**{DAY: frame[DAY].astype(str).str.extract(r"^(\d{4}-\d\d-\d\d)", expand=False)})


def compare(baseline: pd.Series, target: pd.Series, name: str, threshold: float) -> Feature:
    """Both histograms have the same bins, of equal width over the range of both; missing values are in neither."""
    missing = {"baseline": float(baseline.isna().mean()), "target": float(target.isna().mean())}
    baseline, target = baseline.dropna(), target.dropna()
    low, high = (float(limit) for limit in (min(baseline.min(), target.min()), max(baseline.max(), target.max())))
    edges = np.histogram_bin_edges([low, high], bins=BINS, range=(low, high))
    shares = [np.histogram(values, bins=edges)[0] / len(values) for values in (baseline, target)]
    return Feature(
        name=name,
        value=distance(*shares),
        threshold=threshold,
        edges=edges.tolist(),
        baseline=shares[0].tolist(),
        target=shares[1].tolist(),
        missing=missing,
    )


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Jensen-Shannon, base 2: 0 for the same distribution, 1 for two that share nothing."""
    middle = (first + second) / 2
    return float(np.sqrt(max(_divergence(first, middle) + _divergence(second, middle), 0.0) / 2))


def _divergence(shares: np.ndarray, other: np.ndarray) -> float:
    present = shares > 0
    return float(np.sum(shares[present] * np.log2(shares[present] / other[present])))
