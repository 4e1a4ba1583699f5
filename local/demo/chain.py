"""The chain from the file that landed to what answers, found by following the records from what answers backwards."""

from __future__ import annotations

import json
from typing import Any

from local.demo.stage import Stage
from local.machine_learning import Literal, Model, MonitorRun
from local.system import ENDPOINT, MONITOR, MONITORED, LocalSystem
from shared.models import REACTION_TAG

Json = dict[str, Any]


def jobs_of(system: LocalSystem, reaction: str) -> list[Json]:
    """The workspace's jobs that carry a reaction's id as an input, with their steps as they really ran."""
    return [
        {
            "endpoint": job.submission.endpoint,
            "job": job.name,
            "status": str(job.status),
            "steps": [{"name": s.name, "pid": s.pid, "exit_code": s.exit_code} for s in job.steps],
        }
        for job in system.cloud.machine_learning.jobs()
        if job.submission.inputs.get("reaction_id") == Literal(value=reaction)
    ]


def chain_of(stage: Stage) -> Json:
    """Each link comes out of the record that the link after it names; what cannot be found is None or empty."""
    deployment, deploy_reaction = _deployment(stage.system)
    rollout = stage.story.get(f"reactions/{deploy_reaction}") if deploy_reaction else {"lineage": {}}
    model = _registered(stage.system, rollout["lineage"].get("model", {}))
    training = model.tags.get(REACTION_TAG, "") if model else ""
    trained = stage.story.get(f"reactions/{training}")["lineage"] if training else {}
    jobs = jobs_of(stage.system, training) if training else []
    evaluate_run = _one([run["monitor_run"] for run in trained.get("monitor_runs", [])])
    monitor_run = _one([run.id for run in _monitor_runs(stage.system) if run.evaluate_run == evaluate_run])
    return {
        "file": _file(stage.system, monitor_run) if monitor_run else None,
        "monitor_run": monitor_run,
        "evaluate_run": evaluate_run,
        "training_reaction": training,
        "pipeline_run": _pipeline_run(stage.system, training),
        "jobs": jobs if model and model.tags.get("relearn_job") in {job["job"] for job in jobs} else [],
        "model": {"name": model.name, "version": model.version} if model else None,
        "deploy_reaction": deploy_reaction,
        "deployment": deployment,
        "endpoint": ENDPOINT if deployment else None,
    }


def _deployment(system: LocalSystem) -> tuple[str | None, str | None]:
    """What has all the traffic, and the reaction it was made by, as its tag says."""
    shown = system.cloud.machine_learning.online.state()[ENDPOINT]
    live = _one([name for name, share in shown["traffic"].items() if share == 100])
    tags = [each["tags"] for each in shown["deployments"] if each["name"] == live]
    return live, tags[0].get(REACTION_TAG) if tags else None


def _registered(system: LocalSystem, ref: Json) -> Model | None:
    return system.cloud.machine_learning.registry.model(ref.get("name", ""), ref.get("version", ""))


def _monitor_runs(system: LocalSystem) -> list[MonitorRun]:
    """A breach is told by the run of a step: the one that evaluates what the monitor's run has measured."""
    return system.cloud.machine_learning.monitoring.runs(MONITOR)


def _pipeline_run(system: LocalSystem, reaction: str) -> str | None:
    """The factory's run that was started with the reaction's id."""
    return _one([run.id for run in system.factory.runs() if run.parameters.get("reaction_id") == reaction])


def _file(system: LocalSystem, monitor_run: str) -> Json | None:
    """The file that the monitor's run read as its target, as it lies in the lake."""
    report = json.loads(system.download(f"monitoring/{MONITOR}/{monitor_run}/report.json"))
    name = _one(report["target"]["files"])
    if name is None:
        return None
    found = system.lake.get_blob_client(f"{MONITORED}/target/{name}").get_blob_properties()
    return {
        "container": found.container,
        "path": found.name,
        "etag": found.etag.strip('"'),
        "size": found.size,
        "landed": found.last_modified.isoformat(),
        "rows": report["target"]["rows"],
    }


def _one(found: list[str]) -> str | None:
    return found[0] if len(found) == 1 else None
