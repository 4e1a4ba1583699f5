"""`python -m ml.publish`, with Microsoft's own client, on a local workspace; what it published really runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient

from local.azurite import LAKE_ACCOUNT
from local.cloud import LocalCloud, Options
from local.machine_learning import Job, Status
from local.service import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE, workspace_id
from local.system import leave_the_outside
from ml.publish import main
from tests.local.aml import CLIENT_WARNINGS, ROOT, require_ml_python

pytestmark = CLIENT_WARNINGS

ENDPOINTS = {step: f"diabetes-{step}-1a2b" for step in ("prep", "score", "train")}
DEPLOYED = {"prep": "prep-2", "score": "score-1", "train": "train-1"}
AGES = "Id,PatientID,Age\n1,11,30\n2,12,52\n"
LEVELS = (
    "Id,PatientID,Pregnancies,PlasmaGlucose,DiastolicBloodPressure,TricepsThickness,SerumInsulin,BMI,DiabetesPedigree\n"
    "1,11,0,171,80,34,23,43.5,1.21\n2,12,8,92,93,47,36,21.2,0.16\n"
)

Publish = Callable[..., int]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud with a workspace of its own, as Bicep leaves it: batch endpoints without deployments."""
    folder = tmp_path_factory.mktemp("workshop")
    patch = pytest.MonkeyPatch()
    options = Options(say=lambda _: None)
    with LocalCloud(folder, in_memory=True, ml_python=require_ml_python(), options=options) as cloud:
        environment = dict(cloud.child_environment())
        leave_the_outside(outside := dict.fromkeys(os.environ, ""))
        for name in os.environ.keys() - outside.keys():
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        make_endpoints(cloud)
        yield cloud
    patch.undo()


def make_endpoints(cloud: LocalCloud) -> None:
    for name in ENDPOINTS.values():
        body = {"location": "westeurope", "properties": {"authMode": "AADToken", "description": "by Bicep"}}
        assert ask(cloud, "PUT", f"/batchEndpoints/{name}", body)["properties"]["defaults"]["deploymentName"] is None


