"""A stage whose files start jobs of a component of its own in the workspace."""

from __future__ import annotations

from typing import Any

from local.faults import Action
from local.machine_learning import Job
from local.machine_learning.requests import Call
from local.progress import Outcome
from tests.scenarios.stage import Stage

RULES = """\
version: 1
reactions:
  train:
    when: {file-landed: {path: "lake/in/{batch}/*.csv"}}
    collect: {by: "{batch}"}
    run-job: {component: "azureml:${COMPONENT}:1", compute: cpu-cluster, experiment: retrain}
    with: {batch: "{batch}"}
"""
COMPONENT = """\
name: {name}
type: command
code: .
inputs:
  batch: {{type: string}}
  reaction_id: {{type: string, optional: true}}
  attempt: {{type: string, optional: true}}
command: python run.py ${{{{inputs.batch}}}} $[[${{{{inputs.reaction_id}}}} ${{{{inputs.attempt}}}}]]
"""
CODE = "import sys\nprint(*sys.argv[1:])\n"


class Training:
    """A stage whose setting COMPONENT names the component, and what its workspace's side knows of the jobs."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.component = stage.settings["COMPONENT"]
        self.workspace = stage.cloud.machine_learning
        folder = self.stage.folder / self.component
        folder.mkdir()
        (folder / "component.yml").write_text(COMPONENT.format(name=self.component))
        (folder / "run.py").write_text(CODE)
        self.workspace.registry.add_component(folder / "component.yml")

    def fault(self, action: Action, times: int = 1, method: str = "PUT") -> None:
        self.workspace.faults.add(method=method, path="*/jobs/relearn-*", action=action, times=times)

    def deliver(self, batch: str = "b1", copies: int = 1) -> str:
        event = self.stage.land(f"in/{batch}/a.csv")
        self.stage.deliver(*[event] * copies)
        return event

    @property
    def jobs(self) -> list[Job]:
        """Its own, in the order they were started."""
        steps = ((job, job.submission.component.steps) for job in self.workspace.jobs())
        return [job for job, (step, *_) in steps if step.component.name == self.component]

    @property
    def running(self) -> list[Job]:
        return [job for job in self.jobs if not job.status.is_final]

    def end(self, outcome: Outcome = Outcome.SUCCEEDED) -> None:
        for job in self.running:
            self.workspace.finish(job.name, outcome)

    def puts(self) -> list[Call]:
        """The starts that the workspace's side wrote down, whatever became of them."""
        return [call for call in self.workspace.requests.writes("/jobs/relearn-") if call.method == "PUT"]

    def last(self) -> dict[str, Any]:
        status, body = self.stage.get(f"reactions/{self.stage.reactions()[-1]['id']}")
        assert status == 200
        found: dict[str, Any] = body
        return found
