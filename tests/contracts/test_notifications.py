"""Lifecycle events reach an Event Grid topic through azure-eventgrid; its answers mean what they mean elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from local.cloud import LocalCloud
from local.event_grid import topic_id
from shared.cloud.notifications import TopicNotifier
from shared.errors import TargetUnavailable
from shared.notifications import Kind, Notification
from tests.fakes import T0

pytestmark = pytest.mark.cloud


def notification(n: int, kind: Kind = Kind.MODEL_PROMOTED) -> Notification:
    return Notification(
        id=f"0123456789abcdef01234567-{n}-{kind.rpartition('.')[2]}-1",
        kind=kind,
        subject=f"reactions/0123456789abcdef01234567-{n}",
        time=T0 + timedelta(microseconds=123456),
        data={"model": "clf", "reason": "ä said\n'no'"},
    )


@pytest.fixture
def notifier(cloud: LocalCloud, credential: Any, request: pytest.FixtureRequest) -> Iterator[TopicNotifier]:
    made = TopicNotifier(address(cloud, request.node.name), credential)
    yield made
    made.close()


def address(cloud: LocalCloud, topic: str) -> str:
    return f"{cloud.arm_url}/topics/{topic}/api/events"


def test_what_is_published_arrives_as_it_is(cloud: LocalCloud, notifier: TopicNotifier) -> None:
    notifier.publish([notification(1), notification(2, Kind.DUPLICATE_START)])
    taken = cloud.event_grid.published(topic_id("test_what_is_published_arrives_as_it_is"))
    assert [(t.event.id, t.event.type, t.event.subject, dict(t.event.data)) for t in taken] == [
        (n.id, str(n.kind), n.subject, dict(n.data)) for n in (notification(1), notification(2, Kind.DUPLICATE_START))
    ]
    assert {t.event.time for t in taken} == {T0 + timedelta(microseconds=123456)}


def test_a_topic_that_is_not_there_is_unavailable(credential: Any, cloud: LocalCloud) -> None:
    nobody = TopicNotifier("https://127.0.0.1:9/topics/x/api/events", credential)
    with pytest.raises(TargetUnavailable):
        nobody.publish([notification(1)])
    nobody.close()
