"""The workspace as Relearn needs it: the same cases on the fake and on azure-ai-ml and ARM over the wire."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
from azure.core.exceptions import ClientAuthenticationError

from local.cloud import LocalCloud
from local.faults import AcceptThen, Action, Drop, Status, Truncate
from local.machine_learning.online.bodies import EndpointBody
from local.progress import ByHand, Immediately, Outcome
from local.service import REGION, RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE, workspace_id
from shared.cloud.machine_learning import WorkspaceClient
from shared.errors import InDoubt, RelearnError, TargetBusy, TargetRefused, TargetUnavailable
from shared.models import Endpoint, ModelRef, Provisioning
from shared.ports import NewDeployment, Workspace
from shared.rollouts.smoke import Answer
from shared.rules import Serving
from shared.settings import ArmResource
from tests.fakes import T0, FakeClock, FakeWorkspace

SERVING = Serving(code="azureml:contract-serving:1", environment="azureml:contract-env:1")
REQUEST = json.dumps({"data": [{"Age": 40}, {"Age": 50}]})
_NUMBERS = itertools.count(1)


class Bench(Protocol):
    """A workspace under test, and what its owner can do to it behind the port."""

    workspace: Workspace
    endpoint: str
    model: str

    def make_endpoint(self, auth_mode: str = "Key") -> None: ...
    def register(self, version: str, created: datetime, **properties: str) -> ModelRef: ...
    def creation(self, *, ready: bool = True, failure: str = "") -> None: ...
    def finish(self) -> None: ...
    def answers(self, status: int, body: str) -> None: ...


class FakeBench:
    endpoint = "ep1"
    model = "clf"

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.fake = FakeWorkspace(self.clock)
        self.fake.update = self.fake.deletion = timedelta(0)
        self.workspace: Workspace = self.fake

    def make_endpoint(self, auth_mode: str = "Key") -> None:
        self.fake.endpoints[self.endpoint] = {}

    def register(self, version: str, created: datetime, **properties: str) -> ModelRef:
        return self.fake.register(self.model, version, created, **properties).ref

    def creation(self, *, ready: bool = True, failure: str = "") -> None:
        self.fake.creation = timedelta(0) if ready else timedelta(minutes=3)
        if failure:
            self.fake.fails["dep-1"] = failure

    def finish(self) -> None:
        self.clock.advance(timedelta(hours=1))

    def answers(self, status: int, body: str) -> None:
        self.fake.answers = [Answer(status=status, deployment=None, body=body, seconds=0.1)]


class WireBench:
    """The product's client with azure-ai-ml below it, TLS, and the local workspace at the other end."""

    def __init__(self, cloud: LocalCloud, client: WorkspaceClient) -> None:
        number = next(_NUMBERS)
        self.client = client
        self.arm = cloud.arm_url
        self.workspace: Workspace = client
        self.endpoint = f"ep-contract-{number}"
        self.model = f"clf-contract-{number}"
        self.local = cloud.machine_learning
        self.online = self.local.online
        self.creation()

    def make_endpoint(self, auth_mode: str = "Key") -> None:
        body = {"location": REGION, "properties": {"authMode": auth_mode}}
        self.online.endpoints.put(self.endpoint, EndpointBody.read(body))

    def register(self, version: str, created: datetime, **properties: str) -> ModelRef:
        self.local.registry.register(
            self.model,
            version,
            uri=f"azureml://datastores/lake/paths/models/{self.model}/{version}",
            created=created,
            properties={k.replace("__", "."): v for k, v in properties.items()},
        )
        return ModelRef(name=self.model, version=version)

    def creation(self, *, ready: bool = True, failure: str = "") -> None:
        policy = Immediately(Outcome.FAILED, failure) if failure else Immediately() if ready else ByHand()
        self.online.creations.set(policy, self.endpoint)
        self.online.updates.set(Immediately(), self.endpoint)
        self.online.deletions.set(Immediately(), self.endpoint)

    def finish(self) -> None:
        for each in self.online.directory.deployments(self.endpoint):
            self.online.end(self.endpoint, each.name)

    def answers(self, status: int, body: str) -> None:
        self.online.scoring = lambda _endpoint, _deployment, _body: (status, json.loads(body), 0.1)

    def puts(self, below: str) -> list[int | None]:
        """What the workspace's side answered to every PUT below a path of this endpoint."""
        calls = self.local.requests.writes(f"{self.endpoint}{below}")
        return [call.status for call in calls if call.method == "PUT"]


