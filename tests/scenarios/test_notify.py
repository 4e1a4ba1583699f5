"""A rule tells: its text is on the topic once, or its reaction says why it cannot be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from local.cloud import LocalCloud
from local.event_grid import topic_id
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.cloud
RULES = """\
version: 1
reactions:
  tell:
    when: {file-landed: {path: "lake/in/{batch}/*.csv"}}
    collect: {by: "{batch}"}
    notify: "{count} file(s) have come for {batch}"
"""
TWICE = pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])


@TWICE
def test_a_rule_tells_once(stage_with: Callable[..., Stage], cloud: LocalCloud, copies: int) -> None:
    topic = f"notices-{copies}"
    endpoint = f"{cloud.arm_url}/topics/{topic}/api/events"
    stage = stage_with(rules=RULES, extra_settings={"RELEARN_EVENTS_TOPIC_ENDPOINT": endpoint})
    event = stage.land("in/b1/a.csv")
    stage.deliver(*[event] * copies)
    stage.settle()
    stage.deliver(event)
    stage.settle()
    [reaction] = stage.reactions()
    [notice] = [each.event for each in cloud.event_grid.published(topic_id(topic))]
    assert reaction["state"] == "succeeded"
    assert (notice.type, notice.subject) == ("Relearn.Notice", f"reactions/{reaction['id']}")
    assert notice.data["text"] == "1 file(s) have come for b1"
    assert stage.story(reaction["id"]) == ["pending", "succeeded"]


@TWICE
def test_without_a_topic_it_fails_with_what_to_do(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = stage_with(rules=RULES)
    stage.deliver(*[stage.land("in/b1/a.csv")] * copies)
    stage.settle()
    [reaction] = stage.reactions()
    assert reaction["state"] == "failed"
    assert "set RELEARN_EVENTS_TOPIC_ENDPOINT" in reaction["reason"]
