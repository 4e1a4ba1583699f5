"""Batch endpoints of the local workspace over real HTTPS: what they accept, and what their jobs do."""

from __future__ import annotations

import os
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.credentials import TokenCredential
from azure.storage.blob import ContainerClient

from local.accounts import Account
from local.cloud import LocalCloud
from local.faults import AcceptThen, Drop
from local.identity import mint
from local.machine_learning import ComponentError, Job, Status
from local.machine_learning.batch.jobs import Control, Jobs
from local.machine_learning.batch.pipelines import load_pipeline
from local.machine_learning.datastores import DataError, Datastores
from local.progress import AfterPolls, AfterSeconds, Immediately, Interpret, Outcome, fail_at
from local.service import WORKSPACE, workspace_id
from tests.local.aml import AML, ARM, SHOW, WAIT, Lake, ManualClock, World, is_alive, said, wait_until, waiting_pids

COPY = """
    import sys
    from pathlib import Path
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    for file in [path for path in source.rglob("*") if path.is_file()]:
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
"""


# --- what a step is given -------------------------------------------------------------------------------------------


def test_literal_inputs_reach_the_command_unsplit(world: World) -> None:
    world.component(
        "show",
        SHOW,
        """
        inputs:
          text: {type: string}
          count: {type: integer, default: 2}
          extra: {type: string, optional: true}
        command: python run.py --text ${{inputs.text}} --count=${{ inputs.count }} $[[--extra ${{inputs.extra}}]]
        """,
    )
    uri = world.pipeline(
        "show-it",
        """
        inputs:
          text: {type: string}
          extra: {type: string, optional: true}
        jobs:
          only:
            type: command
            component: ./show/component.yml
            inputs: {text: "${{parent.inputs.text}}", extra: "${{parent.inputs.extra}}"}
        """,
    )
    awkward = "a b; $(touch /x) 'q' ü"
    with_extra = {
        "text": {"JobInputType": "Literal", "Value": awkward},
        "extra": {"jobinputtype": "literal", "value": 7},
    }

    first = world.finished(world.start(uri, {"InputData": with_extra}))
    second = world.finished(world.start(uri, {"inputData": {"text": {"jobInputType": "Literal", "value": "x"}}}))

    assert first.status is Status.COMPLETED, first.message
    assert said(first)["argv"] == ["--text", awkward, "--count=2", "--extra", "7"]
    assert first.steps[0].argv == (sys.executable, "run.py", *said(first)["argv"])
    assert said(second)["argv"] == ["--text", "x", "--count=2"]


def test_a_step_knows_its_run_and_nothing_of_the_developer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "not for children")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    uri = world.deploy("show-it", SHOW)

    job = world.finished(world.start(uri, {"properties": {"experimentName": "nightly"}}))

    environment = said(job)["environment"]
    assert "AZURE_CLIENT_SECRET" not in environment
    assert "HTTPS_PROXY" not in environment
    assert environment["AZUREML_ROOT_RUN_ID"] == job.name
    assert environment["AZUREML_RUN_ID"] == job.steps[0].run_id
    assert environment["AZUREML_EXPERIMENT_NAME"] == "nightly"
    assert environment["AZUREML_ARM_WORKSPACE_NAME"] == WORKSPACE
    assert environment["PATH"].startswith(str(Path(sys.executable).parent))


def test_a_step_runs_in_a_copy_of_its_code(world: World) -> None:
    uri = world.deploy("write", "open('left-behind', 'w').close()")
    (world.folder / "write-step" / "__pycache__").mkdir()

    job = world.finished(world.start(uri))

    assert job.status is Status.COMPLETED, job.message
    code = job.folder / "steps" / "only" / "code"
    assert {path.name for path in code.iterdir()} == {"component.yml", "run.py", "left-behind"}
    assert not (world.folder / "write-step" / "left-behind").exists()


def test_steps_run_in_the_order_their_data_flows(world: World) -> None:
    world.component(
        "make",
        "import sys; open(sys.argv[1], 'w').write('made')",
        "outputs:\n  made: {type: uri_file}\ncommand: python run.py ${{outputs.made}}\n",
    )
    world.component(
        "read",
        "import sys; print(open(sys.argv[1]).read())",
        "inputs:\n  made: {type: uri_file}\ncommand: python run.py ${{inputs.made}}\n",
    )
    uri = world.pipeline(
        "in-order",
        """
        jobs:
          a_reader:
            component: ./read/component.yml
            inputs: {made: "${{parent.jobs.maker.outputs.made}}"}
          maker:
            component: file:./make/component.yml
        """,
    )

    job = world.finished(world.start(uri))

    assert job.status is Status.COMPLETED, job.message
    assert [step.name for step in job.steps] == ["maker", "a_reader"]
    assert job.steps[1].stdout is not None
    assert job.steps[1].stdout.read_text() == "made\n"


# --- how a job ends -------------------------------------------------------------------------------------------------