@pytest.fixture
def wire(cloud: LocalCloud, credential: Any, tmp_path: Path) -> Iterator[WireBench]:
    settings = ArmResource(
        subscription_id=SUBSCRIPTION, resource_group=RESOURCE_GROUP, name=WORKSPACE, resource_id=workspace_id()
    )
    (tmp_path / "score.py").write_text("")
    cloud.machine_learning.registry.add_code("contract-serving", "1", tmp_path)
    cloud.machine_learning.registry.add_environment("contract-env", "1")
    client = WorkspaceClient(settings, cloud.arm_url, credential)
    bench = WireBench(cloud, client)
    yield bench
    client.close()
    cloud.machine_learning.reset()


@pytest.fixture(params=["fake", pytest.param("wire", marks=pytest.mark.cloud)])
def bench(request: pytest.FixtureRequest) -> Bench:
    made: Bench = FakeBench() if request.param == "fake" else request.getfixturevalue("wire")
    return made


def wanted(bench: Bench, ref: ModelRef, name: str = "dep-1") -> NewDeployment:
    tags = {"relearn_reaction": "0123456789abcdef01234567-1", "model": ref.name, "version": ref.version}
    return NewDeployment(endpoint=bench.endpoint, name=name, model=ref, serving=SERVING, tags=tags)


def live(bench: Bench) -> ModelRef:
    """An endpoint on which version 1 has all traffic, as d1."""
    bench.make_endpoint()
    ref = bench.register("1", T0)
    bench.workspace.create_deployment(wanted(bench, ref))
    bench.workspace.set_traffic(bench.endpoint, {"dep-1": 100})
    return ref


# --- the same on both -------------------------------------------------------------------------------------------------


def test_a_model_is_told_with_its_time_and_properties(bench: Bench) -> None:
    ref = bench.register("1", T0, Accuracy="0.77", live__version="0")
    found = bench.workspace.model(ref)
    assert found is not None
    assert (found.ref, found.created, found.archived) == (ref, T0, False)
    assert found.properties == {"Accuracy": "0.77", "live.version": "0"}
    assert ModelRef.parse(found.asset) == ref
    assert bench.workspace.model(ModelRef(name=bench.model, version="2")) is None


def test_an_endpoint_that_is_not_there_is_none(bench: Bench) -> None:
    assert bench.workspace.endpoint("nowhere") is None
    with pytest.raises(TargetRefused) as refused:
        bench.workspace.live_model("nowhere")
    assert refused.value.status == 404


def test_an_empty_endpoint_has_nothing_live(bench: Bench) -> None:
    bench.make_endpoint()
    found = bench.workspace.endpoint(bench.endpoint)
    assert found is not None
    assert (found.name, found.provisioning, found.deployments, found.live) == (
        bench.endpoint,
        Provisioning.SUCCEEDED,
        (),
        None,
    )
    assert bench.workspace.live_model(bench.endpoint) is None


def test_a_deployment_is_made_beside_without_traffic(bench: Bench) -> None:
    bench.make_endpoint()
    bench.creation(ready=False)
    ref = bench.register("1", T0)
    bench.workspace.create_deployment(wanted(bench, ref))
    found = bench.workspace.endpoint(bench.endpoint)
    assert found is not None
    [made] = found.deployments
    assert (made.name, made.model, made.provisioning) == ("dep-1", ref, Provisioning.UNDER_WAY)
    assert made.reaction == "0123456789abcdef01234567-1"
    assert (found.traffic, found.live) == ({}, None)
    bench.finish()
    ready = bench.workspace.endpoint(bench.endpoint)
    assert ready is not None
    assert [each.provisioning for each in ready.deployments] == [Provisioning.SUCCEEDED]


