"""A model is registered, and goes live or does not: through the real entry points, azure-ai-ml and real tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from local.faults import Status
from local.progress import AfterPolls, ByHand, Immediately, Outcome
from tests.scenarios.serving import BETTER, RULES, WORSE, Serving
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.cloud
REQUEST_ROWS = 3


@pytest.fixture
def serving(stage_with: Callable[..., Stage]) -> Iterator[Serving]:
    import uuid

    unique = uuid.uuid4().hex[:10]
    settings = {"ENDPOINT": f"ep-{unique}", "MODEL": f"clf-{unique}"}
    stage = stage_with(rules=RULES, extra_settings=settings)
    yield Serving(stage, endpoint=settings["ENDPOINT"], model=settings["MODEL"])
    stage.cloud.machine_learning.reset()


# --- live -------------------------------------------------------------------------------------------------------------


def test_the_first_model_goes_live(serving: Serving) -> None:
    serving.first_goes_live()
    told = serving.last()
    assert serving.standing() == (["1"], {"1": 100})
    assert any("first-model" in entry["reason"] for entry in told["history"])
    assert told["run"]["kind"] == "rollout"


@pytest.mark.parametrize("schema", ["EventGridSchema", "CloudEventSchemaV1_0"])
@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_a_better_model_goes_live_once(serving: Serving, copies: int, schema: Any) -> None:
    serving.first_goes_live()
    event = serving.register("2", BETTER, schema=schema)
    serving.stage.deliver(*[event] * copies)
    serving.settle()
    serving.stage.deliver(event)
    serving.settle()
    assert serving.standing() == (["2"], {"2": 100})
    assert (serving.made("2"), serving.stage.states()) == (1, ["succeeded", "succeeded"])


def test_production_answers_until_the_new_one_has_all_traffic(serving: Serving) -> None:
    serving.first_goes_live()
    serving.goes(creations=AfterPolls(2), updates=AfterPolls(1), deletions=AfterPolls(1))
    serving.stage.deliver(serving.register("2", BETTER))
    seen = [serving.standing()]
    while serving.stage.next_look() and len(seen) < 60:
        seen.append(serving.standing())
    assert all(sum(traffic.values()) == 100 for _, traffic in seen)
    order = [deployed for n, (deployed, _) in enumerate(seen) if n == 0 or deployed != seen[n - 1][0]]
    assert order[-2:] == [["1", "2"], ["2"]]
    assert serving.stage.states() == ["succeeded", "succeeded"]


def test_the_way_back_and_forth_is_told(serving: Serving) -> None:
    serving.first_goes_live()
    serving.stage.deliver(serving.register("2", BETTER))
    serving.settle()
    reaction = serving.last()
    status, model = serving.stage.get(f"models/{serving.model}/2")
    assert status == 200
    assert reaction["lineage"]["model"]["href"] == f"/api/models/{serving.model}/2"
    assert [r["reaction"] for r in model["lineage"]["rollouts"]] == [reaction["id"]]
    [live] = model["lineage"]["live_on"]
    assert (live["endpoint"], live["deployment"], live["traffic"]) == (serving.endpoint, serving.name("2"), 100)
    assert live["reaction"] == reaction["id"]
    assert serving.stage.get(f"models/{serving.model}/99")[0] == 404


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        (WORSE, "-0.0800"),
        ({"live.Accuracy": "0.78", "live.version": "1"}, "no such property"),
        ({**BETTER, "live.version": "7"}, "stale comparison"),
    ],
    ids=["worse", "without a metric", "stale"],
)
def test_the_gate_refuses_and_the_workspace_is_asked_to_change_nothing(
    serving: Serving, properties: dict[str, str], said: str
) -> None:
    serving.first_goes_live()
    serving.stage.deliver(serving.register("2", properties))
    serving.settle()
    assert serving.last()["state"] == "refused"
    assert said in serving.last()["reason"]
    assert serving.workspace.requests.writes(serving.endpoint) == []


def test_an_older_version_late_is_skipped(serving: Serving) -> None:
    serving.first_goes_live()
    serving.stage.deliver(serving.register("9", BETTER, age=timedelta(hours=1)))
    serving.settle()
    _, model = serving.stage.get(f"models/{serving.model}/9")
    [fate] = model["lineage"]["rollouts"]
    assert (fate["state"], fate["reason"]) == ("skipped", "older-than-live")


def test_two_versions_within_seconds(serving: Serving) -> None:
    serving.first_goes_live()
    serving.goes(creations=ByHand())
    serving.stage.deliver(serving.register("2", BETTER), serving.register("3", {**BETTER, "Accuracy": "0.81"}))
    serving.goes()
    for _ in range(40):
        for deployed in serving.online.directory.deployments(serving.endpoint):
            serving.online.end(serving.endpoint, deployed.name)
        if not serving.stage.next_look():
            break
    assert serving.standing() == (["3"], {"3": 100})
    assert serving.stage.states() == ["succeeded", "superseded", "succeeded"]


def test_without_an_endpoint_it_fails_and_says_what_to_do(serving: Serving) -> None:
    serving.stage.deliver(serving.register("1"))
    serving.settle()
    assert serving.last()["state"] == "failed"
    assert f"there is no online endpoint {serving.endpoint}" in serving.last()["reason"]


# --- back -------------------------------------------------------------------------------------------------------------


def raises(endpoint: str, deployment: str, body: object) -> Any:
    raise RuntimeError("the model has no column Age")


ANSWERS: dict[str, tuple[Any, str]] = {
    "raises": (raises, "smoke test: answered 424"),
    "wrong schema": (lambda *_: (200, {"prediction": [0, 1, 0]}, 0.1), "the answer is not"),
    "too few": (lambda *_: (200, {"result": [0]}, 0.1), "3 result(s) were expected"),
    "slow": (lambda *_: (200, {"result": [0] * REQUEST_ROWS}, 60.0), "smoke test, tried 3 times: answered 408"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_failed_smoke_test_leaves_production_untouched(serving: Serving, kind: str) -> None:
    serving.first_goes_live()
    serving.online.scoring, said = ANSWERS[kind]
    serving.stage.deliver(serving.register("2", BETTER))
    serving.settle()
    assert serving.last()["state"] == "rolled-back"
    assert said in serving.last()["reason"]
    assert serving.standing() == (["1"], {"1": 100})
    assert serving.made("2") == 1
    changed = [c for c in serving.workspace.requests.writes(serving.endpoint) if c.path.endswith(serving.endpoint)]
    assert changed == [], "the endpoint itself was never changed"


@pytest.mark.parametrize(
    "said",
    [
        "OutOfQuota: 0 of 4 cores left in westeurope",
        # In AML a model that raises in init() is a deployment that cannot be made: its server never gets healthy. (With
        # the real inference server: tests/local/test_machine_learning_serving.py.)
        "ResourceNotReady: User container has crashed or terminated: init() raised RuntimeError: no such column",
    ],
    ids=["no quota", "raises in init"],
)
def test_a_deployment_that_fails_ends_with_amls_error(serving: Serving, said: str) -> None:
    serving.first_goes_live()
    serving.goes(creations=Immediately(Outcome.FAILED, said))
    serving.stage.deliver(serving.register("2", BETTER))
    serving.settle()
    assert serving.last()["state"] == "failed"
    assert said.partition(": ")[2] in serving.last()["reason"]
    assert serving.standing() == (["1"], {"1": 100})
    assert serving.workspace.requests.writes(f"{serving.endpoint}/score") == []


def test_a_deployment_that_is_not_ours_is_never_put(serving: Serving) -> None:
    serving.first_goes_live()
    body = {
        "location": "westeurope",
        "tags": {"team": "clinic"},
        "sku": {"name": "Default", "capacity": 1},
        "properties": {"endpointComputeType": "Managed", "model": f"azureml:{serving.model}:1"},
    }
    from local.machine_learning.online.bodies import DeploymentBody

    serving.online.deployments.put(serving.endpoint, serving.name("2"), DeploymentBody.read(body))
    serving.workspace.requests.clear()
    serving.stage.deliver(serving.register("2", BETTER))
    serving.settle()
    assert serving.last()["state"] == "failed"
    assert "that Relearn did not make" in serving.last()["reason"]
    assert serving.workspace.requests.writes(serving.endpoint) == []


# --- patience ---------------------------------------------------------------------------------------------------------


def test_409_while_updating_delays(serving: Serving) -> None:
    serving.first_goes_live()
    conflict = Status(409, body={"error": {"code": "Conflict", "message": "another update is in progress"}})
    serving.workspace.faults.add(method="PUT", path=f"*/onlineendpoints/{serving.endpoint}", action=conflict, times=3)
    serving.stage.deliver(serving.register("2", BETTER))
    serving.settle()
    assert (serving.last()["state"], serving.standing()) == ("succeeded", (["2"], {"2": 100}))
    assert len(serving.workspace.faults.fired) == 3


def test_an_endpoint_that_somebody_is_changing_is_waited_for(serving: Serving) -> None:
    serving.first_goes_live()
    serving.goes(updates=ByHand())
    from local.machine_learning.online.bodies import EndpointBody

    body = {"location": "westeurope", "properties": {"authMode": "Key", "traffic": {serving.name("1"): 100}}}
    serving.online.endpoints.put(serving.endpoint, EndpointBody.read(body))
    serving.stage.deliver(serving.register("2", BETTER))
    assert serving.last()["state"] == "pending"
    assert "is being changed" in serving.last()["reason"]
    serving.online.end(serving.endpoint)
    serving.goes()
    serving.settle()
    assert serving.standing() == (["2"], {"2": 100})


def test_what_is_live_is_told_to_a_pipeline_and_fixed_in_its_reaction(serving: Serving) -> None:
    rules = RULES + (
        "  score:\n"
        '    when: {file-landed: {path: "lake/in/{batch}/*.csv"}}\n'
        '    collect: {by: "{batch}"}\n'
        "    run-pipeline: score\n"
        '    with: {batch: "{batch}", files: "{live:${ENDPOINT}}"}\n'
    )
    serving.stage.restart(rules)
    serving.make_endpoint()
    serving.stage.deliver(serving.stage.land("in/b1/a.csv"))
    waiting = serving.last()
    assert (waiting["state"], waiting["run"]["id"]) == ("pending", None)
    assert f"no model is live on endpoint {serving.endpoint} yet" in waiting["reason"]
    serving.stage.deliver(serving.register("1"))
    serving.settle()
    [start] = serving.stage.starts()
    assert start["parameters"]["files"].startswith("azureml:/subscriptions/")
    assert start["parameters"]["files"].endswith(f"/models/{serving.model}/versions/1")
    scored = serving.stage.get(f"reactions/{waiting['id']}")[1]
    assert scored["lineage"]["models_used"] == [
        {"name": serving.model, "version": "1", "href": f"/api/models/{serving.model}/1"}
    ]


# --- observed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
@pytest.mark.parametrize(
    ("properties", "told"),
    [(BETTER, "would have deployed {model}:2 on endpoint"), (WORSE, "would have refused {model}:2 on endpoint")],
    ids=["better", "worse"],
)
def test_of_a_model_that_is_only_observed_the_verdict_is_told(
    serving: Serving, properties: dict[str, str], told: str, copies: int
) -> None:
    serving.first_goes_live()
    serving.stage.restart(RULES.replace("  deploy:\n", "  deploy:\n    mode: observe\n"))
    serving.stage.deliver(*[serving.register("2", properties)] * copies)
    serving.settle()
    assert serving.stage.states() == ["succeeded", "observed"]
    assert told.format(model=serving.model) in serving.last()["reason"]
    assert serving.standing() == (["1"], {"1": 100})
