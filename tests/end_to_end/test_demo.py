"""`python -m local demo`: the files, their reactions and runs, checked against the lake and the factory's record."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.mgmt.datafactory import DataFactoryManagementClient
from azure.storage.blob import BlobServiceClient, ContainerClient

from local.azurite import LAKE_ACCOUNT
from local.bootstrap import ML_VENV
from local.cloud import LAKE_CONTAINER, LocalCloud, Options
from local.data_factory.request_log import duplicate_starts
from local.demo.data import FEATURES
from local.progress import Immediately
from local.service import FACTORY, RESOURCE_GROUP, SUBSCRIPTION
from local.workspace_client import WorkspaceClient
from tests.end_to_end.demos import Demo
from tests.end_to_end.program import ROOT, Program
from tests.local.adf import Credential

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(480)]
BURST = 200
DAY = 100
OVERNIGHT = "score-overnight"
DAY_FOLDER = "0-raw/diabetes/wednesday/day/"


@pytest.fixture(scope="module")
def record(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the record of the demo's factory, to go on with."""
    assert demo.exit_code == 0, demo.said
    copy = tmp_path_factory.mktemp("again") / "adf-requests.jsonl"
    shutil.copyfile(demo.requests, copy)
    return copy


@pytest.fixture(scope="module")
def cloud_again(demo: Demo, record: Path) -> Iterator[LocalCloud]:
    """The demo's cloud, started once more on the data that the demo left."""
    python = ML_VENV / "bin" / "python"
    options = Options(adf_requests=record)
    with LocalCloud(demo.state / "demo" / "cloud", ml_python=python, options=options) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def lake(cloud_again: LocalCloud) -> Iterator[ContainerClient]:
    account = cloud_again.account(LAKE_ACCOUNT)
    trust = str(cloud_again.certificates.ca_file)
    with BlobServiceClient(account.blob, credential=Credential(), connection_verify=trust) as service:
        yield service.get_container_client(LAKE_CONTAINER)


@pytest.fixture(scope="module")
def workspace(cloud_again: LocalCloud) -> Iterator[WorkspaceClient]:
    trust = cloud_again.certificates.client_context()
    with WorkspaceClient(cloud_again.arm_url, Credential(), trust) as client:
        yield client


def rows(lake: ContainerClient, path: str) -> list[dict[str, str]]:
    text = lake.download_blob(path).readall().decode()
    return list(csv.DictReader(io.StringIO(text)))


def pipelines(demo: Demo) -> list[dict[str, Any]]:
    """The chains of the reactions that started a pipeline, but the night's, which comes when it comes."""
    return [chain for chain in demo.result["lineage"] if "pipeline_run" in chain and chain["rule"] != OVERNIGHT]


def test_it_succeeds_and_shows_what_came_of_it(demo: Demo) -> None:
    assert demo.exit_code == 0, demo.said
    assert "runs started twice for the same decision: 0" in demo.said
    assert "requests came to the endpoint since the first model went live; failed: 0" in demo.said
    for what in ("landed", "AML diabetes-score", "ADF score-diabetes", "2-silver/", "delivered a second time"):
        assert what in demo.said
    for what in ("gate passed: first-model", "JensenShannonDistance", "ADF train-diabetes", "Relearn.ModelPromoted"):
        assert what in demo.said


def test_every_act_is_told_in_order(demo: Demo) -> None:
    acts = [line for line in demo.said.splitlines() if " of 8: " in line]
    assert [int(line.partition(" ")[0]) for line in acts] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_each_event_that_counts_became_one_reaction(demo: Demo) -> None:
    told = [(r["rule"], r["key"], r["state"], r["events"]) for r in demo.result["reactions"]]
    assert [each for each in told if each[0] == OVERNIGHT] == [(OVERNIGHT, "wednesday", "succeeded", DAY)]
    assert [each for each in told if each[0] != OVERNIGHT] == [
        ("deploy-registered", "diabetes-relearn", "succeeded", 1),
        ("score-patients", "monday", "succeeded", 2),
        ("score-patients-in-parts", "tuesday", "succeeded", BURST),
        ("retrain-on-drift", "clinic", "succeeded", 1),
        ("deploy-registered", "diabetes-relearn", "succeeded", 1),
        ("deploy-registered", "diabetes-relearn", "refused", 1),
    ]
    assert len({r["id"] for r in demo.result["reactions"]}) == 7