def test_traffic_moves_as_a_whole(bench: Bench) -> None:
    first = live(bench)
    second = bench.register("2", T0 + timedelta(days=1))
    bench.workspace.create_deployment(wanted(bench, second, "dep-2"))
    before = bench.workspace.live_model(bench.endpoint)
    bench.workspace.set_traffic(bench.endpoint, {"dep-2": 100})
    after, found = bench.workspace.live_model(bench.endpoint), bench.workspace.endpoint(bench.endpoint)
    assert before is not None
    assert after is not None
    assert found is not None
    assert (before.ref, after.ref, found.traffic) == (first, second, {"dep-2": 100})
    bench.workspace.delete_deployment(bench.endpoint, "dep-1")
    left = bench.workspace.endpoint(bench.endpoint)
    assert left is not None
    assert [each.name for each in left.deployments] == ["dep-2"]


def test_removing_what_is_gone_is_no_error(bench: Bench) -> None:
    bench.make_endpoint()
    bench.workspace.delete_deployment(bench.endpoint, "never-there")


def test_why_a_deployment_could_not_be_made_is_told(bench: Bench) -> None:
    bench.make_endpoint()
    bench.creation(failure="OutOfQuota: not enough cores in the region")
    ref = bench.register("1", T0)
    bench.workspace.create_deployment(wanted(bench, ref))
    found = bench.workspace.endpoint(bench.endpoint)
    assert found is not None
    assert [each.provisioning for each in found.deployments] == [Provisioning.FAILED]
    assert "not enough cores in the region" in bench.workspace.failure(bench.endpoint, "dep-1")


def test_a_deployment_answers_without_traffic(bench: Bench) -> None:
    live(bench)
    second = bench.register("2", T0 + timedelta(days=1))
    bench.workspace.create_deployment(wanted(bench, second, "dep-2"))
    found = bench.workspace.endpoint(bench.endpoint)
    assert found is not None
    answer = bench.workspace.score(found, "dep-2", REQUEST)
    assert (answer.status, answer.deployment, json.loads(answer.body)) == (200, "dep-2", {"result": [0, 0]})


def test_an_answer_that_is_no_success_is_an_answer(bench: Bench) -> None:
    live(bench)
    bench.answers(500, '{"message": "the model raised"}')
    found = bench.workspace.endpoint(bench.endpoint)
    assert found is not None
    answer = bench.workspace.score(found, "dep-1", REQUEST)
    # A managed endpoint passes the failure of a model on as 424.
    assert answer.status in {424, 500}
    assert "the model raised" in answer.body


# --- what only a wire has ---------------------------------------------------------------------------------------------

CALLS: dict[str, tuple[Callable[[WireBench, ModelRef], object], str, str]] = {
    "endpoint": (lambda b, _ref: b.client.endpoint(b.endpoint), "GET", "*/onlineendpoints/{endpoint}"),
    "model": (lambda b, ref: b.client.model(ref), "GET", "*/models/{model}/versions/1"),
    "create": (
        lambda b, ref: b.client.create_deployment(wanted(b, ref, "dep-2")),
        "PUT",
        "*/onlineendpoints/{endpoint}/deployments/dep-2",
    ),
    "traffic": (
        lambda b, _ref: b.client.set_traffic(b.endpoint, {"dep-1": 100}),
        "PUT",
        "*/onlineendpoints/{endpoint}",
    ),
    "delete": (
        lambda b, _ref: b.client.delete_deployment(b.endpoint, "dep-1"),
        "DELETE",
        "*/onlineendpoints/{endpoint}/deployments/dep-1",
    ),
}
READS = {"endpoint", "model"}
ANSWERS: dict[str, tuple[Action, type[RelearnError], type[RelearnError]]] = {
    "400": (Status(400), TargetRefused, TargetRefused),
    "401": (Status(401), TargetRefused, TargetRefused),
    "403": (Status(403), TargetRefused, TargetRefused),
    "408": (Status(408), TargetBusy, InDoubt),
    "409": (Status(409), TargetBusy, TargetBusy),
    "429": (Status(429, headers={"Retry-After": "7"}), TargetBusy, TargetBusy),
    "500": (Status(500), TargetUnavailable, InDoubt),
    "503": (Status(503, headers={"Retry-After": "1"}), TargetUnavailable, InDoubt),
    "reset": (Drop(), TargetUnavailable, InDoubt),
    "cut off": (AcceptThen(Truncate()), TargetUnavailable, InDoubt),
}


