"""The facts of a demo, gathered from the records: the app's API, the factory, the workspace, the lake, the topic."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

from local.demo.again import duplicates_delivered
from local.demo.chain import chain_of, jobs_of
from local.demo.expectations import FIGURES
from local.demo.stage import Stage
from local.system import ENDPOINT, MODEL, MONITOR, MONITORED_BATCH
from shared.models import REACTION_TAG
from shared.reactions import MODEL_REGISTERED

Json = dict[str, Any]


def gather(stage: Stage) -> Json:
    """Everything but what can only be counted when the factory has stopped."""
    story = stage.story
    reactions = [story.get(f"reactions/{r['id']}") for r in story.reactions()]
    scored = [{"silver_path": batch.silver_path, "scored_rows": batch.scored_rows} for batch in stage.batches]
    burst = scored[1] if len(scored) > 1 else {"silver_path": None, "scored_rows": None}
    return {
        **scored[0],
        **{f"burst_{name}": value for name, value in burst.items()},
        "overnight": asdict(stage.overnight) if stage.overnight else {},
        "reactions": [_reaction(reaction) for reaction in reactions],
        "refused": story.get("reactions?days=2")["refused"]["counts"],
        "duplicates_delivered": duplicates_delivered(stage.system),
        "delivered_again": stage.delivered_again,
        "lineage": [_lineage(stage, reaction) for reaction in reactions],
        "drift": _drift(stage),
        **_models(stage, reactions),
        "live_before": stage.live_before.facts() if stage.live_before else {},
        "live_after": stage.live_after.facts() if stage.live_after else {},
        "answer": stage.answer,
        "calls": stage.calls.facts() if stage.calls else {},
        "endpoint": _endpoint(stage),
        "published": [
            {"type": event.type, "reaction": event.data.get("reaction"), "data": dict(event.data)}
            for event in (published.event for published in stage.system.published())
        ],
        "chain": chain_of(stage),
    }


def _reaction(reaction: Json) -> Json:
    history = reaction["history"]
    return {
        "id": reaction["id"],
        "rule": reaction["rule"],
        "key": reaction["key"],
        "state": reaction["state"],
        "reason": reaction["reason"],
        "reasons": [entry["reason"] for entry in history],
        "kind": reaction["run"]["kind"],
        "run_ids": sorted({e["run_id"] for e in history if e["run_id"] and e["what"] != MODEL_REGISTERED}),
        "events": reaction["event_count"],
    }


def _lineage(stage: Stage, reaction: Json) -> Json:
    """What the app tells of a reaction, with the workspace's own record of the jobs, and the files they wrote."""
    chain: Json = {**reaction["lineage"], "state": reaction["state"], "reason": reaction["reason"]}
    if reaction["run"]["kind"] != "pipeline":
        return chain
    stamp = f"{reaction['id']}-{reaction['attempt']}"
    silver = stage.system.paths(f"2-silver/diabetes/{reaction['key']}/{stamp}/")
    chain["jobs"] = jobs_of(stage.system, reaction["id"])
    chain["silver"] = [path for path in silver if path.endswith("diabetes.csv")]
    return chain


def _drift(stage: Stage) -> Json:
    """The monitor's run as the workspace tells it, and the report it left in the lake."""
    run = stage.system.cloud.machine_learning.monitoring.run(stage.monitor_run)
    report = json.loads(stage.system.download(f"monitoring/{MONITOR}/{run.id}/report.json"))
    facts = {"monitor": run.monitor, "run_id": run.id, "signal": run.signal, "status": run.status}
    return {**facts, "breached": run.breached, **report}


def _models(stage: Stage, reactions: list[Json]) -> Json:
    """All registered models, and of them the one that the drift brought and the one that was refused."""
    versions = stage.system.cloud.machine_learning.registry.versions(MODEL)
    models = [_model(stage, stage.story.get(f"models/{known.name}/{known.version}")) for known in versions]
    brought = [m["version"] for r in reactions for m in r["lineage"].get("models_registered", [])]
    refused = [(m, each) for m in models for each in m["rollouts"] if each["state"] == "refused"]
    return {
        "models": models,
        "model": next((m for m in models if m["version"] in brought), {}),
        "refused_model": {**refused[0][0], "reason": refused[0][1]["reason"]} if refused else {},
    }


def _model(stage: Stage, told: Json) -> Json:
    """A model as the app tells it, with the figures it was registered with and the job that made it."""
    properties, tags = told["properties"], told["tags"]
    jobs = jobs_of(stage.system, tags.get(REACTION_TAG, ""))
    return {
        "name": told["name"],
        "version": told["version"],
        "metrics": {name: float(properties[name]) for name in FIGURES if name in properties},
        "tags": tags,
        "properties": properties,
        "jobs": [job for job in jobs if job["job"] == tags.get("relearn_job")],
        "rollouts": told["lineage"]["rollouts"],
        "traffic": sum(each["traffic"] for each in told["lineage"]["live_on"]),
    }


def _endpoint(stage: Stage) -> Json:
    """The endpoint as the workspace knows it, and what its own record says was answered."""
    learning = stage.system.cloud.machine_learning
    online = learning.online
    shown = online.state()[ENDPOINT]
    puts = [call.path for call in learning.requests.writes("/deployments/") if call.method == "PUT"]
    answered = Counter(str(scored.status) for scored in online.scored)
    servers = {
        each["name"]: {"pid": each["server"]["pid"], "argv": list(each["server"]["argv"])}
        for each in shown["deployments"]
        if each["server"] is not None
    }
    return {
        "name": ENDPOINT,
        "monitored_batch": MONITORED_BATCH,
        "traffic": shown["traffic"],
        "deployments": [each["name"] for each in shown["deployments"]],
        "deployments_made": sorted({path.rpartition("/")[2] for path in puts}),
        "servers": servers,
        "answered": dict(answered),
    }