def test_every_reaction_started_the_one_run_that_the_factory_knows(demo: Demo) -> None:
    requests = [json.loads(line) for line in demo.requests.read_text().splitlines()]
    started = {r["runId"]: r["parameters"]["reaction_id"] for r in requests if r.get("runId")}
    of_pipelines = [r for r in demo.result["reactions"] if r["kind"] == "pipeline"]
    assert started == {run: r["id"] for r in of_pipelines for run in r["run_ids"]}
    assert len(started) == 4


def test_every_event_was_delivered_twice_and_nothing_was_started_twice(demo: Demo) -> None:
    assert demo.result["duplicates_delivered"] >= 2 + BURST + DAY
    assert demo.result["duplicate_starts"] == 0
    assert duplicate_starts(demo.requests) == 0
    again = demo.result["delivered_again"]
    assert again["before"] == again["after"]
    assert again["after"] == {"reactions": 7, "pipeline_runs": 4, "jobs": 10, "models": 3, "deployments": 1}


def test_the_scored_rows_are_the_patients_that_landed_in_the_lake(demo: Demo, lake: ContainerClient) -> None:
    landed = {row["PatientID"] for row in rows(lake, "0-raw/diabetes/monday/stage/patient-age.csv")}
    silver = rows(lake, demo.result["silver_path"])
    assert {row["PatientID"] for row in silver} == landed
    assert len(silver) == demo.result["scored_rows"] == 2000
    assert {row["Diabetes"] for row in silver} == {"0", "1"}


def test_the_burst_is_scored_as_a_whole(demo: Demo, lake: ContainerClient) -> None:
    parts = [b.name for b in lake.list_blobs(name_starts_with="0-raw/diabetes/tuesday/parts/patient-age")]
    landed = {row["PatientID"] for part in parts for row in rows(lake, part)}
    silver = rows(lake, demo.result["burst_silver_path"])
    assert len(parts) == BURST / 2
    assert {row["PatientID"] for row in silver} == landed
    assert len(silver) == demo.result["burst_scored_rows"] == 2000


def test_a_hundred_files_through_the_day_are_one_batch_at_night(demo: Demo, lake: ContainerClient) -> None:
    night = demo.result["overnight"]
    assert (night["files"], night["rows"], night["scored_rows"]) == (DAY, DAY, DAY)
    [reaction] = [r for r in demo.result["reactions"] if r["rule"] == OVERNIGHT]
    assert (reaction["events"], len(reaction["run_ids"])) == (DAY, 1)
    landed = {blob.name: lake.download_blob(blob.name).readall().decode() for blob in lake.list_blobs(DAY_FOLDER)}
    silver = {row["File"]: row for row in rows(lake, night["silver_path"])}
    assert {f"{DAY_FOLDER}{name}" for name in silver} == landed.keys()
    assert {row["Diabetes"] for row in silver.values()} == {"0", "1"}
    for path, content in landed.items():
        [values] = [line.split(",") for line in content.splitlines()]
        row = silver[path.removeprefix(DAY_FOLDER)]
        assert [float(value) for value in values] == [float(row[name]) for name in FEATURES]
    assert "100 files through the day, one batch at night" in demo.said
    shown = next(line for line in demo.said.splitlines() if "a day of 100 files" in line)
    assert [cell.strip() for cell in shown.split("│")[2:7]] == ["100", "1", "1", "100", "succeeded"]


def test_the_new_data_were_judged_before_the_training(demo: Demo, lake: ContainerClient) -> None:
    [training] = [r for r in demo.result["reactions"] if r["rule"] == "retrain-on-drift"]
    assert any("1,000 new rows, at least 500 are required" in reason for reason in training["reasons"])
    newest = json.loads(lake.download_blob("monitoring/diabetes-clinic/report.json").readall())
    assert newest.items() <= demo.result["drift"].items()


def test_lineage_leads_from_each_file_to_the_silver_file(demo: Demo, lake: ContainerClient) -> None:
    reactions = {r["id"]: r for r in demo.result["reactions"]}
    assert [entry["reaction"] for entry in demo.result["lineage"]] == list(reactions)
    for entry in pipelines(demo)[:2]:
        reaction = reactions[entry["reaction"]]
        must_be_the_files_in_the_lake(entry["files"], reaction, lake)
        assert [entry["pipeline_run"]["run_id"]] == reaction["run_ids"]
        assert entry["pipeline_run"]["stamp"] == {"reaction_id": reaction["id"], "attempt": "1"}
        assert [job["endpoint"] for job in entry["jobs"]] == ["diabetes-prep", "diabetes-score"]
        assert {job["status"] for job in entry["jobs"]} == {"Completed"}
        steps = [step for job in entry["jobs"] for step in job["steps"]]
        assert [(step["name"], step["exit_code"]) for step in steps] == [("prep", 0), ("score", 0)]
        assert len({step["pid"] for step in steps}) == 2
        assert entry["silver"] == [f"2-silver/diabetes/{reaction['key']}/{reaction['id']}-1/diabetes.csv"]
        assert lake.get_blob_client(entry["silver"][0]).exists()


