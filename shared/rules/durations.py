"""Durations as people write them: 90s, 5m, 24h, 3d, 1h30m."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

PATTERN: Final = r"(?=\d)(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?"
LONGEST: Final = timedelta(days=365)

_DURATION: Final = re.compile(PATTERN, re.ASCII)
_HOW: Final = "write whole numbers with units, the longest first: 90s, 5m, 24h, 3d, 1h30m"


def parse_duration(text: str) -> timedelta:
    """Reads a duration.

    Raises:
        ValueError: with what is wrong with it.
    """
    if re.fullmatch(r"[0-9.]+", text):
        raise ValueError(f"{text} has no unit; {_HOW}")
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a duration; {_HOW}")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not duration:
        raise ValueError(f"{text!r} is no time at all; leave the key out")
    if duration > LONGEST:
        raise ValueError(f"{text!r} is longer than {LONGEST.days} days")
    return duration
