"""The local workspace's registry over REST: versions, their order, what is announced, references in jobs."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from local.faults import AcceptThen
from local.faults import Status as Fault
from local.identity import mint
from local.machine_learning import MachineLearning, Status
from local.machine_learning.references import BadReference, read_reference
from local.machine_learning.registry.assets import InvalidAsset
from local.progress import Immediately
from local.service import WORKSPACE, Event, workspace_id
from tests.local.aml import ARM, SHOW, Listener, World, said, setup

URI = "azureml://datastores/lake/paths/models/diabetes-classifier/r-1/"
VERSIONS = "/models/diabetes-classifier/versions"


def body(**properties: Any) -> dict[str, Any]:
    return {"properties": {"modelType": "mlflow_model", "modelUri": URI, **properties}}


def versions_of(world: World, query: str = "") -> list[str]:
    return [each["name"] for each in world.ask(f"{VERSIONS}{query}")["value"]]


# --- putting ----------------------------------------------------------------------------------------------------------


def test_a_new_version_is_announced_once_with_camel_case_keys(world: World) -> None:
    tags, properties = {"stage": "candidate"}, {"Accuracy": "0.95"}
    first = world.put(f"{VERSIONS}/1", body(tags=tags, properties=properties))
    again = world.put(f"{VERSIONS}/1", body(tags={"stage": "production"}))

    assert (first.status_code, again.status_code) == (201, 200)
    (event,) = world.events
    assert event.type == "Microsoft.MachineLearningServices.ModelRegistered"
    assert event.subject == "models/diabetes-classifier:1"
    assert event.data_version == "2"
    assert event.data == {
        "modelName": "diabetes-classifier",
        "modelVersion": "1",
        "modelTags": tags,
        "modelProperties": properties,
    }
    assert world.ask(f"{VERSIONS}/1")["properties"]["tags"] == {"stage": "production"}


def test_a_version_has_what_the_client_needs(world: World) -> None:
    world.put(f"{VERSIONS}/1", body())

    found = world.ask(f"{VERSIONS}/1")

    assert found["id"] == f"{workspace_id()}{VERSIONS}/1"
    assert found["name"] == "1"
    assert found["properties"]["flavors"] == {}
    assert found["properties"]["modelUri"] == URI
    assert found["systemData"]["createdAt"] == world.clock.now().isoformat()


def test_a_property_may_be_added_and_never_changed(world: World) -> None:
    world.put(f"{VERSIONS}/1", body(properties={"Accuracy": "0.95"}))

    world.put(f"{VERSIONS}/1", body(properties={"Accuracy": "1.0", "AUC": "0.99"}))

    assert world.ask(f"{VERSIONS}/1")["properties"]["properties"] == {"Accuracy": "0.95", "AUC": "0.99"}


@pytest.mark.parametrize("change", [{"modelUri": f"{URI}other"}, {"modelType": "custom_model"}])
def test_what_a_version_is_cannot_change(world: World, change: dict[str, str]) -> None:
    world.put(f"{VERSIONS}/1", body())

    answer = world.put(f"{VERSIONS}/1", body(**change))

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "Conflict")
    assert world.ask(f"{VERSIONS}/1")["properties"]["modelUri"] == URI


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        (f"{VERSIONS}/1", {}, "no 'properties'"),
        (f"{VERSIONS}/1", {"properties": {"modelType": "mlflow_model"}}, "modelUri is missing"),
        (f"{VERSIONS}/1", body(modelType="pickle"), "modelType 'pickle'"),
        (f"{VERSIONS}/1", body(tags={"n": 1}), "tags must be an object of texts"),
        ("/models/_x/versions/1", body(), "'_x' is no name"),
        (f"{VERSIONS}/a b", body(), "'a b' is no version"),
    ],
)
def test_a_model_that_is_wrong_is_refused_and_not_announced(
    world: World, path: str, content: dict[str, Any], reason: str
) -> None:
    answer = world.put(path, content)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "UserError")
    assert reason in answer.json()["error"]["message"]
    assert world.events == []


def test_an_answer_that_is_lost_leaves_the_model_registered(world: World) -> None:
    world.service.faults.add(method="PUT", path="*/versions/1", action=AcceptThen(Fault(500)))

    assert world.put(f"{VERSIONS}/1", body()).status_code == 500
    assert world.put(f"{VERSIONS}/1", body()).status_code == 200

    assert len(world.events) == 1
    assert [(call.method, call.status, call.fault) for call in world.service.requests.writes("/models/")] == [
        ("PUT", 500, "AcceptThen(Status(500))"),
        ("PUT", 200, None),
    ]


# --- looking ----------------------------------------------------------------------------------------------------------


def test_versions_are_ordered_by_their_creation_not_by_their_number(world: World) -> None:
    registry, at = world.service.registry, world.clock.now()
    registry.register("diabetes-classifier", "10", uri=URI, created=at - timedelta(days=2))
    registry.register("diabetes-classifier", "9", uri=URI, created=at - timedelta(days=1))
    registry.register("diabetes-classifier", "old", uri=URI, created=at - timedelta(days=3), announce=False)

    assert versions_of(world, "?$orderBy=createdtime desc") == ["9", "10", "old"]
    assert versions_of(world, "?$orderBy=createdtime asc") == ["old", "10", "9"]
    assert versions_of(world) == ["9", "10", "old"]
    assert versions_of(world, "?$orderBy=createdtime desc&$top=1") == ["9"]
    assert [event.time for event in world.events] == [at - timedelta(days=2), at - timedelta(days=1)]


def test_of_versions_made_at_one_moment_the_last_is_the_newest(world: World) -> None:
    for version in ("1", "2", "3"):
        world.put(f"{VERSIONS}/{version}", body())

    assert versions_of(world, "?$orderBy=createdtime desc&$top=1") == ["3"]


def test_archived_versions_are_shown_when_asked_for(world: World) -> None:
    world.put(f"{VERSIONS}/1", body())
    world.put(f"{VERSIONS}/2", body(isArchived=True))

    assert versions_of(world) == ["1"]
    assert versions_of(world, "?listViewType=ArchivedOnly") == ["2"]
    assert versions_of(world, "?listViewType=All") == ["2", "1"]
    assert world.ask(f"{VERSIONS}/2")["properties"]["isArchived"] is True


def test_a_long_list_comes_in_pages(world: World) -> None:
    for number in range(205):
        world.service.registry.register("diabetes-classifier", uri=URI, announce=False)
        world.clock.time += timedelta(seconds=1)
        assert number < 205

    found, address, pages = [], f"{workspace_id()}{VERSIONS}?$orderBy=createdtime desc", 0
    while address:
        page = world.client.get(address, headers={"Authorization": f"Bearer {mint(ARM)}"}).json()
        found += [int(each["name"]) for each in page["value"]]
        address, pages = page.get("nextLink"), pages + 1

    assert pages == 3
    assert found == list(range(205, 0, -1))


def test_the_container_says_which_version_is_next(world: World) -> None:
    assert world.get(f"{workspace_id()}/models/diabetes-classifier").status_code == 404
    for version in ("2", "10", "candidate"):
        world.put(f"{VERSIONS}/{version}", body())
        world.clock.time += timedelta(seconds=1)

    found = world.ask("/models/DIABETES-classifier")

    assert found["name"] == "diabetes-classifier"
    assert (found["properties"]["latestVersion"], found["properties"]["nextVersion"]) == ("candidate", "11")
    assert [each["name"] for each in world.ask("/models")["value"]] == ["diabetes-classifier"]


def test_of_a_model_that_is_not_there_there_are_no_versions(world: World) -> None:
    assert versions_of(world) == []
    assert world.get(f"{workspace_id()}{VERSIONS}/1").status_code == 404


@pytest.mark.parametrize(
    ("query", "status"), [("$orderBy=name", 400), ("listViewType=Some", 400), ("$top=x", 400), ("tags=a", 501)]
)
def test_a_question_that_is_not_understood_is_refused(world: World, query: str, status: int) -> None:
    assert world.get(f"{workspace_id()}{VERSIONS}?{query}").status_code == status


def test_a_version_is_registered_once(world: World) -> None:
    world.service.registry.register("m", uri=URI)
    with pytest.raises(InvalidAsset, match="registered already"):
        world.service.registry.register("m", "1", uri=URI)


# --- code and environments --------------------------------------------------------------------------------------------


def test_code_and_environments_are_registered_in_python_or_over_rest(world: World) -> None:
    world.service.registry.add_code("diabetes-serving", "1", world.folder)
    world.service.registry.add_environment("relearn-sklearn", "1")
    assert world.put("/environments/other/versions/2", {"properties": {"image": "python:3.11"}}).status_code == 201

    assert world.ask("/codes/diabetes-serving/versions/1")["properties"]["codeUri"] == world.folder.as_uri()
    assert world.ask("/environments/other/versions/2")["properties"]["image"] == "python:3.11"
    assert [each["name"] for each in world.ask("/environments/relearn-sklearn/versions")["value"]] == ["1"]
    assert world.get(f"{workspace_id()}/codes/other/versions/1").status_code == 404
    with pytest.raises(InvalidAsset, match="is no folder"):
        world.service.registry.add_code("x", "1", Path("/nowhere"))


# --- references -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "azureml:diabetes-classifier:3",
        f"azureml:{workspace_id()}/models/diabetes-classifier/versions/3",
        f"{workspace_id()}/models/diabetes-classifier/versions/3",
        f"{workspace_id()}/MODELS/diabetes-classifier/versions/3".replace("resourceGroups", "resourcegroups"),
    ],
)
def test_a_reference_is_read_in_every_spelling(text: str) -> None:
    found = read_reference(text, "models", WORKSPACE)

    assert (found.name, found.version) == ("diabetes-classifier", "3")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("azureml:diabetes-classifier", "neither"),
        ("azureml:diabetes-classifier@latest", "neither"),
        (f"{workspace_id()}/codes/c/versions/1", "one of the workspace's codes"),
        (f"{workspace_id('other')}/models/m/versions/1", "in another workspace"),
    ],
)
def test_a_reference_to_something_else_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BadReference, match=reason):
        read_reference(text, "models", WORKSPACE)


def scoring(world: World) -> str:
    """An endpoint that takes a model, and one that it can do without."""
    ports = "inputs:\n  model: {type: mlflow_model}\n  live: {type: mlflow_model, optional: true}\n"
    command = "command: python run.py ${{inputs.model}} $[[--live ${{inputs.live}}]]\n"
    world.component("show", SHOW, ports + command)
    bindings = "{model: '${{parent.inputs.model}}', live: '${{parent.inputs.live}}'}"
    return world.pipeline(
        "score-it", f"{ports}jobs:\n  only: {{component: ./show/component.yml, inputs: {bindings}}}\n"
    )


def model_input(uri: str, kind: str = "MLFlowModel") -> dict[str, Any]:
    return {"JobInputType": kind, "Uri": uri}


def test_a_model_that_is_not_there_is_refused_when_the_job_is_submitted(world: World) -> None:
    answer = world.invoke(scoring(world), {"InputData": {"model": model_input("azureml:diabetes-classifier:7")}})

    assert answer.status_code == 400
    assert "there is no models/diabetes-classifier/versions/7" in answer.json()["error"]["message"]
    assert world.service.jobs() == []


def test_a_model_of_another_type_is_refused(world: World) -> None:
    world.put(f"{VERSIONS}/1", body(modelType="custom_model"))

    answer = world.invoke(scoring(world), {"InputData": {"model": model_input("azureml:diabetes-classifier:1")}})

    assert answer.status_code == 400
    assert "is a mlflow_model, and diabetes-classifier:1 is a custom_model" in answer.json()["error"]["message"]


def test_the_type_of_a_model_input_is_known_whatever_its_case(world: World) -> None:
    world.service.registry.register("diabetes-classifier", uri=URI)
    world.service.progress.set(Immediately())
    reference = f"azureml:{workspace_id()}{VERSIONS}/1"

    name = world.start(scoring(world), {"inputData": {"model": model_input(reference, "mlflowmodel")}})

    assert world.service.job(name).status is Status.COMPLETED
    shown = world.ask(f"/jobs/{name}")["properties"]["inputs"]["model"]
    assert (shown["jobInputType"], shown["uri"]) == ("mlflow_model", reference)


def test_an_optional_input_of_a_pipeline_may_be_left_out(world: World) -> None:
    ports = "inputs:\n  target: {type: uri_folder, optional: true}\n  note: {type: string, optional: true}\n"
    options = "command: python run.py $[[--target ${{inputs.target}}]] $[[--note ${{inputs.note}}]] end\n"
    world.component("show", SHOW, ports + options)
    bindings = "{target: '${{parent.inputs.target}}', note: '${{parent.inputs.note}}'}"
    uri = world.pipeline("maybe", f"{ports}jobs:\n  only: {{component: ./show/component.yml, inputs: {bindings}}}\n")

    job = world.finished(world.start(uri, {"InputData": {}}))

    assert job.status is Status.COMPLETED, job.message
    assert said(job)["argv"] == ["end"]
    assert said(job)["environment"]["AZUREML_DEV_URL_MFE"] == str(world.client.base_url).rstrip("/")


# --- restarts ---------------------------------------------------------------------------------------------------------


def test_a_restart_keeps_what_is_registered(tmp_path: Path, aml_listener: Listener) -> None:
    kept = setup(tmp_path, aml_listener, persistent=True)
    first = MachineLearning(kept)
    model = first.registry.register("m", uri=URI, tags={"stage": "candidate"}, properties={"Accuracy": "0.9"})
    code = first.registry.add_code("serving", "1", tmp_path)
    first.registry.add_environment("env", "1")
    first.close()

    events: list[Event] = []
    second = MachineLearning(replace(kept, publish=events.append))

    assert second.registry.versions("m") == [model]
    assert second.registry.asset("codes", "serving", "1") == code
    assert second.registry.next_version("m") == "2"
    assert events == []
    assert stat.S_IMODE((tmp_path / "cloud" / "workspace" / "registry.json").stat().st_mode) == 0o600
    second.close()


@pytest.mark.parametrize("spoilt", ["", "{", "[]"])
def test_a_file_that_cannot_be_read_is_started_over(tmp_path: Path, aml_listener: Listener, spoilt: str) -> None:
    kept = setup(tmp_path, aml_listener, persistent=True)
    file = tmp_path / "cloud" / "workspace" / "registry.json"
    file.parent.mkdir(parents=True)
    file.write_text(spoilt)

    service = MachineLearning(kept)

    assert service.registry.models() == []
    service.registry.register("m", uri=URI)
    assert len(json.loads(file.read_text())["models"]) == 1
    service.close()
