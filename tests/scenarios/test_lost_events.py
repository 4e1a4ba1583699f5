"""What Event Grid lost or gave up is taken in all the same, and once: through the real entry points."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from local.event_grid.envelopes import Published
from local.service import workspace_id
from tests.scenarios.lost import RULES, SEE, DeadLetters, Workspace
from tests.scenarios.queued import Queued
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.cloud


@pytest.fixture
def workspace(stage_with: Callable[..., Stage]) -> Iterator[Workspace]:
    names = {"MODEL": f"clf-{uuid.uuid4().hex[:10]}", "MONITOR": f"drift-{uuid.uuid4().hex[:10]}"}
    stage = stage_with(rules=RULES, extra_settings=names, pipelines=(SEE,))
    stage.cloud.machine_learning.reset()
    yield Workspace(stage, names["MODEL"], names["MONITOR"])
    stage.cloud.machine_learning.reset()


@pytest.mark.parametrize("copies", [0, 1, 2], ids=["never_delivered", "delivered_too_late", "delivered_twice"])
def test_a_model_that_event_grid_lost_is_found(workspace: Workspace, copies: int) -> None:
    event = workspace.register("1")
    workspace.sweep()
    assert workspace.started() == [(workspace.model, "1")]
    workspace.stage.deliver(*[event] * copies)
    workspace.stage.settle()
    workspace.hour()
    assert workspace.started() == [(workspace.model, "1")]
    assert workspace.stage.states() == ["succeeded"]


@pytest.mark.parametrize("copies", [0, 1, 2], ids=["never_delivered", "delivered_too_late", "delivered_twice"])
def test_a_breach_that_event_grid_lost_is_found(workspace: Workspace, copies: int) -> None:
    events = workspace.breach()
    workspace.sweep()
    [(monitor, _)] = workspace.started()
    assert monitor == workspace.monitor
    workspace.stage.deliver(*events * copies)
    workspace.stage.settle()
    workspace.hour()
    assert len(workspace.started()) == 1
    assert workspace.stage.states() == ["succeeded"]


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_what_was_delivered_is_not_found_again(workspace: Workspace, copies: int) -> None:
    workspace.stage.deliver(*[workspace.register("1")] * copies, *workspace.breach() * copies)
    workspace.stage.settle(workspace.stage.all_final)
    workspace.sweep()
    workspace.hour()
    assert len(workspace.started()) == 2
    assert workspace.stage.states() == ["succeeded", "succeeded"]
    assert workspace.stage.refused() == {}


def test_an_old_workspace_is_not_deployed_anew(workspace: Workspace) -> None:
    workspace.register("1", age=timedelta(hours=2))
    workspace.sweep()
    workspace.hour()
    assert workspace.started() == []
    workspace.register("2")
    workspace.hour()
    assert workspace.started() == [(workspace.model, "2")]


def test_a_lost_model_is_found_after_a_new_process(workspace: Workspace) -> None:
    workspace.sweep()
    workspace.stage.restart()
    workspace.register("1")
    workspace.hour()
    assert workspace.started() == [(workspace.model, "1")]


def test_a_found_event_says_where_it_comes_from(workspace: Workspace) -> None:
    workspace.register("1")
    workspace.sweep()
    [reaction] = workspace.stage.reactions()
    [event] = workspace.stage.get(f"reactions/{reaction['id']}")[1]["events"]
    assert event["event_id"] == f"listed:models/{workspace.model}:1"


# --- dead letters -----------------------------------------------------------------------------------------------------


@pytest.fixture
def letters(workspace: Workspace) -> Iterator[DeadLetters]:
    made = DeadLetters(workspace.stage)
    yield made
    made.close()


@pytest.mark.parametrize("copies", [0, 1, 2], ids=["never_delivered", "delivered_too_late", "delivered_twice"])
def test_what_event_grid_gave_up_is_taken_in(workspace: Workspace, letters: DeadLetters, copies: int) -> None:
    """An event that no queue takes, because it is too large for a message, is a dead letter at once."""
    queued = Queued(workspace.stage)
    tags = {"stage": "candidate", **{f"note-{n}": "x" * 200 for n in range(300)}}
    event = workspace.raised("1", timedelta(hours=3), tags)  # too old for the list of models
    queued.grid.publish(workspace_id(), event)
    queued.wait()
    assert queued.waiting() == 0
    assert len(letters.there()) == 1
    workspace.sweep()
    assert letters.there() == {}
    assert workspace.started() == [(workspace.model, "1")]
    late = json.dumps(Published(topic=workspace_id(), event=event).envelope("EventGridSchema"))
    workspace.stage.deliver(*[late] * copies)
    workspace.stage.settle()
    assert workspace.stage.states() == ["succeeded"]
    assert len(workspace.started()) == 1
    queued.close()


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_a_dead_letter_that_is_malformed_stays_with_its_reason(
    workspace: Workspace, letters: DeadLetters, copies: int
) -> None:
    event = json.loads(workspace.register("1", age=timedelta(hours=3)))
    broken = {**event, "eventTime": "yesterday"}
    names = [letters.put(json.dumps([event, broken])) for _ in range(copies)]
    workspace.sweep()
    assert letters.there() == {
        name: {"relearn_refused": "malformed: the event's time is not an ISO 8601 date and time"} for name in names
    }
    assert workspace.started() == [(workspace.model, "1")]
    assert workspace.stage.refused() == {"malformed": copies}
    workspace.hour()
    assert workspace.stage.refused() == {"malformed": copies}
    assert set(letters.there()) == set(names)