def two_steps(world: World, first: str) -> str:
    world.component("first", first, "outputs:\n  o: {type: uri_folder}\ncommand: python run.py ${{outputs.o}}\n")
    world.component("second", "print('ran')", "inputs:\n  i: {type: uri_folder}\ncommand: python run.py\n")
    return world.pipeline(
        "two-steps",
        """
        jobs:
          first: {component: ./first/component.yml}
          second: {component: ./second/component.yml, inputs: {i: "${{parent.jobs.first.outputs.o}}"}}
        """,
    )


def test_a_step_that_exits_with_3_fails_its_job(world: World) -> None:
    uri = two_steps(world, "import sys; print('to the log'); print('the reason', file=sys.stderr); sys.exit(3)")

    job = world.finished(world.start(uri))

    assert job.status is Status.FAILED
    assert "'first' failed with exit code 3" in job.message
    assert "the reason" in job.message
    (step,) = job.steps  # the second never became one
    assert step.exit_code == 3
    assert step.argv[:2] == (sys.executable, "run.py")
    assert step.pid is not None
    assert not is_alive(step.pid)
    assert step.stdout is not None
    assert step.stdout.read_text() == "to the log\n"


def test_a_command_that_is_not_there_fails_its_job(world: World) -> None:
    world.component("gone", "", "command: no-such-program --now\n")
    uri = world.pipeline("gone", "jobs:\n  only: {component: ./gone/component.yml}\n")

    job = world.finished(world.start(uri))

    assert job.status is Status.FAILED
    assert "'only' could not be started" in job.message
    assert job.steps[0].pid is None


def test_a_step_that_takes_too_long_is_ended(world: World) -> None:
    world.component("wait", WAIT, "command: python run.py\n")
    uri = world.pipeline("wait", "jobs:\n  only: {component: ./wait/component.yml, limits: {timeout: 0.3}}\n")

    job = world.finished(world.start(uri))

    assert job.status is Status.FAILED
    assert "longer than its 0.3 s" in job.message
    assert job.steps[0].exit_code == -15
    assert job.steps[0].pid is not None
    assert not is_alive(job.steps[0].pid)


def test_what_a_step_leaves_behind_is_ended_with_it(world: World) -> None:
    uri = world.deploy("leave", WAIT.rpartition("time.sleep(60)")[0])

    job = world.finished(world.start(uri))

    assert job.status is Status.COMPLETED, job.message
    assert job.steps[0].stdout is not None
    child = int(job.steps[0].stdout.read_text())
    wait_until(lambda: not is_alive(child), "the child is gone")


def test_cancel_ends_the_step_and_its_children_and_nothing_else(world: World) -> None:
    uri = world.deploy("wait", WAIT)
    names = [world.start(uri), world.start(uri)]
    pids = [waiting_pids(world, name) for name in names]
    assert all(is_alive(pid) for pair in pids for pid in pair)

    answer = world.client.post(
        f"{workspace_id()}/jobs/{names[0]}/cancel?api-version=2024-01-01-preview",
        headers={"Authorization": f"Bearer {mint(ARM)}"},
    )

    assert answer.status_code == 200
    job = world.finished(names[0])
    assert job.status is Status.CANCELED
    assert job.steps[0].exit_code == -15
    wait_until(lambda: not any(is_alive(pid) for pid in pids[0]), "the cancelled step and its child are gone")
    assert all(is_alive(pid) for pid in pids[1])
    assert world.service.job(names[1]).status is Status.RUNNING
    world.service.close()
    assert not any(is_alive(pid) for pid in pids[1][:1])
    assert world.service.job(names[1]).status is Status.CANCELED


def test_two_jobs_run_at_once_and_the_third_waits(world: World) -> None:
    uri = world.deploy("wait", WAIT)
    names = [world.start(uri) for _ in range(4)]
    for name in names[:2]:
        waiting_pids(world, name)

    assert [world.service.job(name).status for name in names] == ["Running", "Running", "Queued", "Queued"]
    assert world.service.cancel(names[3]).status is Status.CANCELED  # never ran: over at once
    world.service.cancel(names[0])
    waiting_pids(world, names[2])
    assert world.service.job(names[3]).steps == ()
    assert not world.service.job(names[3]).folder.exists()


def test_a_cancelled_job_stays_cancelled_and_a_finished_one_finished(world: World) -> None:
    uri = world.deploy("quick", "print('done')")
    done = world.finished(world.start(uri))

    assert world.service.cancel(done.name).status is Status.COMPLETED


def test_a_defect_in_the_execution_does_not_leave_a_job_running(tmp_path: Path, world: World) -> None:
    world.deploy("any-name", "")
    submission = world.service.job(world.start(world.service.scoring_uri("any-name"))).submission

    def defective(control: Control) -> None:
        raise ZeroDivisionError("a slip")

    jobs = Jobs(tmp_path / "other", defective, ManualClock())
    jobs.submit(submission, Interpret())
    jobs.close()

    (job,) = jobs.all()
    assert job.status is Status.FAILED
    assert "a slip" in job.message


