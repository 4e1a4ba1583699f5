"""What is outside: manifests and files in storage, the factory, the workspace, and who wants to be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from shared.lanes import TakenEvent
from shared.models import BreachedRun, Endpoint, ModelRef, ModelVersion
from shared.notifications import Notification
from shared.reactions import Job, Reaction
from shared.rollouts.smoke import Answer
from shared.rules import Serving


class Manifests(Protocol):
    def url(self, reaction_id: str) -> str: ...

    def write(self, reaction: Reaction, events: Sequence[TakenEvent]) -> None:
        """Writes the batch once; a manifest that exists stays as it is."""

    def remove(self, reaction_id: str, before: datetime) -> None:
        """Removes the manifest if it was written before that time. One that is gone is no error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProperties:
    etag: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeFile:
    """A file as a list shows it. `modified`: to the second, as storage keeps it."""

    path: str
    etag: str
    size: int
    modified: datetime
    url: str
    content_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LakePage:
    """Some files of a list, by path; `continuation` is where the next page begins, None after the last."""

    files: tuple[LakeFile, ...]
    continuation: str | None


class Lake(Protocol):
    """The accounts of the allow-list. Every method raises StorageUnavailable where storage fails."""

    @property
    def accounts(self) -> tuple[str, ...]: ...

    def properties(self, account: str, container: str, path: str) -> FileProperties | None:
        """The present state of a file, which the event of a rename does not carry; None if the file is gone."""

    def read(self, account: str, container: str, path: str, limit: int) -> bytes | None:
        """A small file, at most its first `limit` bytes; None if there is none."""

    def files(self, account: str, container: str, prefix: str, *, top: int, continuation: str | None) -> LakePage:
        """At most `top` files whose path begins with the prefix, from the beginning or where a page before ended.

        Only what is complete and raises events when it lands: no copy that is under way, no append blob. A folder is
        shown as a file of no size. A container that is not there has no files.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A blob of events that Event Grid could not deliver.

    Attributes:
        at: when it was last written; marking writes it.
        refused: why its events were not taken in, at most 1,000 characters; None until somebody has tried.
    """

    name: str
    at: datetime
    size: int
    refused: str | None = None
    etag: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterPage:
    """Some dead letters, by name; `continuation` is where the next page begins, None after the last."""

    letters: tuple[DeadLetter, ...]
    continuation: str | None


class DeadLetters(Protocol):
    """The dead letters of our subscriptions. Every method raises StorageUnavailable where storage fails."""

    def list(self, *, top: int = 500, continuation: str | None = None) -> DeadLetterPage:
        """At most `top` of them, marked or not, from the beginning or where a page before ended."""

    def read(self, name: str) -> str | None:
        """The content: a JSON array of events as they were to be delivered, with keys that say why they were not.

        None if it is gone.
        """

    def mark(self, letter: DeadLetter, refused: str) -> bool:
        """Notes with the blob why it stays; False if it was changed or removed since it was listed."""

    def remove(self, name: str) -> None:
        """Idempotent."""


