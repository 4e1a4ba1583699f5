"""Events that the host gave up: each comes once in a while, as the text that Event Grid sent, until it is removed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.storage.queue import QueueClient

from shared.cloud import storage
from shared.cloud.poisoned_events import PoisonedEventQueue
from shared.errors import StorageUnavailable
from shared.ports import PoisonedEvents
from shared.settings import EVENT_POISON_QUEUE, from_environment
from tests.fakes import FakeClock, FakePoisonedEvents
from tests.local.waiting import eventually

pytestmark = pytest.mark.cloud

EVENT = json.dumps({"id": "1", "subject": "Zürich\n"}, ensure_ascii=False)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Fake:
    def __init__(self) -> None:
        self.events: PoisonedEvents = FakePoisonedEvents(FakeClock())

    def put(self, text: str) -> None:
        self.events.put(text)  # type: ignore[attr-defined]

    def left(self) -> int:
        return len(self.events.messages)  # type: ignore[attr-defined]


class Real:
    def __init__(self, cloud: Any, account: Any, credential: Any) -> None:
        settings = from_environment(cloud.app_settings(account.name)).storage
        self.client = storage.queue(settings, EVENT_POISON_QUEUE, credential, encoded=False)
        self.events: PoisonedEvents = PoisonedEventQueue(self.client)
        self.raw = QueueClient(settings.queue_service_uri, EVENT_POISON_QUEUE, credential=credential)

    def put(self, text: str) -> None:
        self.raw.send_message(text)

    def left(self) -> int:
        return int(self.raw.get_queue_properties().approximate_message_count or 0)

    def close(self) -> None:
        self.events.close()  # type: ignore[attr-defined]
        self.raw.close()


@pytest.fixture
def real(cloud: Any, app_account: Any, credential: Any) -> Iterator[Real]:
    made = Real(cloud, app_account, credential)
    yield made
    made.close()


@pytest.fixture(params=["fake", "real"])
def queue(request: pytest.FixtureRequest) -> Any:
    return Fake() if request.param == "fake" else request.getfixturevalue("real")


def test_one_that_is_not_removed_is_hidden_and_stays(queue: Any) -> None:
    assert queue.events.receive() is None
    queue.put(EVENT)
    assert queue.events.receive() is not None
    assert queue.events.receive() is None
    assert queue.left() == 1


def test_it_comes_again_when_its_time_is_over(real: Real) -> None:
    real.put(EVENT)
    impatient = PoisonedEventQueue(real.client, hidden_seconds=1)
    first = impatient.receive()
    assert first is not None
    again = eventually(impatient.receive)
    assert (again.id, again.text) == (first.id, EVENT)
    impatient.remove(again)
    assert real.left() == 0


def test_one_that_is_removed_is_gone(queue: Any) -> None:
    queue.put(EVENT)
    queue.put("[]")
    first = queue.events.receive()
    queue.events.remove(first)
    second = queue.events.receive()
    assert queue.left() == 1
    assert {first.text, second.text} == {EVENT, "[]"}
    assert first.id != second.id


def test_it_is_known_when_it_expires(real: Real) -> None:
    real.put(EVENT)
    found = real.events.receive()
    assert found is not None
    assert found.expires is not None
    assert timedelta(days=6, hours=23) < found.expires - datetime.now(UTC) < timedelta(days=7, minutes=1)


def test_what_is_somebody_elses_by_now_is_not_removed(real: Real) -> None:
    """The removal fails loudly: whoever has it now answers for it."""
    real.put(EVENT)
    found = real.events.receive()
    assert found is not None
    real.raw.update_message(found.id, found.receipt, visibility_timeout=0)
    with pytest.raises(StorageUnavailable, match=f"removal of poisoned event {found.id}"):
        real.events.remove(found)
    assert real.left() == 1


@pytest.mark.parametrize(
    ("message", "text"),
    [
        pytest.param(encoded(EVENT), EVENT, id="base64"),
        pytest.param(EVENT, EVENT, id="plain"),
        pytest.param(f"[{EVENT}]", f"[{EVENT}]", id="a plain array"),
        pytest.param("\n".join([encoded(EVENT)[:8], encoded(EVENT)[8:]]), EVENT, id="base64 in lines"),
        pytest.param(encoded("\ufeff" + EVENT), EVENT, id="with a byte order mark"),
        pytest.param(base64.b64encode(b"\xff\xfe{").decode(), "\ufffd\ufffd{", id="not UTF-8"),
        pytest.param("what is this?", "what is this?", id="neither"),
    ],
)
def test_base64_and_plain_text_give_the_same_event(real: Real, message: str, text: str) -> None:
    real.put(message)
    found = real.events.receive()
    assert found is not None
    assert found.text == text