@pytest.mark.cloud
@pytest.mark.parametrize("said", ANSWERS)
@pytest.mark.parametrize("call", CALLS)
def test_what_an_answer_means_and_that_nothing_is_sent_twice(wire: WireBench, call: str, said: str) -> None:
    if (call, said) == ("delete", "cut off"):
        return  # its answer has no body that could be cut off
    ref = live(wire)
    make, method, path = CALLS[call]
    action, if_read, if_write = ANSWERS[said]
    full = path.format(endpoint=wire.endpoint, model=wire.model)
    wire.local.faults.add(method=method, path=full, action=action, times=None)
    wire.local.requests.clear()
    with pytest.raises(if_read if call in READS else if_write) as raised:
        make(wire, ref)
    if said == "429":
        assert isinstance(raised.value, TargetBusy)
        assert raised.value.retry_after == timedelta(seconds=7)
    assert len([fired for fired in wire.local.faults.fired if fired.method == method]) == 1


@pytest.mark.cloud
def test_no_thread_of_the_sdk_follows_a_change(wire: WireBench) -> None:
    live(wire)
    asked = [call.path for call in wire.local.requests.calls if "mfeoperation" in call.path.lower()]
    assert asked == []
    waiting = [t for t in threading.enumerate() if t.name.startswith("LROPoller")]
    for thread in waiting:
        thread.join(5)
    assert not any(thread.is_alive() for thread in waiting)


@pytest.mark.cloud
@pytest.mark.parametrize("mode", ["Key", "AMLToken", "AADToken"])
def test_an_endpoint_is_scored_with_what_it_asks_for(wire: WireBench, mode: str) -> None:
    wire.make_endpoint(mode)
    wire.client.create_deployment(wanted(wire, wire.register("1", T0)))
    found = wire.client.endpoint(wire.endpoint)
    assert found is not None
    assert (found.auth_mode, wire.client.score(found, "dep-1", REQUEST).status) == (mode, 200)


@pytest.mark.cloud
def test_a_slow_answer_is_no_success(wire: WireBench) -> None:
    live(wire)
    wire.online.scoring = lambda _endpoint, _deployment, _body: (200, {"result": [0, 0]}, 9.0)
    found = wire.client.endpoint(wire.endpoint)
    assert found is not None
    assert wire.client.score(found, "dep-1", REQUEST).status in {408, 504}


@pytest.mark.cloud
def test_a_silent_endpoint_is_unavailable(wire: WireBench) -> None:
    live(wire)
    found = wire.client.endpoint(wire.endpoint)
    assert found is not None
    wire.local.faults.add(method="POST", path=f"*/online/{wire.endpoint}/score", action=Drop())
    with pytest.raises(TargetUnavailable):
        wire.client.score(found, "dep-1", REQUEST)


@pytest.mark.cloud
def test_an_archived_model_is_told_so(wire: WireBench) -> None:
    ref = wire.register("1", T0)
    wire.local.registry.put(*archived(wire, ref))
    found = wire.client.model(ref)
    assert found is not None
    assert found.archived


def archived(wire: WireBench, ref: ModelRef) -> tuple[str, str, Any]:
    from local.machine_learning.registry.assets import ModelBody

    known = wire.local.registry.model(ref.name, ref.version)
    assert known is not None
    return ref.name, ref.version, ModelBody(uri=known.uri, type=known.type, archived=True)


