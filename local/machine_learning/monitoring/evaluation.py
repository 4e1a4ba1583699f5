"""What AML's evaluate step does with a signal's metrics: which of them breach their threshold, and how it says so."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TAG: Final = "azureml_modelmonitor_threshold_breached"
ROOT_TAG: Final = "azureml.modelmonitor.threshold.breached.{signal}"
_COLUMNS: Final = ("group", "metric_name", "metric_value", "threshold_value")
# Of these a small value is the bad one.
_SHOULD_BE_GREATER: Final = frozenset(
    {
        "TwoSampleKolmogorovSmirnovTest",
        "PearsonsChiSquaredTest",
        "NormalizedDiscountedCumulativeGain",
        "Accuracy",
        "Precision",
        "Recall",
    }
)


class BadSignal(ValueError):
    """What the component put out is not a signal's metrics; says what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One row of a signal: a feature (AML's word is group) and how far it is from what it should be."""

    group: str
    name: str
    value: float | None
    threshold: float | None

    @property
    def breached(self) -> bool:
        """A row without a value or without a threshold is none."""
        if self.value is None or self.threshold is None:
            return False
        if self.name in _SHOULD_BE_GREATER:
            return self.value < self.threshold
        return self.value > self.threshold


def read_signal(file: Path) -> list[Metric]:
    """The metrics in a signal.csv.

    Raises:
        BadSignal: a column is missing, or a value is no number.
    """
    try:
        with file.open(encoding="utf-8", newline="") as text:
            reader = csv.DictReader(text)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise BadSignal(f"{file.name} has no column {', '.join(missing)}")
            return [_metric(row, file.name, reader.line_num) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise BadSignal(f"{file.name} cannot be read: {problem}") from problem


def breach_text(signal: str, metrics: Iterable[Metric]) -> str:
    """The tag's text, in the words of AML's component; empty if nothing is breached."""
    rows = [_row(metric) for metric in metrics if metric.breached]
    if not rows:
        return ""
    return (
        f"The signal '{signal}' has failed due to one or more features violating metric thresholds.\n"
        f"The feature names and their corresponding computed metric values violating the threshold are \n{rows}\n"
    )


def breached(metrics: Sequence[Metric]) -> list[Metric]:
    return [metric for metric in metrics if metric.breached]


def _row(metric: Metric) -> str:
    content = {
        "group": metric.group,
        "metric_value": metric.value,
        "metric_name": metric.name,
        "threshold_value": metric.threshold,
    }
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


def _metric(row: dict[str, str], file: str, line: int) -> Metric:
    return Metric(
        group=row["group"] or "",
        name=row["metric_name"] or "",
        value=_number(row["metric_value"], file, line),
        threshold=_number(row["threshold_value"], file, line),
    )


def _number(text: str | None, file: str, line: int) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError as problem:
        raise BadSignal(f"{file}, line {line}: {text!r} is no number") from problem
    return value if math.isfinite(value) else None
