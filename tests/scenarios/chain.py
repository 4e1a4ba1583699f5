"""The real score-diabetes pipeline behind real batch endpoints whose components are the shipped ones with tiny code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from azure.storage.blob import ContainerClient

from local.azurite import LAKE_ACCOUNT
from local.cloud import LAKE_CONTAINER
from local.machine_learning import DATASTORE, Job, Literal
from tests.scenarios.serving import Serving
from tests.scenarios.stage import Stage, wait_for

ROOT = Path(__file__).resolve().parents[2]
PIPELINE: Mapping[str, Any] = json.loads((ROOT / "infra" / "adf" / "pipeline" / "score-diabetes.json").read_text())
RULES = (ROOT / "reactions.yaml").read_text()
RETRY = "retry: {attempts: 3, backoff: 1m}"
ONE_ATTEMPT = RULES.replace(RETRY, "retry: {attempts: 1}")
BATCH = "0-raw/diabetes/b1/stage"

ARGUMENTS = """\
import argparse, json, sys, time
from pathlib import Path

parser = argparse.ArgumentParser()
for name in {names}:
    parser.add_argument("--" + name, required=True)
given = parser.parse_args()
"""
PREP_ARGUMENTS = ARGUMENTS.format(names=("raw", "manifest", "reaction-id", "attempt", "bronze"))
SCORE_ARGUMENTS = ARGUMENTS.format(names=("bronze", "model", "reaction-id", "attempt", "silver"))
PREP = f"""\
{PREP_ARGUMENTS}
manifest = json.loads(Path(given.manifest).read_text())
assert manifest["reaction_id"] == given.reaction_id, manifest
names = sorted(Path(each["path"]).name for each in manifest["events"] if each["current"])
age, levels = [Path(given.raw, name).read_text().splitlines() for name in names]
joined = [f"{{a}},{{b.split(',', 1)[1]}}" for a, b in zip(age, levels, strict=True)]
Path(given.bronze, "diabetes.csv").write_text("\\n".join(joined))
"""
SCORE = f"""\
{SCORE_ARGUMENTS}
assert Path(given.model, "MLmodel").is_file()
head, *rows = Path(given.bronze, "diabetes.csv").read_text().splitlines()
scored = [head + ",Diabetes"] + [f"{{row}},{{n % 2}}" for n, row in enumerate(rows)]
Path(given.silver, "diabetes.csv").write_text("\\n".join(scored))
"""
EXITS_WITH_3 = "\nprint('there is no column Age', file=sys.stderr)\nsys.exit(3)\n"
WAITS = "\ntime.sleep(60)\n"


def first_attempt_only(code: str) -> str:
    return "\nif given.attempt == '1':" + code.replace("\n", "\n    ").rstrip() + "\n"


class Chain:
    """A stage whose factory has the pipeline, with endpoints of its own, and a lake that the jobs read and write.

    Args:
        seconds: how long a run may take before it counts as one that never ends.
    """

    def __init__(self, stage: Stage, *, prep: str = PREP, score: str = SCORE, seconds: float = 30.0) -> None:
        self.stage = stage
        self.seconds = seconds
        self._workspace = stage.cloud.machine_learning
        # The pipeline names the datastore `lake`; the workspace's own belongs to the shared account.
        self._workspace.add_datastore(DATASTORE, f"{stage.lake.blob}/{LAKE_CONTAINER}")
        self.endpoints = {"prep": f"prep-{stage.account.name}", "score": f"score-{stage.account.name}"}
        self._deploy(prep=prep, score=score)
        parameters = {f"{job}EndpointUri": self._workspace.scoring_uri(name) for job, name in self.endpoints.items()}
        stage.factory.global_parameters.update(parameters, pollSeconds=1)
        self.lake = ContainerClient(stage.lake.blob, LAKE_CONTAINER, credential=stage.credential)
        serving = Serving(stage, endpoint=stage.settings["DIABETES_ENDPOINT"], model=f"clf-{stage.account.name}")
        serving.already_live("1")
        self.lake.upload_blob(f"models/{serving.model}/1/MLmodel", b"flavors: {}")
        self.model = serving.model

    def _deploy(self, **codes: str) -> None:
        """The shipped pipelines and components, so that names of inputs and outputs are theirs; the code is not."""
        folder = self.stage.folder / "ml"
        for job, code in codes.items():
            component = folder / "components" / job
            component.mkdir(parents=True)
            shutil.copy(ROOT / "ml" / "components" / job / "component.yml", component)
            (component / "run.py").write_text(code)
            (folder / "pipelines").mkdir(exist_ok=True)
            file = shutil.copy(ROOT / "ml" / "pipelines" / f"{job}.yml", folder / "pipelines")
            self._workspace.deploy_batch(self.endpoints[job], component=Path(file))

    def close(self) -> None:
        self.stage.factory.close()
        for job in self.jobs():
            self._workspace.cancel(job.name)
        wait_for(lambda: all(job.status.is_final for job in self.jobs()))
        self._workspace.add_datastore(DATASTORE, f"{self.stage.cloud.account(LAKE_ACCOUNT).blob}/{LAKE_CONTAINER}")
        self.lake.close()

    # --- what happens -------------------------------------------------------------------------------------------------

    def land(self) -> None:
        """Both files of a batch land, and their events are delivered."""
        age = self.stage.land(f"{BATCH}/patient-age.csv", b"Id,Age\n1,30\n2,60")
        levels = self.stage.land(f"{BATCH}/patient-levels.csv", b"Id,BMI\n1,21.5\n2,30.1")
        self.stage.deliver(age, levels)

    def last_run_ends(self) -> Any:
        """Waits for it; the factory and the jobs live in real time."""
        return self.stage.factory.wait_until_final(self.stage.factory.runs()[-1].id, self.seconds)

    def reaction_ends(self) -> dict[str, Any]:
        self.last_run_ends()
        self.stage.settle(self.stage.all_final)
        return self.reaction()

    def cancel_when_running(self, job: str) -> Job:
        wait_for(lambda: any(step.pid for each in self.jobs(job) for step in each.steps))
        [started] = self.jobs(job)
        return self._workspace.cancel(started.name)

    # --- what can be seen ---------------------------------------------------------------------------------------------

    def jobs(self, *jobs: str) -> list[Job]:
        """The jobs at this chain's endpoints, oldest first."""
        names = {self.endpoints[job] for job in jobs or self.endpoints}
        return [each for each in self._workspace.jobs() if each.submission.endpoint in names]

    def reaction(self) -> dict[str, Any]:
        [listed] = self.stage.reactions()
        status, body = self.stage.get(f"reactions/{listed['id']}")
        assert status == 200
        found: dict[str, Any] = body
        return found

    def blobs(self, layer: str) -> list[str]:
        return sorted(self.lake.list_blob_names(name_starts_with=f"{layer}/"))

    def read(self, path: str) -> str:
        return bytes(self.lake.download_blob(path).readall()).decode()

    def activities(self) -> dict[str, str]:
        """Activity -> its last status, in the last run."""
        shown = self.stage.factory.activities(self.stage.factory.runs()[-1].id)
        return {each["activityName"]: each["status"] for each in shown}


def literals(job: Job) -> dict[str, object]:
    return {name: value.value for name, value in job.submission.inputs.items() if isinstance(value, Literal)}


def shown_jobs(chain: Chain, *jobs: str) -> list[tuple[str, str]]:
    """(name, status) of the jobs as the workspace has them, in the shape the reaction is to tell them."""
    return [(job.name, str(job.status)) for job in chain.jobs(*jobs)]


ChainOf = Callable[..., Chain]
