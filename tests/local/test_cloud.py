"""The local cloud as a whole: starting, stopping, what children inherit, the ARM listener, its files."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError
from azure.data.tables import TableClient
from azure.storage.queue import QueueClient

from local.accounts import Account, PoolEmpty
from local.azurite import POOL, SCRIPT, AzuriteMissing, account_keys, find_program
from local.certificates import RENEW_BEFORE, ensure_certificates
from local.cloud import AZURITE_FOLDER, PROJECT, LocalCloud, Options
from local.folder_lock import AlreadyRunning, FolderLock
from local.identity import mint
from local.ports import Ports
from local.processes import Child, ChildFailed, find_node, scrubbed
from shared import settings
from tests.local.waiting import eventually

REAL_LOOKING = {
    "AZURE_CLIENT_ID": "11111111-2222-3333-4444-555555555555",
    "AZURE_CLIENT_SECRET": "abc8Q~realLookingSecret",
    "AZURE_TENANT_ID": "99999999-8888-7777-6666-555555555555",
    "AZURE_STORAGE_CONNECTION_STRING": "DefaultEndpointsProtocol=https;AccountName=real;AccountKey=a2V5",
    "AzureWebJobsStorage": "DefaultEndpointsProtocol=https;AccountName=real;AccountKey=a2V5",
    "RELEARN_ARM_ENDPOINT": "https://management.azure.com",
    "RelearnStorage": "DefaultEndpointsProtocol=https;AccountName=real;AccountKey=a2V5",
    "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
}


class Trap:
    """A proxy that must not be called: counts who connects."""

    def __init__(self) -> None:
        self.callers = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            self.callers += 1
            caller.close()


@pytest.fixture
def trap() -> Iterator[Trap]:
    trap = Trap()
    yield trap
    trap.close()


@pytest.fixture
def misleading(trap: Trap, monkeypatch: pytest.MonkeyPatch) -> Trap:
    """A developer's shell with a real cloud in it, and a proxy on the way there."""
    for name, value in REAL_LOOKING.items():
        monkeypatch.setenv(name, value)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, trap.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    return trap


def start(folder: Path, *, in_memory: bool = False, azurite: Path = AZURITE_FOLDER) -> LocalCloud:
    return LocalCloud(folder, in_memory=in_memory, options=Options(azurite=azurite))


# What children inherit


@pytest.mark.cloud
def test_a_child_inherits_no_cloud_no_credential_and_no_proxy(cloud: LocalCloud, misleading: Trap) -> None:
    environment = cloud.child_environment()
    assert set(environment) <= {
        *("PATH", "HOME", "LANG", "TMPDIR"),
        *("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NO_PROXY"),
        *("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZURE_TOKEN_CREDENTIALS"),
    }
    assert environment["AZURE_TOKEN_CREDENTIALS"] == "ManagedIdentityCredential"
    assert environment["REQUESTS_CA_BUNDLE"] == environment["SSL_CERT_FILE"] == str(cloud.certificates.ca_file)
    values = " ".join(environment.values())
    assert not [value for value in REAL_LOOKING.values() if value in values]


CHILD_AT_WORK = """
import sys
from azure.data.tables import TableClient
from azure.identity import DefaultAzureCredential
with DefaultAzureCredential() as credential, TableClient(sys.argv[1], "lanes", credential=credential) as lanes:
    lanes.create_entity({"PartitionKey": "p", "RowKey": "from the child"})
"""


@pytest.mark.cloud
def test_a_child_reaches_this_cloud_and_nothing_else(cloud: LocalCloud, app_account: Account, misleading: Trap) -> None:
    subprocess.run(
        [sys.executable, "-c", CHILD_AT_WORK, app_account.table],
        env=cloud.child_environment(),
        check=True,
        timeout=60,
    )
    assert cloud.storage.calls.kinds(app_account.name) == {"table insert": 1}
    assert misleading.callers == 0


