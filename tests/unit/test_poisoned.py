"""Events that the host gave up: taken in by the sweep, and gone only once they are safe."""

from __future__ import annotations

import json
import logging
from datetime import timedelta

import pytest

from shared.errors import StorageUnavailable
from shared.events import separate
from shared.poisoned import AT_MOST, FOR_AT_MOST, PoisonedDeliveries
from tests.fakes import T0, FakePoisonedEvents, delivery, landed
from tests.world import World

FILE = delivery(landed("in/b1/a.csv"))
OTHER = delivery(landed("in/b2/a.csv"))


class Desk(World):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.messages = FakePoisonedEvents(self.clock, self.storage)
        self.seconds = 0

    def sweep(self) -> int:
        deliveries = PoisonedDeliveries(messages=self.messages, receive=self.receive, clock=self.clock)
        return deliveries.sweep()

    def receive(self, text: str) -> None:
        self.clock.advance(timedelta(seconds=self.seconds))
        self.intake.receive_queued(text)


def reports(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    found = [r for r in caplog.records if r.message.startswith("events_poisoned ")]
    assert {r.levelno for r in found} <= {logging.ERROR}
    return [json.loads(r.message.partition(" ")[2]) for r in found]


def test_what_is_taken_is_removed_reported_and_starts_its_reaction(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.messages.put(FILE)
    assert desk.sweep() == 1
    assert desk.messages.messages == {}
    assert [r.key for r in desk.reactions()] == ["b1"]
    assert reports(caplog) == [{"taken": 1, "kept": 0}]


def test_an_empty_queue_costs_one_call_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    assert desk.sweep() == 0
    assert desk.storage.calls == 1
    assert reports(caplog) == []


def test_an_event_that_is_known_starts_nothing_again() -> None:
    desk = Desk()
    desk.deliver(landed("in/b1/a.csv"))
    for _ in range(2):
        desk.messages.put(FILE)
    assert desk.sweep() == 2
    assert len(desk.reactions()) == len(desk.factory.started) == 1


@pytest.mark.parametrize("text", ["", "{", "no JSON at all", "[]", "[1, 2]", "\ufffd{", "[" * 5000])
def test_what_is_no_event_is_recorded_as_refused_and_removed(text: str) -> None:
    desk = Desk()
    desk.messages.put(text)
    assert desk.sweep() == 1
    assert desk.messages.messages == {}
    assert set(desk.recent.refused()[0]) == {"malformed"}


def test_what_cannot_be_taken_stays_and_comes_again(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.messages.put(FILE)
    desk.break_call(2, die=False)  # the first call gives the message
    assert desk.sweep() == 0
    assert len(desk.messages.messages) == 1
    [told] = reports(caplog)
    assert (told["taken"], told["kept"]) == (0, 1)
    assert told["errors"] == ["1: StorageUnavailable('down for a moment')"]
    assert told["expires"] == str(T0 + timedelta(days=7))
    desk.nothing_breaks()
    assert desk.sweep() == 0, "it is hidden, so that two sweeps do not take it at once"
    desk.clock.advance(timedelta(minutes=5))
    assert desk.sweep() == 1
    assert desk.messages.messages == {}
    assert len(desk.reactions()) == 1


def test_one_that_was_taken_and_not_removed_starts_nothing_again() -> None:
    desk = Desk()
    desk.messages.broken.add(desk.messages.put(FILE))
    assert desk.sweep() == 0
    desk.messages.broken.clear()
    desk.clock.advance(timedelta(minutes=5))
    assert desk.sweep() == 1
    assert len(desk.factory.started) == 1


def test_whatever_is_wrong_with_one_the_others_are_taken() -> None:
    desk = Desk()
    desk.messages.put(FILE)
    desk.messages.put(OTHER)

    def receive(text: str) -> None:
        if text == FILE:
            raise ZeroDivisionError(text)
        desk.intake.receive_queued(text)

    assert PoisonedDeliveries(messages=desk.messages, receive=receive, clock=desk.clock).sweep() == 1
    assert [m.text for m in desk.messages.messages.values()] == [FILE]
    assert [r.key for r in desk.reactions()] == ["b2"]


def test_a_queue_that_cannot_be_read_fails_the_sweep() -> None:
    desk = Desk()
    desk.messages.put(FILE)
    desk.break_call(1, die=False)
    with pytest.raises(StorageUnavailable):
        desk.sweep()
    assert len(desk.messages.messages) == 1


def test_a_sweep_takes_so_many_and_no_more() -> None:
    desk = Desk()
    for _ in range(AT_MOST + 1):
        desk.messages.put("{")
    assert desk.sweep() == AT_MOST
    assert len(desk.messages.messages) == 1


def test_a_sweep_takes_as_long_and_no_longer() -> None:
    desk = Desk()
    desk.seconds = 25
    for _ in range(5):
        desk.messages.put("{")
    assert desk.sweep() == 3
    assert timedelta(seconds=75) == desk.clock.now() - T0 >= FOR_AT_MOST
    assert len(desk.messages.messages) == 2


# --- what a message holds ---------------------------------------------------------------------------------------------


def test_every_event_of_an_array_is_taken() -> None:
    desk = Desk()
    desk.messages.put(f"[{FILE}, {OTHER}]")
    desk.sweep()
    assert sorted(r.key for r in desk.reactions()) == ["b1", "b2"]


def test_an_array_of_which_one_cannot_be_taken_comes_again_as_a_whole() -> None:
    desk = Desk()
    desk.messages.put(f"[{FILE}, {OTHER}]")
    real = desk.lanes.add_event
    tried: list[str] = []

    def add(lane: str, event: object) -> bool:
        tried.append(lane)
        if len(tried) == 2:
            raise StorageUnavailable("the second lane is out")
        return real(lane, event)  # type: ignore[arg-type]

    desk.lanes.add_event = add  # type: ignore[method-assign]
    assert desk.sweep() == 0
    desk.clock.advance(timedelta(minutes=5))
    assert desk.sweep() == 1
    assert sorted(r.key for r in desk.reactions()) == ["b1", "b2"]
    assert len(desk.factory.started) == 2


@pytest.mark.parametrize("text", ["", "{", FILE, f"[{FILE}]", "[]", "[" * 100_000, '{"a": [1, 2]}', '"[1, 2]"'])
def test_only_an_array_of_several_is_taken_apart(text: str) -> None:
    assert separate(text) == [text]


def test_an_array_in_an_array_is_not_taken_apart_further() -> None:
    assert separate('[{"a": 1}, [2, 3], "é"]') == ['{"a": 1}', "[2, 3]", '"\\u00e9"']