def test_old_folders_are_pruned_and_new_ones_kept(world: World) -> None:
    folder = world.folder / "cloud" / "jobs"
    for number in range(60):
        (folder / f"old-{number:02d}").mkdir(parents=True)
        os.utime(folder / f"old-{number:02d}", (number, number))
    uri = world.deploy("quick", "print('done')")

    job = world.finished(world.start(uri))

    wait_until(lambda: len(list(folder.iterdir())) == 50, "50 folders are left")
    assert job.folder.is_dir()
    assert (folder / "old-59").is_dir()
    assert not (folder / "old-00").exists()


def told(world: World, name: str) -> list[str]:
    """What Event Grid was told of a job, in order."""
    events = [event for event in world.events if event.data["runId"] == name]
    return [event.data.get("runStatus") or event.type.rpartition(".")[2] for event in events]


def test_a_job_tells_of_every_change_and_of_its_good_end(world: World) -> None:
    uri = world.deploy("quick", "print('done')")

    job = world.finished(world.start(uri, {"properties": {"experimentName": "nightly"}, "tags": {"a": "b"}}))

    assert told(world, job.name) == [
        *("NotStarted", "Starting", "Preparing", "Running", "Finalizing", "Completed"),
        "RunCompleted",
    ]
    last = world.events[-1]
    assert last.type == "Microsoft.MachineLearningServices.RunCompleted"
    assert last.subject == f"experiments/{last.data['experimentId']}/runs/{job.name}"
    assert (last.data["experimentName"], last.data["runType"]) == ("nightly", "azureml.PipelineRun")
    assert last.data["runTags"] == {"azureml.deploymentname": "default", "a": "b"}


def test_a_job_that_fails_is_told_as_failed_and_never_as_completed(world: World) -> None:
    job = world.finished(world.start(world.deploy("bad-luck", "raise SystemExit(1)")))

    assert told(world, job.name)[-1] == "Failed"
    assert "RunCompleted" not in told(world, job.name)


def test_of_jobs_that_are_forgotten_nothing_more_is_told(world: World) -> None:
    name = world.start(world.deploy("wait", WAIT))
    waiting_pids(world, name)

    world.service.reset()

    assert told(world, name)[-1] == "Running"


# --- time by policy -------------------------------------------------------------------------------------------------


def test_a_job_may_end_after_polls_without_a_process(world: World) -> None:
    uri = world.deploy("polled", "raise SystemExit('must not run')")
    world.service.progress.set(AfterPolls(2, Outcome.FAILED, "as told"), "polled")
    name = world.start(uri)

    def status() -> str:
        answer = world.get(f"{uri}/{name}", AML).json()
        return str(answer["properties"]["status"])

    assert [status(), status(), status(), status()] == ["Running", "Running", "Failed", "Failed"]
    job = world.service.job(name)
    assert job.message == "as told"
    assert job.steps == ()


def test_a_job_may_end_at_once_or_after_seconds(world: World) -> None:
    uri = world.deploy("timed", "raise SystemExit('must not run')")
    world.service.progress.once(Immediately(Outcome.CANCELLED))
    assert world.invoke(uri).json()["properties"]["status"] == "Canceled"

    world.service.progress.once(AfterSeconds(60))
    name = world.start(uri)
    path = f"{workspace_id()}/jobs/{name}"
    assert world.get(path).json()["properties"]["status"] == "Running"
    world.clock.time += timedelta(seconds=61)
    assert world.get(path).json()["properties"]["status"] == "Completed"


def test_a_step_may_be_told_to_fail(world: World) -> None:
    uri = two_steps(world, "print('ran')")
    world.service.progress.set(fail_at("second", "no luck today"))

    job = world.finished(world.start(uri))

    assert job.status is Status.FAILED
    assert job.message == "Step 'second' failed: no luck today"
    assert [(step.name, step.exit_code) for step in job.steps] == [("first", 0), ("second", None)]


# --- the data plane's door ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        (f"Bearer {mint(ARM)}", f"for {ARM}, not for {AML}"),
        (f"Bearer {mint(AML, at=0)}", "expired"),
        ("Bearer opaque", "not a JWT"),
    ],
)
def test_a_token_for_somebody_else_is_refused(world: World, authorization: str, reason: str) -> None:
    uri = world.deploy("guarded", "")

    answers = [
        world.client.post(uri, json={"properties": {}}, headers={"Authorization": authorization}),
        world.client.get(f"{uri}/some-job", headers={"Authorization": authorization}),
    ]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert reason in answers[0].json()["error"]["message"]
    assert world.service.jobs() == []


def test_without_a_token_nothing_is_answered(world: World) -> None:
    uri = world.deploy("guarded", "")

    assert world.client.post(uri, json={"properties": {}}).status_code == 401
    assert world.client.get(workspace_id()).status_code == 401


