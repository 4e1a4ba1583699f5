"""Online endpoints of the local workspace, by policy and with canned answers: what AML accepts, refuses and answers."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.faults import Drop
from local.identity import mint
from local.machine_learning import MachineLearning
from local.machine_learning.online.answering import Answer, Question
from local.machine_learning.online.instances import Instance
from local.machine_learning.online.values import State, is_name, seconds_of
from local.progress import AfterPolls, AfterSeconds, ByHand, Immediately, Outcome
from local.service import REGION, workspace_id
from tests.local.aml import AML, ARM, Listener, ManualClock, World, setup, wait_until

LIVE = "/onlineEndpoints/live"
DATA = {"data": [[1.0], [2.0]]}


@pytest.fixture
def online(world: World) -> World:
    """With a model, code and environment to refer to; everything goes at once."""
    world.service.registry.register("m", uri="azureml://datastores/lake/paths/models/m/1", announce=False)
    world.service.registry.add_code("serving", "1", world.folder)
    world.service.registry.add_environment("env", "1")
    world.service.online.creations.set(Immediately())
    world.service.online.updates.set(Immediately())
    world.service.online.deletions.set(Immediately())
    return world


def put_endpoint(world: World, mode: str = "Key", **traffic: int) -> httpx.Response:
    return world.put(LIVE, {"location": REGION, "properties": {"authMode": mode, "traffic": traffic}})


def deployment(**properties: Any) -> dict[str, Any]:
    given = {
        "model": f"{workspace_id()}/models/m/versions/1",
        "codeConfiguration": {"codeId": "azureml:serving:1", "scoringScript": "score.py"},
        "environmentId": "azureml:env:1",
        "instanceType": "Standard_DS3_v2",
    }
    return {"location": REGION, "sku": {"name": "Default", "capacity": 1}, "properties": given | properties}


def put_deployment(world: World, name: str, **properties: Any) -> httpx.Response:
    return world.put(f"{LIVE}/deployments/{name}", deployment(**properties))


def state(world: World, path: str = LIVE) -> str:
    found: str = world.ask(path)["properties"]["provisioningState"]
    return found


def status(world: World, answer: httpx.Response) -> dict[str, Any]:
    """What the operation's own address says."""
    address = answer.headers["Azure-AsyncOperation"]
    found: dict[str, Any] = world.client.get(address, headers={"Authorization": f"Bearer {mint(ARM)}"}).json()
    return found


def score(world: World, body: Any = DATA, token: str | None = None, **headers: str) -> httpx.Response:
    key = token or world.service.online.endpoint("live").keys.primary
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return world.client.post("/online/live/score", json=body, headers={"Authorization": f"Bearer {key}", **named})


def served(world: World, *names: str, **traffic: int) -> None:
    """The endpoint with these deployments and this traffic."""
    assert put_endpoint(world).status_code == 201
    for name in names:
        assert put_deployment(world, name).status_code == 201
    assert put_endpoint(world, **traffic).status_code == 201


def error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["message"]


# --- long-running operations ------------------------------------------------------------------------------------------


def test_a_put_is_answered_at_once_and_followed_by_its_operation(online: World) -> None:
    online.service.online.updates.set(AfterPolls(2))

    answer = put_endpoint(online)

    assert answer.status_code == 201
    assert answer.json()["properties"]["provisioningState"] == "Creating"
    assert answer.json()["properties"]["scoringUri"] is None
    operation = answer.headers["Azure-AsyncOperation"]
    assert f"/locations/{REGION}/mfeOperationsStatus/oe:" in operation
    assert answer.json()["properties"]["properties"]["AzureAsyncOperationUri"] == operation
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["Location"].startswith(f"{online.client.base_url}".rstrip("/") + workspace_id() + LIVE)
    assert [status(online, answer)["status"] for _ in range(3)] == ["Creating", "Creating", "Succeeded"]
    found = online.ask(LIVE)["properties"]
    assert found["provisioningState"] == "Succeeded"
    assert found["scoringUri"] == f"{online.client.base_url}".rstrip("/") + "/online/live/score"
    assert found["properties"]["AzureAsyncOperationUri"] == operation


