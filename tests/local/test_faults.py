"""Faults on the real listener as the real SDK client meets them, and why the product switches the SDK's retries off."""

from __future__ import annotations

import threading
import time

import pytest
from azure.core.exceptions import (
    HttpResponseError,
    IncompleteReadError,
    ResourceNotFoundError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)

from local.data_factory.request_log import duplicate_starts
from local.faults import AcceptThen, Drop, Faults, Hang, Status, Truncate
from local.progress import Immediately
from tests.local.adf import GROUP, SCORE, requests_in, served

CREATE = "*/factories/adf/pipelines/*/createRun"


@pytest.fixture(scope="module")
def listener(tmp_path_factory):
    with served(tmp_path_factory.mktemp("faults")) as cloud:
        yield cloud


@pytest.fixture
def cloud(listener):
    listener.data_factory.reset()
    listener.requests.unlink(missing_ok=True)
    listener.data_factory.progress.set(Immediately())
    return listener


def start(cloud, **options):
    with cloud.client(**{"retry_total": 0, "read_timeout": 5, **options}) as client:
        return client.pipelines.create_run(GROUP, "adf", "score-diabetes", parameters=SCORE).run_id


def runs(cloud):
    return cloud.data_factory.factory("adf").runs()


@pytest.mark.parametrize("code", [500, 503, 504])
def test_the_default_retry_policy_makes_four_runs_of_one_start(cloud, code):
    """The trap: createRun has no idempotency token, the SDK repeats the POST, and every one was accepted."""
    cloud.data_factory.faults.add(method="POST", path=CREATE, times=None, action=AcceptThen(Status(code)))
    with cloud.client(retry_backoff_factor=0) as client, pytest.raises(HttpResponseError):
        client.pipelines.create_run(GROUP, "adf", "score-diabetes", parameters=SCORE)
    assert len(runs(cloud)) == 4
    assert duplicate_starts(cloud.requests) == 3


def test_any_answer_with_retry_after_is_repeated_as_well(cloud):
    cloud.data_factory.faults.add(path=CREATE, times=None, action=Status(400, headers={"Retry-After": "0"}))
    with cloud.client(retry_backoff_factor=0) as client, pytest.raises(HttpResponseError):
        client.pipelines.create_run(GROUP, "adf", "score-diabetes", parameters=SCORE)
    assert len(cloud.data_factory.faults.fired) == 4


@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.parametrize(
    ("action", "error"),
    [
        (Status(500), HttpResponseError),
        (Status(503, headers={"Retry-After": "7"}), HttpResponseError),
        (Drop(), ServiceResponseError),
        (Truncate(), IncompleteReadError),
        (Hang(10), ServiceResponseTimeoutError),
    ],
    ids=str,
)
def test_with_retries_off_the_client_sees_the_fault_once(cloud, action, error, accepted):
    """The work is done if and only if the fault is an accepted one; the record says so, and says why nobody saw it."""
    wanted = AcceptThen(action) if accepted else action
    cloud.data_factory.faults.add(method="post", path=CREATE.upper(), action=wanted)
    began = time.monotonic()
    with pytest.raises(error):
        start(cloud, read_timeout=0.5)
    assert time.monotonic() - began < 5
    assert len(runs(cloud)) == accepted
    (entry,) = requests_in(cloud.requests)
    assert entry["fault"] == str(wanted)
    assert (entry.get("runId") is not None) is accepted
    assert [str(fired.action) for fired in cloud.data_factory.faults.fired] == [str(wanted)]
    assert start(cloud)  # used up, and the listener is none the worse


def test_a_hang_is_bounded(cloud):
    cloud.data_factory.faults.add(path=CREATE, action=Hang(0.2))
    with pytest.raises(ServiceResponseError):
        start(cloud)


def test_a_status_brings_its_headers_and_body(cloud):
    body = {"error": {"code": "TooManyPipelineRunQueryRequests", "message": "slow down"}}
    cloud.data_factory.faults.add(path=CREATE, action=Status(429, headers={"Retry-After": "7"}, body=body))
    with pytest.raises(HttpResponseError) as caught:
        start(cloud)
    assert caught.value.status_code == 429
    assert caught.value.error.code == "TooManyPipelineRunQueryRequests"
    assert caught.value.response.headers["Retry-After"] == "7"


def test_a_status_without_a_body_is_shaped_as_arm_shapes_errors(cloud):
    cloud.data_factory.faults.add(method="GET", action=Status(404))
    with cloud.client() as client, pytest.raises(ResourceNotFoundError) as caught:
        client.factories.get(GROUP, "adf")
    assert caught.value.error.code == "NotFound"


def test_a_dropped_connection_takes_no_other_request_with_it(cloud):
    cloud.data_factory.faults.add(method="GET", action=Hang(1))
    hanging = threading.Thread(target=_get_factory_quietly, args=(cloud,))
    hanging.start()
    while not cloud.data_factory.faults.fired:
        time.sleep(0.005)
    began = time.monotonic()
    assert start(cloud)
    assert time.monotonic() - began < 0.8
    hanging.join()


def _get_factory_quietly(cloud):
    with cloud.client(retry_total=0) as client, pytest.raises(ServiceResponseError):
        client.factories.get(GROUP, "adf")


def test_faults_are_used_in_order_and_as_often_as_they_say():
    faults = Faults()
    faults.add(method="POST", path="*/createrun", times=2, action=Status(500))
    faults.add(path="*", times=1, action=Drop())
    taken = [faults.take("POST", "/a/createRun") for _ in range(4)]
    assert [str(action) for action in taken] == ["Status(500)", "Status(500)", "Drop", "None"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/a/createrun"), ("POST", "/a/createrun/b"), ("POST", "/a")])
def test_a_fault_meets_only_its_route(method, path):
    faults = Faults()
    faults.add(method="POST", path="*/createrun", times=None, action=Drop())
    assert faults.take(method, path) is None


def test_cleared_faults_are_gone():
    faults = Faults()
    faults.add(action=Drop(), times=None)
    faults.take("GET", "/")
    faults.clear()
    assert (faults.take("GET", "/"), faults.fired) == (None, ())
