"""`python -m infra.pipelines.train`: trains one model through the batch endpoint, and tells what was registered.

The endpoint is called as a reaction's pipeline calls it. A first model has nothing to be compared with, which the data
factory's pipeline cannot say; so this is also how the first one is made.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from azure.core.credentials import TokenCredential
from azure.identity import DefaultAzureCredential

from infra.pipelines import report
from infra.pipelines.rest import AML, DATA_SCOPE, PipelineFailed, Rest, arm, required, segment

MODEL: Final = "diabetes-classifier"
FINAL: Final = frozenset({"Completed", "Failed", "Canceled"})
METRICS: Final = ("Accuracy", "AUC", "live.Accuracy", "live.AUC", "live.version")
_LAKE: Final = "azureml://datastores/lake/paths"
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,79}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The version that most of the endpoint's traffic goes to. `address`: as jobs take it."""

    name: str
    version: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """`run`: of the pipeline; the model and the report are written below it, where nothing may be yet."""

    batch: str
    run: str
    reason: str
    on_target: bool = False
    live: Live | None = None

    def __post_init__(self) -> None:
        for what, name in (("batch", self.batch), ("run", self.run)):
            if not _NAME.fullmatch(name):
                raise PipelineFailed(f"the {what} must be letters, digits, dots, hyphens and underscores, not {name!r}")

    def body(self) -> dict[str, Any]:
        raw, stamp = f"{_LAKE}/0-raw/diabetes/{self.batch}", f"pipeline-{self.run}"
        model = f"{_LAKE}/models/{MODEL}/{stamp}-1/"
        inputs: dict[str, Any] = {"baseline": _folder(f"{raw}/baseline/")}
        if self.on_target:
            inputs["target"] = _folder(f"{raw}/target/")
        if self.live is not None:
            inputs["live"] = {"jobInputType": "MLFlowModel", "uri": self.live.address}
            inputs |= {"live_name": _literal(self.live.name), "live_version": _literal(self.live.version)}
        inputs |= {
            "reason": _literal(self.reason),
            "reaction_id": _literal(stamp),
            "attempt": _literal("1"),
            "model_uri": _literal(model),
        }
        outputs = {"model": model, "report": f"{_LAKE}/3-gold/diabetes/{self.batch}/{stamp}-1/"}
        return {
            "properties": {
                "inputData": inputs,
                "outputData": {name: {"jobOutputType": "UriFolder", "uri": uri} for name, uri in outputs.items()},
                "properties": {"experimentName": "train-diabetes"},
            }
        }


def _folder(uri: str) -> dict[str, str]:
    return {"jobInputType": "UriFolder", "uri": uri}


def _literal(value: str) -> dict[str, str]:
    return {"jobInputType": "Literal", "value": value}


def live_model(workspace: Rest, workspace_id: str, endpoint: str) -> Live | None:
    path = f"{workspace_id}/onlineEndpoints/{segment(endpoint)}"
    found = workspace.get(path, **{"api-version": AML})
    traffic: Mapping[str, int] = found["properties"].get("traffic") or {}
    most = max((name for name, share in traffic.items() if share), key=lambda name: (traffic[name], name), default=None)
    if most is None:
        return None
    deployment = workspace.get(f"{path}/deployments/{segment(most)}", **{"api-version": AML})
    model_id = str(deployment["properties"]["model"]).removeprefix("azureml:")
    *_, name, _, version = model_id.split("/")
    return Live(name=name, version=version, address=f"azureml:{model_id}")


def start(workspace: Rest, workspace_id: str, endpoint: str, training: Training, credential: TokenCredential) -> str:
    """The job's name. Sent once: a second POST would be a second training."""
    found = workspace.get(f"{workspace_id}/batchEndpoints/{segment(endpoint)}", **{"api-version": AML})
    host, _, path = str(found["properties"]["scoringUri"]).removeprefix("https://").partition("/")
    with Rest(f"https://{host}", credential, DATA_SCOPE) as data:
        return str(data.change("POST", f"/{path}", training.body())["name"])


def wait(workspace: Rest, workspace_id: str, job: str, *, minutes: float, pause: float) -> None:
    deadline, status = time.monotonic() + 60 * minutes, ""
    while status not in FINAL:
        found = workspace.get(f"{workspace_id}/jobs/{segment(job)}", **{"api-version": AML})
        if found["properties"]["status"] != status:
            status = str(found["properties"]["status"])
            report.say(f"job {job}: {status}")
        if status not in FINAL:
            if time.monotonic() > deadline:
                raise PipelineFailed(
                    f"job {job} has not ended after {minutes:.0f} minutes; it goes on without this run"
                )
            time.sleep(pause)
    if status != "Completed":
        raise PipelineFailed(f"job {job} ended as {status}; its log is in the workspace's studio")


def registered(workspace: Rest, workspace_id: str, job: str) -> Mapping[str, Any]:
    """The version that the job has registered, as the workspace has it."""
    path = f"{workspace_id}/models/{MODEL}/versions"
    for version in workspace.all(path, **{"api-version": AML, "listViewType": "ActiveOnly"}):
        if (version["properties"].get("tags") or {}).get("relearn_job") == job:
            return dict(version)
    raise PipelineFailed(f"job {job} is Completed and has registered no version of {MODEL}")


def train(credential: TokenCredential, arguments: argparse.Namespace) -> None:
    workspace_id = required("RELEARN_WORKSPACE_ID")
    with arm(credential) as workspace:
        training = Training(
            batch=arguments.batch,
            run=arguments.run,
            reason=arguments.reason,
            on_target=arguments.on_target,
            live=live_model(workspace, workspace_id, required("DIABETES_ENDPOINT")),
        )
        job = start(workspace, workspace_id, required("RELEARN_TRAIN_ENDPOINT"), training, credential)
        wait(workspace, workspace_id, job, minutes=arguments.minutes, pause=arguments.pause)
        version = registered(workspace, workspace_id, job)
    properties: Mapping[str, str] = version["properties"].get("properties") or {}
    told = {name: properties[name] for name in METRICS if name in properties}
    report.summary(
        "Registered model",
        {
            "model": f"{MODEL}:{version['name']}",
            "batch": training.batch,
            "because": training.reason,
            "job": job,
            **told,
        },
        "Relearn decides whether it goes live: GET /api/models/" + f"{MODEL}/{version['name']}",
    )


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"must be true or false, not {text!r}")
    return text == "true"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.pipelines.train", description=__doc__)
    parser.add_argument("--batch", required=True, help="the folder below 0-raw/diabetes")
    parser.add_argument("--reason", required=True, help="why, for the model's tags")
    parser.add_argument("--run", required=True, help="of the pipeline; never the same twice")
    parser.add_argument("--on-target", type=_flag, default=False, help="train on the batch's newer data as well")
    parser.add_argument("--minutes", type=float, default=50, help="to wait for the job; the run's token lasts an hour")
    parser.add_argument("--pause", type=float, default=30, help="seconds between two looks at the job")
    arguments = parser.parse_args(argv)
    with DefaultAzureCredential() as credential:
        return report.run(lambda: train(credential, arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