def test_questions_for_the_resource_count_as_polls_too(online: World) -> None:
    put_endpoint(online)
    online.service.online.creations.set(AfterPolls(1), "live")

    put_deployment(online, "blue")

    path = f"{LIVE}/deployments/blue"
    assert online.service.online.deployment("live", "blue").state is State.CREATING  # looking here does not count
    assert [state(online, path), state(online, path)] == ["Creating", "Succeeded"]


def test_a_deployment_may_take_its_time(online: World) -> None:
    put_endpoint(online)
    online.service.online.creations.set(AfterSeconds(600))

    answer = put_deployment(online, "blue")

    assert "/mfeOperationsStatus/od:" in answer.headers["Azure-AsyncOperation"]
    assert state(online, f"{LIVE}/deployments/blue") == "Creating"
    online.clock.time += timedelta(seconds=601)
    assert state(online, f"{LIVE}/deployments/blue") == "Succeeded"


def test_a_deployment_that_fails_says_why_where_it_is_asked(online: World) -> None:
    put_endpoint(online)
    online.service.online.creations.set(Immediately(Outcome.FAILED, "the container crashed"))

    answer = put_deployment(online, "blue")

    said = status(online, answer)
    assert (said["status"], said["error"]["message"]) == ("Failed", "the container crashed")
    assert state(online, f"{LIVE}/deployments/blue") == "Failed"
    assert online.post(f"{LIVE}/deployments/blue/getLogs").json() == {"content": "the container crashed"}
    assert "never came up" in error(put_endpoint(online, blue=100))[1]
    assert score(online, azureml_model_deployment="blue").status_code == 404


def test_an_operation_may_be_ended_by_hand(online: World) -> None:
    put_endpoint(online)
    online.service.online.creations.set(ByHand())
    put_deployment(online, "blue")
    put_deployment(online, "green")

    online.service.online.end("live", "blue")
    online.service.online.end("live", "green", outcome=Outcome.CANCELLED)

    assert state(online, f"{LIVE}/deployments/blue") == "Succeeded"
    assert state(online, f"{LIVE}/deployments/green") == "Canceled"


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"model": f"{workspace_id()}/models/m/versions/2"}, "models/m/versions/2"),
        ({"codeConfiguration": {"codeId": "azureml:serving:2", "scoringScript": "s.py"}}, "codes/serving/versions/2"),
        ({"environmentId": "azureml:other:1"}, "environments/other/versions/1"),
        ({"model": "m:1"}, "neither azureml:NAME:VERSION nor the ARM id"),
    ],
)
def test_what_a_deployment_refers_to_must_be_there_and_fails_it_later(
    online: World, change: dict[str, Any], missing: str
) -> None:
    put_endpoint(online)

    answer = put_deployment(online, "blue", **change)

    assert answer.status_code == 201
    assert missing in status(online, answer)["error"]["message"]


def test_what_goes_on_keeps_everything_else_away(online: World) -> None:
    served(online, "blue", blue=100)
    online.service.online.creations.set(ByHand())
    put_deployment(online, "green")

    for refused in (
        put_endpoint(online, blue=100),
        put_deployment(online, "green"),
        online.delete(f"{LIVE}/deployments/green"),
        online.delete(LIVE),
    ):
        assert refused.status_code == 409
        assert "'green' is in state Creating" in error(refused)[1]

    online.service.online.end("live", "green")
    online.service.online.updates.set(ByHand())
    assert put_endpoint(online, green=100).status_code == 201
    for refused in (
        put_endpoint(online, blue=100),
        put_deployment(online, "other"),
        online.delete(f"{LIVE}/deployments/blue"),
    ):
        assert refused.status_code == 409
        assert "'live' is in state Updating" in error(refused)[1]


def test_an_operation_nobody_knows_is_not_found(online: World) -> None:
    path = f"{workspace_id().partition('/resourceGroups')[0]}/providers/Microsoft.MachineLearningServices"
    headers = {"Authorization": f"Bearer {mint(ARM)}"}
    assert online.client.get(f"{path}/locations/x/mfeOperationsStatus/oe:1:2", headers=headers).status_code == 404


