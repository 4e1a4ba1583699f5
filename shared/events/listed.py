"""What a list shows, as the event that Event Grid would have delivered: whichever comes first, it is the same one.

Each is put into an envelope and read like a delivered one, so that nothing can be understood in two ways.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from shared.events.breaches import TAG
from shared.events.event_grid import parse
from shared.events.values import Event, Refused
from shared.models import BreachedRun, ModelVersion

_TYPE: Final = "Microsoft.MachineLearningServices."


def model_registered(workspace_id: str, model: ModelVersion) -> Event | Refused:
    """Its tags and properties are those of now: nobody keeps what they were when it was registered."""
    data = {
        "modelName": model.ref.name,
        "modelVersion": model.ref.version,
        "modelTags": dict(model.tags),
        "modelProperties": dict(model.properties),
    }
    return _parsed(workspace_id, "ModelRegistered", f"models/{model.ref}", model.created, data)


def breach(workspace_id: str, run: BreachedRun) -> Event | Refused:
    data = {
        "experimentName": run.experiment,
        "runId": run.id,
        "runStatus": "Completed",
        "runTags": {TAG: run.text},
        "runProperties": dict(run.properties),
    }
    subject = f"experiments/{run.experiment}/runs/{run.id}"
    return _parsed(workspace_id, "RunStatusChanged", subject, run.ended, data)


def _parsed(workspace_id: str, kind: str, subject: str, time: datetime, data: Mapping[str, object]) -> Event | Refused:
    envelope = {
        "topic": workspace_id,
        "subject": subject,
        "eventType": f"{_TYPE}{kind}",
        "eventTime": time.isoformat(),
        "id": f"listed:{subject}",
        "data": data,
    }
    return parse(json.dumps(envelope), accounts=frozenset(), workspace_id=workspace_id)
