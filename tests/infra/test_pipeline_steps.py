"""The delivery pipelines' steps against the local cloud, over HTTPS: training, and asking that a model be deployed."""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.credentials import TokenCredential
from azure.identity import ManagedIdentityCredential

from infra.pipelines import deploy_model, health, report, train
from infra.pipelines.rest import PipelineFailed, arm
from local.cloud import LocalCloud
from local.event_grid.envelopes import Published
from local.host.authentication import TokenCheck
from local.identity import API_AUDIENCE, READER, SOMEBODY
from local.machine_learning.events import model_registered
from local.progress import Immediately, Outcome
from local.service import workspace_id
from local.workspace_client import Training as LocalTraining
from tests.scenarios.serving import BETTER, RULES, WORSE, Serving
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.cloud
ROOT = Path(__file__).resolve().parents[2]
TRAIN = "pipeline-tests-train"


# --- train and register -----------------------------------------------------------------------------------------------


def test_a_pipelines_training_is_the_one_that_the_local_system_starts() -> None:
    """Compared with what has trained many models here: the same inputs and outputs, but for the experiment's name."""
    live = train.Live(name="m", version="7", address=f"azureml:{workspace_id()}/models/m/versions/7")
    ours = train.Training(batch="b", run="7-1", reason="why", on_target=True, live=live).body()
    from local.workspace_client import Live

    theirs = LocalTraining(
        batch="b",
        name="pipeline-7-1",
        reason="why",
        on_target=True,
        live=Live(deployment="d", model="m", version="7", address=live.address),
    ).body()
    theirs["properties"]["properties"]["experimentName"] = "train-diabetes"
    assert ours == theirs


@pytest.mark.parametrize("batch", ["../../models", "a/b", "", "a..b", "x" * 90])
def test_a_batch_is_one_folder(batch: str) -> None:
    with pytest.raises(PipelineFailed, match="the batch must be"):
        train.Training(batch=batch, run="1", reason="r")


