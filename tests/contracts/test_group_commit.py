"""Events that come to a lane at the same time: the same cases on the fake and on real tables, then storage's faults."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from local.faults import AcceptThen, Action, Drop, Status, Truncate
from shared.cloud import storage
from shared.cloud.lane_table import LaneTable
from shared.errors import StorageUnavailable
from shared.lanes import PendingEvent, lane_id
from shared.settings import from_environment
from tests.contracts.test_ledger import LANE, event
from tests.fakes import T0, FakeLanes

FIRST = 9999


@dataclass
class HeldTable:
    """The real table, whose next insert waits at the gate until the test lets it go on."""

    table: Any
    gate: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)

    def create_entity(self, row: Any) -> Any:
        self.begun.set()
        assert self.gate.wait(30)
        return self.table.create_entity(row)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.table, name)


@dataclass
class Bench:
    """`together` adds events while another insert is under way, so that they go out together where that is done."""

    lanes: Any
    held: HeldTable | None = None
    account: str = ""
    cloud: Any = None

    def together(self, events: Sequence[PendingEvent]) -> list[Future[bool]]:
        with ThreadPoolExecutor(len(events) + 1) as pool:
            first = self._held_up(pool)
            told = []
            for each in events:
                told.append(pool.submit(self.lanes.add_event, LANE, each))
                self._until_waiting(told)
            if self.held is not None:
                self.held.gate.set()
            assert first.result(60) in (True, False)
        return told

    def _held_up(self, pool: ThreadPoolExecutor) -> Future[bool]:
        if self.held is not None:
            self.held.gate.clear()
            self.held.begun.clear()
        first = pool.submit(self.lanes.add_event, LANE, event(FIRST))
        assert self.held is None or self.held.begun.wait(30)
        return first

    def _until_waiting(self, told: Sequence[Future[bool]]) -> None:
        deadline = time.monotonic() + 30
        while self.held is not None and self.lanes.adding(LANE) < len(told):
            assert time.monotonic() < deadline
            threading.Event().wait(0.0005)

    def pending(self) -> set[str]:
        return {each.id for each in self.lanes.read(LANE).pending} - {event(FIRST).id}

    def calls(self, kind: str = "table") -> int:
        found = self.cloud.storage.calls.snapshot().items()
        return sum(count for call, count in found if call.account == self.account and call.kind.startswith(kind))


@pytest.fixture
def azurite(request: pytest.FixtureRequest) -> Iterator[Bench]:
    cloud, account = request.getfixturevalue("cloud"), request.getfixturevalue("app_account")
    settings = from_environment(cloud.app_settings(account.name))
    with storage.tables(settings.storage, request.getfixturevalue("credential")) as tables:
        held = HeldTable(tables.get_table_client("lanes"))
        held.gate.set()
        yield Bench(LaneTable(held), held, account.name, cloud)  # type: ignore[arg-type]  # stands before the client


@pytest.fixture(params=["fake", pytest.param("azurite", marks=pytest.mark.cloud)])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "fake":
        return Bench(FakeLanes())
    found: Bench = request.getfixturevalue("azurite")
    return found


def results(told: Sequence[Future[bool]]) -> list[bool]:
    return [each.result(0) for each in told]


@pytest.mark.parametrize(
    "known",
    [
        pytest.param((), id="none"),
        pytest.param((0,), id="the first"),
        pytest.param((5,), id="one in the middle"),
        pytest.param((19,), id="the last"),
        pytest.param((0, 3, 4, 11, 19), id="several"),
        pytest.param(tuple(range(19)), id="all but one"),
        pytest.param(tuple(range(20)), id="all"),
    ],
)
def test_a_duplicate_is_known_and_its_neighbours_are_inserted(bench: Bench, known: tuple[int, ...]) -> None:
    events = [event(n) for n in range(20)]
    for n in known:
        assert bench.lanes.add_event(LANE, events[n]) is True
    later = [replace(each, accepted=T0 + timedelta(hours=1)) for each in events]
    assert results(bench.together(later)) == [n not in known for n in range(20)]
    found = {each.id: each for each in bench.lanes.read(LANE).pending}
    for n, each in enumerate(events):
        assert found[each.id] == (each if n in known else later[n]), "what was there is as it was"


def test_the_same_event_twice_in_a_group_is_new_once(bench: Bench) -> None:
    told = results(bench.together([event(1), event(2), event(1), event(3), event(2), event(1)]))
    assert told == [True, True, False, True, False, False]
    assert bench.pending() == {event(n).id for n in (1, 2, 3)}


def test_the_same_event_as_the_one_under_way_is_known(bench: Bench) -> None:
    assert results(bench.together([event(FIRST), event(1)])) == [False, True]
    assert bench.pending() == {event(1).id}


def test_more_events_than_a_transaction_holds_are_all_inserted(bench: Bench) -> None:
    events = [event(n) for n in range(230)]
    assert results(bench.together(events)) == [True] * 230
    assert bench.pending() == {each.id for each in events}


def test_more_bytes_than_a_transaction_holds_are_all_inserted(bench: Bench) -> None:
    events = [event(n, "x" * 20_000) for n in range(90)]
    assert results(bench.together(events)) == [True] * 90
    assert bench.pending() == {each.id for each in events}


# --- what only storage does -------------------------------------------------------------------------------------------


@pytest.mark.cloud
def test_events_at_the_same_time_cost_a_fraction_of_a_call_each(azurite: Bench) -> None:
    before = azurite.calls()
    azurite.together([event(n) for n in range(50)])
    assert azurite.calls() - before <= 1 + 0.2 * 50
    azurite.together([event(n) for n in range(25, 75)])
    assert azurite.calls() - before <= 2 + 0.2 * 100, "also where half of them are known"


@pytest.mark.cloud
def test_letters_beyond_ascii_count_as_what_they_take_on_the_way(azurite: Bench) -> None:
    before = azurite.calls("table batch")
    events = [event(n, "ä" * 3000) for n in range(90)]
    assert results(azurite.together(events)) == [True] * 90
    assert azurite.calls("table batch") - before >= 2, "of each three times 18,000 bytes"
    assert azurite.calls("table") - before < 20, "none was refused and sent again by itself"


@pytest.mark.cloud
def test_an_event_that_storage_refuses_fails_alone(azurite: Bench) -> None:
    told = azurite.together([event(1), event(2, "x" * 40_000), event(3)])
    assert isinstance(told[1].exception(0), StorageUnavailable)
    assert (told[0].result(0), told[2].result(0)) == (True, True)
    assert azurite.pending() == {event(1).id, event(3).id}


@pytest.mark.cloud
def test_no_thread_makes_a_connection_of_its_own_for_each_call(
    azurite: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    threads = 40
    gate = threading.Barrier(threads)

    def add(n: int) -> None:
        gate.wait(30)
        azurite.lanes.add_event(lane_id("score", f"b{n}"), event(n))

    with caplog.at_level("WARNING", logger="urllib3"), ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(add, n) for n in range(threads)]:
            done.result(60)
    assert "pool is full" not in caplog.text


def faulted(azurite: Bench, action: Action, path: str, times: int | None = None) -> Callable[[], None]:
    faults = azurite.cloud.storage.faults
    faults.add(method="POST", path=f"/table/{azurite.account}/{path}", action=action, times=times)
    return faults.clear  # type: ignore[no-any-return]


@pytest.mark.cloud
@pytest.mark.parametrize("action", [Status(503), Status(403), Drop(), Truncate()], ids=str)
def test_a_transaction_that_fails_is_nobodys_success(azurite: Bench, action: Action) -> None:
    events = [event(n) for n in range(10)]
    mend = faulted(azurite, action, "$batch")
    told = azurite.together([*events, events[4]])
    mend()
    for each in told:
        assert isinstance(each.exception(0), StorageUnavailable)
    assert azurite.pending() == set()
    assert results(azurite.together(events)) == [True] * 10


@pytest.mark.cloud
@pytest.mark.parametrize("action", [Status(503), Drop(), Truncate()], ids=str)
def test_a_transaction_whose_answer_is_lost_is_known_when_its_events_come_again(azurite: Bench, action: Action) -> None:
    events = [event(n) for n in range(10)]
    mend = faulted(azurite, AcceptThen(action), "$batch", times=1)
    told = azurite.together(events)
    mend()
    for each in told:  # the client itself tries again after some faults, and finds them there
        assert isinstance(each.exception(0), StorageUnavailable) or each.result(0) is False
    assert azurite.pending() == {each.id for each in events}
    assert results(azurite.together(events)) == [False] * 10


@pytest.mark.cloud
@pytest.mark.parametrize("action", [Status(400), Status(409), Status(413)], ids=str)
def test_a_transaction_that_is_refused_goes_out_one_by_one(azurite: Bench, action: Action) -> None:
    events = [event(n) for n in range(10)]
    assert azurite.lanes.add_event(LANE, events[3])
    mend = faulted(azurite, action, "$batch")
    told = azurite.together(events)
    mend()
    assert results(told) == [n != 3 for n in range(10)]
    assert azurite.pending() == {each.id for each in events}


@pytest.mark.cloud
def test_a_conflict_that_does_not_name_the_row_is_no_duplicate(azurite: Bench) -> None:
    being_deleted = {"odata.error": {"code": "TableBeingDeleted", "message": {"lang": "en-US", "value": "Wait."}}}
    mend = faulted(azurite, Status(409, body=being_deleted), "lanes*")
    with pytest.raises(StorageUnavailable):
        azurite.lanes.add_event(LANE, event(1))
    mend()
    assert azurite.pending() == set()
    assert azurite.lanes.add_event(LANE, event(1)) is True
