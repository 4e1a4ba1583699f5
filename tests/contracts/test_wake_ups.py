"""Wake-ups: what is sent is what the queue trigger of the host can read."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from azure.storage.queue import QueueClient

from shared.cloud import storage
from shared.cloud.wake_up_queue import WakeUpQueue
from shared.settings import POISON_QUEUE, WAKE_UP_QUEUE, from_environment
from tests.fakes import FakeWakeUps

pytestmark = pytest.mark.cloud


LANE_KEY = "lane:0123456789abcdef01234567"


class Real:
    def __init__(self, cloud: Any, account: Any, credential: Any) -> None:
        settings = from_environment(cloud.app_settings(account.name)).storage
        self.wake_ups = WakeUpQueue(
            storage.queue(settings, WAKE_UP_QUEUE, credential),
            storage.queue(settings, POISON_QUEUE, credential, encoded=False),
        )
        self.raw = QueueClient(settings.queue_service_uri, WAKE_UP_QUEUE, credential=credential)
        self.poison = QueueClient(settings.queue_service_uri, POISON_QUEUE, credential=credential)

    def close(self) -> None:
        for each in (self.wake_ups, self.raw, self.poison):
            each.close()


@pytest.fixture
def real(cloud: Any, app_account: Any, credential: Any) -> Iterator[Real]:
    made = Real(cloud, app_account, credential)
    yield made
    made.close()


def test_a_message_is_base64_json_with_the_key_only(real: Real) -> None:
    real.wake_ups.send("lane:abc")
    [message] = real.raw.receive_messages()
    assert json.loads(base64.b64decode(message.content, validate=True)) == {"look": "lane:abc"}
    assert message.expires_on is not None
    assert message.expires_on.year == 9999  # it never expires


def test_a_delayed_message_is_not_visible_yet(real: Real) -> None:
    real.wake_ups.send("lane:abc", 60)
    assert list(real.raw.receive_messages()) == []
    assert real.raw.get_queue_properties().approximate_message_count == 1


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_poisoned_wake_ups_are_revived_and_then_removed(real: Real) -> None:
    fake = FakeWakeUps()
    fake.poisoned = [LANE_KEY, "factory:adf"]
    for key in fake.poisoned:
        real.poison.send_message(encoded(json.dumps({"look": key})))
    for drain in (fake.drain_poisoned, real.wake_ups.drain_poisoned):
        revived: list[str] = []
        assert sorted(drain(revived.append)) == sorted(revived) == ["factory:adf", LANE_KEY]
        assert drain(revived.append) == []
    assert real.poison.get_queue_properties().approximate_message_count == 0


def test_a_wake_up_that_could_not_be_revived_stays_poisoned(real: Real) -> None:
    real.poison.send_message(encoded(json.dumps({"look": LANE_KEY})))

    def dies(key: str) -> None:
        raise RuntimeError(key)

    with pytest.raises(RuntimeError):
        real.wake_ups.drain_poisoned(dies)
    assert real.poison.get_queue_properties().approximate_message_count == 1


NOT_OURS = ["plain text that nobody encoded", encoded("[]"), encoded("not json"), encoded("{}")]
NOT_KEYS = [
    encoded(json.dumps({"look": key})) for key in ("factory/adf", "lane:abc", "lane:#", "planet:mars", "x" * 600)
]


@pytest.mark.parametrize("text", [*NOT_OURS, *NOT_KEYS])
def test_a_poisoned_message_that_is_not_ours_does_not_block_the_drain(real: Real, text: str) -> None:
    real.poison.send_message(text)
    real.poison.send_message(encoded(json.dumps({"look": LANE_KEY})))
    assert real.wake_ups.drain_poisoned(lambda key: None) == [LANE_KEY]
    assert real.poison.get_queue_properties().approximate_message_count == 0
