"""Whether new data are fit to train a model on, by what the drift report says of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

LARGEST_REPORT: Final = 1_000_000
"""In bytes. One of ten features has about 10,000."""


class UnusableReport(ValueError):
    """The report does not say what has to be known; the message tells what it lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A rule's `require`, fixed when the reaction is made.

    Attributes:
        report: the report's path in the lake, the container first.
        min_rows: fewer new rows are too few; None asks for none.
        max_missing: the largest share of missing values, from 0 to 1; None allows any.
    """

    report: str
    min_rows: int | None = None
    max_missing: Decimal | None = None

    @property
    def container(self) -> str:
        return self.report.partition("/")[0]

    @property
    def path(self) -> str:
        return self.report.partition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the data may be trained on, and why, with the figures."""

    fit: bool
    why: str


def judge(requirement: Requirement, content: bytes) -> Verdict:
    """Holds what a report says against what is required.

    Raises:
        UnusableReport: it does not tell a figure that is asked for.
    """
    report = _read(content)
    wrong: list[str] = []
    right: list[str] = []
    if requirement.min_rows is not None:
        rows = _rows(report)
        found = f"{rows:,} new rows, at least {requirement.min_rows:,} are required"
        (right if rows >= requirement.min_rows else wrong).append(found)
    if requirement.max_missing is not None:
        share = _missing_share(report)
        found = f"{_percent(share)} of the values are missing, at most {_percent(requirement.max_missing)} may be"
        (right if share <= requirement.max_missing else wrong).append(found)
    if wrong:
        return Verdict(
            fit=False,
            why=f"the new data are not fit to train on: {'; '.join(wrong)} ({requirement.report}). Land more rows, or "
            "mend what leaves values out; the monitor's next breach is judged anew",
        )
    return Verdict(fit=True, why=f"the new data are fit to train on: {'; '.join(right)} ({requirement.report})")


def _read(content: bytes) -> dict[str, object]:
    if len(content) > LARGEST_REPORT:
        raise UnusableReport(f"it is larger than {LARGEST_REPORT:,} bytes")
    try:
        report = json.loads(content)
    except (ValueError, RecursionError):
        raise UnusableReport("it is not JSON") from None
    if not isinstance(report, dict):
        raise UnusableReport("it is not a JSON object")
    return report


def _rows(report: dict[str, object]) -> int:
    rows = report.get("rows")
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 0:
        raise UnusableReport("it has no `rows`, the number of new rows")
    return rows


def _missing_share(report: dict[str, object]) -> Decimal:
    share = report.get("missing_share")
    if not isinstance(share, int | float) or isinstance(share, bool) or not 0 <= share <= 1:
        raise UnusableReport("it has no `missing_share`, a number from 0 to 1")
    return Decimal(str(share))


def _percent(share: Decimal) -> str:
    """With as many digits as it takes to tell it from a limit that it just exceeds."""
    text = f"{(share * 100).quantize(Decimal('0.0001')):f}"
    return f"{text.rstrip('0').rstrip('.')} %"
