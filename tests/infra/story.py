"""What the product does in a day, played on the local cloud, and who asked what of Azure on the way.

Written down by the fronts of the local cloud, so it is what really went over the wire: the app's own calls, the Web
activities of the shipped pipelines, and what jobs do (the register step is the shipped one; the others are tiny).
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from local.accesses import Access
from local.cloud import LocalCloud
from local.faults import AcceptThen, Drop, Status
from local.identity import COMPUTE_CLIENT, FACTORY_CLIENT
from local.machine_learning.online.bodies import EndpointBody
from local.progress import ByHand, Immediately, Outcome
from local.service import REGION
from shared.settings import POISON_QUEUE
from tests.scenarios import chain, lost, serving, workspace_jobs
from tests.scenarios.stage import PIPELINE, RULES, Stage, wait_for

ROOT = Path(__file__).resolve().parents[2]
APP_CLIENT = "00000000-0000-0000-0000-0000000000a0"
PRINCIPALS = {APP_CLIENT: "app", FACTORY_CLIENT: "factory", COMPUTE_CLIENT: "compute"}
"""Whose calls are looked at; the test's own come from somebody else."""
AUTH_MODES = {"AADToken": "aadEndpoint", "Key": "keyEndpoint", "AMLToken": "amlTokenEndpoint"}
"""How an endpoint may ask its callers who they are, and the condition of roles.json that goes with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """`condition` holds of what is recorded here."""

    condition: str
    accesses: frozenset[Access]

    def of(self, principal: str) -> list[Access]:
        return sorted(each for each in self.accesses if PRINCIPALS.get(each.caller) == principal)


class Recorder:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: set[Access] = set()

    def __call__(self, access: Access) -> None:
        with self._lock:
            self._seen.add(access)

    def seen(self) -> frozenset[Access]:
        with self._lock:
            return frozenset(self._seen)


class Day:
    """One day's stages; each recording begins and ends with what is played in it."""

    def __init__(self, cloud: LocalCloud, credential: Any, folder: Path) -> None:
        self._cloud = cloud
        self._credential = credential
        self._folder = folder
        self.recordings: list[Recording] = []

    def play(self) -> list[Recording]:
        with self._recording("aadEndpoint"):
            self._runs()
            self._jobs()
            self._named_jobs()
            self._lost()
        for mode, condition in AUTH_MODES.items():
            with self._recording(condition):
                self._rollouts(mode)
        return self.recordings

    @contextmanager
    def _recording(self, condition: str) -> Iterator[None]:
        recorder = Recorder()
        remove = self._cloud.accesses.on(recorder)
        try:
            yield
        finally:
            remove()
        self.recordings.append(Recording(condition=condition, accesses=recorder.seen()))

    @contextmanager
    def _stage(self, name: str, **options: Any) -> Iterator[Stage]:
        folder = self._folder / name
        folder.mkdir()
        settings = {"AZURE_CLIENT_ID": APP_CLIENT, **options.pop("extra_settings", {})}
        stage = Stage(cloud=self._cloud, credential=self._credential, folder=folder, extra_settings=settings, **options)
        try:
            yield stage
        finally:
            stage.close()

    # --- files land, and pipelines run --------------------------------------------------------------------------------

    def _runs(self) -> None:
        rules = RULES + "    timeout: 3m\n    retry: {attempts: 2, backoff: 10s}\n"
        with self._stage("runs", rules=rules, pipelines=(PIPELINE,)) as stage:
            self._renamed(stage)
            self._in_doubt(stage)
            self._twice_and_too_long(stage)
            self._poisoned(stage)
            stage.app.backfill.page("score", stage.clock.now() - timedelta(hours=1))

    def _renamed(self, stage: Stage) -> None:
        """The event of a rename has no ETag, so the file is asked for it. Its run is not listed either."""
        event = json.loads(stage.land("in/b1/a.csv"))
        data = event["data"]
        moved = {"api": "RenameFile", "destinationUrl": data["url"], "sourceUrl": f"{data['url']}.part"}
        kept = {key: data[key] for key in ("clientRequestId", "requestId", "sequencer")}
        event |= {"eventType": "Microsoft.Storage.BlobRenamed", "data": {**kept, **moved}}
        stage.factory.hide(polls=5)
        stage.deliver(json.dumps(event))
        stage.settle(stage.all_final)
        assert stage.states() == ["succeeded"], stage.reactions()
        stage.settle()

    def _in_doubt(self, stage: Stage) -> None:
        path = f"*/factories/{stage.factory_name}/pipelines/*/createrun"
        stage.cloud.data_factory.faults.add(method="POST", path=path, action=AcceptThen(Drop()), times=1)
        stage.deliver(stage.land("in/b2/a.csv"))
        stage.settle(stage.all_final)

    def _twice_and_too_long(self, stage: Stage) -> None:
        stage.factory.progress.set(ByHand(), "score")
        stage.deliver(stage.land("in/b3/a.csv"))
        stage.settle(lambda: bool(stage.running()))  # it may have to wait for a factory that gave no answer before
        first = stage.factory.runs("score")[-1]
        second = stage.factory.start("score", first.parameters)
        stage.settle(lambda: second.is_final)
        stage.settle(stage.all_final)
        assert stage.states()[-1] == "timed-out"
        assert str(first.status.value) == "Cancelled"

    def _poisoned(self, stage: Stage) -> None:
        address = stage.cloud.account(stage.account.name).queue
        with QueueClient(
            address, POISON_QUEUE, credential=self._credential, message_encode_policy=TextBase64EncodePolicy()
        ) as poison:
            poison.send_message(json.dumps({"look": f"factory:{stage.factory_name}"}))
        stage.sweep()

    # --- jobs that score, and one that trains -------------------------------------------------------------------------

    def _jobs(self) -> None:
        pipelines = (chain.PIPELINE, json.loads((ROOT / "infra/adf/pipeline/train-diabetes.json").read_text()))
        settings = {"DIABETES_ENDPOINT": "ep-roles", "DIABETES_OVERNIGHT": "0 2 * * *"}
        with self._stage("jobs", rules=chain.RULES, pipelines=pipelines, extra_settings=settings) as stage:
            scoring = chain.Chain(stage)
            try:
                scoring.land()
                assert scoring.reaction_ends()["state"] == "succeeded"
                self._trained(stage, scoring)
            finally:
                scoring.close()

    def _trained(self, stage: Stage, scoring: chain.Chain) -> None:
        name = f"train-{stage.account.name}"
        workspace = stage.cloud.machine_learning
        workspace.deploy_batch(name, component=training(stage.folder / "training"))
        stage.factory.global_parameters.update(trainEndpointUri=workspace.scoring_uri(name))
        for part in ("baseline", "target"):
            scoring.lake.upload_blob(f"0-raw/diabetes/b1/{part}/a.csv", b"Id,Age\n1,30")
        scoring.lake.upload_blob("monitoring/diabetes-b1/report.json", b'{"rows": 500, "missing_share": 0}')
        stage.deliver(*serving.breaches("diabetes-b1", "run-1", stage.clock.now()))
        wait_for(lambda: len(stage.factory.runs()) == 2)
        scoring.last_run_ends()
        stage.settle(stage.all_final)
        assert stage.states() == ["succeeded", "succeeded"], stage.reactions()
        assert workspace.registry.versions("diabetes-classifier"), "the register step registered"

    def _named_jobs(self) -> None:
        """One job that completes, and one that takes too long."""
        rules = workspace_jobs.RULES + "    timeout: 3m\n"
        with self._stage("named-jobs", rules=rules, extra_settings={"COMPONENT": "train_roles"}) as stage:
            training = workspace_jobs.Training(stage)
            training.workspace.progress.once(Immediately(), training.component)
            training.workspace.progress.set(ByHand(), training.component)
            for batch in ("b1", "b2"):
                training.deliver(batch)
            stage.settle(stage.all_final)
            assert sorted(stage.states()) == ["succeeded", "timed-out"], stage.reactions()
            training.workspace.progress.clear()

    # --- what nobody told of ------------------------------------------------------------------------------------------

    def _lost(self) -> None:
        names = {"MODEL": "clf-roles-lost", "MONITOR": "drift-roles-lost"}
        with self._stage("lost", rules=lost.RULES, pipelines=(lost.SEE,), extra_settings=names) as stage:
            workspace, letters = lost.Workspace(stage, names["MODEL"], names["MONITOR"]), lost.DeadLetters(stage)
            letters.put(f"[{workspace.register('1')}]")
            refused = letters.put("no event")
            workspace.breach()
            workspace.sweep()
            assert list(letters.there()) == [refused]
            assert len(workspace.started()) == 2
            letters.close()
            stage.cloud.machine_learning.reset()

    # --- rollouts -----------------------------------------------------------------------------------------------------

    def _rollouts(self, mode: str) -> None:
        names = {"ENDPOINT": f"ep-roles-{mode.lower()}", "MODEL": f"clf-roles-{mode.lower()}"}
        topic = {"RELEARN_EVENTS_TOPIC_ENDPOINT": f"{self._cloud.arm_url}/topics/roles/api/events"}
        with self._stage(mode, rules=serving.RULES, extra_settings={**names, **topic}) as stage:
            served = serving.Serving(stage, endpoint=names["ENDPOINT"], model=names["MODEL"])
            body = {"location": REGION, "properties": {"authMode": mode}}
            served.online.endpoints.put(served.endpoint, EndpointBody.read(body))
            stage.deliver(served.register("1"))
            served.settle()
            stage.deliver(served.register("2", serving.BETTER))
            served.settle()
            assert served.standing() == (["2"], {"2": 100}), stage.reactions()
            if mode == "AADToken":
                self._failed(stage, served)
            stage.cloud.machine_learning.reset()

    def _failed(self, stage: Stage, served: serving.Serving) -> None:
        """Why it failed is in the operation, which the app's roles do not let it read, and in the log."""
        refused = Status(403, body={"error": {"code": "AuthorizationFailed", "message": "the client does not have it"}})
        stage.cloud.machine_learning.faults.add(
            method="GET", path="*/mfeoperationsstatus/*", action=refused, times=None
        )
        served.goes(creations=Immediately(Outcome.FAILED, "OutOfQuota: 0 of 4 cores left"))
        stage.clock.advance(timedelta(seconds=1))
        stage.deliver(served.register("3", {**serving.BETTER, "live.version": "2"}))
        served.settle()
        assert stage.states()[-1] == "failed"
        assert "the end of its log" in served.last()["reason"]


