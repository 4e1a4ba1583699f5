"""Jobs and their steps, as values: what was asked for, how far it is, how it ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from local.machine_learning.batch.components import Scalar, Type
from local.machine_learning.batch.pipelines import PipelineComponent


class Status(StrEnum):
    """AML's words. Final are the last three."""

    NOT_STARTED = "NotStarted"
    QUEUED = "Queued"
    STARTING = "Starting"
    PREPARING = "Preparing"
    RUNNING = "Running"
    FINALIZING = "Finalizing"
    CANCEL_REQUESTED = "CancelRequested"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELED = "Canceled"

    @property
    def is_final(self) -> bool:
        return self in {Status.COMPLETED, Status.FAILED, Status.CANCELED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    value: Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    type: Type
    uri: str


Value = Literal | Data
Review = Callable[["Job", threading.Event], Mapping[str, str]]
"""Called in the job's thread; raises ReviewFailed. The event: somebody has cancelled the job."""
Told = Callable[["Job"], None]


class ReviewFailed(RuntimeError):
    """What a job put out is not what it must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What somebody asked for, checked against the component. Every output has its place.

    Attributes:
        endpoint, deployment: of a job that was started by its name, both are empty.
        component_id: of a job of a registered pipeline component.
        compute: the compute's ARM id; nothing here depends on it.
        given: the properties that were PUT, as they came.
        review: looks at what a job has put out before it counts as completed, and gives it tags.
    """

    name: str
    endpoint: str
    deployment: str
    component: PipelineComponent
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Data]
    display_name: str
    experiment: str
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    component_id: str | None = None
    compute: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    review: Review | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step as it was really run. Without a pid it never became a process."""

    name: str
    run_id: str
    argv: tuple[str, ...] = ()
    pid: int | None = None
    exit_code: int | None = None
    started: datetime | None = None
    ended: datetime | None = None
    stdout: Path | None = None
    stderr: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job and everything that is known of it; a value, replaced at every change. `tags`: given while it ran."""

    submission: Submission
    folder: Path
    created: datetime
    status: Status = Status.NOT_STARTED
    message: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    steps: tuple[StepRecord, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.submission.name

    def with_step(self, record: StepRecord) -> Job:
        """The job with this record in place of the step's earlier one."""
        others = tuple(step for step in self.steps if step.run_id != record.run_id)
        return replace(self, steps=(*others, record))