@pytest.mark.cloud
def test_what_the_endpoint_has_beside_its_traffic_is_kept(wire: WireBench) -> None:
    body = {
        "location": REGION,
        "tags": {"team": "clinic"},
        "properties": {"authMode": "AADToken", "description": "of the clinic"},
    }
    wire.online.endpoints.put(wire.endpoint, EndpointBody.read(body))
    wire.client.create_deployment(wanted(wire, wire.register("1", T0)))
    wire.client.set_traffic(wire.endpoint, {"dep-1": 100})
    kept = wire.online.endpoint(wire.endpoint)
    assert (kept.tags, kept.description, str(kept.auth_mode)) == ({"team": "clinic"}, "of the clinic", "AADToken")
    assert dict(kept.traffic) == {"dep-1": 100}


@pytest.mark.cloud
def test_what_is_in_a_name_leads_to_no_other_address(wire: WireBench) -> None:
    wire.register("3", T0)
    for name, version in (
        (wire.model, "9/../3"),
        (f"x/../{wire.model}", "3"),
        (wire.model, "3?x"),
        (wire.model, "3#x"),
    ):
        with contextlib.suppress(TargetRefused, TargetUnavailable):
            assert wire.client.model(ModelRef(name=name, version=version)) is None


@pytest.mark.cloud
def test_every_page_of_an_endpoints_deployments_is_read(wire: WireBench) -> None:
    live(wire)
    path = f"*/onlineendpoints/{wire.endpoint}/deployments"
    url = f"{wire.arm}{workspace_id()}/onlineEndpoints/{wire.endpoint}/deployments"
    wire.local.faults.add(method="GET", path=path, action=Status(200, body={"value": [], "nextLink": f"{url}?page=2"}))
    found = wire.client.endpoint(wire.endpoint)
    assert found is not None
    assert [each.name for each in found.deployments] == ["dep-1"]


@pytest.mark.cloud
@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("{ws}/models/{model}/versions/1", True),
        ("azureml:{model}:1", True),
        ("azureml://locations/westeurope/workspaces/0000/models/{model}/versions/1", True),
        ("azureml://registries/azureml/models/{model}/versions/1", False),
        ("{ws}-other/models/{model}/versions/1", False),
    ],
)
def test_a_model_of_another_place_is_not_taken_for_the_workspaces_own(wire: WireBench, address: str, own: bool) -> None:
    ref = live(wire)
    model = address.format(ws=workspace_id(), model=wire.model)
    listed = {"name": "dep-1", "properties": {"model": model, "provisioningState": "Succeeded"}}
    path = f"*/onlineendpoints/{wire.endpoint}/deployments"
    wire.local.faults.add(method="GET", path=path, action=Status(200, body={"value": [listed]}))
    found = wire.client.endpoint(wire.endpoint)
    assert found is not None
    assert found.live is not None
    assert found.live.model == (ref if own else None)


@pytest.mark.cloud
@pytest.mark.parametrize("status", [403, 404])
def test_why_it_failed_is_not_told_to_everybody(wire: WireBench, status: int) -> None:
    wire.make_endpoint()
    wire.creation(failure="OutOfQuota")
    wire.client.create_deployment(wanted(wire, wire.register("1", T0)))
    wire.local.faults.add(method="GET", path="*/mfeoperationsstatus/*", action=Status(status), times=None)
    wire.local.faults.add(method="POST", path="*/getlogs", action=Status(500), times=None)
    assert wire.client.failure(wire.endpoint, "dep-1") == "AML gave no reason"


@pytest.mark.cloud
def test_our_token_goes_to_no_address_that_a_deployment_names(wire: WireBench) -> None:
    live(wire)
    elsewhere = {"AzureAsyncOperationUri": f"{wire.arm}.example/mfeOperationsStatus/1"}
    body = {"name": "dep-1", "properties": {"provisioningState": "Failed", "properties": elsewhere}}
    path = f"*/onlineendpoints/{wire.endpoint}/deployments/dep-1"
    wire.local.faults.add(method="GET", path=path, action=Status(200, body=body))
    assert wire.client.failure(wire.endpoint, "dep-1").startswith("AML gave no reason")


