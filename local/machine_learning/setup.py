"""What a workspace is given: where it lives, and what it works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from local.machine_learning.events import Publish, nobody
from local.machine_learning.registry.codes import Uploads
from local.machine_learning.store import Store
from local.service import WORKSPACE


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Where the workspace lives and what it works with.

    Attributes:
        folder: the cloud's folder; jobs get theirs in `jobs` below it, online deployments in `online`.
        url: the listener that serves our routes.
        python: the ML environment's Python; not resolved, or it would forget its packages.
        environment: what the process of a step or of an inference server may know, asked at every start.
        storage_url: the storage gateway.
        lake_url: the container behind azureml://datastores/lake.
        ca_file: the authority that vouches for the gateway.
        publish: whom events are told to.
        uploads: where clients put code; without it they are told that this is not imitated.
        step_seconds: how long a step may take when its pipeline sets no limit.
        serve_seconds: how long an inference server may take until it answers.
        persistent: keep what is registered and deployed in `folder` for the next start.
    """

    folder: Path
    url: str
    python: Path
    environment: Callable[[], Mapping[str, str]]
    storage_url: str
    lake_url: str
    ca_file: Path
    publish: Publish = nobody
    uploads: Uploads | None = None
    workspace: str = WORKSPACE
    step_seconds: float = 900.0
    serve_seconds: float = 120.0
    persistent: bool = False

    def store(self, name: str) -> Store:
        return Store(self.folder / "workspace" / f"{name}.json" if self.persistent else None)
