"""The host's rules that need no process: time spans, host.json and its overrides, schedules, back-off, missed runs."""

from __future__ import annotations

import itertools
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from local.host import schedules
from local.host.connections import queue_service
from local.host.queues import Backoff
from local.host.settings import AppSettings, HostError, read_host_settings, time_span
from local.host.timers import Status, first_status

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)  # a Sunday


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:00:30", 30),
        ("00:05", 300),
        ("1.02:03:04", 93784),
        ("00:00:00.1", 0.1),
        ("23:59:59.9999999", 86399.9999999),
        ("2", 172800),
    ],
)
def test_time_spans(text, seconds):
    assert time_span(text).total_seconds() == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize("text", ["", "30s", "24:00:00", "00:60:00", "1:2:3:4", "-00:00:01"])
def test_what_is_no_time_span_is_refused(text):
    with pytest.raises(ValueError, match=r"time span|too large"):
        time_span(text)


def test_the_projects_host_json_is_what_the_design_says():
    settings = read_host_settings(ROOT, {})
    assert settings.queues.visibility_timeout == timedelta(seconds=30)
    assert settings.queues.max_dequeue_count == 5
    assert settings.queues.max_polling_interval == timedelta(seconds=30)
    assert (settings.queues.batch_size, settings.queues.new_batch_threshold, settings.queues.base64) == (16, 8, True)
    assert settings.function_timeout == timedelta(minutes=5)
    assert settings.route_prefix == "api"
    bundle = json.loads((ROOT / "host.json").read_text())["extensionBundle"]
    assert bundle["version"] == "[4.0.0, 5.0.0)"


def test_settings_override_host_json_whatever_their_case():
    settings = read_host_settings(
        ROOT,
        {
            "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:02",
            "AZUREFUNCTIONSJOBHOST__EXTENSIONS__QUEUES__VISIBILITYTIMEOUT": "00:00:00",
            "AzureFunctionsJobHost__functionTimeout": "-1",
            "AzureFunctionsJobHost__extensions__http__routePrefix": "",
            "PYTHON_THREADPOOL_THREAD_COUNT": "7",
        },
    )
    assert settings.queues.max_polling_interval == timedelta(seconds=2)
    assert settings.queues.visibility_timeout == timedelta()
    assert settings.queues.max_dequeue_count == 5
    assert settings.function_timeout is None
    assert settings.route_prefix == ""
    assert settings.thread_count == 7


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("extensions__queues__batchSize", "33", "1 to 32"),
        ("extensions__queues__batchSize", "many", "whole number"),
        ("extensions__queues__maxDequeueCount", "0", "at least 1"),
        ("extensions__queues__maxPollingInterval", "00:00:00.05", "less than"),
        ("extensions__queues__messageEncoding", "utf8", "neither base64 nor none"),
        ("functionTimeout", "5 minutes", "time span"),
        ("version", "1.0", "version"),
    ],
)
def test_a_wrong_value_names_its_key(key, value, complaint):
    with pytest.raises(HostError, match=complaint) as refused:
        read_host_settings(ROOT, {f"AzureFunctionsJobHost__{key}": value})
    assert key.rsplit("__", 1)[-1] in str(refused.value)


def test_a_folder_without_host_json_is_no_app(tmp_path):
    with pytest.raises(HostError, match=r"host\.json does not exist"):
        read_host_settings(tmp_path, {})


def test_settings_in_percent_signs_are_filled_in():
    settings = AppSettings({"QUEUE": "orders"})
    assert settings.resolve("%queue%-%QUEUE%") == "orders-orders"
    with pytest.raises(HostError, match="'%MISSING%' does not resolve"):
        settings.resolve("%MISSING%")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 */5 * * * *", ["12:05:00", "12:10:00"]),
        ("*/5 * * * *", ["12:05:00", "12:10:00"]),
        ("*/20 * * * * *", ["12:00:40", "12:01:00"]),
        ("15,45 0 12 * * *", ["12:00:45", "23 12:00:15"]),
        ("0 30 9-11 * * MON-FRI", ["23 09:30:00", "23 10:30:00"]),
        ("0 0 9 * * Tuesday", ["24 09:00:00"]),
        ("00:00:45", ["12:01:15", "12:02:00"]),
    ],
)
def test_schedules(expression, expected):
    schedule = schedules.parse(expression)
    moment, found = NOW, []
    for _ in expected:
        moment = schedule.next(moment)
        found.append(moment.strftime("%H:%M:%S" if moment.day == 22 else "%d %H:%M:%S"))
    assert found == expected


def test_day_of_month_and_day_of_week_must_both_match():
    """NCRONTAB differs from cron here, where either would do."""
    assert schedules.parse("0 0 0 13 * FRI").next(NOW) == datetime(2027, 8, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    "expression",
    ["", "every minute", "* * * *", "0 0 0 L * *", "0 0 0 * * 7", "0 0 0 * * 5#2", "60 * * * * *", "0 0 0 30 2 *"],
)
def test_what_is_no_schedule_is_refused(expression):
    with pytest.raises(HostError):
        schedules.parse(expression).next(NOW)


