"""The whole system on one machine: the local cloud, the factory's pipelines, the endpoints, the app in its host."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
from azure.storage.blob import BlobServiceClient

from local.azurite import APP_ACCOUNT, LAKE_ACCOUNT
from local.bootstrap import AZURITE, ML_VENV, ROOT
from local.cloud import LocalCloud, Options
from local.event_grid import Published, topic_id
from local.host.client import FunctionHost
from local.identity import API_AUDIENCE, READER
from local.processes import scrubbed
from local.service import FACTORY
from local.workspace_client import Live, Training, WorkspaceClient
from shared.rules.schedules import Cron

LAKE = "lake"
BATCH_ENDPOINTS = {"diabetes-prep": "prep.yml", "diabetes-score": "score.yml", "diabetes-train": "train.yml"}
ENDPOINT = "diabetes-relearn"
MODEL = "diabetes-classifier"
MONITORED_BATCH = "clinic"
MONITOR = f"diabetes-{MONITORED_BATCH}"
MONITORED = f"0-raw/diabetes/{MONITORED_BATCH}"
TOPIC = "relearn-events"
TRAIN_SECONDS = 180.0
ROLLOUT_SECONDS = 120.0
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
        overnight: when the files of a day are scored, as cron writes it.
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
        overnight: str = "0 2 * * *",
        adf_requests: Path | None = None,
    ) -> None:
        self.ml_python = ML_VENV / "bin" / "python"
        options = Options(say=say, azurite=AZURITE, time_scale=time_scale, adf_requests=adf_requests)
        self.cloud = LocalCloud(folder, ml_python=self.ml_python, options=options)
        self._folder = folder
        self._say = say
        self._core_tools = core_tools
        self._port = port
        self.overnight = Cron.parse(overnight)
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
        self.workspace = self._parts.enter_context(
            WorkspaceClient(self.cloud.arm_url, self.credential, self.cloud.certificates.client_context())
        )
        self.cloud.provision(APP_ACCOUNT)
        self._fill_workspace()
        self.factory = self.cloud.data_factory.create(
            FACTORY,
            pipelines_folder=ROOT / "infra" / "adf",
            global_parameters={
                "prepEndpointUri": self._batch_uri("prep"),
                "scoreEndpointUri": self._batch_uri("score"),
                "trainEndpointUri": self._batch_uri("train"),
                "pollSeconds": 1,
            },
        )
        self.lake = self._parts.enter_context(
            BlobServiceClient(self.cloud.account(LAKE_ACCOUNT).blob, credential=self.credential)
        ).get_container_client(LAKE)
        self.host = FunctionHost(
            ROOT,
            self._host_environment(),
            folder=self._folder,
            port=self._port,
            authentication=self.cloud.authentication(),
            core_tools=self._core_tools,
        )

    def _fill_workspace(self) -> None:
        """What the deployment puts into a workspace once; where it is there already, nothing changes."""
        learning, folder = self.cloud.machine_learning, ROOT / "ml"
        for name, file in BATCH_ENDPOINTS.items():
            learning.deploy_batch(name, component=folder / "pipelines" / file)
        learning.registry.add_code("diabetes-serving", "1", folder / "serving")
        learning.registry.add_environment("relearn-sklearn", "1")
        learning.add_monitor(
            folder / "monitors" / "diabetes-drift.yml",
            name=MONITOR,
            baseline=f"azureml://datastores/lake/paths/{MONITORED}/baseline/",
            target=f"azureml://datastores/lake/paths/{MONITORED}/target/",
            newest_report=f"{self.cloud.account(LAKE_ACCOUNT).blob}/{LAKE}/monitoring/{MONITOR}/report.json",
        )
        self.workspace.make_endpoint(ENDPOINT)

    def _batch_uri(self, name: str) -> str:
        return self.cloud.machine_learning.scoring_uri(f"diabetes-{name}")

    def _host_environment(self) -> dict[str, str]:
        children = self.cloud.child_environment()
        return {
            **children,
            **(self._core_tools_environment(children) if self._core_tools else {}),
            **self.cloud.app_settings(APP_ACCOUNT, LAKE_ACCOUNT, FACTORY),
            "DIABETES_ENDPOINT": ENDPOINT,
            "DIABETES_OVERNIGHT": self.overnight.text,
            "RELEARN_EVENTS_TOPIC_ENDPOINT": f"{self.cloud.arm_url}/topics/{TOPIC}/api/events",
            "PYTHON_THREADPOOL_THREAD_COUNT": "64",
            # Events come by the webhook: nothing polls the other way.
            "AzureWebJobs.receive_queued_event.Disabled": "true",
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

    def api_token(self) -> str:
        """A token with which the app's API may be read."""
        with ManagedIdentityCredential(client_id=READER) as reader:
            return str(reader.get_token(f"{API_AUDIENCE}/.default").token)

    def live(self) -> Live | None:
        """What answers at the endpoint."""
        return self.workspace.live(ENDPOINT)

    def start_first_training(self) -> str:
        """Asks for a model trained on the baseline alone; gives the job's name.

        An attempt that was interrupted may have left files, and a job does not write where something is.
        """
        training = Training(batch=MONITORED_BATCH, name="first-model", reason="the first model")
        while self.paths(training.model_path):
            training = replace(training, attempt=training.attempt + 1)
        return self.start_training(training)

    def start_training(self, training: Training) -> str:
        return self.workspace.train(self._batch_uri("train"), training)

    def make_first_model(self) -> None:
        """Trains it, and waits until Relearn has taken it live; the app must run.

        Raises:
            WorkspaceRefused: the training did not end well.
            TimeoutError: it took too long, or no model went live.
        """
        self.workspace.wait_for_job(self.start_first_training(), TRAIN_SECONDS)
        self.workspace.wait_until_live(ENDPOINT, ROLLOUT_SECONDS)

    def upload(self, path: str, content: bytes) -> None:
        self.lake.upload_blob(path, content, overwrite=True)

    def download(self, path: str) -> bytes:
        return bytes(self.lake.download_blob(path).readall())

    def published(self) -> list[Published]:
        """What the app has told of: the events on its topic."""
        return list(self.cloud.event_grid.published(topic_id(TOPIC)))

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
