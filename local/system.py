"""The whole system on one machine: the local cloud, the factory's pipelines, the endpoints, the app in its host."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient

from local.azurite import APP_ACCOUNT, LAKE_ACCOUNT
from local.bootstrap import AZURITE, ML_VENV, ROOT
from local.cloud import LocalCloud, Options
from local.host.client import FunctionHost
from local.machine_learning.jobs import Status
from local.processes import scrubbed
from local.service import FACTORY

LAKE = "lake"
MODEL = "models/diabetes-classifier/1"
METRICS = "models/metrics/1"
TRAINED = "training/diabetes/trained"
MODEL_URI = f"azureml://datastores/lake/paths/{MODEL}"
ENDPOINTS = {"diabetes-prep": "prep.yml", "diabetes-score": "score.yml", "diabetes-train": "train.yml"}
TRAIN_SECONDS = 120.0
_TRUST = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")

Say = Callable[[str], None]


class SystemFailed(RuntimeError):
    """A part of the system did not do its work; says which, and what it said."""


def leave_the_outside(environment: MutableMapping[str, str]) -> None:
    """Removes what could lead an SDK client elsewhere: credentials, endpoints, authorities to trust, proxies.

    The lower-case `no_proxy` must go as well: it wins over the NO_PROXY that says "no proxy for anything".
    """
    for name in [name for name in environment if _leads_outside(name)]:
        del environment[name]


def _leads_outside(name: str) -> bool:
    upper = name.upper()
    return (
        upper.startswith(("AZURE", "RELEARN", "IDENTITY_", "MSI_", "IMDS_"))
        or upper.endswith("_PROXY")
        or upper in _TRUST
    )


class LocalSystem:
    """Everything `make run` and `make demo` need, up while the context lasts.

    Args:
        folder: all data; a second start on the same folder goes on where the first ended.
        time_scale: by how much Event Grid's waits are shortened.
        core_tools: run the app in Core Tools' `func` instead of the runner in local/host.
        port: of the function host; a free one where it is taken.
        adf_requests: the record of all requests to the factory; by default in `folder`.
    """

    def __init__(
        self,
        folder: Path,
        say: Say,
        *,
        time_scale: float = 1.0,
        core_tools: bool = False,
        port: int | None = None,
        adf_requests: Path | None = None,
    ) -> None:
        self.ml_python = ML_VENV / "bin" / "python"
        options = Options(say=say, azurite=AZURITE, time_scale=time_scale, adf_requests=adf_requests)
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
        leave_the_outside(os.environ)
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
        children = self.cloud.child_environment()
        return {
            **children,
            **(self._core_tools_environment(children) if self._core_tools else {}),
            **self.cloud.app_settings(APP_ACCOUNT, LAKE_ACCOUNT, FACTORY),
            "DIABETES_MODEL": MODEL_URI,
            "PYTHON_THREADPOOL_THREAD_COUNT": "16",
            # As Core Tools does: nobody who watches wants to wait half a minute for a poll.
            "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:02",
        }

    def _core_tools_environment(self, children: Mapping[str, str]) -> dict[str, str]:
        """What `func` needs besides: the Python that has our packages, and storage for its own locks and timers.

        From Core Tools' documentation; it has not been run here.
        """
        account = self.cloud.account(APP_ACCOUNT)
        return {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), children["PATH"]]),
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "AzureWebJobsStorage__blobServiceUri": account.blob,
            "AzureWebJobsStorage__queueServiceUri": account.queue,
            "AzureWebJobsStorage__tableServiceUri": account.table,
        }

    def start_app(self) -> None:
        """Starts the function host and subscribes it to the lake's and the workspace's events."""
        self._parts.enter_context(self.host)
        self.cloud.subscribe(self.host.url, account=APP_ACCOUNT, lake=LAKE_ACCOUNT)

    def has_model(self) -> bool:
        """Whether a training has ended well: one that was interrupted may have left a part of a model."""
        return bool(self.lake.get_blob_client(TRAINED).exists())

    def train_first_model(self, labelled: Path) -> dict[str, object]:
        """Trains the first model with the train component, as an AML job; gives the job's facts.

        Raises:
            SystemFailed: the job did not end as Completed.
        """
        for left in (*self.paths(f"{MODEL}/"), *self.paths(f"{METRICS}/")):
            self.lake.delete_blob(left)  # a job does not write where something is
        path = "training/diabetes/labelled.csv"
        self.upload(path, labelled.read_bytes())
        lake = "azureml://datastores/lake/paths"
        body = {
            "properties": {
                "inputData": {"data": {"jobInputType": "UriFile", "uri": f"{lake}/{path}"}},
                "outputData": {
                    "model": {"jobOutputType": "UriFolder", "uri": f"{MODEL_URI}/"},
                    "metrics": {"jobOutputType": "UriFolder", "uri": f"{lake}/{METRICS}/"},
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
        self.upload(TRAINED, name.encode())
        return {"job": name, "status": str(job.status)}

    def upload(self, path: str, content: bytes) -> None:
        self.lake.upload_blob(path, content, overwrite=True)

    def download(self, path: str) -> bytes:
        return bytes(self.lake.download_blob(path).readall())

    def paths(self, prefix: str) -> list[str]:
        return sorted(blob.name for blob in self.lake.list_blobs(name_starts_with=prefix))


def sample(arguments: Sequence[str]) -> None:
    """Runs the sample data's generator, in the ML environment.

    Raises:
        SystemFailed: it did not work; carries what it said.
    """
    command = [str(ML_VENV / "bin" / "python"), "-m", "ml.sample", *arguments]
    environment = scrubbed(os.environ)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemFailed(f"the sample data could not be made: {done.stderr.strip()[-2000:]}")
