"""The timer trigger: runs a function when its schedule says so, one run at a time, and knows what it missed.

The rules are those of Azure/azure-webjobs-sdk-extensions, Extensions/Timers (TimerListener.cs, ScheduleMonitor.cs).
Two things differ. The status record is a local file: in Azure it is the blob
azure-webjobs-hosts/timers/{hostId}/{timer}/status, which would make this host need a storage account of its own.
And a lock blob keeps a timer to one instance; here there is only one.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from local.host import bindings, schedules
from local.host.app import Function
from local.host.invoker import InvocationFailed, Invoker
from local.host.settings import AppSettings, HostError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is remembered of a timer. `last` is None until it first ran; `next` was worked out at `updated`."""

    last: datetime | None
    next: datetime
    updated: datetime

    def as_json(self) -> Mapping[str, str]:
        last = self.last.isoformat() if self.last else "0001-01-01T00:00:00+00:00"
        return {"Last": last, "Next": self.next.isoformat(), "LastUpdated": self.updated.isoformat()}


class StatusFile:
    """Where one timer's status survives a restart."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> Status | None:
        try:
            record = json.loads(self._file.read_text())
            last, following, updated = (datetime.fromisoformat(record[key]) for key in ("Last", "Next", "LastUpdated"))
        except (OSError, ValueError, KeyError, TypeError):
            return None  # nothing recorded yet, or nothing that can be read: start afresh
        return Status(last=last if last.year > 1 else None, next=following, updated=updated)

    def write(self, status: Status) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(status.as_json()))


class Timer:
    """Runs one timer-triggered function until it is stopped."""

    def __init__(
        self, function: Function, invoker: Invoker, schedule: schedules.Schedule, file: StatusFile | None, zone: tzinfo
    ) -> None:
        self._function = function
        self._invoker = invoker
        self._schedule = schedule
        self._file = file
        self._zone = zone
        self._run_on_startup = bool(function.options.get("runOnStartup"))
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        now = self._now()
        status = first_status(self._file.read() if self._file else None, self._schedule, now)
        past_due = now > status.next
        self._keep(status)
        if past_due or self._run_on_startup:
            status = await self._fire(status, past_due=past_due, on_time=False)
        while not await self._wait_until(status.next):
            status = await self._fire(status, past_due=False, on_time=True)

    async def run_once(self) -> None:
        """A run somebody asked for, beside the schedule."""
        status = self._file.read() if self._file else None
        await self._invoke(status, past_due=False)

    async def _fire(self, status: Status, *, past_due: bool, on_time: bool) -> Status:
        invoked = self._now()
        await self._invoke(status if self._file else None, past_due=past_due)
        # Due runs may begin a moment early; counting from the due time keeps it from being due twice.
        base = max(invoked, status.next) if on_time else invoked
        following = Status(last=base, next=self._schedule.next(base), updated=base)
        self._keep(following)
        return following

    async def _invoke(self, status: Status | None, *, past_due: bool) -> None:
        payload = bindings.timer(past_due=past_due, status=status.as_json() if status else None)
        try:
            await self._invoker.invoke(self._function, payload, reason="Timer fired")
        except InvocationFailed:
            return  # logged; failures do not stop the schedule

    async def _wait_until(self, moment: datetime) -> bool:
        """True when the timer was stopped first."""
        seconds = max((moment - self._now()) / timedelta(seconds=1), 0.001)
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _keep(self, status: Status) -> None:
        if self._file:
            self._file.write(status)

    def _now(self) -> datetime:
        return datetime.now(self._zone)


def first_status(recorded: Status | None, schedule: schedules.Schedule, now: datetime) -> Status:
    """Where a starting timer stands. What was due and missed stays due; a changed schedule begins anew."""
    if recorded is None:
        return Status(last=None, next=schedule.next(now), updated=now)
    base = recorded.last or recorded.updated
    expected = schedule.next(base)
    if recorded.next == expected:
        return recorded
    if now > expected:
        base, expected = now, schedule.next(now)
    return Status(last=None, next=expected, updated=base)


def timer(function: Function, invoker: Invoker, settings: AppSettings, folder: Path) -> Timer:
    """The timer of a timer-triggered function; its status is kept in `folder`.

    Raises:
        HostError: its schedule is not one, or names a setting that is not there.
    """
    schedule = schedules.parse(settings.resolve(str(function.options["schedule"])))
    zone = time_zone(settings)
    wanted = function.options.get("useMonitor") is not False
    monitored = wanted and not schedules.comes_often(schedule, datetime.now(zone))
    file = StatusFile(folder / f"{function.name}.json") if monitored else None
    return Timer(function, invoker, schedule, file, zone)


def time_zone(settings: AppSettings) -> tzinfo:
    """UTC, as on Flex Consumption, which knows no other; TZ is what the plans that do look at."""
    name = settings.get("TZ") or settings.get("WEBSITE_TIME_ZONE")
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise HostError(f"TZ: {name!r} is not a time zone of the IANA database, such as Europe/Berlin") from None
