"""`python -m local run`: up, used, down without a trace, and up again on the same data."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.service import storage_account_id
from tests.end_to_end.program import ROOT, Program, descendants, processes
from tests.local.waiting import eventually

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]
START_SECONDS = 120.0
REACTION_SECONDS = 90.0
STOP_SECONDS = 20.0
ACKNOWLEDGED = {200, 202}


@dataclass
class Running:
    """A start that says it is up, seen through nothing but what it printed."""

    program: Program
    said: str

    @property
    def url(self) -> str:
        found = re.search(r"health +(http://127\.0\.0\.1:\d+)/api/health", self.said)
        assert found, self.said
        return found[1]

    def health(self) -> Any:
        answer = httpx.get(f"{self.url}/api/health", trust_env=False, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ask(self, *arguments: str) -> Any:
        """What the command line answers, as it says that it is to be called."""
        found = re.search(r"everything +(\S+ -m local ask.*) --help", self.said)
        assert found, self.said
        command = [*shlex.split(found[1]), *arguments, "--json"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def reactions(self, rule: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("reactions", "--rule", rule)["reactions"]
        return sorted(found, key=lambda reaction: str(reaction["created"]))

    def scored(self, count: int) -> list[dict[str, Any]]:
        """All reactions to patient files, once there are so many and all have succeeded."""

        def ended() -> list[dict[str, Any]]:
            found = self.reactions("score-patients")
            assert not {"failed", "timed-out", "cancelled"} & {r["state"] for r in found}, found
            return found if [r["state"] for r in found] == ["succeeded"] * count else []

        done: list[dict[str, Any]] = eventually(ended, REACTION_SECONDS)
        return done

    def do_as_printed(self, below: str) -> list[str]:
        """Types the commands that it printed below a heading; gives what they said."""
        _, _, printed = self.said.partition(below)
        block, _, _ = printed.partition("\n\n")
        commands = re.findall(r"^ +(\S+ -m local .*?)(?: && \\)?$", block, re.MULTILINE)
        assert len(commands) == 2, printed
        said = []
        for command in commands:
            done = subprocess.run(shlex.split(command), cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            said.append(done.stdout)
        return said

    def land_patients(self) -> None:
        for said in self.do_as_printed("Land two patient files"):
            assert "landed as 0-raw/diabetes/monday/stage/" in said

    def deliver(self, file: dict[str, str], event_id: str) -> int:
        """What Event Grid sends for a file of the lineage; gives the webhook's status."""
        event = {
            "id": event_id,
            "topic": storage_account_id(file["account"]),
            "subject": f"/blobServices/default/containers/{file['container']}/blobs/{file['path']}",
            "eventType": "Microsoft.Storage.BlobCreated",
            "eventTime": "2026-11-22T12:00:00.000Z",
            "dataVersion": "",
            "metadataVersion": "1",
            "data": {
                "api": "PutBlob",
                "eTag": file["etag"],
                "contentType": "text/csv",
                "contentLength": 1000,
                "blobType": "BlockBlob",
                "url": f"https://{file['account']}.blob.core.windows.net/{file['container']}/{file['path']}",
                "sequencer": "0" * 32,
            },
        }
        answer = httpx.post(
            f"{self.url}/runtime/webhooks/eventgrid",
            params={"functionName": "receive_event"},
            headers={"aeg-event-type": "Notification"},
            json=[event],
            trust_env=False,
            timeout=30,
        )
        return answer.status_code


def start(state: Path, name: str) -> Program:
    return Program("run", "--state", str(state), output=state.with_name(f"{name}.txt"))


def up(program: Program) -> Running:
    return Running(program, program.wait_until_it_says("local monitor", START_SECONDS))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "state"


@dataclass
class FirstDay:
    """What the first start did, and what was left when it had been interrupted."""

    health: Any
    rollout: dict[str, Any]
    reaction: dict[str, Any]
    children: dict[int, str]
    exit_code: int
    still_there: list[int]
    still_listening: list[int]
    said: str


@pytest.fixture(scope="module")
def first_day(state: Path) -> FirstDay:
    with start(state, "first") as program:
        running = up(program)
        health = running.health()
        [rollout] = running.reactions("deploy-registered")
        running.land_patients()
        [reaction] = running.scored(1)
        children = descendants(program.pid)
        ports = [*json.loads((state / "run" / "cloud" / "ports.json").read_text()).values(), port(running.url)]
        assert all(map(listens, ports)), "a port nobody listens on says nothing when it is free later"
        exit_code = program.interrupt(STOP_SECONDS)
        return FirstDay(
            health=health,
            rollout=rollout,
            reaction=reaction,
            children=children,
            exit_code=exit_code,
            still_there=[pid for pid in children if pid in processes()],
            still_listening=list(filter(listens, ports)),
            said=program.said(),
        )


@pytest.fixture(scope="module")
def second_day(state: Path, first_day: FirstDay) -> Iterator[Running]:
    with start(state, "second") as program:
        yield up(program)


@pytest.fixture(scope="module")
def meanwhile(state: Path, second_day: Running) -> Iterator[Program]:
    """Somebody starts another one on the same folder. It waits for a while, in case the first is just ending."""
    with start(state, "meanwhile") as program:
        yield program


def port(url: str) -> int:
    return int(url.rpartition(":")[2])


