"""The app in Microsoft's own worker library: indexed by it, and every trigger invoked through it.

azure-functions-runtime is what Azure's Python 3.13 worker runs; it needs that Python, and is skipped without one.
Its virtual environment is made once, below the ignored folder.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local.host import bindings
from local.processes import scrubbed
from tests import fresh_environment
from tests.callers import APPROVER, HttpFunction, http_functions, principal

ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("functions_runtime_driver.py")

FUNCTIONS = {
    "receive_event": "eventGridTrigger",
    "receive_queued_event": "queueTrigger",
    "look": "queueTrigger",
    "sweep": "timerTrigger",
    **{each.name: "httpTrigger" for each in http_functions()},
}
UNKNOWN_EVENT = {
    "id": "1",
    "topic": "/subscriptions/s/resourceGroups/g/providers/Some.Provider/things/t",
    "subject": "somewhere",
    "eventType": "Some.Provider.SomethingElse",
    "eventTime": "2026-11-22T04:10:11.1234567Z",
    "data": {"text": "é"},
    "dataVersion": "1",
    "metadataVersion": "1",
}


@pytest.fixture(scope="module")
def runtime_python() -> Path:
    """The interpreter of a virtual environment with the app's requirements; the worker library lies beside it."""
    if fresh_environment.find_python_3_13() is None:
        pytest.skip("no Python 3.13 on PATH or under ~/.pyenv/versions: azure-functions-runtime needs it")
    fresh_environment.worker_library()
    return fresh_environment.app_python()


def call(function: str, payload: bindings.Payload) -> dict[str, Any]:
    metadata = {name: _as_json(datum) for name, datum in payload.metadata.items()}
    return {"function": function, "datum": _as_json(payload.datum), "metadata": metadata}


def _as_json(datum: Any) -> dict[str, Any]:
    value = datum.value
    if isinstance(value, bytes):
        value = base64.b64encode(value).decode()
    if isinstance(value, dict):
        value = {
            name: _as_json(inner) if hasattr(inner, "type") else {n: _as_json(d) for n, d in inner.items()}
            for name, inner in value.items()
        }
    return {"type": datum.type, "value": value}


def http(each: HttpFunction) -> bindings.Payload:
    """A call by somebody with every role, about things that nobody has heard of."""
    captured = dict.fromkeys(re.findall(r"\{(\w+)\}", each.route), "nobody")
    url = f"http://127.0.0.1:7071/api/{each.route.format(**captured)}"
    headers, body = principal(APPROVER), b"" if each.method == "GET" else b"{}"
    sent = bindings.HttpCall(method=each.method, url=url, headers=headers, query={}, route=captured, body=body)
    return bindings.http(sent)


def queued(body: str) -> bindings.Payload:
    now = datetime.now(UTC)
    message = bindings.QueueMessage(body=body, id="7", dequeue_count=1, pop_receipt="r", inserted=now, next_visible=now)
    return bindings.queue(message)


def calls() -> list[dict[str, Any]]:
    """One real payload for every trigger, made by the runner's own host."""
    return [
        call("receive_event", bindings.event_grid(UNKNOWN_EVENT)),
        # Members that the host mixes into the message's metadata, and that a QueueMessage could not be made of.
        call(
            "receive_queued_event", queued(json.dumps({**UNKNOWN_EVENT, "dequeueCount": "two", "insertionTime": "x"}))
        ),
        call("look", queued(json.dumps({"look": "lane:nobody-knows-this-lane"}))),
        call("sweep", bindings.timer(past_due=False, status=None)),
        *(call(each.name, http(each)) for each in http_functions()),
    ]


def run(python: Path, environment: Mapping[str, str], what: Sequence[dict[str, Any]]) -> dict[str, Any]:
    ran = subprocess.run(
        [python, DRIVER, "--app-root", ROOT, "--worker", fresh_environment.WORKER],
        input=json.dumps(what), env=dict(environment), cwd=ROOT,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    result: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    result["outcomes"] = {outcome["function"]: outcome for outcome in result["outcomes"]}
    return result


@pytest.mark.timeout(900)  # the virtual environment is made here
def test_the_worker_finds_every_function_even_without_settings(runtime_python, capsys):
    """Indexing never fails for configuration; every function then says what is wrong with it."""
    result = run(runtime_python, scrubbed(os.environ), calls())
    with capsys.disabled():  # for whoever runs the tests: what Microsoft's own library has loaded
        print(f"\nloaded with Python {result['python']}, {result['versions']}:")
        for name, kinds in result["functions"].items():
            print(f"  {name}: {', '.join(kinds)}")
    assert {name: kinds[0] for name, kinds in result["functions"].items()} == FUNCTIONS
    health = result["outcomes"].pop("health")
    assert (health["succeeded"], health["status"]) == (True, 503)
    assert "RELEARN_DATA_FACTORY_ID" in health["body"]
    for outcome in result["outcomes"].values():
        assert not outcome["succeeded"], outcome
        assert outcome["exception"].startswith("ConfigurationError: "), outcome
        assert "RELEARN_DATA_FACTORY_ID" in outcome["exception"]


@pytest.mark.cloud
@pytest.mark.timeout(900)
def test_every_trigger_reaches_its_function_in_the_worker(runtime_python, cloud):
    account = cloud.new_app_account()
    cloud.provision(account.name)
    lake = cloud.new_lake_account()
    of_tests = {
        "DIABETES_ENDPOINT": "diabetes-relearn",
        "DIABETES_OVERNIGHT": "0 2 * * *",
        "WEBSITE_AUTH_ENABLED": "True",
    }
    settings = cloud.app_settings(account.name, lake.name) | of_tests
    outcomes = run(runtime_python, cloud.child_environment() | settings, calls())["outcomes"]
    assert {name: outcome.get("exception") for name, outcome in outcomes.items()} == dict.fromkeys(FUNCTIONS)
    assert (outcomes["health"]["status"], json.loads(outcomes["health"]["body"])["status"]) == (200, "ok")
    listed = json.loads(outcomes["list_reactions"]["body"])
    assert listed["reactions"] == []
    assert outcomes["show_reaction"]["status"] == 404
    assert outcomes["show_model"]["status"] == 404
    assert outcomes["explain_event"]["status"] == 200
    changes = {each.name for each in http_functions() if each.method == "POST"} - {"explain_event"}
    assert {outcomes[name]["status"] for name in changes} == {400}  # none says why


@pytest.mark.timeout(900)
def test_what_the_runner_decodes_the_worker_decodes_the_same(runtime_python):
    """A body that breaks the trigger metadata fails in the worker before the function's own code runs, as here."""
    poison = call("look", queued(json.dumps({"dequeueCount": "two"})))
    outcome = run(runtime_python, scrubbed(os.environ), [poison])["outcomes"]["look"]
    with pytest.raises(ValueError, match="in trigger metadata") as ours:
        bindings.decode("queueTrigger", None, queued(json.dumps({"dequeueCount": "two"})))
    assert outcome["exception"] == f"ValueError: {ours.value}"