def must_be_the_files_in_the_lake(files: list[dict[str, Any]], reaction: dict[str, Any], lake: ContainerClient) -> None:
    there = {b.name: b.etag.strip('"') for b in lake.list_blobs(name_starts_with=f"0-raw/diabetes/{reaction['key']}/")}
    assert {file["path"]: file["etag"] for file in files} == there
    assert len({file["event_id"] for file in files}) == len(files) == reaction["events"]


def test_the_files_were_scored_with_the_model_that_was_live_then(demo: Demo) -> None:
    used = [entry["models_used"] for entry in pipelines(demo)[:2]]
    assert [(m["name"], m["version"]) for models in used for m in models] == [("diabetes-classifier", "1")] * 2


def test_started_again_the_workspace_still_serves_the_model_that_went_live(
    demo: Demo, cloud_again: LocalCloud, workspace: WorkspaceClient
) -> None:
    live = workspace.live("diabetes-relearn")
    assert live is not None
    assert live.facts() == demo.result["live_after"]
    model = cloud_again.machine_learning.registry.model(live.model, live.version)
    assert model is not None
    assert dict(model.properties) == demo.result["model"]["properties"]
    assert dict(model.tags) == demo.result["model"]["tags"]


def test_the_chain_is_what_the_workspace_and_the_lake_kept(
    demo: Demo, cloud_again: LocalCloud, lake: ContainerClient
) -> None:
    chain, learning = demo.result["chain"], cloud_again.machine_learning
    assert lake.get_blob_client(chain["file"]["path"]).get_blob_properties().etag.strip('"') == chain["file"]["etag"]
    run = learning.monitoring.run(chain["monitor_run"])
    assert (run.monitor, run.evaluate_run, run.breached) == ("diabetes-clinic", chain["evaluate_run"], True)
    model = learning.registry.model(**chain["model"])
    assert model is not None
    assert model.tags["relearn_reaction"] == chain["training_reaction"]
    assert model.tags["relearn_job"] == chain["jobs"][0]["job"]
    assert model.tags["monitor_run"] == chain["evaluate_run"]
    deployment = learning.online.deployment(chain["endpoint"], chain["deployment"])
    assert deployment.tags["relearn_reaction"] == chain["deploy_reaction"]


def test_a_second_start_with_the_same_stamp_would_be_seen(cloud_again: LocalCloud, record: Path) -> None:
    requests = [json.loads(line) for line in record.read_text().splitlines()]
    first, *_ = [request for request in requests if request.get("runId")]
    assert duplicate_starts(record) == 0

    factory = cloud_again.data_factory.create(FACTORY, pipelines_folder=ROOT / "infra" / "adf")
    factory.progress.set(Immediately())
    trust = str(cloud_again.certificates.ca_file)
    with DataFactoryManagementClient(
        Credential(), SUBSCRIPTION, base_url=cloud_again.arm_url, connection_verify=trust
    ) as client:
        again = client.pipelines.create_run(RESOURCE_GROUP, FACTORY, first["pipeline"], parameters=first["parameters"])

    assert again.run_id != first["runId"]
    assert duplicate_starts(record) == 1


def test_a_missing_file_is_named_and_nothing_of_an_earlier_demo_is_lost(tmp_path: Path) -> None:
    data, state = tmp_path / "data", tmp_path / "state"
    data.mkdir()
    state.mkdir()
    for name in ("diabetes2.csv", "patient-levels.csv"):
        (data / name).touch()
    (state / "demo.json").write_text("{}")
    with Program("demo", "--state", str(state), "--data", str(data), output=tmp_path / "said.txt") as program:
        assert program.wait(30) == 1
    assert f"{data} lacks patient-age.csv;" in program.said()
    assert "Traceback" not in program.said()
    assert (state / "demo.json").read_text() == "{}"
