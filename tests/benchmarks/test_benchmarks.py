"""`make bench` works, on little: a figure's way from the measurement into the file and the table."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import driver, idle, intake, table
from benchmarks.__main__ import main, merged
from benchmarks.scale import QUICK
from benchmarks.site import Site

FEW = replace(QUICK, rounds=1, events=40, lanes=10)


@pytest.mark.cloud
def test_a_figure_gets_into_the_file_and_the_others_stay(
    cloud: Any, credential: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def sites(*, access_log: bool) -> AbstractContextManager[Site]:
        return nullcontext(Site(tmp_path, cloud, credential))

    file = tmp_path / "bench.json"
    file.write_text(json.dumps({"naive": {"runs": 5}}))
    assert main(["--quick", "--only", "imports", "--out", str(file)], sites) == 0
    found = json.loads(file.read_text())
    assert set(table.KEYS) <= set(found)
    assert found["import_s"] > 0
    assert found["naive"] == {"runs": 5}
    assert found["growth"] is None
    assert set(found["machine"]) == {"cpus", "python", "azurite", "date", "load", "quick", "took_s"}
    assert "cold import of the app" in capsys.readouterr().out


@pytest.mark.cloud
def test_intake_is_compared_with_bare_inserts(cloud: Any, credential: Any, tmp_path: Path) -> None:
    found = intake.measure(Site(tmp_path, cloud, credential), FEW)
    ratios = {name: found[name] for name in table.KEYS if name in found}
    assert set(ratios) == {name for name in table.KEYS if name.startswith("intake")}
    assert all(ratio > 0 for ratio in ratios.values())
    [one] = found["intake"]["rounds"]
    assert found["intake_vs_bare_insert"] == round(one["intake_16"] / one["bare_16"], 3)


def test_a_figure_over_its_budget_is_marked() -> None:
    found = {"import_s": 1.1, "intake_vs_bare_insert": 0.6, "storage_calls_lone_event": 20, "burst_10000": {"lost": 1}}
    marks = {line.split("  ")[0]: line.split()[-1] for line in table.lines(found)}
    assert marks["cold import of the app, s"] == "OVER"
    assert marks["intake, against bare inserts, 16 threads"] == "OVER"
    assert marks["storage calls of a lone event"] == "ok"
    assert [line.split()[-1] for line in table.lines(found) if line.startswith("  lost")] == ["OVER"]


def test_every_figure_with_a_budget_is_in_the_file() -> None:
    beside = {"idle", "start_queue", "relearn_same_driver"} | {
        "storage_calls_extra_event_group_commit",
        "storage_calls_idle_day_reckoned",
    }
    tops = {budget.figure.partition(".")[0] for budget in table.BUDGETS}
    assert tops - set(table.KEYS) == beside


def test_only_the_account_s_own_requests_are_read_off_the_access_log(tmp_path: Path) -> None:
    file = tmp_path / "azurite.log"
    poll = (
        '127.0.0.1 - - [26/Nov/2026:19:05:00 +0000] "GET /app000/wake-ups/messages?numofmessages=16 HTTP/1.1" 200 -\n'
    )
    query = '127.0.0.1 - - [26/Nov/2026:19:05:00 +0000] "GET /app000/due()?$filter=at%20le HTTP/1.1" 200 -\n'
    file.write_text(f"Azurite Table service is successfully listening\n{poll}")
    log = idle.AccessLog(file, "app000")
    before = log.size()
    with file.open("a") as more:
        more.write(poll + poll.replace("app000", "app0001") + query + poll.replace("app000", "lake000") + poll)
    found = log.since(before)
    assert found == {"calls": 3, "kinds": {"GET due": 1, "GET wake-ups/messages": 2}}


@pytest.mark.parametrize(("share", "value"), [(0.5, 2.0), (0.95, 4.0), (0.0, 1.0)])
def test_a_percentile_is_one_of_the_values(share: float, value: float) -> None:
    assert driver.percentile([4.0, 1.0, 3.0, 2.0], share) == value


def test_two_groups_tell_of_growth() -> None:
    both = merged({"growth": {"burst": [1]}, "import_s": 1}, {"growth": {"ledger": [2]}, "import_s": 2})
    assert both == {"growth": {"burst": [1], "ledger": [2]}, "import_s": 2}