# --- what is accepted -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("traffic", "reason"),
    [
        ({"blue": 50}, "must total 0 or 100, not 50"),
        ({"blue": 100, "green": 10}, "must total 0 or 100, not 110"),
        ({"blue": 120, "green": -20}, "from 0 to 100"),
        ({"blue": 99.5, "green": 0.5}, "whole number"),
        ({"red": 100}, "names deployment 'red'"),
        ({"blue": 100, "red": 0}, "names deployment 'red'"),
    ],
)
def test_traffic_must_add_up_and_name_what_is_there(online: World, traffic: dict[str, int], reason: str) -> None:
    served(online, "blue", "green", blue=100)

    answer = put_endpoint(online, **traffic)

    assert answer.status_code == 400
    assert reason in error(answer)[1]
    assert online.ask(LIVE)["properties"]["traffic"] == {"blue": 100}


def test_traffic_cannot_be_set_when_the_endpoint_is_made(online: World) -> None:
    assert error(put_endpoint(online, blue=100)) == (
        400,
        "traffic names deployment 'blue', which the endpoint does not have.",
    )


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        ("/onlineEndpoints/x", {"location": REGION, "properties": {"authMode": "Key"}}, "3 to 32 letters"),
        (LIVE, {"properties": {"authMode": "Key"}}, "no 'location'"),
        (LIVE, {"location": REGION}, "no 'properties'"),
        (LIVE, {"location": REGION, "properties": {"authMode": "None"}}, "authMode 'None'"),
        (f"{LIVE}/deployments/-x-", deployment(), "3 to 32 letters"),
        (f"{LIVE}/deployments/blue", deployment(model=7), "properties.model must be the id"),
        (f"{LIVE}/deployments/blue", deployment(codeConfiguration={}), "codeId and a scoringScript"),
        (f"{LIVE}/deployments/blue", deployment(requestSettings={"requestTimeout": "5s"}), "no duration"),
        (f"{LIVE}/deployments/blue", deployment(requestSettings={"requestTimeout": "PT4M"}), "at most 180 s"),
        (f"{LIVE}/deployments/blue", deployment() | {"sku": {"capacity": 0}}, "from 1 to 50"),
        (f"{LIVE}/deployments/blue", deployment(environmentVariables={"a": 1}), "object of texts"),
    ],
)
def test_what_is_wrong_is_refused_by_name(online: World, path: str, content: dict[str, Any], reason: str) -> None:
    if "deployments" in path:
        put_endpoint(online)

    answer = online.put(path, content)

    assert answer.status_code == 400
    assert reason in error(answer)[1]


def test_the_auth_mode_stays_what_it_is(online: World) -> None:
    put_endpoint(online)
    assert put_endpoint(online, mode="AADToken").status_code == 400


def test_an_endpoint_has_at_most_twenty_deployments(online: World) -> None:
    put_endpoint(online)
    for number in range(20):
        assert put_deployment(online, f"model-{number}").status_code == 201

    assert error(put_deployment(online, "model-20")) == (400, "An endpoint has at most 20 deployments.")
    assert put_deployment(online, "model-0").status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", LIVE, 404),
        ("GET", f"{LIVE}/deployments", 404),
        ("GET", f"{LIVE}/deployments/blue", 404),
        ("PUT", f"{LIVE}/deployments/blue", 404),
        ("POST", f"{LIVE}/listKeys", 404),
        ("DELETE", LIVE, 204),
        ("DELETE", f"{LIVE}/deployments/blue", 404),
        ("PATCH", LIVE, 501),
        ("POST", f"{LIVE}/regenerateKeys", 501),
    ],
)
def test_what_is_not_there_says_so(online: World, method: str, path: str, status: int) -> None:
    headers = {"Authorization": f"Bearer {mint(ARM)}"}
    assert (
        online.client.request(method, workspace_id() + path, json=deployment(), headers=headers).status_code == status
    )


