"""What Event Grid lost or gave up is taken in all the same, and once: through the real entry points."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from local.event_grid.envelopes import Published
from local.machine_learning import Metric
from local.machine_learning.events import model_registered
from local.service import Event, workspace_id
from shared.settings import DEAD_LETTER_CONTAINER
from tests.scenarios.queued import Queued
from tests.scenarios.serving import breaches
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.cloud
MONITOR = Path(__file__).resolve().parents[2] / "ml" / "monitors" / "diabetes-drift.yml"
HOUR = timedelta(hours=1, minutes=1)
DECLARED = ("reaction_id", "attempt", "what", "which")
RULES = """\
version: 1
reactions:
  note:
    when: {model-registered: {model: "${MODEL}", tags: {stage: candidate}}}
    collect: {by: "{model}"}
    run-pipeline: see
    with: {what: "{model}", which: "{version}"}
  retrain:
    when: {drift-detected: {monitor: "${MONITOR}", signals: [data_drift]}}
    collect: {by: "{monitor}"}
    run-pipeline: see
    with: {what: "{monitor}", which: "{run_id}"}
"""
SEE = {
    "name": "see",
    "properties": {
        "parameters": {name: {"type": "String"} for name in DECLARED},
        "activities": [],
    },
}
_NUMBERS = itertools.count(1)


class Workspace:
    """A stage whose workspace tells nobody: what happens there is known from its lists only."""

    def __init__(self, stage: Stage, model: str, monitor: str) -> None:
        self.stage, self.model, self.monitor = stage, model, monitor
        self.local = stage.cloud.machine_learning

    def register(self, version: str, age: timedelta = timedelta()) -> str:
        """Gives the event that Event Grid lost."""
        event = self.raised(version, age, {"stage": "candidate"})
        return json.dumps(Published(topic=workspace_id(), event=event).envelope("EventGridSchema"))

    def raised(self, version: str, age: timedelta, tags: dict[str, str]) -> Event:
        found = self.local.registry.register(
            self.model,
            version,
            uri=f"azureml://datastores/lake/paths/models/{self.model}/{version}",
            tags=tags,
            created=self.stage.clock.now() - age,
            announce=False,
        )
        return model_registered(
            name=found.name, version=found.version, tags=found.tags, properties=found.properties, time=found.created
        )

    def breach(self) -> list[str]:
        """Gives the events that Event Grid lost: every status that was announced with the tag."""
        self.local.add_monitor(MONITOR, name=self.monitor, baseline="azureml://lake/b", target="azureml://lake/t")
        metric = Metric(group="Age", name="JensenShannonDistance", value=0.42, threshold=0.1)
        run = self.local.run_monitor(self.monitor, metrics=[metric])
        return breaches(self.monitor, run.evaluate_run, self.stage.clock.now())

    def sweep(self) -> None:
        """What is due by then is done: the lists, and what follows from them."""
        self.stage.sweep()
        self.stage.settle(looks=200)

    def hour(self) -> None:
        self.stage.clock.advance(HOUR)
        self.stage.settle(looks=200)

    def started(self) -> list[tuple[str, str]]:
        return [(s["parameters"]["what"], s["parameters"]["which"]) for s in self.stage.starts()]


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


class DeadLetters:
    """The container into which Event Grid writes what it gave up."""

    def __init__(self, stage: Stage) -> None:
        self._service = BlobServiceClient(stage.account.blob, credential=stage.credential)
        self.container = self._service.get_container_client(DEAD_LETTER_CONTAINER)

    def put(self, content: str) -> str:
        name = f"LAKE/LAKE-FILES/2026/11/26/8/{next(_NUMBERS)}.json"
        self.container.upload_blob(name, content.encode())
        return name

    def there(self) -> dict[str, dict[str, str]]:
        return {str(b.name): dict(b.metadata or {}) for b in self.container.list_blobs(include=["metadata"])}

    def close(self) -> None:
        self._service.close()


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