def typed(world: World) -> str:
    world.component(
        "typed",
        SHOW,
        """
        inputs:
          raw: {type: uri_folder}
          text: {type: string}
          count: {type: integer, default: 1}
          share: {type: number, default: 0.5}
          flag: {type: boolean, default: false}
        outputs:
          out: {type: uri_folder}
        command: python run.py ${{inputs.text}} ${{inputs.count}} ${{inputs.share}} ${{inputs.flag}} ${{outputs.out}}
        """,
    )
    return world.pipeline(
        "typed",
        """
        inputs:
          raw: {type: uri_folder}
          text: {type: string}
          count: {type: integer, default: 1}
          share: {type: number, default: 0.5}
          flag: {type: boolean, default: false}
        outputs:
          out: {type: uri_folder}
        jobs:
          only:
            component: ./typed/component.yml
            inputs:
              raw: ${{parent.inputs.raw}}
              text: ${{parent.inputs.text}}
              count: ${{parent.inputs.count}}
              share: ${{parent.inputs.share}}
              flag: ${{parent.inputs.flag}}
            outputs: {out: "${{parent.outputs.out}}"}
        """,
    )


FOLDER = {"JobInputType": "UriFolder", "Uri": "azureml://datastores/lake/paths/raw"}
GOOD = {"raw": FOLDER, "text": {"JobInputType": "Literal", "Value": "x"}}


@pytest.mark.parametrize(
    ("inputs", "outputs", "named"),
    [
        ({**GOOD, "rwa": FOLDER}, {}, ["'rwa'", "count, flag, raw, share, text"]),
        ({"raw": FOLDER}, {}, ["'text' is required"]),
        ({}, {}, ["'raw' is required", "'text' is required"]),
        ({**GOOD, "raw": {"JobInputType": "UriFile", "Uri": FOLDER["Uri"]}}, {}, ["'raw'", "UriFolder, not UriFile"]),
        ({**GOOD, "raw": {"JobInputType": "Literal", "Value": "x"}}, {}, ["'raw'", "not Literal"]),
        ({**GOOD, "raw": {"JobInputType": "UriFolder"}}, {}, ["'raw' has no uri"]),
        ({**GOOD, "raw": {"Uri": FOLDER["Uri"]}}, {}, ["'raw' has no jobInputType"]),
        ({**GOOD, "text": FOLDER}, {}, ["'text'", "Literal, not UriFolder"]),
        ({**GOOD, "text": {"JobInputType": "Literal"}}, {}, ["'text' must be of type string, which None is not"]),
        ({**GOOD, "count": {"JobInputType": "Literal", "Value": "many"}}, {}, ["'count' must be of type integer"]),
        ({**GOOD, "count": {"JobInputType": "Literal", "Value": 1.5}}, {}, ["'count' must be of type integer"]),
        ({**GOOD, "share": {"JobInputType": "Literal", "Value": True}}, {}, ["'share' must be of type number"]),
        ({**GOOD, "flag": {"JobInputType": "Literal", "Value": "maybe"}}, {}, ["'flag' must be of type boolean"]),
        (GOOD, {"uot": {"JobOutputType": "UriFolder", "Uri": "azureml://x"}}, ["output 'uot'"]),
        (GOOD, {"out": {"JobOutputType": "UriFile", "Uri": "azureml://x"}}, ["output 'out'", "not UriFile"]),
    ],
)
def test_what_does_not_fit_the_component_is_refused_by_name(
    world: World, inputs: dict[str, Any], outputs: dict[str, Any], named: list[str]
) -> None:
    answer = world.invoke(typed(world), {"InputData": inputs, "OutputData": outputs})

    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "UserError"
    assert len(error["details"]) >= 1
    for part in named:
        assert part in error["message"]
    assert world.service.jobs() == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"InputData": {}}'])
def test_a_body_that_is_no_invocation_is_refused(world: World, body: bytes) -> None:
    uri = world.deploy("any-name", "")

    answer = world.client.post(uri, content=body, headers={"Authorization": f"Bearer {mint(AML)}"})

    assert answer.status_code == 400
    assert "'properties'" in answer.json()["error"]["message"]


def test_literals_are_read_as_the_type_the_component_declares(world: World) -> None:
    uri = typed(world)
    world.service.progress.set(Immediately())
    values = {"count": "7", "share": 1, "flag": "True"}
    extra = {name: {"jobInputType": "Literal", "value": value} for name, value in values.items()}

    name = world.start(uri, {"inputData": {**GOOD, **extra}})

    inputs = world.service.job(name).submission.inputs
    assert {key: value.value for key, value in inputs.items() if hasattr(value, "value")} == {
        "text": "x",
        "count": 7,
        "share": 1,
        "flag": True,
    }
    assert world.get(f"{uri}/{name}", AML).json()["properties"]["inputData"]["count"] == {
        "jobInputType": "Literal",
        "value": 7,
    }


