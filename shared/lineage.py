"""The chain that joins files, events, reactions, runs, jobs, models and deployments, in either direction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from shared.events import DriftDetected, Event, FileLanded, ModelRegistered
from shared.lanes import TakenEvent
from shared.models import REACTION_TAG, ModelRef, ModelVersion
from shared.reactions import (
    MODEL_REGISTERED,
    DeployAction,
    HistoryEntry,
    JobAction,
    PipelineAction,
    Reaction,
    address,
)

EVENTS_SHOWN: Final = 1000
_DATA_TAGS: Final = ("baseline", "target")
"""Tags of a model that name the files it was trained on."""

Json = dict[str, object]


def of_reaction(reaction: Reaction, events: Sequence[TakenEvent], history: Iterable[HistoryEntry]) -> Json:
    """What led to a reaction, and what came of it."""
    happened = [taken.pending.event for taken in events]
    common: Json = {
        "files": [_file(event) for event in happened if isinstance(event, FileLanded)][:EVENTS_SHOWN],
        "monitor_runs": [_breach(event) for event in happened if isinstance(event, DriftDetected)],
        "reaction": reaction.id,
        "rule": reaction.rule,
    }
    action = reaction.action
    if isinstance(action, DeployAction):
        registered = next((event for event in happened if isinstance(event, ModelRegistered)), None)
        return {
            **common,
            "model": of_ref(action.model),
            "training_reaction": _trained_by(registered.tags) if registered is not None else None,
            "deployment": {"endpoint": action.endpoint, "deployment": action.deployment},
        }
    stamp = {"reaction_id": reaction.id, "attempt": str(reaction.attempt)}
    ran: Json = {}
    if isinstance(action, PipelineAction):
        ran = {"pipeline_run": {"pipeline": action.pipeline, "run_id": reaction.run_id, "stamp": stamp}}
    elif isinstance(action, JobAction):
        ran = {"job": {"component": action.component, "name": reaction.run_id, "stamp": stamp}}
    return {
        **common,
        **ran,
        "jobs": jobs(reaction),
        "models_used": _models(action.parameters.values()),
        "models_registered": _models(e.run_id or "" for e in history if e.what == MODEL_REGISTERED),
    }


def of_model(model: ModelVersion, training: Json | None, rollouts: Sequence[Json], live_on: Sequence[Json]) -> Json:
    """From the files and events, over the run that trained the model, to where it is live."""
    data = [{"role": role, "name": name} for role in _DATA_TAGS for name in model.tags.get(role, "").split(",") if name]
    trained: Mapping[str, object] = training or {}
    return {
        "files": trained.get("files", []),
        "data": data,
        "monitor_runs": trained.get("monitor_runs", []),
        "training_reaction": _trained_by(model.tags),
        "pipeline_run": trained.get("pipeline_run"),
        "jobs": trained.get("jobs", []),
        "job": model.tags.get("relearn_job"),
        "model": of_ref(model.ref),
        "rollouts": list(rollouts),
        "live_on": list(live_on),
    }


def of_ref(ref: ModelRef) -> Json:
    return {"name": ref.name, "version": ref.version, "href": f"/api/models/{ref.name}/{ref.version}"}


def jobs(reaction: Reaction) -> list[Json]:
    return [{"run_id": j.run_id, "name": j.name, "url": j.url, "status": j.status} for j in reaction.jobs]


def details(event: Event) -> Json:
    """What an event is about, beside what all events have."""
    if isinstance(event, FileLanded):
        return {"container": event.container, "path": event.path}
    if isinstance(event, DriftDetected):
        return _breach(event)
    if isinstance(event, ModelRegistered):
        return {"model": event.name, "version": event.version}
    return {}


def _trained_by(tags: Mapping[str, str]) -> str | None:
    """The reaction whose run registered a model; None where somebody trained it by hand."""
    tag = tags.get(REACTION_TAG, "")
    return tag if address(tag) is not None else None


def _file(event: FileLanded) -> Json:
    return {
        "account": event.account,
        "container": event.container,
        "path": event.path,
        "etag": event.etag,
        "event_id": event.event_id,
    }


def _breach(event: DriftDetected) -> Json:
    return {
        "monitor": event.monitor,
        "signal": event.signal,
        "monitor_run": event.run_id,
        "breaches": [
            {"feature": b.feature, "metric": b.metric, "value": b.value, "threshold": b.threshold}
            for b in event.breaches
        ],
    }


def _models(texts: Iterable[str]) -> list[Json]:
    found = dict.fromkeys(ref for text in texts if (ref := ModelRef.parse(text)) is not None)
    return [of_ref(ref) for ref in found]
