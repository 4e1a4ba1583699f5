"""Pipeline runs as the factory keeps them and as its REST API shows them."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from local.data_factory.definitions import Pipeline
from local.data_factory.scopes import ActivityRun
from local.data_factory.timestamps import write
from local.data_factory.values import as_text
from local.progress import Outcome, Policy


class Status(StrEnum):
    """A pipeline run's status, in ADF's spelling."""

    QUEUED = "Queued"
    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELING = "Canceling"
    CANCELLED = "Cancelled"


FINAL: Final = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED})
STATUS_OF: Final[Mapping[Outcome, Status]] = {
    Outcome.SUCCEEDED: Status.SUCCEEDED,
    Outcome.FAILED: Status.FAILED,
    Outcome.CANCELLED: Status.CANCELLED,
}


@dataclass(slots=True, kw_only=True)
class Run:
    """One pipeline run. Only its factory changes it, under the factory's lock."""

    definition: Pipeline
    """As it was when the run was created; a later deployment does not change it."""
    parameters: Mapping[str, object]
    status: Status
    start: datetime
    updated: datetime
    policy: Policy
    end: datetime | None = None
    message: str = ""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    group_id: str = ""
    is_latest: bool = True
    polls: int = 0
    hidden_polls: int = 0
    hidden_from_get: bool = False
    canceling_polls: int = 0
    activities: list[ActivityRun] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def pipeline(self) -> str:
        return self.definition.name

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    def shown(self, factory_id: str) -> dict[str, Any]:
        return {
            "id": f"{factory_id}/pipelineruns/{self.id}".upper().replace(self.id.upper(), self.id),
            "runId": self.id,
            "runGroupId": self.group_id or self.id,
            "isLatest": self.is_latest,
            "pipelineName": self.pipeline,
            # Every value comes back as text, whatever was sent; how booleans and objects read is not documented.
            "parameters": {name: as_text(value) for name, value in self.parameters.items()},
            "runDimensions": {},
            "invokedBy": {"id": uuid.UUID(self.id).hex, "name": "Manual", "invokedByType": "Manual"},
            "lastUpdated": write(self.updated),
            "runStart": write(self.start),
            "runEnd": None if self.end is None else write(self.end),
            "durationInMs": None if self.end is None else _milliseconds(self.start, self.end),
            "status": self.status.value,
            "message": self.message,
            "annotations": [],
        }

    def shown_activities(self) -> list[dict[str, Any]]:
        return [_shown_activity(activity, self) for activity in list(self.activities)]


def _shown_activity(activity: ActivityRun, run: Run) -> dict[str, Any]:
    return {
        "pipelineName": run.pipeline,
        "pipelineRunId": run.id,
        "activityName": activity.name,
        "activityType": activity.type,
        "activityRunId": activity.id,
        "linkedServiceName": "",
        "status": activity.status,
        "activityRunStart": write(activity.start),
        "activityRunEnd": None if activity.end is None else write(activity.end),
        "durationInMs": None if activity.end is None else _milliseconds(activity.start, activity.end),
        "input": dict(activity.input),
        "output": dict(activity.output or {}),
        "error": dict(activity.error or {"errorCode": "", "message": "", "failureType": "", "target": activity.name}),
        "retryAttempt": activity.attempt or None,
        "iterationHash": "",
    }


def _milliseconds(start: datetime, end: datetime) -> int:
    return int((end - start).total_seconds() * 1000)