def test_an_input_by_asset_name_is_not_imitated(world: World) -> None:
    answer = world.invoke(typed(world), {"InputData": {**GOOD, "raw": {**FOLDER, "Uri": "azureml:raw:1"}}})

    assert answer.status_code == 501
    assert "'azureml:raw:1'" in answer.json()["error"]["message"]


def test_the_answer_names_the_job_and_where_to_ask_for_it(world: World) -> None:
    uri = world.deploy("named", "")

    answer = world.invoke(uri)

    content = answer.json()
    assert content["id"].endswith(f"/jobs/{content['name']}")
    assert content["properties"]["status"] in {"NotStarted", "Starting", "Preparing", "Running"}
    assert answer.headers["azureml-model-deployment"] == "default"
    job = world.finished(content["name"])
    by_location = world.get(answer.headers["location"], AML).json()
    assert by_location["name"] == job.name
    assert by_location["properties"]["status"] == "Completed"


def test_the_same_request_again_is_the_same_job(world: World) -> None:
    uri, other = world.deploy("once", ""), world.deploy("other", "")

    def job(address: str, request_id: str) -> str:
        headers = {"Authorization": f"Bearer {mint(AML)}", "repeatability_request-id": request_id}
        answer = world.client.post(address, json={"properties": {}}, headers=headers)
        assert answer.status_code == 201
        return str(answer.json()["name"])

    first, again, second, elsewhere = job(uri, "r1"), job(uri, "r1"), job(uri, "r2"), job(other, "r1")

    assert first == again
    assert len({first, second, elsewhere}) == 3
    assert len(world.service.jobs()) == 3


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/batch/nowhere/jobs/x", 404, "ResourceNotFound"),
        ("/batch/known/jobs/x", 404, "ResourceNotFound"),
        (f"{workspace_id()}/jobs/x", 404, "ResourceNotFound"),
        (f"{workspace_id()}/batchEndpoints/nowhere", 404, "ResourceNotFound"),
        (f"{workspace_id()}/batchEndpoints/known/deployments/other", 404, "ResourceNotFound"),
        (f"{workspace_id('another')}/jobs", 404, "ResourceNotFound"),
        (f"{workspace_id()}/computes", 501, "NotImplementedLocally"),
        ("/batch/known/jobs", 501, "NotImplementedLocally"),
    ],
)
def test_what_is_not_there_says_so(world: World, path: str, status: int, code: str) -> None:
    world.deploy("known", "")

    answer = world.get(path, AML)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_job_is_found_at_its_own_endpoint_only(world: World) -> None:
    uri, other = world.deploy("its-own", ""), world.deploy("another", "")
    name = world.start(uri)

    assert world.get(f"{uri}/{name}", AML).status_code == 200
    assert world.get(f"{other}/{name}", AML).status_code == 404


def test_a_deployment_that_is_not_there_is_not_found(world: World) -> None:
    answer = world.invoke(world.deploy("known", ""), azureml_model_deployment="green")

    assert answer.status_code == 404
    assert "no deployment 'green'" in answer.json()["error"]["message"]


def test_paths_are_found_whatever_their_case(world: World) -> None:
    uri = world.deploy("Known", "")
    name = world.start(uri.replace("/batch/", "/BATCH/"))

    path = f"{workspace_id()}/Jobs/{name}".replace("resourceGroups", "RESOURCEGROUPS")
    assert world.get(path).json()["name"] == name
    assert world.get(f"{workspace_id()}/batchendpoints/KNOWN").json()["name"] == "Known"
    world.finished(name)


def test_a_scheduled_fault_can_lose_the_answer_of_an_accepted_job(world: World) -> None:
    uri = world.deploy("lost", "")
    world.service.faults.add(method="POST", path="/batch/lost/jobs", action=AcceptThen(Drop()))

    with pytest.raises(httpx.RemoteProtocolError):
        world.invoke(uri)

    assert len(world.service.jobs()) == 1


def test_the_state_is_plain_json_and_reset_empties_it(world: World) -> None:
    uri = world.deploy("shown", "print('x')")
    job = world.finished(world.start(uri))

    shown = world.client.get("/_local/state").json()["machine-learning"]
    world.client.post("/_local/reset")

    assert shown["endpoints"] == {"shown": uri}
    assert shown["jobs"][0]["name"] == job.name
    assert shown["jobs"][0]["steps"][0]["exit_code"] == 0
    assert world.service.jobs() == []
    assert world.start(uri)  # what is deployed stays


# --- data -----------------------------------------------------------------------------------------------------------


def copying(lake: Lake) -> str:
    """An endpoint `copy` that takes a folder and puts out the same."""
    head = "inputs:\n  source: {type: uri_folder}\noutputs:\n  target: {type: uri_folder}\n"
    lake.world.component("copy", COPY, f"{head}command: python run.py ${{{{inputs.source}}}} ${{{{outputs.target}}}}\n")
    bindings = "inputs: {source: '${{parent.inputs.source}}'}, outputs: {target: '${{parent.outputs.target}}'}"
    return lake.world.pipeline("copy", f"{head}jobs:\n  only: {{component: ./copy/component.yml, {bindings}}}\n")


