"""A stage with an online endpoint: models are registered in the workspace, and their events delivered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from local.event_grid.envelopes import Published, Schema
from local.machine_learning.events import Run, model_registered
from local.machine_learning.online.bodies import DeploymentBody, EndpointBody
from local.progress import Immediately, Policy
from local.service import REGION, workspace_id
from shared.models import ModelRef, deployment_name
from tests.scenarios.stage import Stage

RULES = """\
version: 1
reactions:
  deploy:
    when: {model-registered: {model: "${MODEL}", tags: {stage: candidate}}}
    deploy-model:
      endpoint: "${ENDPOINT}"
      gate: {metric: Accuracy, better-than: live, by: 0.002}
      smoke-test: ml/samples/diabetes-request.json
      serving: {code: "azureml:scenario-serving:1", environment: "azureml:scenario-env:1"}
      keep-previous: 10s
"""
BETTER = {"Accuracy": "0.80", "live.Accuracy": "0.78", "live.version": "1"}
WORSE = {**BETTER, "Accuracy": "0.70"}


class Serving:
    """What happens in the workspace, and how the endpoint is."""

    def __init__(self, stage: Stage, *, endpoint: str, model: str) -> None:
        self.stage = stage
        self.endpoint, self.model = endpoint, model
        self.workspace = stage.cloud.machine_learning
        self.online = self.workspace.online
        folder = stage.folder / "serving"
        folder.mkdir(exist_ok=True)
        (folder / "score.py").write_text("")
        self.workspace.registry.add_code("scenario-serving", "1", folder)
        self.workspace.registry.add_environment("scenario-env", "1")
        self.goes()

    def goes(
        self, creations: Policy | None = None, updates: Policy | None = None, deletions: Policy | None = None
    ) -> None:
        """How making deployments, changing traffic and deleting go from now on; at once where nothing is said."""
        self.online.creations.set(creations or Immediately(), self.endpoint)
        self.online.updates.set(updates or Immediately(), self.endpoint)
        self.online.deletions.set(deletions or Immediately(), self.endpoint)

    def make_endpoint(self) -> None:
        body = {"location": REGION, "properties": {"authMode": "Key"}}
        self.online.endpoints.put(self.endpoint, EndpointBody.read(body))

    # --- what happens -------------------------------------------------------------------------------------------------

    def register(
        self,
        version: str,
        properties: Mapping[str, str] | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        age: timedelta = timedelta(),
        schema: Schema = "EventGridSchema",
    ) -> str:
        """Registers a version, and gives the event that the workspace raised for it."""
        self.stage.clock.advance(timedelta(seconds=1))
        model = self.workspace.registry.register(
            self.model,
            version,
            uri=f"azureml://datastores/lake/paths/models/{self.model}/{version}",
            tags={"stage": "candidate", **(tags or {})},
            properties=properties or {"Accuracy": "0.78"},
            created=self.stage.clock.now() - age,
            announce=False,
        )
        event = model_registered(
            name=model.name, version=version, tags=model.tags, properties=model.properties, time=model.created
        )
        return json.dumps(Published(topic=workspace_id(), event=event).envelope(schema))

    def first_goes_live(self) -> None:
        """Version 1, through its own rollout."""
        self.make_endpoint()
        self.stage.deliver(self.register("1"))
        self.settle()
        assert self.stage.states() == ["succeeded"], self.stage.reactions()
        self.workspace.requests.clear()

    def already_live(self, version: str) -> None:
        """As an earlier rollout of ours left it, without the time that takes."""
        self.make_endpoint()
        self.register(version)
        body = {
            "location": REGION,
            "tags": {"relearn_reaction": "ffffffffffffffffffffffff-1"},
            "sku": {"name": "Default", "capacity": 1},
            "properties": {"endpointComputeType": "Managed", "model": f"azureml:{self.model}:{version}"},
        }
        self.online.deployments.put(self.endpoint, self.name(version), DeploymentBody.read(body))
        traffic = {"authMode": "Key", "traffic": {self.name(version): 100}}
        self.online.endpoints.put(self.endpoint, EndpointBody.read({"location": REGION, "properties": traffic}))

    def settle(self) -> None:
        self.stage.settle(self.stage.all_final, looks=200)
        self.stage.settle()

    # --- what can be seen ---------------------------------------------------------------------------------------------

    def name(self, version: str) -> str:
        return deployment_name(ModelRef(name=self.model, version=version))

    def standing(self) -> tuple[list[str], dict[str, int]]:
        """Which versions are deployed, and the traffic by version, as the workspace has it."""
        versions = {self.name(str(n)): str(n) for n in range(1, 12)}
        deployed = sorted(versions.get(d.name, d.name) for d in self.online.directory.deployments(self.endpoint))
        traffic = self.online.endpoint(self.endpoint).traffic
        return deployed, {versions.get(name, name): share for name, share in traffic.items()}

    def made(self, version: str) -> int:
        """How often the workspace's side accepted that a deployment of this version be made."""
        calls = self.workspace.requests.writes(f"{self.endpoint}/deployments/{self.name(version)}")
        return sum(call.method == "PUT" and call.status in (200, 201) for call in calls)

    def last(self) -> dict[str, Any]:
        status, body = self.stage.get(f"reactions/{self.stage.reactions()[-1]['id']}")
        assert status == 200
        found: dict[str, Any] = body
        return found


def breaches(
    monitor: str, run_id: str, at: Any, *, signal: str = "data_drift", schema: Schema = "EventGridSchema"
) -> list[str]:
    """The events of one breach: every status after the tag was set is announced with it."""
    tag = (
        f"The signal '{signal}' has failed due to one or more features violating metric thresholds.\n"
        "The feature names and their corresponding computed metric values violating the threshold are \n"
        '[\'{"metric_value": 0.42, "metric_name": "JensenShannonDistance", "threshold_value": 0.1, "group": "Age"}\']\n'
    )
    run = Run(
        id=run_id,
        experiment=monitor,
        type="azureml.StepRun",
        tags={"azureml_modelmonitor_threshold_breached": tag},
    )
    happened = [run.status_changed(status, at) for status in ("Running", "Finalizing", "Completed")]
    return [json.dumps(Published(topic=workspace_id(), event=each).envelope(schema)) for each in happened]