@pytest.mark.cloud
def test_an_identity_that_is_not_available_is_no_answer_of_the_model(cloud: LocalCloud) -> None:
    class Nobody:
        def get_token(self, *scopes: str, **options: Any) -> Any:
            raise ClientAuthenticationError("the identity endpoint is out")

    settings = ArmResource(
        subscription_id=SUBSCRIPTION, resource_group=RESOURCE_GROUP, name=WORKSPACE, resource_id=workspace_id()
    )
    client = WorkspaceClient(settings, cloud.arm_url, Nobody())
    found = Endpoint(name="e", provisioning=Provisioning.SUCCEEDED, auth_mode="AADToken", scoring_uri=cloud.arm_url)
    with pytest.raises(TargetUnavailable):
        client.score(found, "dep-1", REQUEST)
    client.close()


@pytest.mark.cloud
@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("Creating", Provisioning.UNDER_WAY),
        ("Updating", Provisioning.UNDER_WAY),
        ("Scaling", Provisioning.UNDER_WAY),
        ("SomethingNew", Provisioning.UNDER_WAY),
        ("Deleting", Provisioning.DELETING),
        ("Succeeded", Provisioning.SUCCEEDED),
        ("Failed", Provisioning.FAILED),
        ("Canceled", Provisioning.FAILED),
    ],
)
def test_how_far_amls_words_say_it_is(wire: WireBench, state: str, expected: Provisioning) -> None:
    wire.make_endpoint()
    listed = {"name": "dep-1", "properties": {"provisioningState": state}}
    path = f"*/onlineendpoints/{wire.endpoint}"
    body = {"name": wire.endpoint, "properties": {"authMode": "Key", "provisioningState": state, "traffic": {"x": 0}}}
    wire.local.faults.add(method="GET", path=f"{path}/deployments", action=Status(200, body={"value": [listed]}))
    wire.local.faults.add(method="GET", path=path, action=Status(200, body=body))
    found = wire.client.endpoint(wire.endpoint)
    assert found is not None
    assert (found.provisioning, found.deployments[0].provisioning, found.traffic) == (expected, expected, {})


@pytest.mark.cloud
def test_a_deployment_that_was_gone_when_it_was_to_be_removed_is_no_error(wire: WireBench) -> None:
    live(wire)
    path = f"*/onlineendpoints/{wire.endpoint}/deployments/dep-2"
    wire.local.faults.add(method="DELETE", path=path, action=Status(404))
    wire.client.delete_deployment(wire.endpoint, "dep-2")
    assert [fired.method for fired in wire.local.faults.fired] == ["DELETE"]


@pytest.mark.cloud
def test_what_the_sdk_itself_finds_wrong_is_refused_and_not_in_doubt(wire: WireBench) -> None:
    wire.make_endpoint()
    wrong = replace(wanted(wire, wire.register("1", T0)), serving=replace(SERVING, code="./there-is-no-such-folder"))
    with pytest.raises(TargetRefused) as refused:
        wire.client.create_deployment(wrong)
    assert str(refused.value)
    assert wire.puts("/deployments/dep-1") == []


@pytest.mark.cloud
def test_a_deployment_is_made_as_the_rule_says(wire: WireBench) -> None:
    wire.make_endpoint()
    serving = replace(SERVING, instances=2, instance_type="Standard_F2s_v2")
    wire.client.create_deployment(replace(wanted(wire, wire.register("1", T0)), serving=serving))
    made = wire.online.directory.deployment(wire.endpoint, "dep-1")
    assert made is not None
    assert (made.capacity, made.properties["instanceType"]) == (2, "Standard_F2s_v2")
    assert made.properties["requestSettings"]["requestTimeout"] == "PT5S"
    assert made.properties["codeConfiguration"]["scoringScript"] == SERVING.script