# The steps before registration: each writes what the next one looks for.
STEP = """\
import json, sys
from pathlib import Path

given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
"""
SPLIT = f"""\
{STEP}
lineage = {{name: given["--" + name.replace("_", "-")] for name in ("reaction_id", "attempt", "reason", "monitor_run")}}
lineage |= {{"train_rows": 2, "test_rows": 1}}
Path(given["--data"], "_lineage.json").write_text(json.dumps(lineage))
"""
TRAIN = f'{STEP}\nPath(given["--model"], "MLmodel").write_text("flavors: {{}}")\n'
EVALUATE = f'{STEP}\nPath(given["--metrics"], "metrics.json").write_text(json.dumps({{"Accuracy": 0.8}}))\n'


def training(folder: Path) -> Path:
    """The shipped training pipeline and components; only the register step's code is the shipped one, too."""
    shipped = ROOT / "ml" / "components"
    for step, code in {"split": SPLIT, "train": TRAIN, "evaluate": EVALUATE}.items():
        (folder / "components" / step).mkdir(parents=True)
        shutil.copy(shipped / step / "component.yml", folder / "components" / step)
        (folder / "components" / step / "run.py").write_text(code)
    shutil.copytree(shipped / "register", folder / "components" / "register", ignore=shutil.ignore_patterns("__*"))
    (folder / "pipelines").mkdir()
    return Path(shutil.copy(ROOT / "ml" / "pipelines" / "train.yml", folder / "pipelines"))
