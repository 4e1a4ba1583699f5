"""Durations are whole numbers with units, and nothing else."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.rules.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
        ("24h", timedelta(hours=24)),
        ("3d", timedelta(days=3)),
        ("1h30m", timedelta(minutes=90)),
        ("1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("0h5m", timedelta(minutes=5)),
        ("365d", timedelta(days=365)),
    ],
)
def test_these_are_durations(text, duration):
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("24", "24 has no unit"),
        ("1.5", "1.5 has no unit"),
        ("", "is not a duration"),
        ("h", "is not a duration"),
        ("5 m", "is not a duration"),
        ("5min", "is not a duration"),
        ("5M", "is not a duration"),
        ("500ms", "is not a duration"),
        ("1.5h", "is not a duration"),
        ("-5m", "is not a duration"),
        ("30m1h", "is not a duration"),
        ("1h1h", "is not a duration"),
        ("2w", "is not a duration"),
        ("PT5M", "is not a duration"),
        ("5m\n", "is not a duration"),
        ("٥m", "is not a duration"),
        ("9999999d", "is not a duration"),
        ("0s", "is no time at all"),
        ("366d", "is longer than 365 days"),
    ],
)
def test_these_are_not(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_duration(text)


@given(st.integers(1, 365 * 86_400))
def test_every_duration_can_be_written(seconds):
    minutes, s = divmod(seconds, 60)
    hours, m = divmod(minutes, 60)
    d, h = divmod(hours, 24)
    assert parse_duration(f"{d}d{h}h{m}m{s}s") == timedelta(seconds=seconds)
