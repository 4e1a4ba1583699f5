"""When the demo's night comes: always after its day, and soon enough to be waited for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from local.demo.playing import LEAD, soon
from shared.rules.schedules import Cron


@pytest.mark.parametrize("second", [0, 14, 15, 16, 44, 45, 59])
@pytest.mark.parametrize("minute", [0, 1, 30, 58, 59])
def test_the_first_night_is_a_while_ahead_and_the_next_two_minutes_later(minute: int, second: int) -> None:
    now = datetime(2026, 12, 31, 23, minute, second, tzinfo=UTC)
    nights = Cron.parse(soon(now))
    first = nights.next_after(now)
    assert LEAD <= first - now <= LEAD + timedelta(minutes=1)
    assert nights.next_after(first) - first == timedelta(minutes=2)
