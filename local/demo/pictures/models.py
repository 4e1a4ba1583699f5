"""What is told of a model in the picture of its lineage: one box for each link, from its data to its deployment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from local.demo.pictures.boxes import Box

Json = Mapping[str, Any]
DATA, CAUSE, REACTION, RUN, JOB, MODEL, ROLLOUT, DEPLOYMENT = range(8)
_TONES: Final = {"succeeded": "", "refused": "bad", "failed": "bad", "rolled-back": "bad"}


def lane_title(model: Json) -> str:
    states = {rollout["state"] for rollout in model["rollouts"]}
    became = "live" if model["traffic"] else "replaced" if "succeeded" in states else ", ".join(sorted(states))
    return f"Version {model['version']}: {became}"


def links(model: Json, result: Json) -> dict[int, Box]:
    """The boxes of one model, by their rows; a row that the model has nothing in is left out."""
    tags = model["tags"]
    training = next((c for c in result["lineage"] if c["reaction"] == tags.get("relearn_reaction")), None)
    found = {DATA: _data(model, result), CAUSE: _cause(model, training, result)}
    if training is not None:
        run = training["pipeline_run"]
        found[REACTION] = Box(kind="reaction", name=training["rule"], more=(training["reaction"], training["state"]))
        found[RUN] = Box(kind="pipeline run", name=run["pipeline"], more=(run["run_id"],))
    found[JOB] = _job(model)
    found[MODEL] = _registered(model)
    for rollout in model["rollouts"]:
        found[ROLLOUT] = _rollout(rollout, result)
        if rollout["state"] == "succeeded":
            found[DEPLOYMENT] = _deployment(model, rollout, result)
    return found


def endpoint_box(result: Json) -> Box:
    endpoint, calls = result["endpoint"], result["calls"]
    shares = ", ".join(f"{share} % to {name}" for name, share in endpoint["traffic"].items()) or "none"
    asked = f"asked {calls['sent']:,} times since the first model went live; failed: {calls['failed']}"
    return Box(kind="online endpoint", name=endpoint["name"], more=(f"traffic: {shares}", asked), tone="good")


def _data(model: Json, result: Json) -> Box:
    tags, properties = model["tags"], model["properties"]
    folder = f"0-raw/diabetes/{result['endpoint']['monitored_batch']}"
    roles = [role for role in ("target", "baseline") if tags.get(role)]
    paths = [f"{folder}/{role}/{tags[role]}" for role in roles]
    trained, measured = (_number(properties.get(name)) for name in ("train_rows", "test_rows"))
    rows = f"{trained} rows to train on, {measured} to measure on"
    return Box(kind="files in the lake", name=paths[0] if paths else "unknown", more=(*paths[1:], rows))


def _cause(model: Json, training: Json | None, result: Json) -> Box:
    if training is None or not training["monitor_runs"]:
        return Box(kind="asked for by hand", name=model["tags"].get("relearn_reason", ""))
    run = training["monitor_runs"][0]
    known = result["drift"]
    run_id = known["run_id"] if known.get("monitor") == run["monitor"] else run["monitor_run"]
    distances = ", ".join(f"{breach['feature']} {breach['value']:.2f}" for breach in run["breaches"])
    told = f"beyond {known['threshold']}: {distances}"
    return Box(kind=f"monitor run, {run['signal']}", name=run["monitor"], more=(run_id, told))


def _job(model: Json) -> Box:
    if not model["jobs"]:
        return Box(kind="job", name="unknown")
    job = model["jobs"][0]
    steps = ", ".join(step["name"] for step in job["steps"])
    return Box(kind="job", name=job["endpoint"], more=(job["job"], steps))


def _registered(model: Json) -> Box:
    figures, properties = model["metrics"], model["properties"]
    more = [f"{properties.get('algorithm')}, regularisation {_number(properties.get('regularisation'))}"]
    if "live.Accuracy" in figures:
        live = properties.get("live.version", "?")
        more.append(
            f"Accuracy {figures['Accuracy']:.4f}, version {live} on the same rows {figures['live.Accuracy']:.4f}"
        )
    elif "Accuracy" in figures:
        more.append(f"Accuracy {figures['Accuracy']:.4f}")
    return Box(kind="registered model", name=f"{model['name']}:{model['version']}", more=tuple(more))


def _rollout(rollout: Json, result: Json) -> Box:
    """The rollout's reaction, with what the gate said."""
    reaction = next((r for r in result["reactions"] if r["id"] == rollout.get("reaction")), None)
    reasons = reaction["reasons"] if reaction else [rollout.get("reason", "")]
    said = next((reason for reason in reasons if reason.startswith("gate")), rollout.get("reason", ""))
    name = f"{rollout['rule']}: {rollout['state']}"
    more = (str(rollout.get("reaction", "")), said.partition("; about to")[0])
    return Box(kind="rollout", name=name, more=more, tone=_TONES.get(rollout["state"], ""))


def _deployment(model: Json, rollout: Json, result: Json) -> Box:
    chain = next((c for c in result["lineage"] if c["reaction"] == rollout.get("reaction")), None)
    name = chain["deployment"]["deployment"] if chain else "unknown"
    answered = f"answered {result['calls']['answered_by'].get(name, 0):,} of the requests"
    if model["traffic"]:
        return Box(
            kind="deployment", name=name, more=(f"{model['traffic']} % of the traffic; {answered}",), tone="good"
        )
    return Box(kind="deployment, removed since", name=name, more=(answered,), tone="past")


def _number(text: object) -> str:
    """A registered property, which is a text, as people write numbers: 100,000 for 100000.0."""
    try:
        return f"{float(str(text)):,g}"
    except ValueError:
        return str(text)
