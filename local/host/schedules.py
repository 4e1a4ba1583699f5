"""When a timer is due: NCRONTAB expressions of six or five fields, or a plain time span."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from cronsim import CronSim, CronSimError

from local.host.settings import HostError, time_span

ONE_MINUTE: Final = timedelta(minutes=1)

# What cronsim reads but NCRONTAB does not: L, LW, #, and 7 for Sunday.
_FIELD = re.compile(r"[0-9A-Z*,/-]+")
_NAMES = re.compile(r"(JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC|SUN|MON|TUE|WED|THU|FRI|SAT)[A-Z]*")


class Schedule(Protocol):
    def next(self, after: datetime) -> datetime:
        """The first occurrence later than `after`."""


@dataclass(frozen=True, slots=True)
class Cron:
    """An NCRONTAB expression, always with its seconds."""

    expression: str

    def next(self, after: datetime) -> datetime:
        # Six fields always: for five cronsim would imitate Debian's cron at changes of daylight saving time.
        simulation = CronSim(self.expression, after)
        # NCRONTAB wants both the day of the month and the day of the week to match, cron either of them
        # (atifaziz/NCrontab, CrontabSchedule.cs: the day of the week only filters).
        simulation.day_and = True
        try:
            return next(simulation)
        except StopIteration:
            raise HostError(f"the schedule {self.expression!r} never comes to pass") from None


@dataclass(frozen=True, slots=True)
class Interval:
    """A constant wait."""

    period: timedelta

    def next(self, after: datetime) -> datetime:
        return after + self.period


def parse(expression: str) -> Schedule:
    """The schedule of a timer trigger.

    Raises:
        HostError: neither NCRONTAB nor a time span.
    """
    fields = _NAMES.sub(r"\1", expression.upper()).split()
    if len(fields) in (5, 6):
        fields = ["0", *fields] if len(fields) == 5 else fields
        return _cron(fields, expression)
    try:
        return Interval(time_span(expression.strip()))
    except ValueError:
        raise _not_recognised(expression) from None


def comes_often(schedule: Schedule, now: datetime) -> bool:
    """Whether it falls due more than once a minute: the host keeps no status for such a timer."""
    if isinstance(schedule, Interval):
        return schedule.period < ONE_MINUTE
    first = schedule.next(now)
    return schedule.next(first) < now + ONE_MINUTE


def _cron(fields: list[str], expression: str) -> Cron:
    week = fields[-1]
    readable = all(_FIELD.fullmatch(field) for field in fields)
    if not readable or "L" in fields[3] or re.search(r"(?<![0-9/])7|[0-9]L", week):
        raise _not_recognised(expression)
    joined = " ".join(fields)
    try:
        CronSim(joined, datetime(2000, 1, 1))  # noqa: DTZ001  only read, never run
    except CronSimError as problem:
        raise HostError(f"the schedule {expression!r} is no NCRONTAB expression: {problem}") from None
    return Cron(joined)


def _not_recognised(expression: str) -> HostError:
    return HostError(
        f"The schedule expression {expression!r} was not recognized as a valid cron expression or timespan string."
    )