def test_mirrored_traffic_and_other_computes_are_not_imitated(online: World) -> None:
    properties = {"authMode": "Key", "mirrorTraffic": {"blue": 10}}
    assert online.put(LIVE, {"location": REGION, "properties": properties}).status_code == 501
    put_endpoint(online)
    assert put_deployment(online, "blue", endpointComputeType="Kubernetes").status_code == 501


def test_a_deployment_is_shown_with_what_was_put_and_the_defaults(online: World) -> None:
    put_endpoint(online)
    tags = {"model": "m", "version": "1"}
    online.put(f"{LIVE}/deployments/blue", deployment() | {"tags": tags})

    (found,) = online.ask(f"{LIVE}/deployments")["value"]

    assert found["tags"] == tags
    assert found["properties"]["model"] == f"{workspace_id()}/models/m/versions/1"
    assert found["properties"]["scaleSettings"] == {"scaleType": "Default"}
    assert found["properties"]["requestSettings"]["requestTimeout"] == "PT5S"
    assert found["properties"]["codeConfiguration"]["scoringScript"] == "score.py"


# --- scoring ----------------------------------------------------------------------------------------------------------


def test_an_endpoint_answers_with_the_deployment_that_has_the_traffic(online: World) -> None:
    served(online, "blue", "green", blue=100)

    answer = score(online)

    assert (answer.status_code, answer.json()) == (200, {"result": [0, 0]})
    assert answer.headers["azureml-model-deployment"] == "blue"
    assert answer.headers["x-ms-run-function-failed"] == "False"
    assert answer.headers["x-ms-request-id"]
    assert score(online, azureml_model_deployment="GREEN").headers["azureml-model-deployment"] == "green"
    asked = [(one.endpoint, one.deployment, one.asked_for, one.status) for one in online.service.online.scored]
    assert asked == [("live", "blue", None, 200), ("live", "green", "GREEN", 200)]


def test_traffic_is_split_by_its_percentages_and_the_same_way_for_the_same_seed(online: World) -> None:
    served(online, "blue", "green", blue=90, green=10)

    def sequence() -> list[str]:
        online.service.online.seed(7)
        return [score(online).headers["azureml-model-deployment"] for _ in range(200)]

    first = sequence()
    assert 8 <= first.count("green") <= 35
    assert sequence() == first


def test_without_traffic_nobody_answers(online: World) -> None:
    put_endpoint(online)
    put_deployment(online, "blue")

    assert error(score(online)) == (404, "There is no deployment of endpoint 'live' with traffic.")
    assert score(online, azureml_model_deployment="blue").status_code == 200
    assert "'red'" in error(score(online, azureml_model_deployment="red"))[1]


def test_keys_open_an_endpoint_and_nothing_else_does(online: World) -> None:
    served(online, "blue", blue=100)
    keys = online.post(f"{LIVE}/listKeys").json()

    assert [score(online, token=keys[name]).status_code for name in ("primaryKey", "secondaryKey")] == [200, 200]
    assert score(online, token="wrong").status_code == 401
    assert score(online, token=mint(AML)).status_code == 401
    assert error(online.post(f"{LIVE}/token"))[0] == 400


def test_tokens_of_the_endpoint_and_of_entra(online: World) -> None:
    put_endpoint(online, mode="AMLToken")
    put_deployment(online, "blue")
    put_endpoint(online, mode="AMLToken", blue=100)
    given = online.post(f"{LIVE}/token").json()

    assert score(online, token=given["accessToken"]).status_code == 200
    assert given["tokenType"] == "Bearer"
    assert given["refreshAfterTimeUtc"] < given["expiryTimeUtc"]
    assert score(online, token=mint(AML)).status_code == 401
    assert online.post(f"{LIVE}/listKeys").status_code == 400
    online.delete(LIVE)
    put_endpoint(online, mode="AADToken")
    put_deployment(online, "blue")
    put_endpoint(online, mode="AADToken", blue=100)
    assert score(online, token=mint(AML)).status_code == 200
    assert score(online, token=mint(ARM)).status_code == 401