def ask(cloud: LocalCloud, method: str, path: str, body: object = None) -> dict:
    import httpx

    from local.identity import mint

    url = f"{cloud.arm_url}{workspace_id()}{path}?api-version=2024-04-01"
    token = {"Authorization": f"Bearer {mint('https://management.azure.com')}"}
    with httpx.Client(verify=cloud.certificates.client_context(), trust_env=False) as client:
        answer = client.request(method, url, json=body, headers=token)
    assert answer.status_code < 300, answer.text
    return answer.json()


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    """A copy of ml/ to edit."""
    return Path(shutil.copytree(ROOT / "ml", tmp_path / "ml", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture
def publish(workshop: LocalCloud) -> Publish:
    def run(*more: str, root: Path = ROOT / "ml") -> int:
        workshop.machine_learning.requests.clear()
        where = ["--subscription", SUBSCRIPTION, "--resource-group", RESOURCE_GROUP, "--workspace", WORKSPACE]
        return main(
            [*where, "--arm-endpoint", workshop.arm_url, "--batch-suffix=-1a2b", "--lake", address(workshop), *more],
            root,
        )

    return run


def address(cloud: LocalCloud) -> str:
    return f"{cloud.account(LAKE_ACCOUNT).blob}/lake"


def writes(cloud: LocalCloud) -> list[str]:
    """What the last publishing changed: every PUT, and every upload that was begun."""
    calls = cloud.machine_learning.requests.calls
    return [call.path.split(f"/{WORKSPACE}/")[-1] for call in calls if call.method != "GET"]


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


# In the order in which a workspace lives: each test goes on with what the one before has left.


def test_a_plan_says_what_would_be_done_and_does_nothing(workshop, publish, capsys):
    assert publish("--plan") == 0

    said = capsys.readouterr().out
    assert writes(workshop) == []
    assert "diabetes_prep_pipeline   2                    new" in said
    assert "no monitor was asked for" in said
    assert "publish: 23 to publish" in said


def test_everything_is_published_with_the_real_client(workshop, publish, capsys):
    assert publish("--monitor", "clinic") == 0

    made = writes(workshop)
    assert sum("/startPendingUpload" in path for path in made) == 8  # seven components' and the serving code
    assert [path for path in made if path.startswith("batchEndpoints")] == [
        path
        for step, name in ENDPOINTS.items()
        for path in (f"batchEndpoints/{name}/deployments/{DEPLOYED[step]}", f"batchEndpoints/{name}")
    ]
    assert not any("onlineEndpoints" in path for path in made)
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "publish: 24 published" in printed.out


def test_what_was_published_is_what_stands_in_the_files(workshop):
    learning = workshop.machine_learning
    endpoint = ask(workshop, "GET", f"/batchEndpoints/{ENDPOINTS['train']}")
    pipeline = ask(workshop, "GET", "/components/diabetes_train_pipeline/versions/1")["properties"]["componentSpec"]
    code = learning.registry.find_asset("codes", "azureml:diabetes-serving:1").folder
    data = ask(workshop, "GET", "/data/diabetes-raw/versions/1")["properties"]

    assert endpoint["properties"]["defaults"]["deploymentName"] == "train-1"
    assert endpoint["properties"]["description"] == "by Bicep"
    assert pipeline["jobs"]["split"]["componentId"] == f"{workspace_id()}/components/diabetes_split/versions/1"
    assert sorted(file.name for file in code.iterdir()) == ["score.py"]
    assert (code / "score.py").read_bytes() == (ROOT / "ml" / "serving" / "score.py").read_bytes()
    assert data["dataUri"].endswith("/datastores/lake/paths/0-raw/diabetes/")
    monitor = learning.monitoring.monitor("diabetes-clinic")
    assert monitor.signal.data["target"].uri.endswith("0-raw/diabetes/clinic/target/")
    assert dict(monitor.signal.thresholds) == {"JensenShannonDistance": 0.1}
    assert monitor.signal.literals["newest_report"] == f"{address(workshop)}/monitoring/diabetes-clinic/report.json"
    assert monitor.signal.component.code.name == "1"  # the uploaded code, not the folder it came from


def test_the_published_component_really_runs(workshop):
    job = prepare(workshop, "first")

    assert (job.status, job.message) == (Status.COMPLETED, "")
    assert job.submission.deployment == "prep-2"
    bronze = lake(workshop).download_blob("1-bronze/diabetes/first/diabetes.csv").readall().decode()
    assert bronze.splitlines()[1:] == [
        "1,11,30,3,0,171,80,34,23,43.5,1.21",
        "2,12,52,6,8,92,93,47,36,21.2,0.16",
    ]


def prepare(cloud: LocalCloud, batch: str) -> Job:
    from azure.ai.ml import Input, Output

    from ml.publishing import sdk

    raw = f"0-raw/diabetes/{batch}"
    container = lake(cloud)
    names = {f"{raw}/stage/patient-age.csv": AGES, f"{raw}/stage/patient-levels.csv": LEVELS}
    for path, text in names.items():
        container.upload_blob(path, text)
    manifest = {"reaction_id": "r-1", "events": [{"path": f"lake/{path}", "current": True} for path in names]}
    container.upload_blob(f"manifests/{batch}.json", json.dumps(manifest))
    paths = "azureml://datastores/lake/paths"
    with DefaultAzureCredential() as credential:
        where = {"subscription": SUBSCRIPTION, "group": RESOURCE_GROUP, "workspace": WORKSPACE}
        client = sdk.connect(credential, **where, arm_endpoint=cloud.arm_url)
        started = client.batch_endpoints.invoke(
            ENDPOINTS["prep"],
            inputs={
                "raw": Input(type="uri_folder", path=f"{paths}/{raw}/stage/"),
                "manifest": Input(type="uri_file", path=f"{paths}/manifests/{batch}.json"),
                "reaction_id": Input(type="string", default="r-1"),
                "attempt": Input(type="string", default="1"),
            },
            outputs={"bronze": Output(type="uri_folder", path=f"{paths}/1-bronze/diabetes/{batch}/")},
        )
    return cloud.machine_learning.wait(started.name, 60)


def lake(cloud: LocalCloud):
    credential = cloud.account(LAKE_ACCOUNT).key
    return BlobServiceClient(cloud.account(LAKE_ACCOUNT).blob, credential=credential).get_container_client("lake")


def test_the_published_monitor_leaves_its_newest_report_where_a_rule_finds_it(workshop):
    container, monitoring = lake(workshop), workshop.machine_learning.monitoring
    container.upload_blob("0-raw/diabetes/clinic/baseline/1.csv", "Pregnancies,Age,BMI\n1,30,20\n2,40,30\n")
    container.upload_blob("0-raw/diabetes/clinic/target/1.csv", "Pregnancies,Age,BMI\n1,,20\n2,40,30\n")
    first = monitoring.wait(monitoring.start("diabetes-clinic").id, 60)
    container.upload_blob("0-raw/diabetes/clinic/target/2.csv", "Pregnancies,Age,BMI\n9,90,50\n")
    second = monitoring.wait(monitoring.start("diabetes-clinic").id, 60)

    assert [(run.status, run.message) for run in (first, second)] == [(Status.COMPLETED, "")] * 2
    newest, before, after = (
        json.loads(container.download_blob(f"monitoring/diabetes-clinic/{name}").readall())
        for name in ("report.json", f"{first.id}/report.json", f"{second.id}/report.json")
    )
    assert newest == after != before
    assert (before["rows"], before["missing_share"]) == (2, pytest.approx(1 / 6))
    assert (newest["rows"], newest["missing_share"]) == (3, pytest.approx(1 / 9))


def test_a_second_publishing_changes_nothing(workshop, publish, capsys):
    assert publish("--monitor", "clinic") == 0

    assert writes(workshop) == []
    said = capsys.readouterr().out
    assert said.count("unchanged") == 24
    assert "publish: nothing to do" in said


def test_other_code_under_the_same_version_is_refused_before_anything_is_written(workshop, publish, assets, capsys):
    edit(assets / "components" / "prep" / "prep.py", "Pregnancies", "Pregnancies ")
    edit(assets / "serving" / "score.py", "import", "import  # changed\nimport")
    edit(assets / "data" / "diabetes-raw.yml", 'version: "1"', 'version: "2"')

    assert publish(root=assets) == 1

    assert writes(workshop) == []
    said = capsys.readouterr().err
    component = assets / "components" / "prep" / "component.yml"
    assert f"{component}: version: component diabetes_prep:2 is published with another content: raise it to 3" in said
    assert f"and the version in {assets / 'pipelines' / 'prep.yml'}" in said
    assert "code diabetes-serving:1 is published with another content: raise it to 2" in said
    assert "2 problems, nothing was published" in said


def test_what_only_people_read_is_no_new_content(workshop, publish, assets):
    edit(assets / "components" / "prep" / "component.yml", "display_name: Prepare", "display_name: Get ready")

    assert publish(root=assets) == 0
    assert writes(workshop) == []


def test_a_changed_step_becomes_the_default_beside_the_old_one_and_going_back_is_one_publishing(
    workshop, publish, assets
):
    edit(assets / "components" / "prep" / "component.yml", 'version: "2"', 'version: "3"')
    edit(assets / "components" / "prep" / "prep.py", "MAX(BMI)", "MIN(BMI)")
    edit(assets / "pipelines" / "prep.yml", 'version: "2"', 'version: "3"')
    edit(assets / "batch" / "prep-deployment.yml", "prep-2", "prep-3")
    endpoint = f"batchEndpoints/{ENDPOINTS['prep']}"

    assert publish(root=assets) == 0
    changed = [path for path in writes(workshop) if not path.startswith("codes")]
    uploads = len(writes(workshop)) - len(changed)
    second = prepare(workshop, "second")
    assert publish() == 0
    back = writes(workshop)

    assert uploads == 2  # begun and registered, of one component
    assert changed == [
        "components/diabetes_prep/versions/3",
        "components/diabetes_prep_pipeline/versions/3",
        f"{endpoint}/deployments/prep-3",
        endpoint,
    ]
    assert (second.status, second.submission.deployment) == (Status.COMPLETED, "prep-3")
    aggregated = lake(workshop).download_blob("1-bronze/diabetes/second/diabetes_sql_example.csv").readall()
    assert b"MIN(BMI)" in aggregated  # what ran is what was uploaded
    assert back == [endpoint]
    assert ask(workshop, "GET", f"/{endpoint}")["properties"]["defaults"]["deploymentName"] == "prep-2"


def test_a_changed_monitor_is_put_again(workshop, publish, assets):
    edit(assets / "monitors" / "diabetes-drift.yml", "threshold: 0.1", "threshold: 0.2")

    assert publish("--monitor", "clinic", root=assets) == 0

    assert writes(workshop) == ["schedules/diabetes-clinic"]
    monitor = workshop.machine_learning.monitoring.monitor("diabetes-clinic")
    assert dict(monitor.signal.thresholds) == {"JensenShannonDistance": 0.2}


def test_what_was_published_by_hand_is_not_taken_for_ours(workshop, publish, assets, capsys):
    edit(assets / "data" / "diabetes-raw.yml", 'version: "1"', 'version: "7"')
    body = {"properties": {"dataType": "uri_folder", "dataUri": "azureml://datastores/lake/paths/elsewhere/"}}
    ask(workshop, "PUT", "/data/diabetes-raw/versions/7", body)

    assert publish(root=assets) == 1

    assert writes(workshop) == []
    assert "data diabetes-raw:7 was not published by this (no tag relearn_content): raise it to 8" in (
        capsys.readouterr().err
    )


def test_without_the_endpoint_it_says_what_to_do(workshop, publish, capsys):
    assert publish("--endpoint", "prep=diabetes-nowhere") == 1

    assert writes(workshop) == []
    said = capsys.readouterr().err
    assert "prep-deployment.yml: endpoint_name: there is no batch endpoint diabetes-nowhere: provision first" in said


# What the local cloud refuses


def refused(cloud: LocalCloud, path: str, properties: dict, **more: object) -> str:
    with pytest.raises(AssertionError) as refusal:
        ask(cloud, "PUT", path, {"location": "westeurope", "properties": properties, **more})
    return str(refusal.value)


def test_a_published_version_does_not_change(workshop):
    kept = ask(workshop, "GET", "/components/diabetes_prep/versions/2")["properties"]
    other = {**kept, "componentSpec": {**kept["componentSpec"], "command": "python other.py"}}

    assert "componentSpec of diabetes_prep:2 cannot be changed" in refused(
        workshop, "/components/diabetes_prep/versions/2", other
    )


@pytest.mark.parametrize(
    ("path", "properties", "message"),
    [
        ("/components/c/versions/1", {}, "no 'componentSpec' object"),
        ("/components/c/versions/1", {"componentSpec": {"environment": "azureml:e:1"}}, "there is no environments/e"),
        (
            "/components/c/versions/1",
            {"componentSpec": {"type": "pipeline", "jobs": {"a": {"componentId": "azureml:c:9"}}}},
            "there is no components/c/versions/9",
        ),
        (f"/batchEndpoints/{ENDPOINTS['prep']}", {"authMode": "Key"}, "'Key' is not AADToken"),
        (
            f"/batchEndpoints/{ENDPOINTS['prep']}",
            {"authMode": "AADToken", "defaults": {"deploymentName": "prep-9"}},
            "has no deployment 'prep-9'",
        ),
        (f"/batchEndpoints/{ENDPOINTS['prep']}/deployments/m", {"model": {}}, "NotImitatedLocally"),
        ("/schedules/s", {"action": {"actionType": "CreateJob"}}, "NotImitatedLocally"),
        (
            "/schedules/s",
            {"action": {"actionType": "CreateMonitor", "monitorDefinition": {"signals": {"a": {}}}}},
            "neither azureml:NAME:VERSION nor the ARM id",
        ),
    ],
)
def test_what_could_not_be_run_is_refused(workshop, path, properties, message):
    assert message in refused(workshop, path, properties)
