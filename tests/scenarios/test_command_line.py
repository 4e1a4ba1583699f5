"""The command line against the app in its host: real tokens, real HTTP, real answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.host.client import FunctionHost
from local.identity import API_AUDIENCE, OPERATOR, READER, SOMEBODY
from relearn import client as http
from relearn.__main__ import main
from tests.scenarios.stage import PIPELINE, Stage, wait_for

pytestmark = pytest.mark.cloud
ROOT = Path(__file__).resolve().parents[2]
SITTING = {
    **PIPELINE,
    "properties": {
        **PIPELINE["properties"],  # type: ignore[dict-item]
        "activities": [{"name": "Sit", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 3600}}],
    },
}

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def stage(stage_with: Callable[..., Stage]) -> Stage:
    return stage_with(pipelines=(SITTING,))


@pytest.fixture
def host(stage: Stage, tmp_path: Path) -> Iterator[FunctionHost]:
    environment = {
        **stage.cloud.child_environment(),
        **stage.settings,
        "RELEARN_RULES": str(stage.folder / "reactions.yaml"),
        "AzureWebJobs.receive_queued_event.Disabled": "true",
        "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:00.2",
    }
    authentication = stage.cloud.authentication()
    with FunctionHost(ROOT, environment, folder=tmp_path / "host", authentication=authentication) as running:
        yield running


@pytest.fixture
def cli(host: FunctionHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs the command line as somebody; gives the exit code, and what it printed."""
    monkeypatch.setenv("RELEARN_APP_URL", host.url)
    monkeypatch.setenv("RELEARN_API_AUDIENCE", API_AUDIENCE)

    def run(*arguments: str, who: str = OPERATOR) -> tuple[int, str, str]:
        monkeypatch.setenv("AZURE_CLIENT_ID", who)
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def as_json(told: tuple[int, str, str]) -> Any:
    assert told[0] == 0, told
    return json.loads(told[1])


def test_an_operators_day(cli: Cli, stage: Stage) -> None:
    stage.deliver(stage.land("in/b1/a.csv"))
    [reaction] = as_json(cli("reactions", "--json"))["reactions"]
    code, told, _ = cli("reactions", "--rule", "score", who=READER)
    assert (code, told.split()[0], reaction["id"] in told, "running" in told) == (0, "id", True, True)
    code, told, _ = cli("show", reaction["id"])
    assert (code, "run " in told, "in/b1/a.csv" in told) == (0, True, True)
    code, told, _ = cli("explain", "lake/in/b1/a.csv")
    assert (code, "rule score: matches" in told, reaction["id"] in told) == (0, True, True)

    code, told, _ = cli("cancel", reaction["id"], "--reason", "wrong file", "--request", "the-first-cancel")
    assert (code, "its end is wanted" in told) == (0, True)
    wait_for(lambda: as_json(cli("show", reaction["id"], "--json"))["state"] == "cancelled")
    assert as_json(cli("cancel", reaction["id"], "--reason", "x", "--request", "the-first-cancel", "--json"))[
        "repeated"
    ]
    code, _, said = cli("cancel", reaction["id"], "--reason", "again")
    assert (code, "that is final" in said, "replay it" in said) == (1, True, True)

    assert as_json(cli("pause", "--all", "--reason", "maintenance", "--json"))["all_starts"]["by"] == f"app {OPERATOR}"
    assert "all starts are stopped" in cli("status")[1]
    assert cli("resume", "--all", "--reason", "done")[0] == 0
    replayed = as_json(cli("replay", "--since", "1h", "--state", "cancelled", "--yes", "--reason", "r", "--json"))
    assert (replayed["reactions"], replayed["new"]) == (1, 1)
    wait_for(lambda: len(stage.starts()) == 2)
    told = cli("acts")[1]
    assert [told.count(what) for what in ("cancel reaction", "pause all", "resume all", "replay reactions")] == [1] * 4


def test_who_may_not_is_told_so(cli: Cli, stage: Stage) -> None:
    code, _, said = cli("pause", "score", "--reason", "x", who=READER)
    assert (code, "takes the role Relearn.Operator" in said, f"app {READER} has Relearn.Reader" in said) == (
        3,
        True,
        True,
    )
    code, _, said = cli("reactions", who=SOMEBODY)
    assert (code, "has no role" in said) == (3, True)
    assert cli("status")[1].count("no rule is paused") == 1


def test_what_is_not_there_and_what_makes_no_sense(cli: Cli, stage: Stage, tmp_path: Path) -> None:
    assert cli("show", "nonsense")[0] == 4
    assert cli("pause", "nobodys", "--reason", "x")[0] == 4
    assert cli("reactions", "--state", "lost")[0] == 2
    assert cli("replay", "--reason", "x")[0] == 2
    assert cli("replay", "--lane", "x", "--reason", "x")[0] == 2
    assert cli("replay", "--since", "1h", "--reason", "x")[0] == 0  # nothing to replay: nobody has to confirm it
    event = tmp_path / "event.json"
    event.write_text(stage.land("out/b1/a.csv"))
    code, told, _ = cli("explain", str(event))
    assert (code, "the path does not fit lake/in/{batch}/*.csv" in told) == (0, True)


def test_a_replay_of_many_is_confirmed(cli: Cli, stage: Stage) -> None:
    stage.deliver(stage.land("in/b1/a.csv"))
    [reaction] = stage.reactions()
    assert cli("cancel", reaction["id"], "--reason", "x")[0] == 0
    wait_for(lambda: stage.states() == ["cancelled"])
    code, _, said = cli("replay", "--since", "1h", "--reason", "x")
    assert (code, "replay 1 event(s) of 1 reaction(s)?" in said, "--yes" in said) == (1, True, True)
    assert as_json(cli("replay", "--since", "1h", "--reason", "x", "--dry-run", "--json"))["new"] == 0
    assert len(stage.starts()) == 1


def test_it_runs_by_itself(host: FunctionHost, stage: Stage) -> None:
    environment = {**stage.cloud.child_environment(), "AZURE_CLIENT_ID": READER}
    command = [sys.executable, "-m", "relearn", "status", "--app", host.url, "--audience", API_AUDIENCE]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "status" in done.stdout, done.stderr) == (0, True, "")


# --- without an app ---------------------------------------------------------------------------------------------------


def test_no_address_no_audience_and_no_answer(capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["reactions"])
    assert (ended.value.code, "RELEARN_APP_URL" in capsys.readouterr().err) == (2, True)
    assert main(["reactions", "--app", "http://relearn.example.com", "--audience", "a"]) == 2
    assert "a token is sent over TLS only" in capsys.readouterr().err
    with http.Client("http://127.0.0.1:9", "a", pauses=(0.0,)) as client, pytest.raises(http.CallFailed) as failed:
        client.health()
    assert (failed.value.exit_code, "does not answer" in str(failed.value)) == (5, True)


def test_a_token_goes_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that points elsewhere is not followed; a proxy that the environment names is not used on loopback."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    asked: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(302)
            self.send_header("Location", "/stolen")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    try:
        client = http.Client(f"http://127.0.0.1:{server.server_port}", "a", token=lambda: "secret")
        with client, pytest.raises(http.CallFailed, match="answers 302"):
            client.get("reactions")
    finally:
        server.shutdown()
        server.server_close()
    assert asked == ["/api/reactions"]
    assert "secret" not in str(os.environ)