def test_a_model_may_say_anything_and_take_its_time(online: World) -> None:
    served(online, "blue", "green", blue=100)
    asked: list[tuple[str, str, Any]] = []

    def scoring(endpoint: str, name: str, body: Any) -> tuple[int, Any, float]:
        asked.append((endpoint, name, body))
        if name == "green":
            raise ValueError("a broken model")
        return 200, {"result": [1]}, 6.0 if body == "slow" else 0.0

    online.service.online.scoring = scoring

    assert score(online).json() == {"result": [1]}
    broken = score(online, azureml_model_deployment="green")
    assert broken.status_code == 424
    assert broken.headers["ms-azureml-model-error-statuscode"] == "500"
    assert broken.headers["x-ms-run-function-failed"] == "True"
    assert broken.headers["azureml-model-deployment"] == "green"
    slow = score(online, "slow")
    assert slow.status_code == 408
    assert "5 s" in slow.text
    assert asked == [("live", "blue", DATA), ("live", "green", DATA), ("live", "blue", "slow")]


def test_a_longer_timeout_is_kept(online: World) -> None:
    put_endpoint(online)
    put_deployment(online, "blue", requestSettings={"requestTimeout": "PT1M30S"})

    assert online.service.online.deployment("live", "blue").timeout_seconds == 90


def test_a_request_that_the_model_cannot_read_is_a_model_error(online: World) -> None:
    served(online, "blue", blue=100)

    assert score(online, {"rows": []}).status_code == 424


@pytest.mark.parametrize("said", [201, 400, 503])
def test_whatever_a_model_says_but_200_is_a_model_error(online: World, said: int) -> None:
    served(online, "blue", blue=100)
    online.service.online.scoring = lambda endpoint, name, body: (said, {"error": "no"}, 0.0)

    answer = score(online)

    assert (answer.status_code, answer.json()) == (424, {"error": "no"})
    assert answer.headers["ms-azureml-model-error-statuscode"] == str(said)


def test_faults_can_be_scheduled_on_scoring_and_on_changes(online: World) -> None:
    served(online, "blue", blue=100)
    online.service.faults.add(method="POST", path="/online/live/score", action=Drop())
    online.service.faults.add(method="DELETE", path="*/deployments/*", action=Drop())

    with pytest.raises(httpx.RemoteProtocolError):
        score(online)
    with pytest.raises(httpx.RemoteProtocolError):
        online.delete(f"{LIVE}/deployments/blue")

    assert score(online).status_code == 200
    assert [call.status for call in online.service.requests.writes("/deployments/")] == [201, None]


# --- changes ----------------------------------------------------------------------------------------------------------


def test_new_traffic_is_in_force_when_its_operation_has_ended(online: World) -> None:
    served(online, "blue", "green", blue=100)
    online.service.online.updates.set(ByHand())

    answer = put_endpoint(online, green=100)

    assert answer.json()["properties"]["traffic"] == {"green": 100}
    assert online.ask(LIVE)["properties"]["traffic"] == {"blue": 100}
    assert score(online).headers["azureml-model-deployment"] == "blue"
    online.service.online.end("live")
    assert score(online).headers["azureml-model-deployment"] == "green"


def test_traffic_that_could_not_be_changed_stays(online: World) -> None:
    served(online, "blue", "green", blue=100)
    online.service.online.updates.set(Immediately(Outcome.FAILED, "no capacity"))

    answer = put_endpoint(online, green=100)

    assert status(online, answer)["error"]["message"] == "no capacity"
    assert state(online) == "Failed"
    assert score(online).headers["azureml-model-deployment"] == "blue"
    online.service.online.updates.set(Immediately())
    assert put_endpoint(online, green=100).status_code == 201


def test_a_failed_change_of_a_deployment_leaves_what_served_before(online: World) -> None:
    served(online, "blue", blue=100)
    online.service.online.creations.set(Immediately(Outcome.FAILED, "bad image"))

    put_deployment(online, "blue", instanceType="Standard_F2s_v2")

    found = online.ask(f"{LIVE}/deployments/blue")["properties"]
    assert (found["provisioningState"], found["instanceType"]) == ("Failed", "Standard_DS3_v2")
    assert score(online).status_code == 200


