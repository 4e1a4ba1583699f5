"""Deployments that are really served: the inference server as a process, its model, rollouts, restarts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.credentials import TokenCredential
from azure.storage.blob import ContainerClient

from local.accounts import Account
from local.cloud import LocalCloud
from local.machine_learning import MachineLearning, Setup
from local.machine_learning.online.values import ServerRecord
from local.progress import fail_at
from local.service import REGION, workspace_id
from tests.local.aml import Listener, ManualClock, World, is_alive, require_ml_python, setup, wait_until

LIVE = "/onlineEndpoints/live"
SCORE = """
    import json, os, time
    from pathlib import Path

    def init():
        if os.environ.get("BROKEN"):
            raise RuntimeError("the model is broken")
        print("init is through", flush=True)

    def run(raw):
        data = json.loads(raw)["data"]
        time.sleep(float(data[0]) if data else 0)
        root = Path(os.environ["AZUREML_MODEL_DIR"])
        files = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
        return {
            "colour": os.environ.get("COLOUR"),
            "files": files,
            "root": str(root),
            "environment": sorted(os.environ),
        }
"""


@pytest.fixture
def config(tmp_path: Path, aml_listener: Listener) -> Setup:
    return setup(tmp_path, aml_listener, python=require_ml_python(), persistent=True)


@pytest.fixture
def served(config: Setup, tmp_path: Path, aml_listener: Listener) -> Iterator[World]:
    """A workspace that serves with the ML environment; its state survives it."""
    service = MachineLearning(config)
    code = tmp_path / "code"
    code.mkdir()
    (code / "score.py").write_text(textwrap.dedent(SCORE))
    (code / "__pycache__").mkdir()
    service.registry.add_code("serving", "1", code)
    service.registry.add_environment("env", "1")
    aml_listener.serve(service)
    trust = aml_listener.certificates.client_context()
    with httpx.Client(base_url=aml_listener.url, verify=trust, trust_env=False, timeout=30) as client:
        world = World(service, client, tmp_path, ManualClock())
        yield world
    world.service.close()


def put_endpoint(world: World, **traffic: int) -> None:
    answer = world.put(LIVE, {"location": REGION, "properties": {"authMode": "Key", "traffic": traffic}})
    assert answer.status_code == 201, answer.text


def deploy(world: World, name: str, environment: Mapping[str, str] | None = None, **properties: Any) -> str:
    """The deployment's state when that is final."""
    given = {
        "codeConfiguration": {"codeId": "azureml:serving:1", "scoringScript": "score.py"},
        "environmentId": "azureml:env:1",
        "environmentVariables": {"COLOUR": name, **(environment or {})},
    }
    answer = world.put(f"{LIVE}/deployments/{name}", {"location": REGION, "properties": given | properties})
    assert answer.status_code == 201, answer.text
    return settled(world, name)


def settled(world: World, name: str) -> str:
    online = world.service.online
    wait_until(lambda: online.deployment("live", name).state.is_final, f"{name} is up or has failed", 60)
    return str(online.deployment("live", name).state)


def score(world: World, wait: float = 0.0, **headers: str) -> httpx.Response:
    key = world.service.online.endpoint("live").keys.primary
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"data": [wait]}
    return world.client.post("/online/live/score", json=body, headers={"Authorization": f"Bearer {key}", **named})


def server(world: World, name: str) -> ServerRecord:
    found = world.service.online.deployment("live", name).server
    assert found is not None
    return found


@pytest.mark.ml
def test_a_deployment_is_a_process_on_loopback_that_knows_nothing_of_the_developer(
    served: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "not for children")
    put_endpoint(served)

    assert deploy(served, "blue") == "Succeeded"

    put_endpoint(served, blue=100)
    answer = score(served)
    assert answer.json()["colour"] == "blue"
    assert answer.headers["azureml-model-deployment"] == "blue"
    assert answer.headers["x-ms-server-version"].startswith("azmlinfsrv/")
    assert answer.headers["x-ms-run-function-failed"] == "False"
    assert "AZURE_CLIENT_SECRET" not in answer.json()["environment"]
    record = server(served, "blue")
    assert os.getpgid(record.pid) == record.pid
    assert record.argv[0] == str(require_ml_python())
    assert addresses(record.port) == {"127.0.0.1"}
    shown = served.client.get("/_local/state").json()["machine-learning"]["online"]["live"]["deployments"]
    assert (shown[0]["server"]["pid"], shown[0]["server"]["argv"]) == (record.pid, list(record.argv))
    assert "init is through" in served.post(f"{LIVE}/deployments/blue/getLogs", {"tail": 100}).json()["content"]


def addresses(port: int) -> set[str]:
    """The local addresses that are listened to at this port, as the kernel has them."""
    found = set()
    for table in ("tcp", "tcp6"):
        file = Path("/proc/net") / table
        if not file.exists():
            pytest.skip("needs /proc/net")
        for line in file.read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            address, _, number = local.partition(":")
            if state == "0A" and int(number, 16) == port:
                found.add(".".join(str(byte) for byte in bytes.fromhex(address)[::-1]))
    return found