def copied(lake: Lake, source: str, target: str | None) -> Job:
    properties: dict[str, Any] = {"InputData": {"source": {"JobInputType": "UriFolder", "Uri": source}}}
    if target is not None:
        properties["OutputData"] = {"target": {"JobOutputType": "UriFolder", "Uri": target}}
    return lake.world.finished(lake.world.start(copying(lake), properties))


@pytest.mark.cloud
def test_a_folder_goes_through_a_job_and_back_to_the_lake(lake: Lake) -> None:
    lake.put({"out/one.csv": b"a neighbour, which does not make the path taken"})
    files = {"stage/a.csv": b"1,2\n", "stage/deep/er/ü b.csv": b"", "stage/big.bin": bytes(5_000_000)}
    lake.put(
        {**{f"raw/{name}": content for name, content in files.items()}, "raw/stagecoach/no.csv": b"not below stage"}
    )

    job = copied(lake, lake.uri("raw/stage/"), lake.uri("out/one"))

    assert job.status is Status.COMPLETED, job.message
    assert lake.read("out/one/") == {f"out/one/{name.removeprefix('stage/')}": data for name, data in files.items()}


@pytest.mark.cloud
def test_a_registered_model_comes_to_a_job_by_its_reference(cloud: LocalCloud, lake: Lake) -> None:
    lake.put({"models/m/r-1/MLmodel": b"flavors: {}", "models/m/r-1/data/x.bin": b"1", "models/m/r-10/no": b""})
    name = lake.container.account_name or "m"
    registry = cloud.machine_learning.registry
    registry.register(name, "3", uri=lake.uri("models/m/r-1/"), announce=False)
    ports = "inputs:\n  model: {type: mlflow_model}\n"
    outputs = "outputs:\n  target: {type: uri_folder}\n"
    command = "command: python run.py ${{inputs.model}} ${{outputs.target}}\n"
    lake.world.component("copy", COPY, ports + outputs + command)
    bindings = "inputs: {model: '${{parent.inputs.model}}'}, outputs: {target: '${{parent.outputs.target}}'}"
    uri = lake.world.pipeline(
        "use-model", f"{ports}{outputs}jobs:\n  only: {{component: ./copy/component.yml, {bindings}}}\n"
    )

    for number, reference in enumerate((f"azureml:{name}:3", f"azureml:{workspace_id()}/models/{name}/versions/3")):
        properties = {
            "InputData": {"model": {"JobInputType": "MLFlowModel", "Uri": reference}},
            "OutputData": {"target": {"JobOutputType": "UriFolder", "Uri": lake.uri(f"used/{number}")}},
        }
        job = lake.world.finished(lake.world.start(uri, properties))

        assert job.status is Status.COMPLETED, job.message
        assert set(lake.read(f"used/{number}/")) == {f"used/{number}/MLmodel", f"used/{number}/data/x.bin"}


REGISTER = """
    import os, sys, warnings
    warnings.simplefilter("ignore")
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import Model
    from azure.identity import DefaultAzureCredential
    where = [os.environ[f"AZUREML_ARM_{part}"] for part in ("SUBSCRIPTION", "RESOURCEGROUP", "WORKSPACE_NAME")]
    client = MLClient(DefaultAzureCredential(), *where)
    tags = {"relearn_job": os.environ["AZUREML_ROOT_RUN_ID"]}
    made = client.models.create_or_update(Model(name=sys.argv[1], path=sys.argv[2], type="mlflow_model", tags=tags))
    print(made.version, [found.version for found in client.models.list(name=sys.argv[1])])
"""


@pytest.mark.cloud
def test_a_step_registers_a_model_with_the_unmodified_client(cloud: LocalCloud, lake: Lake) -> None:
    ports = "inputs:\n  name: {type: string}\n  uri: {type: string}\n"
    command = "command: python run.py ${{inputs.name}} ${{inputs.uri}}\n"
    lake.world.component("register", REGISTER, ports + command)
    bindings = "inputs: {name: '${{parent.inputs.name}}', uri: '${{parent.inputs.uri}}'}"
    uri = lake.world.pipeline(
        "register", f"{ports}jobs:\n  only: {{component: ./register/component.yml, {bindings}}}\n"
    )
    name, files = f"model-{lake.container.account_name}", "azureml://datastores/lake/paths/models/m/r-1/"

    def literal(value: str) -> dict[str, str]:
        return {"JobInputType": "Literal", "Value": value}

    started = lake.world.start(uri, {"InputData": {"name": literal(name), "uri": literal(files)}})
    job = lake.world.finished(started, 60)

    assert job.status is Status.COMPLETED, job.message
    assert job.steps[0].stdout is not None
    assert job.steps[0].stdout.read_text().splitlines()[-1] == "1 ['1']"
    (model,) = cloud.machine_learning.registry.versions(name)
    assert model.tags == {"relearn_job": job.name}
    assert model.uri.endswith("/datastores/lake/paths/models/m/r-1/")