def test_a_deployment_with_traffic_cannot_be_deleted(online: World) -> None:
    served(online, "blue", "green", blue=100)

    refused = online.delete(f"{LIVE}/deployments/BLUE")
    gone = online.delete(f"{LIVE}/deployments/green")

    assert refused.status_code == 409
    assert "100 % of the traffic" in error(refused)[1]
    assert (gone.status_code, gone.content) == (202, b"null")
    assert "/mfeOperationResults/od:" in gone.headers["Location"]
    assert status(online, gone)["status"] == "Succeeded"
    headers = {"Authorization": f"Bearer {mint(ARM)}"}
    assert online.client.get(gone.headers["Location"], headers=headers).status_code == 204
    assert online.get(f"{workspace_id()}{LIVE}/deployments/green").status_code == 404


def test_a_deployment_that_is_being_deleted_takes_no_request(online: World) -> None:
    served(online, "blue", "green", blue=100)
    online.service.online.deletions.set(ByHand())

    online.delete(f"{LIVE}/deployments/green")

    assert state(online, f"{LIVE}/deployments/green") == "Deleting"
    assert score(online, azureml_model_deployment="green").status_code == 404
    online.service.online.end("live", "green", outcome=Outcome.FAILED, message="try again")
    assert state(online, f"{LIVE}/deployments/green") == "Failed"
    assert score(online, azureml_model_deployment="green").status_code == 200


def test_an_endpoint_goes_with_all_its_deployments(online: World) -> None:
    served(online, "blue", blue=100)

    assert online.delete(LIVE).status_code == 202

    assert online.get(f"{workspace_id()}{LIVE}").status_code == 404
    assert online.ask("/onlineEndpoints")["value"] == []
    headers = {"Authorization": f"Bearer {mint(AML)}"}
    assert online.client.post("/online/live/score", json=DATA, headers=headers).status_code == 404


def test_no_request_in_flight_is_broken_by_a_deletion(online: World) -> None:
    served(online, "blue", "green", blue=100)
    entered, leave = threading.Event(), threading.Event()

    def scoring(endpoint: str, name: str, body: Any) -> tuple[int, Any, float]:
        if name == "blue":
            entered.set()
            leave.wait(10)
        return 200, {"result": [name]}, 0.0

    online.service.online.scoring = scoring
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(score(online)))
    asking.start()
    assert entered.wait(10)

    put_endpoint(online, green=100)
    assert score(online).json() == {"result": ["green"]}
    assert online.delete(f"{LIVE}/deployments/blue").status_code == 202
    assert online.get(f"{workspace_id()}{LIVE}/deployments/blue").status_code == 404
    leave.set()
    asking.join()

    assert answers[0].json() == {"result": ["blue"]}


def test_an_instance_is_stopped_after_its_last_request_and_not_before() -> None:
    stopped, gone = threading.Event(), threading.Event()

    class Model:
        def answer(self, question: Question) -> Answer:
            raise AssertionError("nobody asks")

        def stop(self) -> None:
            stopped.set()

    instance = Instance(Model())
    instance.take()
    instance.take()
    instance.retire(gone.set)
    instance.release()

    assert not stopped.wait(0.1)
    instance.release()
    assert stopped.wait(10)
    assert gone.wait(10)


def test_the_state_shows_endpoints_and_reset_keeps_them(online: World) -> None:
    served(online, "blue", blue=100)
    online.service.online.scoring = lambda endpoint, name, body: (200, "mine", 0.0)

    shown = online.client.get("/_local/state").json()["machine-learning"]["online"]["live"]
    online.client.post("/_local/reset")

    assert shown["traffic"] == {"blue": 100}
    assert shown["deployments"][0]["state"] == "Succeeded"
    assert score(online).json() == {"result": [0, 0]}
    online.service.online.forget()
    assert online.ask("/onlineEndpoints")["value"] == []