@pytest.mark.cloud
def test_starting_a_cloud_calls_no_proxy(misleading: Trap, tmp_path: Path) -> None:
    with start(tmp_path, in_memory=True) as fresh:
        fresh.provision("relearnapp")
        environment = Path(f"/proc/{fresh.azurite.child.pid}/environ")
        if environment.exists():
            inherited = {entry.split("=")[0] for entry in environment.read_text().split("\0") if entry}
            assert inherited <= {"PATH", "HOME", "LANG", "TMPDIR", "AZURITE_ACCOUNTS", "NODE_EXTRA_CA_CERTS"}
    assert misleading.callers == 0


def test_scrubbing_keeps_the_plain_necessities() -> None:
    given = {"PATH": "/bin", "HOME": "/home/x", "LANG": "C", "TMPDIR": "/t", **REAL_LOOKING, "HTTPS_PROXY": "x"}
    assert scrubbed(given) == {"PATH": "/bin", "HOME": "/home/x", "LANG": "C", "TMPDIR": "/t"}


@pytest.mark.cloud
def test_the_app_settings_are_complete_and_valid(cloud: LocalCloud) -> None:
    found = settings.from_environment(cloud.app_settings("app000", "lake000", "adf-test"))
    assert found.storage.table_service_uri == cloud.account("app000").table
    assert found.lake_accounts == {"lake000": cloud.account("lake000").blob}
    assert found.factory.name == "adf-test"
    assert found.arm_endpoint == cloud.arm_url


# Starting and stopping


@pytest.mark.cloud
def test_a_second_start_finds_everything_where_it_was(tmp_path: Path) -> None:
    with start(tmp_path) as first:
        first.provision("relearnapp")
        before = (first.account("relearnapp"), first.arm_url, first.certificates.ca_file.read_text())
        with TableClient.from_connection_string(
            first.account("relearnapp").connection_string, "lanes", connection_verify=str(first.certificates.ca_file)
        ) as lanes:
            lanes.create_entity({"PartitionKey": "p", "RowKey": "kept"})
    with start(tmp_path) as second:
        assert (second.account("relearnapp"), second.arm_url, second.certificates.ca_file.read_text()) == before
        second.provision("relearnapp")
        assert rows(second) == ["kept"]


def rows(cloud: LocalCloud) -> list[str]:
    with TableClient.from_connection_string(
        cloud.account("relearnapp").connection_string, "lanes", connection_verify=str(cloud.certificates.ca_file)
    ) as lanes:
        return [entity["RowKey"] for entity in lanes.list_entities()]


