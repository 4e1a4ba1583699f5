"""Jobs that are PUT under a name, on the local workspace over real HTTPS: what is accepted, and what then runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from local.faults import AcceptThen, Status
from local.machine_learning import Status as JobStatus
from local.progress import AfterPolls, ByHand, Immediately, Outcome
from local.service import workspace_id
from tests.local.aml import SHOW, WAIT, Lake, World, said, waiting_pids

HEAD = """
inputs:
  text: {type: string}
  count: {type: integer, default: 2}
command: python run.py ${{inputs.text}} ${{inputs.count}}
"""
WHOLE = """\
name: whole
type: pipeline
inputs:
  text: {type: string}
jobs:
  first: {component: ../show/component.yml, inputs: {text: "${{parent.inputs.text}}"}}
  second: {component: ../show/component.yml, inputs: {text: "${{parent.inputs.text}}", count: 7}}
"""


@pytest.fixture
def shown(world: World) -> World:
    """A workspace in which a command component and a pipeline of it are registered."""
    world.component("show", SHOW, HEAD)
    (world.folder / "whole").mkdir()
    (world.folder / "whole" / "component.yml").write_text(WHOLE)
    for name in ("show", "whole"):
        world.service.registry.add_component(world.folder / name / "component.yml")
    return world


def literal(value: object) -> dict[str, Any]:
    return {"jobInputType": "literal", "value": value}


def of_component(name: str = "whole", **changes: Any) -> dict[str, Any]:
    component = f"{workspace_id()}/components/{name}/versions/1"
    given = {"jobType": "Pipeline", "componentId": component, "inputs": {"text": literal("hello")}, "jobs": {}}
    return {"properties": {**given, **changes}}


def of_step(step: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    bound = {"text": {"job_input_type": "literal", "value": "${{parent.inputs.text}}"}}
    only = {"type": "command", "componentId": "azureml:show:1", "inputs": bound, **(step or {})}
    return {
        "properties": {"jobType": "Pipeline", "inputs": {"text": literal("hello")}, "jobs": {"run": only}, **changes}
    }


def test_a_pipeline_component_runs_as_the_job(shown: World) -> None:
    answer = shown.put("/jobs/Job_1-a", of_component(experimentName="retrain", tags={"by": "me"}))
    assert answer.status_code == 201
    job = shown.finished("Job_1-a")
    assert (job.status, job.message) == (JobStatus.COMPLETED, "")
    assert [step.argv[-2:] for step in job.steps] == [("hello", "2"), ("hello", "7")]
    assert said(job)["environment"]["AZUREML_ROOT_RUN_ID"] == "Job_1-a"
    told = shown.ask("/jobs/Job_1-a")["properties"]
    assert (told["status"], told["experimentName"], told["tags"]) == ("Completed", "retrain", {"by": "me"})
    assert told["componentId"].endswith("/components/whole/versions/1")
    assert told["properties"]["runSource"] == "MFE"


def test_a_step_that_is_a_registered_component_runs(shown: World) -> None:
    assert shown.put("/jobs/job-1", of_step()).status_code == 201
    assert said(shown.finished("job-1"))["argv"] == ["hello", "2"]


def test_the_steps_types_hold_for_what_is_handed_on_to_them(shown: World) -> None:
    bound = {"text": "${{parent.inputs.text}}", "count": "${{parent.inputs.rows}}"}
    inputs = {"text": literal("hello"), "rows": literal("many")}
    refused = shown.put("/jobs/job-1", of_step({"inputs": bound}, inputs=inputs))
    assert refused.status_code == 400
    assert "input 'rows' must be of type integer" in refused.text
    assert (
        shown.put("/jobs/job-1", of_step({"inputs": bound}, inputs={**inputs, "rows": literal("9")})).status_code == 201
    )
    assert said(shown.finished("job-1"))["argv"] == ["hello", "9"]


def test_its_events_carry_its_tags(shown: World) -> None:
    shown.service.progress.set(Immediately(), "whole")
    shown.put("/jobs/job-1", of_component(tags={"relearn_reaction": "r-1"}))
    assert [event.subject.rpartition("/")[2] for event in shown.events] == ["job-1"] * len(shown.events)
    assert {event.data["runTags"]["relearn_reaction"] for event in shown.events} == {"r-1"}


def test_a_name_that_is_taken_starts_nothing_and_changes_its_tags(shown: World) -> None:
    shown.service.progress.set(Immediately(), "whole")
    shown.put("/jobs/job-1", of_component(tags={"a": "1"}))
    answer = shown.put("/jobs/job-1", of_component(tags={"b": "2"}, displayName="again"))
    assert (answer.status_code, answer.json()["properties"]["tags"]) == (200, {"b": "2"})
    assert (len(shown.service.jobs()), shown.service.job("job-1").submission.display_name) == (1, "again")


def test_names_of_jobs_are_told_by_their_case(shown: World) -> None:
    shown.service.progress.set(ByHand(), "whole")
    assert [shown.put(f"/jobs/{name}", of_component()).status_code for name in ("job", "JOB")] == [201, 201]
    assert shown.post("/jobs/JOB/cancel").status_code == 200
    assert [shown.ask(f"/jobs/{name}")["properties"]["status"] for name in ("job", "JOB")] == ["Running", "Canceled"]
    assert shown.get(f"{workspace_id()}/jobs/Job").status_code == 404


def test_progress_is_set_by_the_components_name(shown: World) -> None:
    shown.service.progress.set(AfterPolls(1, Outcome.FAILED, "it was told to"), "show")
    shown.put("/jobs/job-1", of_step())
    polled = [shown.ask("/jobs/job-1")["properties"]["status"] for _ in range(2)]
    assert polled == ["Running", "Failed"]


def test_a_running_job_is_cancelled_with_its_processes(world: World) -> None:
    world.component("wait", WAIT, "command: python run.py\n")
    world.service.registry.add_component(world.folder / "wait" / "component.yml")
    step = {"type": "command", "componentId": "azureml:wait:1"}
    world.put("/jobs/job-1", {"properties": {"jobType": "Pipeline", "jobs": {"run": step}}})
    waiting_pids(world, "job-1")
    assert world.post("/jobs/job-1/cancel").status_code == 200
    assert world.finished("job-1").status is JobStatus.CANCELED


def test_faults_are_set_by_route(shown: World) -> None:
    shown.service.progress.set(Immediately(), "whole")
    shown.service.faults.add(method="PUT", path="*/jobs/job-*", action=AcceptThen(Status(409)))
    assert shown.put("/jobs/job-1", of_component()).status_code == 409
    assert shown.ask("/jobs/job-1")["properties"]["status"] == "Completed"


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        ({}, 400, "no 'properties' object"),
        (of_component(jobType="Command"), 501, "only Pipeline is imitated"),
        (of_component("never"), 400, "there is no components/never"),
        (of_component(inputs={}), 400, "input 'text' is required and missing"),
        (of_component(inputs={"text": literal("x"), "other": literal("y")}), 400, "input 'other' is not one of"),
        (
            of_component(inputs={"text": {"jobInputType": "uri_file", "uri": "https://x/y"}}),
            400,
            "must be sent as Literal",
        ),
        (of_step(jobs={}), 400, "has no step"),
        (of_step({"componentId": "azureml:never:1"}), 400, "there is no components/never"),
        (of_step({"inputs": {}}), 400, "lacks 'text'"),
    ],
)
def test_what_aml_would_not_take_is_refused(shown: World, body: dict[str, Any], status: int, part: str) -> None:
    answer = shown.put("/jobs/job-1", body)
    assert (answer.status_code, part in answer.text) == (status, True), answer.text
    assert shown.service.jobs() == []


@pytest.mark.parametrize("name", ["a.b", "-a", "ü", "a" * 256])
def test_what_is_no_name_is_refused(shown: World, name: str) -> None:
    answer = shown.put(f"/jobs/{name}", of_component())
    assert (answer.status_code, "is no name of a job" in answer.text) == (400, True), answer.text


def test_results_go_where_the_job_says(lake: Lake) -> None:
    world = lake.world
    code = "import sys\nfrom pathlib import Path\nPath(sys.argv[1], 'a.txt').write_text('done')\n"
    world.component(
        "write_job", code, "outputs:\n  data: {type: uri_folder}\ncommand: python run.py ${{outputs.data}}\n"
    )
    world.service.registry.add_component(world.folder / "write_job" / "component.yml")
    step = {
        "type": "command",
        "componentId": "azureml:write_job:1",
        "outputs": {"data": {"value": "${{parent.outputs.data}}", "type": "literal"}},
    }
    outputs = {"data": {"jobOutputType": "uri_folder", "uri": lake.uri("out/job/")}}
    world.put("/jobs/write-job-1", {"properties": {"jobType": "Pipeline", "jobs": {"run": step}, "outputs": outputs}})
    assert world.finished("write-job-1").status is JobStatus.COMPLETED
    assert lake.read("out/job/") == {"out/job/a.txt": b"done"}