class RunStatus(StrEnum):
    QUEUED = "Queued"
    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELING = "Canceling"
    CANCELLED = "Cancelled"

    @property
    def final(self) -> bool:
        return self in {RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A pipeline run as the factory tells it."""

    id: str
    pipeline: str
    status: RunStatus
    parameters: dict[str, str]
    started: datetime | None
    message: str
    rerun: bool = False
    """Somebody started it again in the factory, with the first run's parameters: theirs, not our second start."""

    @property
    def stamp(self) -> tuple[str, str]:
        """(reaction id, attempt) that the start carried; empty strings for a run that is not ours."""
        if self.rerun:
            return "", ""
        return self.parameters.get("reaction_id", ""), self.parameters.get("attempt", "")


class DataFactory(Protocol):
    """One data factory.

    Every method raises TargetBusy (429) or TargetRefused (another 4xx); the reading ones raise TargetUnavailable
    where there was no usable answer.
    """

    name: str

    def declared_parameters(self, pipeline: str) -> frozenset[str]: ...

    def create_run(self, pipeline: str, parameters: dict[str, str]) -> str:
        """Starts a run, and gives its id. One request, never repeated.

        Raises:
            InDoubt: the run may or may not have been started.
        """

    def run(self, run_id: str) -> Run | None: ...

    def runs_updated(self, after: datetime, before: datetime, pipeline: str | None = None) -> list[Run]:
        """All runs last updated between two times: every page."""

    def cancel(self, run_id: str) -> None:
        """Asks for the run's end. One that has ended stays as it is, and the factory may refuse."""

    def jobs_of(self, run_id: str, after: datetime, before: datetime) -> tuple[Job, ...]:
        """The jobs a run started by Web activities that began between two times, in the order they were started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDeployment:
    """A deployment to be made on an online endpoint, without any traffic."""

    endpoint: str
    name: str
    model: ModelRef
    serving: Serving
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A registered component: what a job of it takes.

    Attributes:
        id: its ARM id.
        pipeline: whether it is a pipeline of steps; else it is one command.
        inputs: the type of each input, in AML's words (`string`, `integer`, `uri_folder`, `mlflow_model`, …).
        required: those that a job cannot do without.
    """

    id: str
    pipeline: bool
    inputs: Mapping[str, str]
    required: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to be started under a name of ours.

    Attributes:
        inputs: texts, or the addresses of data, by the names of the component's inputs.
        compute: None is serverless compute.
    """

    name: str
    component: Component
    inputs: Mapping[str, str]
    compute: str | None
    experiment: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceJob:
    """A job as the workspace tells it. `reaction`: the one that started it; None for a job that is not ours."""

    name: str
    status: RunStatus
    reaction: str | None


class Workspace(Protocol):
    """One machine learning workspace.

    Every method raises TargetBusy (429, or 409: an update is under way) or TargetRefused (another 4xx); the reading
    ones raise TargetUnavailable where there was no usable answer.
    """

    def endpoint(self, name: str) -> Endpoint | None: ...

    def model(self, ref: ModelRef) -> ModelVersion | None: ...

    def models_created(self, after: datetime, named: Callable[[str], bool]) -> list[ModelVersion]:
        """The versions created at or after a time of the models whose names are wanted, oldest first.

        An archived one is none of them.
        """

    def breached_runs(self, after: datetime) -> list[BreachedRun]:
        """The runs that found a breach, of monitors that began at or after a time, oldest first."""

    def live_model(self, endpoint: str) -> ModelVersion | None:
        """The model that the endpoint's most used deployment serves; None where nothing is live.

        TargetRefused (404) where there is no such endpoint.
        """

    def create_deployment(self, wanted: NewDeployment) -> None:
        """Asks for a deployment by its name, which makes asking twice the same as once.

        Raises:
            InDoubt: it may or may not have been accepted.
        """

    def set_traffic(self, endpoint: str, traffic: Mapping[str, int]) -> None:
        """Asks for these shares, in per cent, and none for any other deployment.

        Raises:
            InDoubt: it may or may not have been accepted.
        """

    def delete_deployment(self, endpoint: str, deployment: str) -> None:
        """Asks for its removal. One that is gone is no error.

        Raises:
            InDoubt: it may or may not have been accepted.
        """

    def failure(self, endpoint: str, deployment: str) -> str:
        """Why a deployment could not be made: AML's own error, and the end of its log."""

    def component(self, reference: str) -> Component | None:
        """A registered component (`azureml:NAME:VERSION`, or an ARM id); None where there is none."""

    def job(self, name: str) -> WorkspaceJob | None:
        """The job of this name; None where there is none (or none yet: AML may show it late)."""

    def start_job(self, wanted: NewJob) -> None:
        """Starts a job under its name. One request, never repeated.

        AML starts no second job of a name: it changes the first one's tags, or refuses (409).

        Raises:
            InDoubt: it may or may not have been started.
        """

    def cancel_job(self, name: str) -> None:
        """Asks for the job's end. One that has ended stays as it is, and AML may refuse."""

    def score(self, endpoint: Endpoint, deployment: str, request: str) -> Answer:
        """Sends a scoring request to one deployment, whatever its traffic.

        Raises:
            TargetUnavailable: no answer came in time.
        """


class Notifier(Protocol):
    def publish(self, notifications: Sequence[Notification]) -> None:
        """Publishes them to whoever wants to know.

        Raises:
            TargetBusy, TargetUnavailable: not now; they are published later.
            TargetRefused: never.
        """