def test_a_schedule_follows_the_clocks_of_its_time_zone():
    berlin = ZoneInfo("Europe/Berlin")
    schedule = schedules.parse("0 0 6 * * *")
    before, after = datetime(2026, 10, 24, 12, tzinfo=berlin), datetime(2026, 10, 25, 12, tzinfo=berlin)
    assert schedule.next(before).astimezone(UTC) == datetime(2026, 10, 25, 5, tzinfo=UTC)
    assert schedule.next(after).astimezone(UTC) == datetime(2026, 10, 26, 5, tzinfo=UTC)
    assert schedule.next(before - timedelta(days=1)).astimezone(UTC) == datetime(2026, 10, 24, 4, tzinfo=UTC)


def test_only_schedules_of_more_than_once_a_minute_go_unmonitored():
    assert schedules.comes_often(schedules.parse("*/20 * * * * *"), NOW)
    assert schedules.comes_often(schedules.parse("00:00:10"), NOW)
    assert not schedules.comes_often(schedules.parse("0 * * * * *"), NOW)
    assert not schedules.comes_often(schedules.parse("00:01:00"), NOW)


class TestFirstStatus:
    schedule = schedules.parse("0 0 * * * *")

    def test_a_new_timer_waits_for_its_first_time(self):
        assert first_status(None, self.schedule, NOW) == Status(
            last=None, next=NOW.replace(hour=13, second=0), updated=NOW
        )

    def test_a_missed_time_stays_due(self):
        missed = Status(last=NOW.replace(hour=9), next=NOW.replace(hour=10, second=0), updated=NOW.replace(hour=9))
        assert first_status(missed, self.schedule, NOW) == missed

    def test_a_changed_schedule_is_not_past_due(self):
        other = Status(last=NOW.replace(hour=9), next=NOW.replace(hour=9, minute=5), updated=NOW.replace(hour=9))
        assert first_status(other, self.schedule, NOW).next == NOW.replace(hour=13, second=0)


def test_back_off_doubles_from_100_ms_to_the_maximum_and_starts_over_after_a_message():
    backoff = Backoff(timedelta(seconds=30), random.Random(1))
    waits = [backoff.next(found_messages=False) for _ in range(15)]
    assert waits[0] == timedelta(milliseconds=100)
    assert all(earlier <= later for earlier, later in itertools.pairwise(waits))
    assert timedelta(milliseconds=180) <= waits[1] <= timedelta(milliseconds=220)
    assert timedelta(milliseconds=740) <= waits[4] <= timedelta(milliseconds=1060)
    assert waits[-1] == timedelta(seconds=30)
    assert backoff.next(found_messages=True) == timedelta(milliseconds=100)
    assert backoff.next(found_messages=False) > timedelta(milliseconds=100)


class TestConnections:
    key = "AccountName=one;AccountKey=a2V5;QueueEndpoint=https://127.0.0.1:1/"

    @pytest.mark.parametrize(
        ("settings", "address"),
        [
            ({"Orders": f"{key}plain"}, "https://127.0.0.1:1/plain/"),
            ({"AzureWebJobsOrders": f"{key}prefixed", "Orders": f"{key}plain"}, "https://127.0.0.1:1/prefixed/"),
            ({"Orders__queueServiceUri": "https://127.0.0.1:1/uri"}, "https://127.0.0.1:1/uri/"),
            ({"Orders__serviceUri": "https://127.0.0.1:1/alias"}, "https://127.0.0.1:1/alias/"),
            ({"Orders__accountName": "two"}, "https://two.queue.core.windows.net/"),
            (
                {"orders": f"{key}plain", "Orders__queueServiceUri": "https://127.0.0.1:1/uri"},
                "https://127.0.0.1:1/plain/",
            ),
            ({"Orders": "UseDevelopmentStorage=true"}, "http://127.0.0.1:10001/devstoreaccount1/"),
        ],
    )
    def test_names_resolve_the_functions_way(self, settings, address):
        with queue_service(AppSettings(settings), "Orders") as service:
            assert service.url.rstrip("/") == address.rstrip("/")

    def test_no_name_means_the_hosts_own_storage(self):
        with queue_service(AppSettings({"AzureWebJobsStorage__accountName": "three"}), "") as service:
            assert service.url.rstrip("/") == "https://three.queue.core.windows.net"

    @pytest.mark.parametrize("settings", [{}, {"Orders": ""}, {"Orders": "not a connection string"}])
    def test_what_does_not_resolve_says_which_setting_to_make(self, settings):
        with pytest.raises(HostError, match=r"Orders__queueServiceUri|connection string is not usable"):
            queue_service(AppSettings(settings), "Orders")