def listens(number: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", number)) == 0


def runs_started(state: Path) -> Counter[str]:
    """Reaction id -> runs that the factory accepted for it, over all starts."""
    requests = map(json.loads, (state / "run" / "cloud" / "adf-requests.jsonl").read_text().splitlines())
    return Counter(request["parameters"]["reaction_id"] for request in requests if request.get("runId"))


def test_it_comes_up_healthy_and_the_printed_commands_work(first_day: FirstDay) -> None:
    assert first_day.health["status"] == "ok"
    assert (first_day.reaction["rule"], first_day.reaction["key"]) == ("score-patients", "monday")


def test_its_first_model_goes_live_as_every_model_does(first_day: FirstDay) -> None:
    assert first_day.rollout["key"] == "diabetes-relearn"
    assert "training the first model" in first_day.said
    assert "online/inference_server.py" in " ".join(first_day.children.values())


def test_ctrl_c_ends_it_and_everything_it_started(first_day: FirstDay) -> None:
    assert first_day.exit_code == 0, first_day.said
    assert "Traceback" not in first_day.said
    commands = " ".join(first_day.children.values())
    assert "azurite.js" in commands
    assert "local.host" in commands
    assert first_day.still_there == []
    assert first_day.still_listening == []


def test_only_the_way_that_events_come_is_polled(second_day: Running) -> None:
    functions = httpx.get(f"{second_day.url}/admin/functions", trust_env=False, timeout=30).json()
    assert [function["name"] for function in functions if function["isDisabled"]] == ["receive_queued_event"]


def test_a_second_start_goes_on_where_the_first_ended(first_day: FirstDay, second_day: Running) -> None:
    """With the same reactions, registry and endpoint: nothing is trained or deployed anew."""
    assert "training" not in second_day.said
    [reaction] = second_day.reactions("score-patients")
    assert (reaction["id"], reaction["state"]) == (first_day.reaction["id"], "succeeded")
    [rollout] = second_day.reactions("deploy-registered")
    assert (rollout["id"], rollout["state"]) == (first_day.rollout["id"], "succeeded")
    [live] = second_day.ask("model", "diabetes-classifier", "1")["lineage"]["live_on"]
    assert (live["traffic"], live["reaction"]) == (100, rollout["id"])


def test_an_event_that_comes_again_starts_nothing_and_a_new_version_does(
    second_day: Running, meanwhile: Program, state: Path
) -> None:
    """The same event, and another event about the same version of the file, are known. A file that is uploaded again
    has a new ETag, even with the same content: that is a new batch, and a second run.
    """
    [first] = second_day.reactions("score-patients")
    files = second_day.ask("show", first["id"])["lineage"]["files"]
    refused = second_day.ask("reactions")["refused"]["counts"]
    assert len(files) == 2
    for file in files:
        assert second_day.deliver(file, file["event_id"]) in ACKNOWLEDGED
        assert second_day.deliver(file, "another-id") in ACKNOWLEDGED
    assert second_day.ask("reactions")["refused"]["counts"] == refused  # known, which is not refused
    assert runs_started(state) == {first["id"]: 1}

    second_day.land_patients()
    again = second_day.scored(2)
    assert again[0]["id"] == first["id"]
    assert again[1]["event_count"] == 2
    # The lane decides in order: had it taken what came again, a reaction would have come of that as well.
    assert runs_started(state) == {first["id"]: 1, again[1]["id"]: 1}


def test_a_second_one_on_the_same_folder_is_refused(second_day: Running, meanwhile: Program) -> None:
    assert meanwhile.wait(40) == 1
    assert "another local cloud runs in" in meanwhile.said()
    assert "Traceback" not in meanwhile.said()
    assert httpx.get(f"{second_day.url}/api/reactions", trust_env=False, timeout=30).status_code == 401
    assert second_day.health()["status"] == "ok"


def test_the_printed_commands_let_the_data_drift(second_day: Running, meanwhile: Program) -> None:
    """That training then leads to a better model is the demo's; this one is ended in the middle of it."""
    landed, runs = second_day.do_as_printed("Land data that has drifted")
    assert "landed as 0-raw/diabetes/clinic/target/target.csv" in landed
    assert runs.startswith("monitor diabetes-clinic runs: ")
    eventually(
        lambda: [r for r in second_day.reactions("retrain-on-drift") if r["state"] == "running"], REACTION_SECONDS
    )


def test_ctrl_c_while_it_starts_ends_it_as_well(state: Path, tmp_path: Path) -> None:
    with Program("run", "--state", str(tmp_path / "other"), output=tmp_path / "said.txt") as program:
        program.wait_until_it_says("starting Azurite", 30)
        eventually(lambda: any("azurite.js" in command for command in descendants(program.pid).values()), 10)
        children = descendants(program.pid)
        assert program.interrupt(STOP_SECONDS) == 0, program.said()
    assert [pid for pid in children if pid in processes()] == []
    assert "Up. Ctrl-C" not in program.said()
    assert "Traceback" not in program.said()


def test_drop_says_so_when_nothing_runs(tmp_path: Path) -> None:
    with Program("drop", "--state", str(tmp_path), "README.md", "0-raw/x", output=tmp_path / "said.txt") as program:
        assert program.wait(30) == 1
    assert "nothing runs here" in program.said()