def test_a_restart_keeps_endpoints_and_finishes_what_was_begun(tmp_path: Path, aml_listener: Listener) -> None:
    kept = setup(tmp_path, aml_listener, persistent=True)
    clock = ManualClock()
    first = MachineLearning(kept, clock=clock)
    first.registry.register("m", uri="azureml://datastores/lake/paths/m")
    first.registry.add_code("serving", "1", tmp_path)
    first.registry.add_environment("env", "1")
    for progress in (first.online.creations, first.online.updates, first.online.deletions):
        progress.set(Immediately())
    trust = aml_listener.certificates.client_context()
    aml_listener.serve(first)
    with httpx.Client(base_url=aml_listener.url, verify=trust, trust_env=False) as client:
        world = World(first, client, tmp_path, clock)
        served(world, "blue", "old", blue=100)
        first.online.creations.set(Immediately(Outcome.FAILED, "bad luck"))
        failed = put_deployment(world, "broken")
        first.online.creations.set(ByHand())
        put_deployment(world, "green")
        first.online.deletions.set(ByHand())
        world.delete(f"{LIVE}/deployments/old")
        key = first.online.endpoint("live").keys.primary
        first.close()

        second = MachineLearning(kept, clock=clock)
        second.resume()
        aml_listener.serve(second)
        world.service = second

        assert score(world, token=key).headers["azureml-model-deployment"] == "blue"
        assert score(world, token=key, azureml_model_deployment="green").status_code == 200
        states = {each.name: str(each.state) for each in second.online.directory.deployments("live")}
        assert states == {"blue": "Succeeded", "broken": "Failed", "green": "Succeeded"}
        assert status(world, failed)["error"]["message"] == "bad luck"
        second.close()


# --- small parts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "good"),
    [("abc", True), ("a-b", True), ("a" * 32, True), ("ab", False), ("a" * 33, False), ("1ab", False), ("a--b", False)],
)
def test_names_are_as_in_aml(text: str, good: bool) -> None:
    assert is_name(text) is good


@pytest.mark.parametrize(("text", "seconds"), [("PT5S", 5), ("PT1M30S", 90), ("PT0.5S", 0.5), ("PT1H", 3600)])
def test_durations_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "PT", "5", "P1D"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        seconds_of(text)


def test_hammered_while_traffic_moves_and_the_old_one_goes_no_request_is_lost(online: World) -> None:
    """One thread after the other asks while ten rollouts go through; every single request is answered by a model."""
    served(online, "model-0", **{"model-0": 100})
    key = online.service.online.endpoint("live").keys.primary
    over = threading.Event()
    seen: list[list[tuple[int, str]]] = [[] for _ in range(4)]

    def hammer(answers: list[tuple[int, str]]) -> None:
        verify = online.client
        while not over.is_set():
            answer = verify.post("/online/live/score", json=DATA, headers={"Authorization": f"Bearer {key}"})
            answers.append((answer.status_code, answer.headers.get("azureml-model-deployment", "")))

    threads = [threading.Thread(target=hammer, args=(answers,)) for answers in seen]
    for thread in threads:
        thread.start()
    for number in range(1, 11):
        old, new = f"model-{number - 1}", f"model-{number}"
        assert put_deployment(online, new).status_code == 201
        for share in (10, 50, 100):
            assert put_endpoint(online, **{old: 100 - share, new: share}).status_code == 201
            before = sum(map(len, seen))
            wait_until(lambda mark=before + 8: sum(map(len, seen)) > mark, "more requests are answered")
        assert online.delete(f"{LIVE}/deployments/{old}").status_code == 202
    over.set()
    for thread in threads:
        thread.join()

    answered = [answer for answers in seen for answer in answers]
    assert {code for code, _ in answered} == {200}
    assert {name for _, name in answered} >= {"model-0", "model-10"}
    print(f"{len(answered)} requests answered during ten rollouts, none lost")


def test_an_endpoint_whose_deletion_has_just_ended_is_made_anew(online: World) -> None:
    served(online, "blue", blue=100)
    before = online.service.online.endpoint("live").keys
    online.service.online.deletions.set(AfterSeconds(60))
    assert online.delete(LIVE).status_code == 202
    assert put_endpoint(online).status_code == 409
    online.clock.time += timedelta(seconds=61)

    assert put_endpoint(online).status_code == 201

    assert online.ask(f"{LIVE}/deployments")["value"] == []
    assert online.service.online.endpoint("live").keys != before
