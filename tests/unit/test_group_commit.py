"""What threads want of one place at the same time is done once for all of them, and each is told the truth."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import group_commit
from shared.errors import StorageUnavailable
from shared.group_commit import GroupCommit, Verdict

PLACE = "lane"


def until(what: Callable[[], bool]) -> None:
    """Waits for what other threads do."""
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.0002)


class Table:
    """Keeps what is inserted. Every call is held at the gate until the test lets it go on, and says how it ends."""

    def __init__(self) -> None:
        self.rows: set[str] = set()
        self.refused: set[str] = set()
        self.calls: list[list[str]] = []
        self.leaders: list[int] = []
        self.ends: dict[int, BaseException | Callable[[], list[Verdict]]] = {}
        self.open = True
        self.entered = 0
        self.left = 0
        self.let_on = 0
        self._gate = threading.Condition()

    def alone(self, _place: str, item: str) -> bool:
        if item in self.refused:
            raise StorageUnavailable("400")
        return bool(self._call([item])[0])

    def together(self, _place: str, items: Sequence[str]) -> Sequence[Verdict]:
        return self._call(list(items))

    def _call(self, items: list[str]) -> list[Verdict]:
        with self._gate:
            number = len(self.calls)
            self.calls.append(items)
            self.leaders.append(threading.get_ident())
            self.entered += 1
            self._gate.notify_all()
            assert self._gate.wait_for(lambda: self.open or number < self.let_on, timeout=30)
            self.left += 1
            end = self.ends.get(number)
            if isinstance(end, BaseException):
                raise end
            if end is not None:
                return end()
            return self.insert(items)

    def insert(self, items: Sequence[str]) -> list[Verdict]:
        new: list[Verdict] = [item not in self.rows for item in items]
        self.rows |= set(items)
        return new

    def close(self) -> None:
        self.open = False

    def go_on(self, calls: int | None = None) -> None:
        """Lets the next calls go on; None: all."""
        with self._gate:
            if calls is None:
                self.open = True
            else:
                self.let_on += calls
            self._gate.notify_all()


class Crowd:
    """Threads that add, each one thing."""

    def __init__(self, table: Table, *, most: int = 100, most_bytes: int | None = None, patience: float = 10) -> None:
        self.table = table
        self.group: GroupCommit[str] = GroupCommit(
            alone=table.alone, together=table.together, most=most, most_bytes=most_bytes, patience=patience
        )
        self.threads: list[threading.Thread] = []
        self.told: list[Future[bool]] = []
        self.places: set[str] = set()

    def add(self, item: str, size: int = 1, place: str = PLACE) -> Future[bool]:
        """Begins to add, and returns when it waits for others, or is being served, or has been."""
        told: Future[bool] = Future()
        self.told.append(told)
        self.places.add(place)

        def run() -> None:
            try:
                told.set_result(self.group.add(place, item, item_id=item, size=size))
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                told.set_exception(error)

        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()
        self.come_to_rest()
        return told

    def come_to_rest(self) -> None:
        """Everybody has been told, or waits for others, or is held in a call."""

        def at_rest() -> bool:
            under_way = sum(not each.done() for each in self.told)
            held = 0 if self.table.open else self.table.entered - self.table.left
            return under_way == held + sum(self.group.waiting(place) for place in self.places)

        until(at_rest)

    def all_ended(self) -> bool:
        for thread in self.threads:
            thread.join(10)
        return not any(thread.is_alive() for thread in self.threads)


@pytest.fixture
def table() -> Table:
    return Table()


def behind(crowd: Crowd, items: Sequence[str], size: int = 1) -> tuple[Future[bool], list[Future[bool]]]:
    """One is held at the gate, and the others wait behind it."""
    crowd.table.close()
    first = crowd.add("first")
    others = [crowd.add(item, size) for item in items]
    assert crowd.group.waiting(PLACE) == len(items)
    return first, others


def test_one_after_the_other_goes_out_at_once_and_alone(table: Table) -> None:
    crowd = Crowd(table)
    assert [crowd.add(item).result(10) for item in ("a", "b", "a")] == [True, True, False]
    assert table.calls == [["a"], ["b"], ["a"]]


def test_those_who_come_while_one_is_under_way_go_together_next(table: Table) -> None:
    crowd = Crowd(table)
    table.rows = {"c"}
    first, others = behind(crowd, "abcd")
    table.go_on()
    assert [first.result(10)] + [each.result(10) for each in others] == [True, True, True, False, True]
    assert table.calls == [["first"], ["a", "b", "c", "d"]]


@pytest.mark.parametrize(
    ("waiting", "joining", "batches"),
    [
        pytest.param(4, [3, 2, 0], [1, 9], id="as long as more come"),
        pytest.param(4, [0, 2], [1, 4], id="nobody comes"),
        pytest.param(3, [3], [1, 3], id="too few to wait for more"),
        pytest.param(4, [60, 60], [1, 64], id="no more than go together"),
    ],
)
def test_the_leader_of_many_lets_those_join_who_come_at_once(
    table: Table, waiting: int, joining: list[int], batches: list[int]
) -> None:
    pauses = iter(joining)
    numbers = itertools.count()
    threads: list[threading.Thread] = []

    def come() -> None:
        threads.append(threading.Thread(target=group.add, args=(PLACE, f"{next(numbers)}"), daemon=True))
        threads[-1].start()

    def pause(_seconds: float) -> None:
        there = group.waiting(PLACE)
        more = next(pauses)
        for _ in range(more):
            come()
        until(lambda: group.waiting(PLACE) == there + more)

    group: GroupCommit[str] = GroupCommit(alone=table.alone, together=table.together, most=64, gather=30, pause=pause)
    table.close()
    come()
    until(lambda: table.entered == 1)
    for _ in range(waiting):
        come()
    until(lambda: group.waiting(PLACE) == waiting)
    table.go_on()
    for thread in threads:
        thread.join(10)
    assert [len(batch) for batch in table.calls] == batches


def test_a_leader_waits_no_longer_than_it_was_told_to(table: Table) -> None:
    group: GroupCommit[str] = GroupCommit(
        alone=table.alone, together=table.together, most=64, gather=0, pause=lambda _: pytest.fail("it paused")
    )
    table.close()
    threads = [threading.Thread(target=group.add, args=(PLACE, f"{n}"), daemon=True) for n in range(9)]
    for thread in threads:
        thread.start()
    until(lambda: group.waiting(PLACE) == 8)
    table.go_on()
    for thread in threads:
        thread.join(10)
    assert [len(batch) for batch in table.calls] == [1, 8]


def test_a_place_does_not_wait_for_another(table: Table) -> None:
    crowd = Crowd(table)
    behind(crowd, "a")
    elsewhere = crowd.add("b", place="other lane")
    assert table.calls == [["first"], ["b"]]
    table.go_on()
    assert elsewhere.result(10)
    assert crowd.all_ended()


def test_no_more_go_together_than_a_transaction_holds_and_each_batch_has_a_leader_of_its_own(table: Table) -> None:
    crowd = Crowd(table, most=10)
    first, others = behind(crowd, [f"{n:02}" for n in range(25)])
    table.go_on()
    assert first.result(10)
    assert all(each.result(10) for each in others)
    assert [len(batch) for batch in table.calls] == [1, 10, 10, 5]
    assert len(set(table.leaders)) == 4
    assert crowd.all_ended()


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        pytest.param([40, 40, 40, 40, 40], [1, 2, 2, 1], id="as many as fit"),
        pytest.param([20, 80, 1], [1, 2, 1], id="exactly full"),
        pytest.param([10, 500, 10, 10], [1, 1, 1, 2], id="one that is too big goes alone"),
    ],
)
def test_no_more_bytes_go_together_than_a_transaction_holds(table: Table, sizes: list[int], batches: list[int]) -> None:
    crowd = Crowd(table, most_bytes=100)
    table.close()
    crowd.add("first")
    others = [crowd.add(str(n), size) for n, size in enumerate(sizes)]
    table.go_on()
    assert all(each.result(10) for each in others)
    assert [len(batch) for batch in table.calls] == batches


def test_the_same_twice_is_served_once_and_known_to_the_second(table: Table) -> None:
    crowd = Crowd(table)
    first, (a, b) = behind(crowd, ["a", "b"])
    again = [crowd.add("a"), crowd.add("first")]  # one waits, one is under way
    table.go_on()
    assert (first.result(10), a.result(10), b.result(10)) == (True, True, True)
    assert [each.result(10) for each in again] == [False, False]
    assert table.calls == [["first"], ["a", "b"]]


FAILURES = [StorageUnavailable("503"), ZeroDivisionError("a defect"), KeyboardInterrupt("the leader ended")]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda each: type(each).__name__)
def test_whatever_goes_wrong_with_a_batch_everybody_in_it_is_told(table: Table, failure: BaseException) -> None:
    crowd = Crowd(table)
    first, others = behind(crowd, "abc")
    others.append(crowd.add("a"))
    table.ends[1] = failure
    table.go_on()
    assert first.result(10)
    assert others[0].exception(10) is failure, "who led raises what happened"
    for each in others[1:]:
        error = each.exception(10)
        assert isinstance(error, StorageUnavailable)
        assert str(failure) in str(error)
    assert crowd.add("a").result(10), "the next one goes out as if nothing had been"


@pytest.mark.parametrize("failure", FAILURES, ids=lambda each: type(each).__name__)
def test_what_goes_wrong_with_one_alone_is_told_to_his_twins_and_not_to_those_behind(
    table: Table, failure: BaseException
) -> None:
    crowd = Crowd(table)
    table.ends[0] = failure
    first, others = behind(crowd, "ab")
    twin = crowd.add("first")
    table.go_on()
    assert first.exception(10) is failure
    assert isinstance(twin.exception(10), StorageUnavailable)
    assert [each.result(10) for each in others] == [True, True]


def test_who_cannot_be_told_apart_tries_alone_and_only_the_bad_one_fails(table: Table) -> None:
    crowd = Crowd(table)
    first, others = behind(crowd, ["a", "bad", "c"])
    table.ends[1] = lambda: [None] * 3
    twin = crowd.add("c")
    table.refused = {"bad"}
    table.go_on()
    assert first.result(10)
    assert others[0].result(10)
    assert str(others[1].exception(10)) == "400"
    assert sorted([others[2].result(10), twin.result(10)]) == [False, True]
    assert table.rows == {"first", "a", "c"}


def test_a_wrong_number_of_verdicts_is_nobodys_success(table: Table) -> None:
    crowd = Crowd(table)
    first, others = behind(crowd, "abc")
    table.ends[1] = lambda: [True, True]
    table.go_on()
    assert first.result(10)
    assert isinstance(others[0].exception(10), ValueError)
    assert all(isinstance(each.exception(10), StorageUnavailable) for each in others[1:])


def test_nobody_waits_for_ever(table: Table) -> None:
    crowd = Crowd(table, patience=0)
    table.close()
    first = crowd.add("first")
    impatient = crowd.add("a")
    assert isinstance(impatient.exception(10), StorageUnavailable)
    assert crowd.group.waiting(PLACE) == 0
    table.go_on()
    assert first.result(10)
    assert table.calls == [["first"]], "who has left is not served: it would be done behind his back"
    assert crowd.add("a").result(10)


# --- any interleaving -------------------------------------------------------------------------------------------------

_ADDS = st.sampled_from("abcdef").map(lambda item: ("add", item))
_ENDS = st.sampled_from(["well", "well", "well", "not done", "done and lost", "undecided"]).map(
    lambda end: ("end", end)
)


class Play:
    """Adds come, and calls end in one way or another, in the order that the test says."""

    def __init__(self, there: set[str]) -> None:
        self.there = frozenset(there)
        self.table = Table()
        self.table.rows = set(there)
        self.table.close()
        self.crowd = Crowd(self.table, most=3)
        self.told: list[tuple[str, Future[bool]]] = []
        self.inserted: Counter[str] = Counter()
        self.failed: set[str] = set()

    def add(self, item: str) -> None:
        self.told.append((item, self.crowd.add(item)))

    def end(self, how: str) -> None:
        """Ends the oldest call under way, if there is one."""
        if self.table.entered > self.table.let_on:
            self._plan(self.table.let_on, how)
            ended = self.table.left + 1
            self.table.go_on(1)
            until(lambda: self.table.left == ended)
            self.crowd.come_to_rest()

    def end_all(self) -> None:
        for number in range(self.table.let_on, self.table.let_on + 100):
            self._plan(number, "well")
        self.table.go_on()
        assert self.crowd.all_ended(), "somebody waits for ever"

    def _plan(self, number: int, how: str) -> None:
        self.table.ends[number] = lambda: self._ending(self.table.calls[number], how)

    def _ending(self, items: list[str], how: str) -> list[Verdict]:
        if how == "undecided" and len(items) > 1:
            return [None] * len(items)
        if how == "not done":
            self.failed.update(items)
            raise StorageUnavailable("503")
        self.inserted.update(set(items) - self.table.rows)
        verdicts = self.table.insert(items)
        if how == "done and lost":
            self.failed.update(items)
            raise StorageUnavailable("the answer was lost")
        return verdicts

    def each_was_told_the_truth(self) -> None:
        new: Counter[str] = Counter()
        for item, future in self.told:
            if future.exception() is not None:
                assert item in self.failed, "who was in no call that failed is told of no failure"
                continue
            assert item in self.table.rows, "it is there when somebody is told so"
            new[item] += future.result()
        for item in {item for item, _ in self.told}:
            assert new[item] <= self.inserted[item] <= (item not in self.there), (
                "new to one, and only if it was not there"
            )
            assert item in self.failed or new[item] == self.inserted[item]


@given(there=st.sets(st.sampled_from("abcdef")), steps=st.lists(st.one_of(_ADDS, _ADDS, _ENDS), max_size=25))
@settings(max_examples=150)
def test_each_is_told_the_truth_in_any_order_of_events(there: set[str], steps: list[tuple[str, str]]) -> None:
    play = Play(there)
    for what, value in steps:
        if what == "add":
            play.add(value)
        else:
            play.end(value)
    play.end_all()
    play.each_was_told_the_truth()


def test_a_twin_of_one_that_was_left_open_tries_by_itself(table: Table) -> None:
    """It must not be told that the other is known: nobody has said that it is there."""
    crowd = Crowd(table)
    _, (one, twin, other) = behind(crowd, ["a", "a", "b"])
    table.ends[1] = lambda: [None, True]
    table.refused = {"a"}
    table.go_on()
    assert other.result(10)
    for each in (one, twin):
        with pytest.raises(StorageUnavailable, match="400"):
            each.result(10)


def test_whoever_gives_up_as_his_turn_comes_hands_it_on(table: Table) -> None:
    crowd = Crowd(table)
    table.close()
    first = crowd.add("first")
    late = group_commit._Member(id="late", item="late", size=1)
    assert not crowd.group._begins(PLACE, late)  # it waits behind the first, without a thread that could lead
    with ThreadPoolExecutor(1) as pool:
        behind_it = pool.submit(crowd.group.add, PLACE, "next")
        until(lambda: crowd.group.waiting(PLACE) == 2)
        table.go_on()
        assert first.result(10)
        until(lambda: isinstance(late.told, group_commit._Lead))
        crowd.group._leave(PLACE, late, StorageUnavailable("too long"))
        assert behind_it.result(10)
    assert table.calls == [["first"], ["next"]]
