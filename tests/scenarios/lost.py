"""A stage whose workspace tells nobody, and the container of what Event Grid gave up."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from pathlib import Path

from azure.storage.blob import BlobServiceClient

from local.event_grid.envelopes import Published
from local.machine_learning import Metric
from local.machine_learning.events import model_registered
from local.service import Event, workspace_id
from shared.settings import DEAD_LETTER_CONTAINER
from tests.scenarios.serving import breaches
from tests.scenarios.stage import Stage

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
