"""Nothing leaves the machine and no secret is written, whatever the environment of whoever starts it says."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from local.identity import mint
from tests.end_to_end.connections import LookedUp, Traced, can_look, can_trace
from tests.end_to_end.demos import Demo, TrappedDemo
from tests.end_to_end.trap import SECRET, Trap
from tests.local.waiting import eventually

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(480)]

# Connecting a UDP socket names an address and sends nothing. 192.0.2.0/24 is nobody's (RFC 5737).
STRAY = """
import socket, sys
outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
outside.connect(("192.0.2.1", 9))
print("connected", flush=True)
sys.stdin.read()
"""
# Where secrets belong: the accounts', the endpoints' and the certificates' keys, for their owner only.
_KEPT_SECRET = ("accounts.json", "certificates", "online.json")
_TOKEN = re.compile(rb"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")
_SIGNED = re.compile(rb"[?&]sig=|AccountKey=|SharedKey \w+:")


def test_the_demo_does_its_work_in_an_environment_that_leads_outside(demo: TrappedDemo) -> None:
    assert demo.exit_code == 0, demo.said
    assert demo.visitors == []


def test_the_trap_catches_whoever_follows_its_environment() -> None:
    """Else the test above shows nothing."""
    call = "import requests; requests.get('http://127.0.0.1:9/', timeout=1)"
    with Trap() as trap:
        process = subprocess.run([sys.executable, "-c", call], env=trap.environment(), capture_output=True, check=False)
        assert process.returncode == 1
        assert len(trap.visitors) == 1


@pytest.mark.skipif(not (can_trace() or can_look()), reason="needs strace, or Linux's /proc")
def test_every_connection_of_every_process_stays_on_loopback(demo: TrappedDemo) -> None:
    """With strace: every address of every process (demo, Azurite, function host, jobs, the models' servers), else those
    seen in /proc.
    """
    assert {c for c in demo.connections if not c.is_loopback} == set()
    assert demo.connections
    result = demo.result
    jobs = [job for entry in result["lineage"] for job in entry.get("jobs", ())] + [
        j for m in result["models"] for j in m["jobs"]
    ]
    steps = {step["pid"] for job in jobs for step in job["steps"]}
    servers = {server["pid"] for server in result["endpoint"]["servers"].values()}
    assert (len(steps), len(servers)) == (3 * 2 + 3 * 4, 1)
    assert steps | servers <= demo.followed, "without the jobs' and servers' processes that says too little"


@pytest.mark.skipif(not can_trace(), reason="strace is not here, or may not trace")
def test_tracing_finds_a_grandchild_that_goes_astray(tmp_path: Path) -> None:
    recorder = Traced(tmp_path / "calls")
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {STRAY!r}], check=True)"
    subprocess.run([*recorder.under, sys.executable, "-c", parent], stdin=subprocess.DEVNULL, check=True)
    assert {(c.address, c.is_loopback) for c in recorder.connections()} == {("192.0.2.1", False)}


@pytest.mark.skipif(not can_look(), reason="needs Linux's /proc")
def test_looking_into_proc_finds_a_grandchild_that_goes_astray() -> None:
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {STRAY!r}], check=True)"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        with LookedUp().watch(process.pid) as recorder:
            process.stdout.readline()
            eventually(recorder.connections, 10)
        process.stdin.close()
    assert {(c.address, c.is_loopback) for c in recorder.connections()} == {("192.0.2.1", False)}


@pytest.mark.parametrize("which", ["demo", "real_demo"])
def test_nothing_it_wrote_holds_a_secret(which: str, request: pytest.FixtureRequest) -> None:
    ended: Demo = request.getfixturevalue(which)
    assert ended.exit_code == 0, ended.said
    (ended.state / "said.txt").write_text(ended.said)
    assert leaks(ended.state) == []
    written = {file.name for file in ended.state.rglob("*") if not _may_hold_secrets(file)}
    assert {"host.log", "azurite.log", "adf-requests.jsonl", "demo.json", "drift.html", "lineage.html"} <= written
    assert len(_endpoint_keys(ended.state)) == 2


@pytest.mark.parametrize(
    "content",
    [
        f"ClientSecretCredential({SECRET})",
        "account key a2V5",
        f"Authorization: Bearer {mint('https://management.azure.com')}",
        "PUT /lake/x?sv=2024-01-01&sig=abc",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=b",
        "scored with key c2NvcmU",
    ],
)
def test_a_secret_in_a_log_would_be_found(content: str, tmp_path: Path) -> None:
    cloud = tmp_path / "demo" / "cloud"
    (cloud / "workspace").mkdir(parents=True)
    (cloud / "accounts.json").write_text('{"app": "a2V5"}')
    (cloud / "workspace" / "online.json").write_text('{"endpoints": [{"keys": {"primary": "c2NvcmU"}}]}')
    assert leaks(tmp_path) == []
    (cloud / "host.log").write_text(f"a line\n{content}\n")
    assert len(leaks(tmp_path)) == 1


def leaks(state: Path) -> list[tuple[str, str]]:
    """The files that hold a secret, and what it is."""
    secrets = [SECRET.encode(), *(key.encode() for key in [*_account_keys(state), *_endpoint_keys(state)])]
    written = {f: f.read_bytes() for f in state.rglob("*") if f.is_file() and not _may_hold_secrets(f)}
    return [
        (str(file), what)
        for file, content in written.items()
        for what, found in {
            "a key or secret": any(secret in content for secret in secrets),
            "a bearer token": _TOKEN.search(content) is not None,
            "a signature": _SIGNED.search(content) is not None,
        }.items()
        if found
    ]


def _account_keys(state: Path) -> list[str]:
    return list(json.loads((state / "demo" / "cloud" / "accounts.json").read_text()).values())


def _endpoint_keys(state: Path) -> list[str]:
    file = state / "demo" / "cloud" / "workspace" / "online.json"
    endpoints = json.loads(file.read_text())["endpoints"] if file.exists() else []
    return [key for endpoint in endpoints for key in endpoint["keys"].values()]


def _may_hold_secrets(file: Path) -> bool:
    return any(part in _KEPT_SECRET for part in file.parts)


def test_only_their_owner_may_read_keys(demo: Demo) -> None:
    cloud = demo.state / "demo" / "cloud"
    private = [f for f in (cloud / "certificates").iterdir() if b"PRIVATE KEY" in f.read_bytes()]
    assert private
    for file in (cloud / "accounts.json", cloud / "workspace" / "online.json", *private):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