@pytest.mark.ml
def test_a_model_that_does_not_come_up_fails_its_deployment_with_the_log(served: World) -> None:
    put_endpoint(served)

    assert deploy(served, "broken", {"BROKEN": "yes"}) == "Failed"

    message = served.service.online.deployment("live", "broken").message
    assert "User container has crashed or terminated with exit code 3" in message
    assert "the model is broken" in message
    logs = served.post(f"{LIVE}/deployments/broken/getLogs", {"tail": 60}).json()["content"]
    assert "RuntimeError: the model is broken" in logs
    assert score(served, azureml_model_deployment="broken").status_code == 404


@pytest.mark.ml
@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"codeConfiguration": None}, "give the deployment a codeConfiguration"),
        ({"codeConfiguration": {"codeId": "azureml:serving:1", "scoringScript": "other.py"}}, "no script 'other.py'"),
        ({"codeConfiguration": {"codeId": "azureml:serving:1", "scoringScript": "../score.py"}}, "no script"),
        ({"model": f"{workspace_id()}/models/m/versions/9"}, "there is no models/m/versions/9"),
    ],
)
def test_what_cannot_be_served_says_why(served: World, properties: dict[str, Any], reason: str) -> None:
    put_endpoint(served)

    assert deploy(served, "blue", **properties) == "Failed"

    assert reason in served.service.online.deployment("live", "blue").message


@pytest.mark.ml
def test_a_launch_may_be_told_to_fail(served: World) -> None:
    put_endpoint(served)
    served.service.online.creations.once(fail_at("server", "no capacity"))

    assert deploy(served, "blue") == "Failed"
    assert served.service.online.deployment("live", "blue").message == "no capacity"
    assert deploy(served, "blue") == "Succeeded"


@pytest.mark.ml
def test_a_server_that_takes_too_long_is_given_up_and_ended(
    tmp_path: Path, config: Setup, served: World, aml_listener: Listener
) -> None:
    impatient = MachineLearning(replace(config, folder=tmp_path / "impatient", serve_seconds=0.05))
    impatient.registry.add_code("serving", "1", tmp_path / "code")
    impatient.registry.add_environment("env", "1")
    aml_listener.serve(impatient)
    served.service.close()
    served.service = impatient
    put_endpoint(served)

    assert deploy(served, "blue") == "Failed"

    assert "did not answer within 0.05 s" in served.service.online.deployment("live", "blue").message


@pytest.mark.ml
def test_a_request_that_takes_too_long_is_given_up(served: World) -> None:
    put_endpoint(served)
    deploy(served, "blue", requestSettings={"requestTimeout": "PT0.3S"})
    put_endpoint(served, blue=100)

    assert score(served, 1.0).status_code == 408


@pytest.mark.ml
def test_a_change_in_place_goes_on_answering(served: World) -> None:
    put_endpoint(served)
    deploy(served, "blue")
    put_endpoint(served, blue=100)
    before = server(served, "blue").pid

    assert deploy(served, "blue", {"COLOUR": "light blue"}) == "Succeeded"

    assert score(served).json()["colour"] == "light blue"
    wait_until(lambda: not is_alive(before), "the server before it is gone")


def wait_for_more(answers: list[Any], count: int = 20) -> None:
    mark = len(answers) + count
    wait_until(lambda: len(answers) > mark, "more requests are answered")


@pytest.mark.ml
def test_hammered_through_a_rollout_no_request_is_lost(served: World) -> None:
    put_endpoint(served)
    deploy(served, "blue")
    put_endpoint(served, blue=100)
    old = server(served, "blue").pid
    over = threading.Event()
    answers: list[tuple[int, str]] = []
    wait_at_model = 0.05

    def hammer() -> None:
        while not over.is_set():
            answer = score(served, wait_at_model)
            answers.append((answer.status_code, answer.text if answer.status_code != 200 else answer.json()["colour"]))

    threads = [threading.Thread(target=hammer) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert deploy(served, "green") == "Succeeded"
    for share in (10, 50, 100):
        wait_for_more(answers)
        put_endpoint(served, blue=100 - share, green=share)
    # At once: blue still has requests, those that its only worker has not even begun with among them.
    assert served.delete(f"{LIVE}/deployments/blue").status_code == 202
    wait_for_more(answers)
    wait_until(lambda: not is_alive(old), "the old server is gone")
    over.set()
    for thread in threads:
        thread.join()

    assert {status for status, _ in answers} == {200}, [each for each in answers if each[0] != 200][:3]
    assert [colour for _, colour in answers[-10:]] == ["green"] * 10
    assert any(colour == "blue" for _, colour in answers)
    print(f"{len(answers)} requests answered by real servers during a rollout, none lost")


@pytest.mark.ml
def test_a_server_ends_only_when_its_last_request_has(served: World) -> None:
    put_endpoint(served)
    deploy(served, "blue")
    deploy(served, "green")
    put_endpoint(served, blue=100)
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(score(served, 1.0)))
    asking.start()
    wait_until(lambda: in_flight(served, "blue") == 1, "the request is with the model")

    put_endpoint(served, green=100)
    gone = served.delete(f"{LIVE}/deployments/blue")

    assert gone.status_code == 202
    assert served.service.online.deployment("live", "blue").state == "Deleting"
    assert score(served).json()["colour"] == "green"
    asking.join()
    assert answers[0].json()["colour"] == "blue"
    online = served.service.online
    wait_until(lambda: not online.directory.deployments("live")[1:], "blue is gone")
    files = served.folder / "cloud" / "online" / "live"
    assert not [each for each in files.rglob("score.py") if "blue" in each.parts]
    assert [each for each in files.rglob("score.py") if "green" in each.parts]


