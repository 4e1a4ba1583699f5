"""What the workspace tells Event Grid, with the keys as they are on the wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from local.machine_learning.answers import guid
from local.service import Event

Publish = Callable[[Event], None]
_TYPE: Final = "Microsoft.MachineLearningServices."
_DATA_VERSION: Final = "2"


def nobody(event: Event) -> None:
    """Where no Event Grid listens."""


def model_registered(
    *, name: str, version: str, tags: Mapping[str, str], properties: Mapping[str, str], time: datetime
) -> Event:
    data = {
        "modelName": name,
        "modelVersion": version,
        "modelTags": dict(tags),
        "modelProperties": dict(properties),
    }
    return Event(
        type=f"{_TYPE}ModelRegistered",
        subject=f"models/{name}:{version}",
        data=data,
        time=time,
        data_version=_DATA_VERSION,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A job, or one of its steps, as the run history names it."""

    id: str
    experiment: str
    type: str
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def experiment_id(self) -> str:
        return guid(self.experiment)

    def _data(self) -> dict[str, Any]:
        return {
            "experimentId": self.experiment_id,
            "experimentName": self.experiment,
            "runId": self.id,
            "runType": self.type,
            "runTags": dict(self.tags),
            "runProperties": dict(self.properties),
        }

    def _subject(self) -> str:
        return f"experiments/{self.experiment_id}/runs/{self.id}"

    def status_changed(self, status: str, time: datetime) -> Event:
        return Event(
            type=f"{_TYPE}RunStatusChanged",
            subject=self._subject(),
            data=self._data() | {"runStatus": status},
            time=time,
            data_version=_DATA_VERSION,
        )

    def completed(self, time: datetime) -> Event:
        """Only for a run that ended well: a failed or cancelled one raises no such event."""
        return Event(
            type=f"{_TYPE}RunCompleted",
            subject=self._subject(),
            data=self._data(),
            time=time,
            data_version=_DATA_VERSION,
        )
