"""Dead letters: taken in once and removed; what is refused stays with its reason, and is not read again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import timedelta

import pytest

from shared.dead_letters import AT_MOST, EVERY, FOR_AT_MOST, DeadLetterChore
from shared.errors import StorageUnavailable
from tests.fakes import T0, FakeDeadLetters, delivery, landed, registered
from tests.world import World

WHY = {
    "deadLetterReason": "MaxDeliveryAttemptsExceeded",
    "deliveryAttempts": 30,
    "lastDeliveryOutcome": "Busy",
    "publishTime": "2026-11-22T07:00:00Z",
    "lastDeliveryAttemptTime": "2026-11-22T07:59:00Z",
}


def letter(*paths: str) -> str:
    return json.dumps([json.loads(delivery(landed(path))) | WHY for path in paths])


class Desk(World):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.letters = FakeDeadLetters(self.storage)

    def sweep(self) -> timedelta:
        """Gives how long until the next one."""
        chore = DeadLetterChore(letters=self.letters, intake=self.intake, clock=self.clock)
        return chore.sweep() - self.clock.now()

    def left(self) -> dict[str, str | None]:
        return {name: found.refused for name, (found, _) in self.letters.blobs.items()}

    def keys(self) -> list[str]:
        return [r.key for r in self.reactions()]


def reports(caplog: pytest.LogCaptureFixture) -> list[tuple[int, dict[str, object]]]:
    found = [r for r in caplog.records if r.message.startswith("dead_letters_read ")]
    return [(r.levelno, json.loads(r.message.partition(" ")[2])) for r in found]


def test_one_is_taken_in_reported_and_removed(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.letters.put("A/1.json", letter("in/b1/a.csv"))
    assert desk.sweep() == EVERY
    assert desk.left() == {}
    assert desk.keys() == ["b1"]
    assert reports(caplog) == [(logging.WARNING, {"taken": 1, "refused": 0, "kept": 0})]


def test_without_any_it_costs_one_call_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    assert desk.sweep() == EVERY
    assert desk.storage.calls == 1
    assert reports(caplog) == []


@pytest.mark.parametrize("first", ["the letter", "the delivery"])
def test_one_that_was_delivered_all_the_same_is_once(first: str) -> None:
    desk = Desk()
    desk.letters.put("A/1.json", letter("in/b1/a.csv"))
    steps: list[Callable[[], object]] = [desk.sweep, lambda: desk.deliver(landed("in/b1/a.csv"))]
    for step in steps if first == "the letter" else reversed(steps):
        step()
    assert desk.left() == {}
    assert desk.keys() == ["b1"]
    assert len(desk.factory.started) == 1


def test_an_event_in_lower_case_keys_of_a_cloud_event_is_taken_in() -> None:
    desk = Desk()
    event = json.loads(delivery(landed("in/b1/a.csv")))
    cloud_event = {
        "specversion": "1.0",
        "id": event["id"],
        "source": event["topic"],
        "type": event["eventType"],
        "subject": event["subject"],
        "time": event["eventTime"],
        "data": event["data"],
        **{name.lower(): value for name, value in WHY.items()},
    }
    desk.letters.put("A/1.json", json.dumps([cloud_event]))
    desk.sweep()
    assert (desk.left(), desk.keys()) == ({}, ["b1"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("not JSON", "malformed: not JSON"),
        ("[]", "malformed: an array of 0 events"),
        (letter("other/a.csv"), "unmatched: no rule waits for it"),
        (json.dumps([json.loads(delivery(registered("m", "1"))) | WHY]), "unmatched: no rule waits for it"),
        (letter("in/b1/a.csv").replace("storageAccounts/acc", "storageAccounts/foreign"), "foreign-source: "),
    ],
)
def test_one_that_is_refused_stays_with_the_reason_and_is_not_read_again(
    content: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk()
    desk.letters.put("A/1.json", content)
    assert desk.sweep() == EVERY
    [(_, marked)] = desk.left().items()
    assert (marked or "").startswith(reason)
    assert sum(desk.recent.counts.values()) == 1
    [(level, told)] = reports(caplog)
    assert (level, told["refused"]) == (logging.ERROR, 1)
    before = desk.storage.calls
    desk.sweep()
    assert desk.storage.calls == before + 1
    assert sum(desk.recent.counts.values()) == 1
    assert len(reports(caplog)) == 1


def test_what_is_good_in_one_that_stays_is_taken_in() -> None:
    desk = Desk()
    desk.letters.put("A/1.json", letter("in/b1/a.csv", "other/a.csv", "in/b2/a.csv"))
    desk.sweep()
    assert sorted(desk.keys()) == ["b1", "b2"]
    assert desk.left() == {"A/1.json": "unmatched: no rule waits for it"}


def test_one_that_cannot_be_read_keeps_no_other_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    for n in range(3):
        desk.letters.put(f"A/{n}.json", letter(f"in/b{n}/a.csv"))
    desk.letters.broken = {"A/0.json"}
    assert desk.sweep() == EVERY
    assert desk.left() == {"A/0.json": None}
    [(level, told)] = reports(caplog)
    assert (level, told["taken"], told["kept"]) == (logging.ERROR, 2, 1)
    desk.letters.broken = set()
    desk.sweep()
    assert (desk.left(), sorted(desk.keys())) == ({}, ["b0", "b1", "b2"])


def test_storage_that_fails_at_any_call_loses_none() -> None:
    for call in range(1, 40):
        desk = Desk()
        desk.letters.put("A/1.json", letter("in/b1/a.csv", "in/b2/a.csv"))
        desk.break_call(call, die=call % 2 == 0)
        desk.survive(desk.sweep)
        desk.nothing_breaks()
        desk.sweep()
        assert desk.left() == {}, call
        desk.settle(within=timedelta(minutes=1), looks=20) if len(desk.reactions()) < 2 else None
        assert sorted(desk.keys()) == ["b1", "b2"], call


def test_when_they_cannot_be_listed_the_chore_stays_due() -> None:
    desk = Desk()
    desk.break_call(1, die=False)
    with pytest.raises(StorageUnavailable):
        desk.sweep()


def test_a_look_has_an_end_and_the_next_goes_on_at_once() -> None:
    desk = Desk(inline=False)
    for n in range(AT_MOST + 2):
        desk.letters.put(f"A/{n:04}.json", letter(f"in/b{n}/a.csv"))
    assert desk.sweep() == timedelta(0)
    assert len(desk.left()) == 2
    assert desk.sweep() == EVERY
    assert desk.left() == {}


def test_a_slow_look_ends_after_a_minute() -> None:
    desk = Desk()
    for n in range(3):
        desk.letters.put(f"A/{n}.json", letter(f"in/b{n}/a.csv"))
    read = desk.letters.read

    def slowly(name: str) -> str | None:
        desk.clock.advance(FOR_AT_MOST)
        return read(name)

    desk.letters.read = slowly  # type: ignore[method-assign]
    desk.sweep()
    assert sorted(desk.left()) == ["A/1.json", "A/2.json"]


def test_an_old_one_is_taken_in_and_skipped_as_too_old() -> None:
    desk = Desk()
    old = json.loads(delivery(landed("in/b1/a.csv", time=T0 - timedelta(days=31)))) | WHY
    desk.letters.put("A/1.json", json.dumps([old]))
    desk.sweep()
    assert desk.left() == {}
    assert desk.keys() == []
    [taken] = [t for p in desk.lanes.partitions.values() for t in p.taken.values()]
    assert taken.skipped == "too-old"
