"""Wake-ups and due rows, and looks made while a delivery waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest

from shared.errors import StorageUnavailable
from shared.looks import INLINE_AT_ONCE, InlineLooks, Scheduler, Turns, is_key
from tests.fakes import T0, FakeClock, FakeDueTable, FakeWakeUps

SECOND = timedelta(seconds=1)


class Desk:
    def __init__(self) -> None:
        self.due, self.wake_ups, self.clock = FakeDueTable(), FakeWakeUps(), FakeClock()
        self.scheduler = Scheduler(self.due, self.wake_ups, self.clock)
        self.calls: list[str] = []
        self._visible: list[datetime] = []

    def last_visible(self) -> datetime:
        """When the last of the wake-ups can be taken. Asked after each call that may send one, at its time."""
        new = self.wake_ups.sent[len(self._visible) :]
        self._visible += [self.clock.now() + seconds * SECOND for _, seconds in new]
        return max(self._visible)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_in_a_burst_one_wake_up_serves_all(desk: Desk) -> None:
    for _ in range(5):
        desk.scheduler.wake_at("lane:a", desk.clock.now() + 30 * SECOND)
        desk.clock.advance(SECOND)
    assert desk.wake_ups.sent == [("lane:a", 30.0)]


@pytest.mark.parametrize(("later", "sent"), [(28, 1), (29, 2), (30, 2), (31, 2)])
def test_a_wake_up_counts_only_while_it_is_more_than_a_second_away(desk: Desk, later: int, sent: int) -> None:
    desk.scheduler.wake_at("lane:a", T0 + 30 * SECOND)
    desk.clock.advance(later * SECOND)
    desk.scheduler.wake_at("lane:a", desk.clock.now() + 30 * SECOND)
    assert len(desk.wake_ups.sent) == sent
    assert desk.due.rows["lane:a"].at == T0 + 30 * SECOND  # it is never moved to a later time


def test_a_wake_up_that_comes_later_than_asked_does_not_count(desk: Desk) -> None:
    desk.scheduler.wake_at("lane:a", T0 + 60 * SECOND)
    desk.scheduler.wake_at("lane:a", T0 + 10 * SECOND)
    assert desk.wake_ups.sent == [("lane:a", 60.0), ("lane:a", 10.0)]
    assert desk.due.rows["lane:a"].at == T0 + 10 * SECOND


def test_another_process_does_not_rely_on_a_wake_up_it_has_not_sent(desk: Desk) -> None:
    desk.scheduler.wake_at("lane:a", T0 + 30 * SECOND)
    Scheduler(desk.due, desk.wake_ups, desk.clock).wake_at("lane:a", T0 + 30 * SECOND)
    assert len(desk.wake_ups.sent) == 2


@contextmanager
def while_the_first_is_at_it(
    desk: Desk, at: list[timedelta], *, first: timedelta = 30 * SECOND, fails: bool = False
) -> Iterator[list[Future[None]]]:
    """So many ask for a look at those times while somebody is about to write the first due row, or fails to."""
    begun, go_on = threading.Event(), threading.Event()

    def held(number: int, what: str) -> None:
        desk.calls.append(what)
        if number == 1:
            begun.set()
            assert go_on.wait(10)
            if fails:
                raise StorageUnavailable("503")

    desk.due.storage.before_call = held
    with ThreadPoolExecutor(len(at) + 1) as pool:
        asked = [pool.submit(desk.scheduler.wake_at, "lane:a", T0 + first)]
        assert begun.wait(10)
        asked += [pool.submit(desk.scheduler.wake_at, "lane:a", T0 + each) for each in at]
        deadline = time.monotonic() + 10
        while desk.scheduler.waiting("lane:a") < len(at):
            assert time.monotonic() < deadline
            threading.Event().wait(0.0002)
        go_on.set()
        yield asked


def test_deliveries_at_the_same_time_send_one_wake_up(desk: Desk) -> None:
    with while_the_first_is_at_it(desk, [30 * SECOND] * 20) as asked:
        for each in asked:
            each.result(10)
    assert desk.wake_ups.sent == [("lane:a", 30.0)]
    assert desk.calls.count("move due") == 1, "nobody but the first had to write the row"


def test_of_deliveries_at_the_same_time_the_earliest_look_counts(desk: Desk) -> None:
    with while_the_first_is_at_it(desk, [40 * SECOND, 10 * SECOND, 20 * SECOND]) as asked:
        for each in asked:
            each.result(10)
    assert desk.wake_ups.sent == [("lane:a", 30.0), ("lane:a", 10.0)]
    assert desk.due.rows["lane:a"].at == T0 + 10 * SECOND


def test_who_comes_while_a_row_is_written_is_served_by_a_later_write(desk: Desk) -> None:
    """No wake-up comes after so long a wait, so only a row written after the insert makes sure of the look."""
    hour = timedelta(hours=1)
    with while_the_first_is_at_it(desk, [hour] * 3, first=hour) as asked:
        for each in asked:
            each.result(10)
    assert desk.wake_ups.sent == []
    assert desk.calls.count("move due") == 2, "by the first, and once more for all the others"


def test_one_that_fails_to_send_fails_nobody_who_waits_behind_it(desk: Desk) -> None:
    with while_the_first_is_at_it(desk, [30 * SECOND] * 5, fails=True) as asked:
        with pytest.raises(StorageUnavailable):
            asked[0].result(10)
        for each in asked[1:]:
            each.result(10)
    assert desk.wake_ups.sent == [("lane:a", 30.0)]
    assert desk.due.rows["lane:a"].at == T0 + 30 * SECOND


@pytest.mark.parametrize(("minutes", "messages"), [(0, 1), (1, 1), (5, 1), (6, 0), (600, 0)])
def test_a_wait_longer_than_a_sweep_sends_no_message(desk: Desk, minutes: int, messages: int) -> None:
    desk.scheduler.reschedule(None, "lane:a", T0 + timedelta(minutes=minutes))
    assert desk.due.rows["lane:a"].at == T0 + timedelta(minutes=minutes)
    assert len(desk.wake_ups.sent) == messages
    if messages:
        assert desk.wake_ups.sent == [("lane:a", minutes * 60.0)]


def test_a_look_whose_row_was_changed_leaves_it(desk: Desk) -> None:
    read = desk.due.set("lane:a", T0)
    desk.due.set("lane:a", T0)  # an event came while the look was going on
    desk.scheduler.reschedule(read, "lane:a", None)
    assert "lane:a" in desk.due.rows
    desk.scheduler.reschedule(read, "lane:a", T0 + 15 * SECOND)
    assert desk.due.rows["lane:a"].at == T0
    assert desk.wake_ups.sent == [("lane:a", 2.0)]


def test_a_look_whose_row_was_moved_further_back_brings_it_forward(desk: Desk) -> None:
    read = desk.due.set("lane:a", T0)
    desk.due.set("lane:a", T0 + timedelta(hours=2))
    desk.scheduler.reschedule(read, "lane:a", T0 + 15 * SECOND)
    assert desk.due.rows["lane:a"].at == T0 + 15 * SECOND
    assert desk.wake_ups.sent == [("lane:a", 15.0)]


def test_two_looks_at_once_send_one_wake_up_for_the_next(desk: Desk) -> None:
    """Otherwise every pair of wake-ups that meet would breed, sweep after sweep."""
    read = desk.due.set("factory:adf", T0)
    for _ in range(2):
        desk.scheduler.reschedule(read, "factory:adf", T0 + 60 * SECOND)
    assert desk.wake_ups.sent == [("factory:adf", 60.0)]


def test_a_start_under_an_ending_look_is_followed_in_a_moment(desk: Desk) -> None:
    read = desk.due.set("factory:adf", T0)  # the look that read it finds no permit
    desk.scheduler.bring_forward("factory:adf", T0 + 5 * SECOND)
    desk.scheduler.reschedule(read, "factory:adf", None)
    assert desk.wake_ups.sent == [("factory:adf", 2.0)]
    assert desk.due.rows["factory:adf"].at == T0


# --- where looks come late, wake-ups must not become more and more ----------------------------------------------------


def test_many_who_want_a_look_that_is_late_share_their_wake_ups(desk: Desk) -> None:
    desk.due.set("factory:adf", T0)
    desk.clock.advance(60 * SECOND)
    for _ in range(100):
        desk.scheduler.bring_forward("factory:adf", desk.clock.now() + 5 * SECOND)
        desk.clock.advance(SECOND / 10)
    assert len(desk.wake_ups.sent) == 1
    assert min(seconds for _, seconds in desk.wake_ups.sent) >= 2


def test_each_who_wants_a_look_that_is_late_has_one_that_begins_after_it(desk: Desk) -> None:
    desk.due.set("factory:adf", T0)
    desk.clock.advance(60 * SECOND)
    for _ in range(50):
        asked = desk.clock.now()
        desk.scheduler.bring_forward("factory:adf", asked)
        assert desk.last_visible() > asked
        desk.clock.advance(SECOND / 7)


def test_a_look_that_is_due_later_is_brought_forward_at_once(desk: Desk) -> None:
    desk.due.set("lane:a", T0 + 30 * SECOND)
    desk.scheduler.bring_forward("lane:a", T0)
    assert desk.wake_ups.sent == [("lane:a", 0.0)]


def test_the_later_looks_come_the_fewer_are_asked_for(desk: Desk) -> None:
    desk.scheduler.wake_soon("lane:a")
    for _ in range(600):
        asked = desk.clock.now()
        desk.scheduler.wake_soon("lane:a")  # a delivery whose look failed, and that of the wake-ups does not come
        assert desk.last_visible() >= asked
        desk.clock.advance(SECOND / 10)
    assert desk.wake_ups.sent[0] == ("lane:a", 0.0)
    assert len(desk.wake_ups.sent) <= 15
    desk.scheduler.reschedule(desk.due.rows["lane:a"], "lane:a", None)
    desk.scheduler.wake_soon("lane:a")
    assert desk.wake_ups.sent[-1] == ("lane:a", 0.0)


def test_a_look_before_its_time_leaves_the_row_to_the_one_that_is_due(desk: Desk) -> None:
    read = desk.due.set("lane:a", T0 + 20 * SECOND)
    desk.scheduler.reschedule(read, "lane:a", T0 + 30 * SECOND)
    assert (desk.due.rows["lane:a"], desk.wake_ups.sent) == (read, [])
    desk.scheduler.reschedule(read, "lane:a", T0 + 10 * SECOND)
    assert (desk.due.rows["lane:a"].at, desk.wake_ups.sent) == (T0 + 10 * SECOND, [("lane:a", 10.0)])


def test_a_late_look_is_taken_over_by_one_process(desk: Desk) -> None:
    read = desk.due.set("factory:adf", T0)
    desk.clock.advance(60 * SECOND)
    other = Scheduler(desk.due, desk.wake_ups, desk.clock)
    other.bring_forward("factory:adf", desk.clock.now())  # as whoever starts something does
    until = desk.clock.now() + 30 * SECOND
    taken = desk.scheduler.take_over(read, until)
    assert taken is not None
    assert (taken.at, desk.due.rows["factory:adf"].at) == (T0, until)
    assert other.take_over(read, until) is None
    desk.scheduler.reschedule(taken, "factory:adf", until + 30 * SECOND)
    assert desk.due.rows["factory:adf"].at == until + 30 * SECOND


def test_a_row_that_was_remembered_as_it_was_is_looked_at_once_more(desk: Desk) -> None:
    """Nothing is left to look at, as far as this process knows; but the row is another one by now."""
    desk.scheduler.bring_forward("factory:adf", T0)
    desk.due.set("factory:adf", T0)
    due = desk.scheduler.due_by_now("factory:adf")
    sent = len(desk.wake_ups.sent)
    desk.scheduler.reschedule(due, "factory:adf", None)
    assert desk.wake_ups.sent[sent:] == [("factory:adf", 2.0)]
    desk.scheduler.reschedule(desk.scheduler.due_by_now("factory:adf"), "factory:adf", None)
    assert desk.due.rows == {}


def test_processes_that_remember_the_row_as_it_was_come_to_rest(desk: Desk) -> None:
    """Each has written it, so each but one is wrong about it; none may make the others wrong again without an end."""
    processes = [Scheduler(desk.due, desk.wake_ups, desk.clock) for _ in range(3)]
    for process in processes:
        process.bring_forward("factory:adf", T0 + 5 * SECOND)
    desk.clock.advance(60 * SECOND)
    for process in processes * 3:
        due = process.due_by_now("factory:adf")
        assert due is not None
        if due.at > desk.clock.now():
            return
        process.reschedule(due, "factory:adf", desk.clock.now() + 10 * SECOND)
    raise AssertionError(f"nine looks, and it is still due at {desk.due.rows['factory:adf'].at}")


def test_an_event_never_moves_a_look_that_is_due_earlier(desk: Desk) -> None:
    desk.due.set("lane:a", T0 + 60 * SECOND)
    desk.scheduler.wake_at("lane:a", T0 + timedelta(minutes=10))
    assert desk.due.rows["lane:a"].at == T0 + 60 * SECOND


def test_bringing_forward_never_delays_and_always_writes(desk: Desk) -> None:
    desk.scheduler.bring_forward("factory:f", T0 + 60 * SECOND)
    desk.scheduler.bring_forward("factory:f", T0 + 10 * SECOND)
    assert desk.due.rows["factory:f"].at == T0 + 10 * SECOND
    read = desk.due.get("factory:f")  # a look begins, and will find nothing to follow
    desk.scheduler.bring_forward("factory:f", T0 + 20 * SECOND)  # a run is started meanwhile
    desk.scheduler.reschedule(read, "factory:f", None)
    assert desk.due.rows["factory:f"].at == T0 + 10 * SECOND


def test_a_row_that_another_process_has_brought_forward_is_looked_at_then(desk: Desk) -> None:
    desk.scheduler.bring_forward("factory:f", T0 + 60 * SECOND)
    Scheduler(desk.due, desk.wake_ups, desk.clock).bring_forward("factory:f", T0 + 5 * SECOND)
    desk.clock.advance(5 * SECOND)
    assert desk.scheduler.due_by_now("factory:f") == desk.due.rows["factory:f"]


def test_a_row_that_this_process_has_written_is_not_read_when_its_time_has_come(desk: Desk) -> None:
    desk.scheduler.bring_forward("factory:f", T0 + 5 * SECOND)
    desk.clock.advance(5 * SECOND)
    read = desk.due.storage.calls
    found = desk.scheduler.due_by_now("factory:f")
    assert found is not None
    assert (found.etag, desk.due.storage.calls) == (desk.due.rows["factory:f"].etag, read)


def test_the_sweep_wakes_what_is_due_before_the_next_sweep_at_its_time(desk: Desk) -> None:
    desk.due.set("lane:late", T0 - 60 * SECOND)
    desk.due.set("lane:soon", T0 + 100 * SECOND)
    desk.due.set("lane:far", T0 + timedelta(hours=2))
    assert desk.scheduler.sweep() == 2
    assert sorted(desk.wake_ups.sent) == [("lane:late", 0.0), ("lane:soon", 100.0)]


def test_the_sweep_sends_no_second_wake_up_for_one_that_is_under_way(desk: Desk) -> None:
    desk.scheduler.reschedule(None, "lane:a", T0 + 60 * SECOND)  # with a wake-up
    desk.scheduler.reschedule(None, "lane:b", T0 + timedelta(minutes=7))  # longer than a sweep: without
    desk.wake_ups.sent.clear()
    assert desk.scheduler.sweep() == 0
    desk.clock.advance(timedelta(minutes=5))
    assert desk.scheduler.sweep() == 2
    assert sorted(desk.wake_ups.sent) == [("lane:a", 0.0), ("lane:b", 120.0)]  # overdue; due before the next sweep


@pytest.mark.parametrize(
    ("minutes", "said"), [((4, 0), []), ((5, 1), ['looks_overdue {"looks":1,"seconds":300}'])], ids=["not yet", "now"]
)
def test_the_sweep_says_what_nobody_has_looked_at_for_a_whole_sweep(
    desk: Desk, caplog: pytest.LogCaptureFixture, minutes: tuple[int, int], said: list[str]
) -> None:
    for number, late in enumerate(minutes):
        desk.due.set(f"lane:{number}", T0 - timedelta(minutes=late))
    desk.scheduler.sweep()
    assert caplog.messages == said


@pytest.mark.parametrize(("early", "sent"), [(0.3, 1), (2.0, 1), (3.0, 0), (60.0, 0)])
def test_a_look_that_came_a_moment_too_early_is_made_up_for(desk: Desk, early: float, sent: int) -> None:
    due = desk.due.set("lane:a", T0 + timedelta(seconds=early), waked=True)
    desk.scheduler.reschedule(due, "lane:a", due.at)  # the look finds that it has to wait just until then
    assert desk.wake_ups.sent == [("lane:a", early + 2)] * sent  # later by the most that clocks may differ


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("lane:0123456789abcdef01234567", True),
        ("factory:adf-relearn", True),
        ("lane:0123456789ABCDEF01234567", False),
        ("lane:' or true", False),
        ("factory/adf", False),
        ("factory:a#b", False),
        ("planet:mars", False),
        ("", False),
    ],
)
def test_a_key_from_outside_is_checked(text: str, known: bool) -> None:
    assert is_key(text) is known


# --- looks made at once -----------------------------------------------------------------------------------------------


class Looker:
    """A look that says when it began, and ends when it is let go."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.free = threading.Event()
        self.changed = threading.Condition()

    def __call__(self, lane: str) -> None:
        with self.changed:
            self.began.append(lane)
            self.changed.notify_all()
        assert self.free.wait(10)

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.began) >= count, 10)