def in_flight(world: World, name: str) -> int:
    instance = world.service.online.directory.held["live"].deployments[name].instance
    return instance.in_flight if instance else 0


@pytest.mark.ml
def test_a_restart_serves_again_with_the_same_keys_and_traffic(
    served: World, config: Setup, aml_listener: Listener
) -> None:
    put_endpoint(served)
    deploy(served, "blue")
    deploy(served, "broken", {"BROKEN": "yes"})
    put_endpoint(served, blue=100)
    key, before = served.service.online.endpoint("live").keys.primary, server(served, "blue").pid
    served.service.close()
    assert not is_alive(before)

    served.service = MachineLearning(config)
    aml_listener.serve(served.service)
    served.service.resume()
    answer = score(served)  # comes before the server is up, and waits for it

    assert (answer.status_code, answer.json()["colour"]) == (200, "blue")
    assert served.service.online.endpoint("live").keys.primary == key
    assert served.ask(LIVE)["properties"]["traffic"] == {"blue": 100}
    states = {
        each["name"]: each["properties"]["provisioningState"] for each in served.ask(f"{LIVE}/deployments")["value"]
    }
    assert states == {"blue": "Succeeded", "broken": "Failed"}
    assert server(served, "blue").pid != before


@pytest.mark.ml
@pytest.mark.cloud
def test_a_model_from_the_lake_is_where_aml_puts_it(
    cloud: LocalCloud,
    lake_account: Account,
    credential: TokenCredential,
    served: World,
    config: Setup,
    aml_listener: Listener,
    tmp_path: Path,
) -> None:
    with ContainerClient(lake_account.blob, "lake", credential=credential) as lake:
        lake.upload_blob("models/m/r-1/MLmodel", b"flavors: {}")
        lake.upload_blob("models/m/r-1/data/model.bin", b"x")
        lake.upload_blob("models/m/r-10/MLmodel", b"another one")
    served.service.close()
    served.service = MachineLearning(
        replace(
            config,
            folder=tmp_path / "with-lake",
            storage_url=lake_account.blob.rsplit("/", 1)[0],
            lake_url=f"{lake_account.blob}/lake",
            ca_file=cloud.certificates.ca_file,
        )
    )
    registry = served.service.registry
    registry.add_code("serving", "1", tmp_path / "code")
    registry.add_environment("env", "1")
    registry.register("m", "3", uri="azureml://datastores/lake/paths/models/m/r-1/")
    registry.register("m", "4", uri="azureml://datastores/lake/paths/models/nowhere/")
    aml_listener.serve(served.service)
    put_endpoint(served)

    assert deploy(served, "blue", model=f"{workspace_id()}/models/m/versions/3") == "Succeeded"
    assert deploy(served, "green", model=f"{workspace_id()}/models/m/versions/4") == "Failed"

    answer = score(served, azureml_model_deployment="blue").json()
    assert answer["files"] == ["r-1/MLmodel", "r-1/data/model.bin"]
    assert answer["root"].endswith("azureml-models/m/3")
    body = {"containerType": "StorageInitializer"}
    logs = served.post(f"{LIVE}/deployments/blue/getLogs", body).json()["content"]
    assert logs.splitlines()[:2] == [
        "Downloading model m:3 from azureml://datastores/lake/paths/models/m/r-1/",
        "Downloaded 2 files",
    ]
    assert "no file below this path" in served.service.online.deployment("live", "green").message


@pytest.mark.ml
def test_the_servers_end_with_the_local_cloud_however_that_ends(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from local.machine_learning.online.servers import Server
        code = Path(sys.argv[2])
        environment = {"PATH": os.environ["PATH"]}
        server = Server(Path(sys.argv[1]), ["--entry_script", "score.py", "--model_dir", str(code)],
                        folder=code, environment=environment, log=code / "server.log")
        import threading
        assert server.wait_until_healthy(60, threading.Event())
        print(server.record.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    (tmp_path / "score.py").write_text("def init(): pass\ndef run(raw): return 1\n")
    command = [sys.executable, "-c", script, str(require_ml_python()), str(tmp_path)]
    killed = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=False)

    assert killed.returncode == -9
    pid = json.loads(killed.stdout)
    try:
        wait_until(lambda: not is_alive(pid), "the server has noticed")
    except AssertionError:
        os.killpg(pid, signal.SIGKILL)  # a test that fails leaves no orphan
        raise