@pytest.mark.cloud
def test_a_result_is_announced_like_any_file(cloud: LocalCloud, lake: Lake) -> None:
    seen: list[str] = []
    cloud.storage.on_blob(lambda change: seen.append(change.event().subject))
    lake.put({"raw/a.csv": b"1"})

    job = copied(lake, lake.uri("raw"), lake.uri("out/two"))

    assert job.status is Status.COMPLETED, job.message
    assert "/blobServices/default/containers/lake/blobs/out/two/a.csv" in seen


@pytest.mark.cloud
def test_an_output_without_a_place_gets_one(lake: Lake) -> None:
    lake.put({"raw/a.csv": b"1"})

    job = copied(lake, lake.uri("raw"), None)

    assert job.status is Status.COMPLETED, job.message
    assert job.submission.outputs["target"].uri == f"azureml://datastores/lake/paths/azureml/{job.name}/target"


@pytest.mark.cloud
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("azureml://datastores/elsewhere/paths/raw", "no datastore 'elsewhere'"),
        ("https://127.0.0.1:1/lake000/lake/raw", "nor an address in the storage of this cloud"),
        ("raw/nothing-here", "no file below this path"),
    ],
)
def test_an_input_that_is_not_there_fails_the_job_by_its_uri(lake: Lake, source: str, reason: str) -> None:
    uri = source if "://" in source else lake.uri(source)

    job = copied(lake, uri, lake.uri("out/three"))

    assert job.status is Status.FAILED
    assert uri in job.message
    assert reason in job.message
    assert job.steps == ()
    assert lake.read("out/") == {}


@pytest.mark.cloud
@pytest.mark.parametrize("taken", ["out/four", "out/four/old.csv"])
def test_an_output_path_that_is_taken_fails_the_job(lake: Lake, taken: str) -> None:
    lake.put({"raw/a.csv": b"1", taken: b"old", "out/fourteen.csv": b"no matter"})

    job = copied(lake, lake.uri("raw"), lake.uri("out/four"))

    assert job.status is Status.FAILED
    assert f"already holds '{taken}'" in job.message
    assert lake.uri("out/four") in job.message
    assert job.steps == ()
    assert lake.read("out/four/") == ({taken: b"old"} if taken.endswith(".csv") else {})


@pytest.mark.cloud
def test_a_file_by_its_address_in_another_account(
    lake: Lake, app_account: Account, credential: TokenCredential
) -> None:
    with ContainerClient(app_account.blob, "manifests", credential=credential) as manifests:
        url = manifests.upload_blob("m 1/manifest.json", b'{"count": 1}').url
    head = "inputs:\n  manifest: {type: uri_file}\noutputs:\n  kept: {type: uri_file}\n"
    code = "import sys; open(sys.argv[2], 'wb').write(open(sys.argv[1], 'rb').read() + sys.argv[1][-13:].encode())"
    lake.world.component("keep", code, f"{head}command: python run.py ${{{{inputs.manifest}}}} ${{{{outputs.kept}}}}\n")
    bindings = "inputs: {manifest: '${{parent.inputs.manifest}}'}, outputs: {kept: '${{parent.outputs.kept}}'}"
    uri = lake.world.pipeline("keep", f"{head}jobs:\n  only: {{component: ./keep/component.yml, {bindings}}}\n")

    name = lake.world.start(
        uri,
        {
            "InputData": {"manifest": {"JobInputType": "UriFile", "Uri": url}},
            "OutputData": {"kept": {"JobOutputType": "UriFile", "Uri": lake.uri("kept/copy.json")}},
        },
    )

    job = lake.world.finished(name)
    assert job.status is Status.COMPLETED, job.message
    assert lake.read("kept/") == {"kept/copy.json": b'{"count": 1}manifest.json'}


@pytest.mark.cloud
def test_a_step_that_fails_puts_nothing_out(lake: Lake) -> None:
    lake.put({"raw/a.csv": b"1"})
    uri = copying(lake)
    (lake.world.folder / "copy" / "run.py").write_text(textwrap.dedent(COPY) + "\nsys.exit(3)\n")

    name = lake.world.start(
        uri,
        {
            "InputData": {"source": {"JobInputType": "UriFolder", "Uri": lake.uri("raw")}},
            "OutputData": {"target": {"JobOutputType": "UriFolder", "Uri": lake.uri("out/five")}},
        },
    )

    assert lake.world.finished(name).status is Status.FAILED
    assert lake.read("out/") == {}


@pytest.mark.cloud
def test_an_upload_never_replaces_what_came_meanwhile(cloud: LocalCloud, lake: Lake) -> None:
    (lake.world.folder / "result.csv").write_bytes(b"new")
    lake.put({"out/seven/result.csv": b"old"})
    datastores = Datastores(
        storage_url=lake.url.rsplit("/", 2)[0], containers={"mine": lake.url}, ca_file=cloud.certificates.ca_file
    )

    with pytest.raises(DataError, match="already exists"):
        datastores.upload(
            lake.world.folder / "result.csv", "azureml://datastores/mine/paths/out/seven/result.csv", threading.Event()
        )

    assert lake.read("out/seven/") == {"out/seven/result.csv": b"old"}
    datastores.close()