def test_those_who_wait_share_one_look_that_began_after_they_came() -> None:
    looker = Looker()
    inline = InlineLooks(looker)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(inline, "a")
        looker.wait_for(1)
        others = [pool.submit(inline, "a") for n in range(1, 6)]
        while inline.waiting("a") < 5:
            threading.Event().wait(0.01)
        looker.free.set()
        assert first.result(10)
        assert all(other.result(10) for other in others)
    inline.close()
    assert len(looker.began) == 2  # the one that ran, and one for all who came meanwhile


def test_more_lanes_than_there_are_places_are_left_to_a_wake_up() -> None:
    looker = Looker()
    inline = InlineLooks(looker)
    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(inline, f"lane{n}") for n in range(INLINE_AT_ONCE)]
        looker.wait_for(INLINE_AT_ONCE)
        assert inline("one too many") is False
        looker.free.set()
        assert all(r.result(10) for r in running)
    assert inline("now there is room") is True
    inline.close()


def test_a_look_that_fails_is_reported_and_the_next_one_runs() -> None:
    calls: list[str] = []

    def look(lane: str) -> None:
        calls.append(lane)
        if len(calls) == 1:
            raise RuntimeError("storage is down")

    inline = InlineLooks(look)
    assert inline("a") is False
    assert inline("a") is True
    inline.close()