@pytest.fixture
def learning(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("RELEARN_ARM_ENDPOINT", cloud.arm_url)
    cloud.machine_learning.progress.set(Immediately(), TRAIN)
    cloud.machine_learning.deploy_batch(TRAIN, component=ROOT / "ml" / "pipelines" / "train.yml")
    yield cloud.machine_learning
    cloud.machine_learning.registry.forget()
    cloud.machine_learning.progress.clear()


def test_the_job_is_followed_and_its_version_found(learning: Any, credential: TokenCredential, capsys: Any) -> None:
    with arm(credential) as workspace:
        training = train.Training(batch="b", run="11-1", reason="the first")
        job = train.start(workspace, workspace_id(), TRAIN, training, credential)
        train.wait(workspace, workspace_id(), job, minutes=1, pause=0.05)
        for number in ("1", "2"):
            tags = {"relearn_job": job if number == "1" else "another"}
            learning.registry.register(train.MODEL, number, uri="azureml://datastores/lake/paths/m/", tags=tags)
        assert train.registered(workspace, workspace_id(), job)["name"] == "1"
        with pytest.raises(PipelineFailed, match="has registered no version"):
            train.registered(workspace, workspace_id(), "unknown")
    assert "Completed" in capsys.readouterr().out
    assert learning.job(job).submission.inputs["reaction_id"].value == "pipeline-11-1"


def test_a_job_that_fails_fails_the_pipeline(learning: Any, credential: TokenCredential) -> None:
    learning.progress.once(Immediately(outcome=Outcome.FAILED, message="out of memory"), TRAIN)
    with arm(credential) as workspace:
        training = train.Training(batch="b", run="12-1", reason="r")
        job = train.start(workspace, workspace_id(), TRAIN, training, credential)
        with pytest.raises(PipelineFailed, match="ended as Failed"):
            train.wait(workspace, workspace_id(), job, minutes=1, pause=0.05)


# --- deploy a model ---------------------------------------------------------------------------------------------------


class Front:
    """Stands in front of the local workspace and of the app's functions, and lets callers in as App Service does.

    A question moves the world one look on; what is registered is told to the app."""

    def __init__(self, serving: Serving, cloud: LocalCloud) -> None:
        self.serving = serving
        self.registered: list[dict[str, Any]] = []
        self.down = 0
        self._check = TokenCheck(cloud.authentication())
        trust = cloud.certificates.client_context()
        self._behind = httpx.Client(base_url=cloud.arm_url, verify=trust, trust_env=False)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.socket = cloud.certificates.server_context().wrap_socket(self._server.socket, server_side=True)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._behind.close()

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, bytes]:
        route = path.partition("?")[0]
        if route.startswith("/api/"):
            if self.down:
                self.down -= 1
                return 502, b"{}"
            self.serving.stage.next_look()
            let_in = asyncio.run(self._check.headers(dict(headers)))
            status, told = self.serving.stage.call("GET", route.removeprefix("/api/"), headers=let_in)
            return status, json.dumps(told).encode()
        passed = {"Authorization": headers["Authorization"], "Content-Type": "application/json"}
        found = self._behind.request(method, path, headers=passed, content=body)
        if method == "PUT" and found.status_code == 201:
            self._tell(found.json())
        return found.status_code, found.content

    def _tell(self, version: dict[str, Any]) -> None:
        self.registered.append(version)
        event = model_registered(
            name=self.serving.model,
            version=version["name"],
            tags=version["properties"]["tags"],
            properties=version["properties"]["properties"],
            time=datetime.now(UTC),
        )
        self.serving.stage.deliver(json.dumps(Published(topic=workspace_id(), event=event).envelope("EventGridSchema")))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        front = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                status, content = front.answer(self.command, self.path, self.headers, self.rfile.read(length))
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PUT = do_GET

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def front(stage_with: Callable[..., Stage], cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    unique = uuid.uuid4().hex[:10]
    settings = {"ENDPOINT": f"ep-{unique}", "MODEL": f"clf-{unique}"}
    stage = stage_with(rules=RULES, extra_settings=settings)
    serving = Serving(stage, endpoint=settings["ENDPOINT"], model=settings["MODEL"])
    serving.make_endpoint()
    serving.stage.deliver(serving.register("1", age=timedelta(hours=1)))
    serving.settle()
    made = Front(serving, cloud)
    for name, value in {
        "RELEARN_ARM_ENDPOINT": f"https://{made.host}",
        "RELEARN_WORKSPACE_ID": workspace_id(),
        "RELEARN_APP_URL": f"https://{made.host}",
        "RELEARN_API_AUDIENCE": API_AUDIENCE,
        "GITHUB_ACTIONS": "true",
    }.items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()
    cloud.machine_learning.reset()


@pytest.fixture
def credential(cloud: LocalCloud) -> Iterator[TokenCredential]:
    """The pipeline's own, with the API's role of a reader."""
    with ManagedIdentityCredential(client_id=READER) as found:
        yield found


def test_who_has_no_role_is_told_so(front: Front) -> None:
    refused = pytest.raises(PipelineFailed, match=r"403:(.|\n)*takes the role Relearn\.Reader")
    with ManagedIdentityCredential(client_id=SOMEBODY) as nobody, refused:
        deploy_model.deploy(nobody, asked(front, "1"))


def asked(front: Front, version: str) -> argparse.Namespace:
    told = {"reason": "it | is good", "by": "ada"}
    return argparse.Namespace(model=front.serving.model, version=version, minutes=1, pause=0.01, **told)


def test_a_version_that_relearn_has_not_taken_goes_live(
    front: Front, credential: TokenCredential, monkeypatch: Any, tmp_path: Path, capsys: Any
) -> None:
    page = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    front.serving.stage.deliver(front.serving.register("2", BETTER, tags={"stage": "staging"}))
    deploy_model.deploy(credential, asked(front, "2"))
    [version] = front.registered
    tags = version["properties"]["tags"]
    assert (version["name"], tags["promoted_from"], tags["promoted_by"]) == ("3", "2", "ada")
    assert (tags["stage"], tags["promoted_because"]) == ("candidate", "it | is good")
    assert version["properties"]["properties"] == BETTER
    assert front.serving.standing() == (["3"], {"3": 100})
    assert "it \\| is good" in page.read_text()
    assert "is registered again as" in capsys.readouterr().out


def test_what_the_gate_refuses_fails_the_pipeline_and_says_why(front: Front, credential: TokenCredential) -> None:
    front.serving.stage.deliver(front.serving.register("2", WORSE, tags={"stage": "staging"}))
    with pytest.raises(PipelineFailed, match=r":3 is not live: refused: gate: Accuracy .* -0\.0800"):
        deploy_model.deploy(credential, asked(front, "2"))
    assert front.serving.standing() == (["1"], {"1": 100})


def test_what_is_live_is_left_alone(front: Front, credential: TokenCredential) -> None:
    deploy_model.deploy(credential, asked(front, "1"))
    assert front.registered == []


def test_a_version_that_is_on_its_way_is_followed(front: Front, credential: TokenCredential) -> None:
    front.serving.stage.deliver(front.serving.register("2", BETTER))
    deploy_model.deploy(credential, asked(front, "2"))
    assert front.registered == []
    assert front.serving.standing() == (["2"], {"2": 100})


def test_an_unknown_version_is_no_candidate(front: Front, credential: TokenCredential) -> None:
    with pytest.raises(PipelineFailed, match=r"there is no .*:99, or it is archived"):
        deploy_model.deploy(credential, asked(front, "99"))


def test_the_next_version_is_a_number_above_all() -> None:
    assert deploy_model.next_version(["1", "10", "9", "final"]) == "11"
    assert deploy_model.next_version([]) == "1"


# --- what a run tells -------------------------------------------------------------------------------------------------


def test_health_names_every_problem() -> None:
    told = {"problems": [{"where": "setting X", "line": None, "message": "is not set"}]}
    assert health.judge(200, {"status": "ok"}) is None
    assert health.judge(503, told) == "setting X: is not set"
    assert health.judge(500, None) == "/api/health answers 500"


def test_a_version_that_somebody_else_took_meanwhile_is_not_changed() -> None:
    """Between the list and the registration: a PUT would change what was just registered."""

    class Workspace:
        changed = False

        def all(self, *_: str, **__: str) -> list[dict[str, str]]:
            return [{"name": "1"}]

        def find(self, path: str, **_: str) -> dict[str, str]:
            return {"name": path}

        def change(self, *_: object, **__: object) -> None:
            self.changed = True

    workspace: Any = Workspace()
    said = {"version": "1", "by": "me", "reason": "why", "at": datetime.now(UTC)}
    with pytest.raises(PipelineFailed, match="version 2 has just been registered by somebody else"):
        deploy_model.register_again(workspace, "/versions", {"properties": {"modelUri": "m"}}, said)
    assert not workspace.changed


def test_an_app_that_does_not_answer_is_asked_again(front: Front) -> None:
    front.down = 8  # the client itself asks again as well
    assert health.ask(front.host, tries=1) == "/api/health answers 502"
    front.down = 0
    assert health.ask(front.host, tries=1) is None


def test_a_failure_is_one_line_and_an_exit_code(capsys: Any) -> None:
    def fail() -> None:
        raise PipelineFailed("for this reason")

    assert report.run(fail) == 1
    assert capsys.readouterr().err == "failed: for this reason\n"
    assert report.run(lambda: None) == 0


def test_azure_devops_gets_its_own_words(monkeypatch: Any, tmp_path: Path, capsys: Any) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setenv("TF_BUILD", "True")
    monkeypatch.setenv("AGENT_TEMPDIRECTORY", str(tmp_path))
    report.summary("Live model", {"model": "<b>m</b>"})
    said = capsys.readouterr().out
    assert f"##vso[task.uploadsummary]{tmp_path}/live-model.md" in said
    assert "\\<b\\>m\\</b\\>" in (tmp_path / "live-model.md").read_text()
