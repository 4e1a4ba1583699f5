"""Brings up what a deployment refers to: its model, its code, and a server that runs the scoring script on them."""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from local.machine_learning.batch.execution import NO_CODE
from local.machine_learning.datastores import DataError, Datastores, TransferStopped
from local.machine_learning.online.servers import Server
from local.machine_learning.online.values import Deployment, ServerRecord
from local.machine_learning.processes import end_of
from local.machine_learning.references import BadReference
from local.machine_learning.registry.assets import Asset, Model
from local.machine_learning.registry.registry import Registry, UnknownAsset
from local.progress import Interpret

_GUIDE: Final = "https://aka.ms/oe-tsg#error-resourcenotready"
_LOGS: Final = {"StorageInitializer": "storage.log", "InferenceServer": "server.log"}


class LaunchFailed(RuntimeError):
    """A deployment that could not be brought up; `code` is AML's word for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class LaunchStopped(RuntimeError):
    """Nobody wants the deployment any more: the local cloud ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launcher:
    """Where and with what the deployments of a workspace are served.

    Attributes:
        folder: each launch gets a folder of its own below it.
        python: the ML environment's Python.
        environment: what a server may know beside AML's own variables and the deployment's; asked at each start.
        seconds: how long a server may take until it answers.
    """

    folder: Path
    python: Path
    environment: Callable[[], Mapping[str, str]]
    datastores: Datastores
    registry: Registry
    seconds: float

    def require(self, deployment: Deployment) -> None:
        """Raises LaunchFailed: something it refers to is not registered."""
        self.model(deployment)
        self.code(deployment)
        if deployment.environment is not None:
            self._asset("environments", deployment.environment)

    def launch(self, deployment: Deployment, policy: Interpret, stopped: threading.Event) -> Server:
        """A server that answers.

        Raises:
            LaunchFailed: with the end of its log if there is one.
            LaunchStopped: `stopped` was set meanwhile.
        """
        self.require(deployment)
        folder = self._place(deployment) / uuid.uuid4().hex[:8]
        folder.mkdir(parents=True)
        launch = _Launch(launcher=self, deployment=deployment, policy=policy, folder=folder, stopped=stopped)
        try:
            return launch.run()
        except TransferStopped as problem:
            raise LaunchStopped from problem
        except (DataError, OSError) as problem:
            launch.note(str(problem))
            raise LaunchFailed("BadArgument", f"What the deployment needs could not be fetched: {problem}") from problem

    def logs(self, deployment: Deployment, container: str) -> str:
        """What this container of the newest launch wrote; nothing of a deployment that was never really served."""
        files = sorted(self._place(deployment).glob(f"*/{_LOGS[container]}"), key=lambda file: file.stat().st_mtime)
        return files[-1].read_text(errors="replace") if files else ""

    def clear(self, deployment: Deployment) -> None:
        """Remove what all its launches left."""
        shutil.rmtree(self._place(deployment), ignore_errors=True)

    def remove(self, server: ServerRecord) -> None:
        """Remove what one launch left; its server has ended."""
        shutil.rmtree(server.log.parent, ignore_errors=True)

    def model(self, deployment: Deployment) -> Model | None:
        """Raises LaunchFailed."""
        if deployment.model is None:
            return None
        try:
            return self.registry.find_model(deployment.model)
        except (BadReference, UnknownAsset) as problem:
            raise LaunchFailed("ResourceNotFound", f"The deployment's model cannot be found: {problem}.") from problem

    def code(self, deployment: Deployment) -> tuple[Asset, str] | None:
        """The code asset, and the scoring script in it. Raises LaunchFailed."""
        if deployment.code is None:
            return None
        reference, script = deployment.code
        return self._asset("codes", reference), script

    def _asset(self, kind: str, reference: str) -> Asset:
        try:
            return self.registry.find_asset(kind, reference)
        except (BadReference, UnknownAsset) as problem:
            raise LaunchFailed("ResourceNotFound", f"The deployment cannot be served: {problem}.") from problem

    def _place(self, deployment: Deployment) -> Path:
        return self.folder / deployment.endpoint.lower() / deployment.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Launch:
    """One launch on its way."""

    launcher: Launcher
    deployment: Deployment
    policy: Interpret
    folder: Path
    stopped: threading.Event

    def run(self) -> Server:
        self._may_fail("model", 1)
        model = self._fetch_model()
        self._may_fail("code", 2)
        code, script = self._fetch_code()
        self._may_fail("server", 3)
        return self._serve(model, code, script)

    def note(self, line: str) -> None:
        with (self.folder / _LOGS["StorageInitializer"]).open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    def _may_fail(self, step: str, place: int) -> None:
        if self.policy.fails(step, place):
            raise LaunchFailed("InternalServerError", self.policy.message)

    def _fetch_model(self) -> Path:
        """The folder AZUREML_MODEL_DIR names: the model's name and version, and in it the last part of its address."""
        model = self.launcher.model(self.deployment)
        if model is None:
            folder = self.folder / "azureml-models"
            folder.mkdir()
            return folder
        folder = self.folder / "azureml-models" / model.name / model.version
        self.note(f"Downloading model {model.name}:{model.version} from {model.uri}")
        last = PurePosixPath(urlsplit(model.uri).path.rstrip("/")).name
        fetched = self.launcher.datastores.download(model.uri, folder / last, self.stopped)
        self.note(f"Downloaded {fetched} file{'s' if fetched != 1 else ''}")
        return folder

    def _fetch_code(self) -> tuple[Path, str]:
        found = self.launcher.code(self.deployment)
        if found is None:
            raise LaunchFailed(
                "BadArgument",
                "The local cloud serves with code only: give the deployment a codeConfiguration (and an environment).",
            )
        asset, script = found
        folder = self.folder / "code"
        if asset.folder is not None:
            shutil.copytree(asset.folder, folder, ignore=NO_CODE)
        else:
            self.launcher.datastores.download(str(asset.properties.get("codeUri")), folder, self.stopped)
        if not (folder / script).resolve().is_relative_to(folder.resolve()) or not (folder / script).is_file():
            raise LaunchFailed("BadArgument", f"The code {asset.name}:{asset.version} has no script {script!r}.")
        self.note(f"Copied code {asset.name}:{asset.version}")
        return folder, script

    def _serve(self, model: Path, code: Path, script: str) -> Server:
        log = self.folder / _LOGS["InferenceServer"]
        server = Server(
            self.launcher.python,
            ["--entry_script", script, "--model_dir", str(model)],
            folder=code,
            environment=self._environment(model, code),
            log=log,
        )
        if server.wait_until_healthy(self.launcher.seconds, self.stopped):
            return server
        end = server.ended
        server.stop()
        if self.stopped.is_set():
            raise LaunchStopped
        what = (
            f"User container has crashed or terminated with exit code {end.exit_code}"
            if end is not None
            else f"User container did not answer within {self.launcher.seconds:g} s"
        )
        said = f"The end of its log:\n{end_of(log)}\nIn Azure the troubleshooting guide is at {_GUIDE}"
        raise LaunchFailed("ResourceNotReady", f"{what}. {said}")

    def _environment(self, model: Path, code: Path) -> dict[str, str]:
        given = dict(self.launcher.environment())
        given["PATH"] = os.pathsep.join(filter(None, (str(self.launcher.python.parent), given.get("PATH"))))
        return {
            **given,
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.deployment.environment_variables,
            "AZUREML_MODEL_DIR": str(model),
            "AML_APP_ROOT": str(code),
        }