def test_where_no_look_can_be_started_nobody_waits_for_one() -> None:
    inline = InlineLooks(Looker())
    inline.close()
    assert inline("a") is False
    assert inline("a") is False


def test_a_look_that_takes_too_long_is_left_to_a_wake_up() -> None:
    looker = Looker()
    inline = InlineLooks(looker, seconds=0.05)
    assert inline("a") is False
    looker.free.set()
    inline.close()
    assert len(looker.began) == 1


def test_wake_ups_that_come_during_a_look_are_served_by_one_more() -> None:
    turns, looks = Turns(), []

    def look() -> None:
        looks.append("a")
        if len(looks) == 1:
            for _ in range(5):
                turns.take("a", look)  # as other threads would: none of them waits
            turns.take("b", lambda: looks.append("b"))

    turns.take("a", look)
    assert looks == ["a", "b", "a"]
    turns.take("a", look)
    assert looks == ["a", "b", "a", "a"]


def test_a_look_that_fails_fails_for_its_own_wake_up_which_comes_again() -> None:
    turns, looks = Turns(), []

    def failing() -> None:
        looks.append("failed")
        turns.take("a", failing)
        raise RuntimeError("storage is down")

    with pytest.raises(RuntimeError):
        turns.take("a", failing)
    turns.take("a", lambda: looks.append("went well"))
    assert looks == ["failed", "went well"]
