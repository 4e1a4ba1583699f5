"""A reaction's action and rollout as JSON texts in its row, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from shared.models import ModelRef
from shared.reactions import (
    Action,
    DeployAction,
    JobAction,
    NotifyAction,
    Phase,
    PipelineAction,
    RenderedAction,
    Rollout,
    StartLimits,
    State,
)
from shared.rules import DeployModel, Gate, Notify, Priority, Rate, RunJob, RunPipeline, Serving


def to_text(action: Action) -> str:
    common = {
        "timeout": action.timeout.total_seconds(),
        "attempts": action.attempts,
        "backoff": action.backoff.total_seconds(),
        "limits": _of_limits(action.limits),
    }
    own = _of_deployment(action) if isinstance(action, DeployAction) else _of_rendered(action)
    return json.dumps({**own, **common}, ensure_ascii=False)


def from_text(text: str) -> Action:
    values = json.loads(text)
    return _READERS[values["kind"]](values)


def _common(values: dict[str, Any]) -> dict[str, Any]:
    return {
        "timeout": timedelta(seconds=values["timeout"]),
        "attempts": values["attempts"],
        "backoff": timedelta(seconds=values["backoff"]),
        "limits": _limits(values.get("limits", {})),
    }


def _of_limits(limits: StartLimits) -> dict[str, Any]:
    rate = limits.rate
    return {
        "concurrency": limits.concurrency,
        "resources": dict(limits.resources),
        "rate": [rate.count, rate.per.total_seconds()] if rate is not None else None,
        "priority": int(limits.priority),
    }


def _limits(values: dict[str, Any]) -> StartLimits:
    """A reaction of the release before has none."""
    rate = values.get("rate")
    return StartLimits(
        concurrency=values.get("concurrency"),
        resources=values.get("resources", {}),
        rate=Rate(count=rate[0], per=timedelta(seconds=rate[1])) if rate is not None else None,
        priority=Priority(values.get("priority", Priority.NORMAL)),
    )


def _of_rendered(action: RenderedAction) -> dict[str, Any]:
    return {
        **_own(action),
        "parameters": dict(action.parameters),
        "needsManifest": action.needs_manifest,
    }


def _own(action: RenderedAction) -> dict[str, Any]:
    match action:
        case PipelineAction():
            return {"kind": RunPipeline.kind, "pipeline": action.pipeline}
        case JobAction():
            where = {"compute": action.compute, "experiment": action.experiment}
            return {"kind": RunJob.kind, "component": action.component, **where}
        case _:
            return {"kind": Notify.kind}


def _rendered(values: dict[str, Any]) -> dict[str, Any]:
    return {"parameters": values["parameters"], "needs_manifest": values["needsManifest"], **_common(values)}


def _pipeline(values: dict[str, Any]) -> PipelineAction:
    return PipelineAction(pipeline=values["pipeline"], **_rendered(values))


def _job(values: dict[str, Any]) -> JobAction:
    return JobAction(
        component=values["component"],
        compute=values["compute"],
        experiment=values["experiment"],
        **_rendered(values),
    )


def _notice(values: dict[str, Any]) -> NotifyAction:
    return NotifyAction(**_rendered(values))


def _of_deployment(action: DeployAction) -> dict[str, Any]:
    serving, gate = action.serving, action.gate
    return {
        "kind": DeployModel.kind,
        "endpoint": action.endpoint,
        "model": action.model.name,
        "version": action.model.version,
        "created": action.model_created.isoformat(),
        "deployment": action.deployment,
        "smokeTest": action.smoke_test,
        "keepPrevious": action.keep_previous.total_seconds(),
        "gate": {"metric": gate.metric, "by": str(gate.by)} if gate is not None else None,
        "serving": {
            "code": serving.code,
            "environment": serving.environment,
            "script": serving.script,
            "instanceType": serving.instance_type,
            "instances": serving.instances,
        },
    }


def _deployment(values: dict[str, Any]) -> DeployAction:
    serving, gate = values["serving"], values["gate"]
    return DeployAction(
        endpoint=values["endpoint"],
        model=ModelRef(name=values["model"], version=values["version"]),
        model_created=datetime.fromisoformat(values["created"]),
        deployment=values["deployment"],
        smoke_test=values["smokeTest"],
        keep_previous=timedelta(seconds=values["keepPrevious"]),
        gate=Gate(metric=gate["metric"], by=Decimal(gate["by"])) if gate is not None else None,
        serving=Serving(
            code=serving["code"],
            environment=serving["environment"],
            script=serving["script"],
            instance_type=serving["instanceType"],
            instances=serving["instances"],
        ),
        **_common(values),
    )


_READERS: Final[Mapping[str, Callable[[dict[str, Any]], Action]]] = {
    RunPipeline.kind: _pipeline,
    RunJob.kind: _job,
    DeployModel.kind: _deployment,
    Notify.kind: _notice,
}


def rollout_to_text(rollout: Rollout) -> str:
    previous = rollout.previous_model
    return json.dumps(
        {
            "phase": str(rollout.phase),
            "previous": rollout.previous,
            "previousModel": [previous.name, previous.version] if previous is not None else None,
            "tries": rollout.tries,
            "promoted": rollout.promoted.isoformat() if rollout.promoted is not None else None,
            "ends": rollout.ends and str(rollout.ends),
            "why": rollout.why[:4000],  # as JSON it may take six times as much, and must fit into a property
        },
        ensure_ascii=False,
    )


def rollout_from_text(text: str) -> Rollout:
    values = json.loads(text)
    previous = values["previousModel"]
    return Rollout(
        phase=Phase(values["phase"]),
        previous=values["previous"],
        previous_model=ModelRef(name=previous[0], version=previous[1]) if previous is not None else None,
        tries=values["tries"],
        promoted=datetime.fromisoformat(values["promoted"]) if values["promoted"] is not None else None,
        ends=State(values["ends"]) if values["ends"] is not None else None,
        why=values["why"],
    )
