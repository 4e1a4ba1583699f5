"""The whole system on one machine: the local cloud, the factory's pipelines, the endpoints, the app in its host."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient

from local.azurite import APP_ACCOUNT, LAKE_ACCOUNT
from local.bootstrap import AZURITE, ML_VENV, ROOT, STATE
from local.cloud import LocalCloud, Options
from local.host.client import FunctionHost
from local.machine_learning.jobs import Status
from local.service import FACTORY

ADF_REQUESTS = STATE / "adf-requests.jsonl"
LAKE = "lake"
MODEL = "models/diabetes-classifier/1"
MODEL_URI = f"azureml://datastores/lake/paths/{MODEL}"
ENDPOINTS = {"diabetes-prep": "prep.yml", "diabetes-score": "score.yml", "diabetes-train": "train.yml"}
TRAIN_SECONDS = 120.0

Say = Callable[[str], None]


class SystemFailed(RuntimeError):
    """A part of the system did not do its work; says which, and what it said."""


class LocalSystem:
    """Everything `make run` and `make demo` need, up while the context lasts.

    Args:
        folder: all data; a second start on the same folder goes on where the first ended.
        time_scale: by how much Event Grid's waits are shortened.
        core_tools: run the app in Core Tools' `func` instead of the runner in local/host.
        port: of the function host; a free one where it is taken.
    """

    def __init__(
        self, folder: Path, say: Say, *, time_scale: float = 1.0, core_tools: bool = False, port: int | None = None
    ) -> None:
        self.ml_python = ML_VENV / "bin" / "python"
        options = Options(say=say, azurite=AZURITE, time_scale=time_scale, adf_requests=ADF_REQUESTS)
        self.cloud = LocalCloud(folder, ml_python=self.ml_python, options=options)
        self._folder = folder
        self._say = say
        self._core_tools = core_tools
        self._port = port
        self._parts = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._parts.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parts.close()

    def _start(self) -> None:
        self._parts.enter_context(self.cloud)
        # SDK clients of this process (the demo's own uploads) are the local identity's, and trust the local authority.
        os.environ.update(self.cloud.child_environment())
        self.credential = self._parts.enter_context(DefaultAzureCredential())
        self.cloud.provision(APP_ACCOUNT)
        endpoints = {
            name: self.cloud.machine_learning.deploy_batch(name, component=ROOT / "ml" / "pipelines" / file)
            for name, file in ENDPOINTS.items()
        }
        self.factory = self.cloud.data_factory.create(
            FACTORY,
            pipelines_folder=ROOT / "infra" / "adf",
            global_parameters={
                "prepEndpointUri": endpoints["diabetes-prep"],
                "scoreEndpointUri": endpoints["diabetes-score"],
                "pollSeconds": 1,
            },
        )
        self.lake = self._parts.enter_context(
            BlobServiceClient(self.cloud.account(LAKE_ACCOUNT).blob, credential=self.credential)
        ).get_container_client(LAKE)
        self.host = FunctionHost(
            ROOT, self._host_environment(), folder=self._folder, port=self._port, core_tools=self._core_tools
        )

    def _host_environment(self) -> dict[str, str]:
        return {
            **self.cloud.child_environment(),
            **self.cloud.app_settings(APP_ACCOUNT, LAKE_ACCOUNT, FACTORY),
            "DIABETES_MODEL": MODEL_URI,
            "PYTHON_THREADPOOL_THREAD_COUNT": "16",
            # As Core Tools does: nobody who watches wants to wait half a minute for a poll.
            "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:02",
        }

    def start_app(self) -> None:
        """Starts the function host and subscribes it to the lake's and the workspace's events."""
        self._parts.enter_context(self.host)
        self.cloud.subscribe(self.host.url, account=APP_ACCOUNT, lake=LAKE_ACCOUNT)

    def has_model(self) -> bool:
        return any(True for _ in self.lake.list_blobs(name_starts_with=f"{MODEL}/"))

    def train_first_model(self, labelled: Path) -> dict[str, object]:
        """Trains the first model with the train component, as an AML job; gives the job's facts.

        Raises:
            SystemFailed: the job did not end as Completed.
        """
        path = "training/diabetes/labelled.csv"
        self.upload(path, labelled.read_bytes())
        lake = "azureml://datastores/lake/paths"
        body = {
            "properties": {
                "inputData": {"data": {"jobInputType": "UriFile", "uri": f"{lake}/{path}"}},
                "outputData": {
                    "model": {"jobOutputType": "UriFolder", "uri": f"{MODEL_URI}/"},
                    "metrics": {"jobOutputType": "UriFolder", "uri": f"{lake}/models/metrics/1/"},
                },
            }
        }
        token = self.credential.get_token("https://ml.azure.com/.default").token
        context = self.cloud.certificates.client_context()
        with httpx.Client(verify=context, trust_env=False, headers={"Authorization": f"Bearer {token}"}) as client:
            answer = client.post(self.cloud.machine_learning.scoring_uri("diabetes-train"), json=body)
            answer.raise_for_status()
            name = str(answer.json()["name"])
        deadline = time.monotonic() + TRAIN_SECONDS
        while not (job := self.cloud.machine_learning.job(name)).status.is_final and time.monotonic() < deadline:
            time.sleep(0.1)
        if job.status is not Status.COMPLETED:
            raise SystemFailed(f"training the first model ended as {job.status}: {job.message}")
        return {"job": name, "status": str(job.status)}

    def upload(self, path: str, content: bytes) -> None:
        self.lake.upload_blob(path, content, overwrite=True)

    def download(self, path: str) -> bytes:
        return bytes(self.lake.download_blob(path).readall())

    def paths(self, prefix: str) -> list[str]:
        return sorted(blob.name for blob in self.lake.list_blobs(name_starts_with=prefix))


def forget(folder: Path) -> None:
    """Removes the data of an earlier start."""
    shutil.rmtree(folder, ignore_errors=True)
    ADF_REQUESTS.unlink(missing_ok=True)
