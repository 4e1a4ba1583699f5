"""host.json with its `AzureFunctionsJobHost__…` overrides, and the app settings as the host reads them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

OVERRIDE_PREFIX: Final = "azurefunctionsjobhost__"
LARGEST_BATCH: Final = 32
SHORTEST_POLLING_INTERVAL: Final = timedelta(milliseconds=100)
DEFAULT_FUNCTION_TIMEOUT: Final = timedelta(minutes=30)

_TIME_SPAN = re.compile(
    r"(?:(?P<days>\d+)\.)?(?P<hours>\d{1,2}):(?P<minutes>\d{1,2})(?::(?P<seconds>\d{1,2})(?P<fraction>\.\d{1,7})?)?"
)
_SETTING = re.compile(r"%([^%]+)%")


class HostError(RuntimeError):
    """The host, or one function of it, is set up in a way that cannot work; says where and what to do."""


class AppSettings(Mapping[str, str]):
    """The process environment as .NET configuration reads it: names are compared without regard to case."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._values = {name.lower(): value for name, value in environment.items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def resolve(self, text: str) -> str:
        """Fills in every `%NAME%`.

        Raises:
            HostError: a setting that is not there.
        """

        def value(match: re.Match[str]) -> str:
            found = self.get(match[1])
            if not found:
                raise HostError(f"'%{match[1]}%' does not resolve to a value: set {match[1]} in the app settings")
            return found

        return _SETTING.sub(value, text)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOptions:
    """`extensions.queues` of host.json. `visibility_timeout` is the delay after a failure, not the lease."""

    batch_size: int = 16
    new_batch_threshold: int = 8
    max_dequeue_count: int = 5
    visibility_timeout: timedelta = timedelta()
    max_polling_interval: timedelta = timedelta(minutes=1)
    base64: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """What this host takes from host.json and from the worker's own settings."""

    queues: QueueOptions
    route_prefix: str
    function_timeout: timedelta | None
    thread_count: int | None


def time_span(text: str) -> timedelta:
    """A .NET TimeSpan: `[days.]hours:minutes[:seconds[.fraction]]`, or a bare number of days.

    Raises:
        ValueError: it is not one.
    """
    if text.isdecimal():
        return timedelta(days=int(text))
    match = _TIME_SPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time span like 00:05:00")
    hours, minutes, seconds = (int(match[part] or 0) for part in ("hours", "minutes", "seconds"))
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError(f"{text!r} has a part that is too large: at most 23:59:59, days go in front as in 1.00:00:00")
    fraction = float(match["fraction"] or 0)
    return timedelta(days=int(match["days"] or 0), hours=hours, minutes=minutes, seconds=seconds + fraction)


def read_host_settings(app_root: Path, environment: Mapping[str, str]) -> HostSettings:
    """host.json under `app_root`, overridden by the environment.

    Raises:
        HostError: host.json is missing or not version 2.0, or a value is out of range.
    """
    settings = AppSettings(environment)
    values = _flat(_host_json(app_root / "host.json"))
    values.update(
        (name.removeprefix(OVERRIDE_PREFIX).replace("__", ":"), value)
        for name, value in settings.items()
        if name.startswith(OVERRIDE_PREFIX)
    )
    if values.get("version") != "2.0":
        raise HostError(f'{app_root / "host.json"}: "version" must be "2.0"')
    read = _Reader(values)
    return HostSettings(
        queues=_queue_options(read),
        route_prefix=values.get("extensions:http:routeprefix", "api").strip("/"),
        function_timeout=_function_timeout(read),
        thread_count=_thread_count(settings),
    )


def _host_json(file: Path) -> object:
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        raise HostError(f"{file} does not exist: --app-root must be the folder of host.json") from None
    except ValueError as problem:
        raise HostError(f"{file} is not JSON: {problem}") from problem


def _flat(value: object, path: str = "") -> dict[str, str]:
    """Configuration keys the .NET way: lower-cased here, parts joined with colons, values as text."""
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for name, inner in value.items():
            found.update(_flat(inner, f"{path}:{name.lower()}" if path else name.lower()))
        return found
    return {path: value if isinstance(value, str) else json.dumps(value)}


class _Reader:
    """Reads single values; a wrong one names its key."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, key: str, default: str) -> str:
        return self._values.get(key.lower(), default)

    def number(self, key: str, default: int, *, least: int, most: int | None = None) -> int:
        text = self.text(key, str(default))
        try:
            number = int(text)
        except ValueError:
            raise HostError(f"host.json {key}: {text!r} is not a whole number") from None
        if number < least or (most is not None and number > most):
            allowed = f"at least {least}" if most is None else f"{least} to {most}"
            raise HostError(f"host.json {key}: {number} is out of range, allowed is {allowed}")
        return number

    def time_span(self, key: str, default: timedelta) -> timedelta:
        text = self._values.get(key.lower())
        if text is None:
            return default
        try:
            return time_span(text)
        except ValueError as problem:
            raise HostError(f"host.json {key}: {problem}") from None


def _queue_options(read: _Reader) -> QueueOptions:
    section = "extensions:queues"
    defaults = QueueOptions()
    batch_size = read.number(f"{section}:batchSize", defaults.batch_size, least=1, most=LARGEST_BATCH)
    half_per_processor = batch_size // 2 * (os.cpu_count() or 1)
    longest = read.time_span(f"{section}:maxPollingInterval", defaults.max_polling_interval)
    if longest < SHORTEST_POLLING_INTERVAL:
        raise HostError(f"host.json {section}:maxPollingInterval: must not be less than 00:00:00.1")
    encoding = read.text(f"{section}:messageEncoding", "base64").lower()
    if encoding not in ("base64", "none"):
        raise HostError(f"host.json {section}:messageEncoding: {encoding!r} is neither base64 nor none")
    return QueueOptions(
        batch_size=batch_size,
        new_batch_threshold=read.number(f"{section}:newBatchThreshold", half_per_processor, least=0),
        max_dequeue_count=read.number(f"{section}:maxDequeueCount", defaults.max_dequeue_count, least=1),
        visibility_timeout=read.time_span(f"{section}:visibilityTimeout", defaults.visibility_timeout),
        max_polling_interval=longest,
        base64=encoding == "base64",
    )


def _function_timeout(read: _Reader) -> timedelta | None:
    if read.text("functionTimeout", "") == "-1":
        return None
    return read.time_span("functionTimeout", DEFAULT_FUNCTION_TIMEOUT)


def _thread_count(settings: AppSettings) -> int | None:
    """The worker falls back to Python's own default when the setting is missing or senseless."""
    text = settings.get("PYTHON_THREADPOOL_THREAD_COUNT", "")
    return int(text) if text.isdecimal() and int(text) >= 1 else None