@pytest.mark.cloud
def test_a_burst_of_parts_is_moved_quickly(lake: Lake) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: lake.put({f"raw/part-{n:03d}.csv": b"x" * 1000}), range(200)))

    began = time.monotonic()
    job = copied(lake, lake.uri("raw"), lake.uri("out/six"))
    took = time.monotonic() - began

    assert job.status is Status.COMPLETED, job.message
    assert len(list(lake.container.list_blob_names(name_starts_with="out/six/"))) == 200
    assert took < 15, "measured: 2 to 3 s"
    print(f"200 parts in and out: {took:.1f} s")


# --- component files ------------------------------------------------------------------------------------------------

STEP = "inputs:\n  i: {type: uri_folder}\noutputs:\n  o: {type: uri_folder}\ncommand: python run.py\n"
USE = "component: ./step/component.yml"


@pytest.mark.parametrize(
    ("step", "pipeline", "message"),
    [
        ("command: python run.py && ls\n", f"jobs:\n  s: {{{USE}}}\n", "needs a shell for '&&'"),
        ("command: python run.py;ls\n", f"jobs:\n  s: {{{USE}}}\n", "needs a shell for ';'"),
        ("command: python run.py $HOME\n", f"jobs:\n  s: {{{USE}}}\n", "'$HOME' needs a shell"),
        ("command: python run.py ${{inputs.no}}\n", f"jobs:\n  s: {{{USE}}}\n", "${{inputs.no}} is not one of"),
        ("command: |\n  one\n  two\n", f"jobs:\n  s: {{{USE}}}\n", "several lines"),
        (
            "inputs:\n  i: {type: string, optional: true}\ncommand: python ${{inputs.i}}\n",
            f"jobs:\n  s: {{{USE}}}\n",
            "is optional",
        ),
        ("inputs:\n  i: {type: triton_model}\ncommand: python\n", f"jobs:\n  s: {{{USE}}}\n", "'triton_model' is not"),
        (STEP, f"jobs:\n  s: {{{USE}}}\n", "lacks 'i'"),
        (STEP, f"jobs:\n  s: {{{USE}, inputs: {{i: a, x: b}}}}\n", "'x' is not one of the component's: i"),
        (STEP, f"jobs:\n  s: {{{USE}, inputs: {{i: '${{{{parent.inputs.no}}}}'}}}}\n", "has no input 'no'"),
        (STEP, f"jobs:\n  s: {{{USE}, inputs: {{i: '${{{{parent.jobs.t.outputs.o}}}}'}}}}\n", "step 't' that is not"),
        (STEP, f"jobs:\n  s: {{{USE}, inputs: {{i: '${{{{parent.jobs.s.outputs.o}}}}'}}}}\n", "wait for each other"),
        (
            STEP,
            f"jobs:\n  s: {{{USE}, inputs: {{i: a}}, outputs: {{o: '${{{{parent.outputs.no}}}}'}}}}\n",
            "output 'no'",
        ),
        (STEP, f"outputs:\n  o: {{type: uri_folder}}\njobs:\n  s: {{{USE}, inputs: {{i: a}}}}\n", "put out by no step"),
        (STEP, "jobs:\n  s: {component: 'azureml:step:1'}\n", "only components in files"),
        (STEP, "jobs:\n  s: {type: sweep}\n", "'sweep' is not imitated"),
        (
            STEP,
            f"inputs:\n  i: {{type: uri_folder, optional: true}}\n"
            f"jobs:\n  s: {{{USE}, inputs: {{i: '${{{{parent.inputs.i}}}}'}}}}\n",
            "is required, and the pipeline's input 'i' is optional",
        ),
        (STEP, "jobs: {}\n", "has no step"),
        (STEP, "inputs:\n  n: {type: integer, default: x}\njobs: {}\n", "inputs.n.default: must be of type integer"),
        (STEP, f"jobs:\n  s: {{{USE}, inputs: {{i: a}}, limits: {{timeout: PT1H}}}}\n", "'PT1H' is not a number"),
        (STEP, "jobs:\n  s: {component: ./other.yml}\n", "other.yml: cannot be read"),
        (STEP, "jobs: [\n", "cannot be read"),
    ],
)
def test_a_wrong_component_is_refused_with_its_place(tmp_path: Path, step: str, pipeline: str, message: str) -> None:
    (tmp_path / "step").mkdir()
    (tmp_path / "step" / "component.yml").write_text(f"name: step\ntype: command\n{step}")
    file = tmp_path / "pipeline.yml"
    file.write_text(f"name: p\ntype: pipeline\n{pipeline}")

    with pytest.raises(ComponentError) as caught:
        load_pipeline(file)

    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)