KILLED_CLOUD = """
import os, signal, sys
from pathlib import Path
from azure.data.tables import TableClient
from local.cloud import LocalCloud, Options
cloud = LocalCloud(Path(sys.argv[1]), options=Options(azurite=Path(sys.argv[2])))
cloud.start()
cloud.provision("relearnapp")
account = cloud.account("relearnapp")
lanes = TableClient.from_connection_string(
    account.connection_string, "lanes", connection_verify=str(cloud.certificates.ca_file)
)
lanes.create_entity({"PartitionKey": "p", "RowKey": "written just before"})
print(cloud.azurite.child.pid, flush=True)
os.kill(cloud.azurite.child.pid, signal.SIGSTOP)  # an Azurite that takes its time to save its data
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.cloud
def test_a_cloud_that_was_killed_leaves_its_data_to_the_next_one(cloud: LocalCloud, tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_CLOUD, str(tmp_path), str(AZURITE_FOLDER)],
        env=scrubbed(os.environ),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    azurite = int(killed.stdout)
    try:
        with pytest.raises(AlreadyRunning):
            FolderLock(tmp_path, wait_seconds=0.1)
        os.kill(azurite, signal.SIGCONT)
        with start(tmp_path) as again:
            assert rows(again) == ["written just before"]
    except BaseException:
        os.kill(azurite, signal.SIGKILL)  # a test that fails leaves no orphan
        raise


@pytest.mark.cloud
def test_closing_twice_is_closing_once_and_ends_azurite(cloud: LocalCloud, tmp_path: Path) -> None:
    fresh = start(tmp_path, in_memory=True)
    fresh.start()
    fresh.close()
    assert fresh.azurite.child.exit_code == 0
    fresh.close()
    for url in (fresh.arm_url, fresh.identity.endpoint, fresh.account("relearnapp").blob):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", httpx.URL(url).port or 0), timeout=5)


@pytest.mark.cloud
def test_a_client_that_never_says_goodbye_leaves_nothing_open(cloud: LocalCloud, tmp_path: Path) -> None:
    fresh = start(tmp_path, in_memory=True)
    fresh.start()
    trust = fresh.certificates.client_context()
    with contextlib.ExitStack() as silent:
        for url in (fresh.arm_url, fresh.account("relearnapp").blob) * 3:
            plain = socket.create_connection(("127.0.0.1", httpx.URL(url).port or 0), timeout=5)
            client = silent.enter_context(trust.wrap_socket(plain, server_hostname="127.0.0.1"))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.recv(1)  # answered; from now on the server waits for the end of TLS
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            fresh.close()
            gc.collect()
    assert [str(warning.message) for warning in told if "transport" in str(warning.message)] == []


@pytest.mark.cloud
def test_the_death_of_azurite_is_told_with_the_end_of_its_log(cloud: LocalCloud, tmp_path: Path) -> None:
    said: list[str] = []
    options = Options(say=said.append)
    with LocalCloud(tmp_path, in_memory=True, options=options) as fresh:
        os.kill(fresh.azurite.child.pid, signal.SIGKILL)
        (problem,) = eventually(lambda: fresh.problems)
        assert "Azurite" in problem
        assert "exit code -9" in problem
        assert "successfully listening" in problem
        assert problem == said[-1]


@pytest.mark.cloud
def test_a_cloud_whose_azurite_does_not_start_says_why_and_leaves_nothing(cloud: LocalCloud, tmp_path: Path) -> None:
    script = tmp_path / "azurite" / SCRIPT
    script.parent.mkdir(parents=True)
    script.write_text("console.error('the disk is on fire'); process.exit(3)")
    broken = start(tmp_path / "cloud", azurite=tmp_path / "azurite")
    with pytest.raises(ChildFailed, match=r"(?s)exit code 3.*the disk is on fire"):
        broken.start()
    FolderLock(tmp_path / "cloud", wait_seconds=0).release()


def test_a_folder_serves_one_cloud_at_a_time(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(AlreadyRunning, match="another local cloud runs in"):
        FolderLock(tmp_path, wait_seconds=0)
    lock.release()
    FolderLock(tmp_path, wait_seconds=0).release()


def test_a_missing_azurite_is_named_with_the_way_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_node() is None:
        pytest.skip("no Node.js")
    with pytest.raises(AzuriteMissing, match="npm install"):
        find_program(tmp_path)


def test_a_child_that_ignores_the_request_to_end_is_ended(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    child = Child(
        "deaf", [sys.executable, "-c", deaf], environment=scrubbed(os.environ), log_file=tmp_path / "deaf.log"
    )
    eventually(lambda: "up" in child.tail())
    assert child.stop(grace=0.2) == -signal.SIGKILL
    assert child.stop() == -signal.SIGKILL


# Accounts


def test_keys_are_private_stay_the_same_and_are_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "accounts.json"
    keys = account_keys(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert account_keys(file) == keys
    assert {"app000", "app199", "lake000", "lake199", "relearnapp", "relearnlake"} <= set(keys)
    file.write_text("{")
    assert account_keys(file).keys() == keys.keys()
    account = Account(name="a", blob="b", queue="q", table="t", key=keys["app000"])
    assert keys["app000"] not in repr(account)


@pytest.mark.cloud
def test_no_key_is_in_azurites_log(cloud: LocalCloud) -> None:
    log = cloud.azurite.child.log_file.read_text()
    assert log
    assert not [name for name, account in account_keys(cloud.folder / "accounts.json").items() if account in log]


@pytest.mark.cloud
def test_the_pool_hands_out_each_account_once_and_says_when_it_is_empty(cloud: LocalCloud, tmp_path: Path) -> None:
    with start(tmp_path, in_memory=True) as fresh:
        assert len({fresh.new_app_account().name for _ in range(POOL)}) == POOL
        with pytest.raises(PoolEmpty):
            fresh.new_app_account()
        assert fresh.new_lake_account().name == "lake000"


@pytest.mark.cloud
def test_provisioning_twice_keeps_what_is_there(
    cloud: LocalCloud, app_account: Account, credential: TokenCredential
) -> None:
    with QueueClient(app_account.queue, "wake-ups", credential=credential) as queue:
        queue.send_message("look")
        cloud.provision(app_account.name)
        assert [message.content for message in queue.peek_messages()] == ["look"]


# The ARM listener


@pytest.fixture
def arm(cloud: LocalCloud) -> Iterator[httpx.Client]:
    bearer = {"Authorization": f"Bearer {mint('https://management.azure.com')}"}
    with httpx.Client(
        base_url=cloud.arm_url, verify=cloud.certificates.client_context(), headers=bearer, trust_env=False
    ) as client:
        yield client


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.cloud
def test_what_is_not_imitated_is_501_with_its_name(arm: httpx.Client) -> None:
    answer = arm.put("/subscriptions/S/providers/Microsoft.Compute/virtualMachines/Big%20One?api-version=1")
    assert error_of(answer) == (501, "NotImplementedLocally")
    said = answer.json()["error"]["message"]
    assert said == "PUT /subscriptions/S/providers/Microsoft.Compute/virtualMachines/Big One is not imitated"
    assert error_of(arm.delete("/topics/alerts/api/events")) == (501, "NotImplementedLocally")


@pytest.mark.cloud
@pytest.mark.parametrize("header", ["", "Basic abc", "Bearer", "BearerToken"])
def test_arm_wants_a_bearer_token(arm: httpx.Client, header: str) -> None:
    answer = arm.get("/subscriptions/s/resourceGroups/g", headers={"Authorization": header})
    assert error_of(answer) == (401, "AuthenticationFailed")


@pytest.mark.cloud
def test_paths_are_found_whatever_their_case_and_bodies_may_be_chunked(arm: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'[{"id": "1", "subject": "s", "eventType": "t", '
        yield b'"eventTime": "2026-01-01T00:00:00.1234567Z", "data": {}}]'

    answer = arm.post("/TOPICS/Alerts/API/Events?api-version=anything", content=chunks())
    assert answer.status_code == 200


@pytest.mark.cloud
def test_inspection_shows_state_and_schedules_faults(
    cloud: LocalCloud, arm: httpx.Client, app_account: Account, credential: TokenCredential
) -> None:
    fault = {
        "service": "storage",
        "method": "POST",
        "path": f"/table/{app_account.name}/*",
        "action": {"acceptThen": {"status": 503}},
    }
    assert arm.post("/_local/faults", json=fault).status_code == 204
    with TableClient(app_account.table, "lanes", credential=credential, retry_total=0) as lanes:
        with pytest.raises(HttpResponseError):
            lanes.create_entity({"PartitionKey": "p", "RowKey": "r"})
        assert len(list(lanes.list_entities())) == 1
    state: dict[str, Any] = arm.get("/_local/state").json()
    assert set(state) >= {"storage", "event-grid", "data-factory", "machine-learning"}
    assert state["storage"]["calls"][f"{app_account.name} table insert"] == 1
    fired = arm.get("/_local/faults").json()["storage"]
    assert f"POST /table/{app_account.name}/lanes: AcceptThen(Status(503))" in fired


@pytest.mark.cloud
@pytest.mark.parametrize(
    "fault", [{}, {"service": "moon", "action": {"drop": True}}, {"service": "storage", "action": {"explode": 1}}]
)
def test_a_fault_nobody_knows_is_refused(arm: httpx.Client, fault: dict[str, Any]) -> None:
    assert error_of(arm.post("/_local/faults", json=fault)) == (400, "BadFault")


@pytest.mark.cloud
def test_reset_forgets_calls_and_faults(cloud: LocalCloud, tmp_path: Path) -> None:
    with start(tmp_path, in_memory=True) as fresh:
        trust = fresh.certificates.client_context()
        with httpx.Client(base_url=fresh.arm_url, verify=trust, trust_env=False) as client:
            blob = fresh.account("relearnapp").blob
            assert client.get(f"{blob}/none/none").status_code == 403
            assert fresh.storage.calls.total() == 1
            assert client.post("/_local/reset").status_code == 204
        assert fresh.storage.calls.total() == 0


# Certificates and ports


def test_certificates_are_kept_until_they_near_their_end(tmp_path: Path) -> None:
    first = ensure_certificates(tmp_path)
    kept = first.ca_file.read_text()
    assert stat.S_IMODE(first.key_file.stat().st_mode) == 0o600
    assert ensure_certificates(tmp_path).ca_file.read_text() == kept
    nearly = datetime.now(UTC) + timedelta(days=365) - RENEW_BEFORE + timedelta(hours=1)
    renewed = ensure_certificates(tmp_path, nearly)
    assert renewed.ca_file.read_text() != kept
    assert renewed.usable(nearly)


@pytest.mark.parametrize("spoilt", ["ca.pem", "server.pem", "server.key"])
def test_an_unreadable_certificate_is_made_anew(tmp_path: Path, spoilt: str) -> None:
    ensure_certificates(tmp_path)
    (tmp_path / spoilt).write_text("not a certificate")
    assert ensure_certificates(tmp_path).usable(datetime.now(UTC))


def test_a_certificate_of_another_authority_is_made_anew(tmp_path: Path) -> None:
    ensure_certificates(tmp_path / "a")
    ensure_certificates(tmp_path / "b")
    (tmp_path / "a" / "ca.pem").write_bytes((tmp_path / "b" / "ca.pem").read_bytes())
    renewed = ensure_certificates(tmp_path / "a")
    assert renewed.ca_file.read_bytes() != (tmp_path / "b" / "ca.pem").read_bytes()


@pytest.mark.cloud
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_the_certificate_is_good_for_both_names_and_only_with_our_authority(
    cloud: LocalCloud, tmp_path: Path, name: str
) -> None:
    port = httpx.URL(cloud.arm_url).port or 0
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        cloud.certificates.client_context().wrap_socket(plain, server_hostname=name) as verified,
    ):
        assert verified.version()
    stranger = ensure_certificates(tmp_path).client_context()
    plain = socket.create_connection(("127.0.0.1", port), timeout=5)
    with plain, pytest.raises(ssl.SSLCertVerificationError):
        stranger.wrap_socket(plain, server_hostname=name)


def test_ports_are_remembered_while_they_are_free(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    port = Ports(file).reserve("blob")
    assert Ports(file).reserve("blob") == port
    with Ports(file).listen("blob") as taken:
        taken.listen()
        other = Ports(file).reserve("blob")
        assert other != port
    assert Ports(file).reserve("blob") == other
    assert Ports(file).reserve("queue") not in (port, other)


@pytest.mark.parametrize("content", ["{", "[]", '{"blob": "x", "queue": 99999999}'])
def test_a_spoilt_ports_file_is_started_over(tmp_path: Path, content: str) -> None:
    file = tmp_path / "ports.json"
    file.write_text(content)
    port = Ports(file).reserve("blob")
    assert json.loads(file.read_text()) == {"blob": port}
