"""Records what a release's own code leaves in its tables, in the middle of everything. No test runs this.

    git worktree add /some/where RELEASE
    cd /some/where && PYTHONPATH=. /path/to/python /path/to/tests/upgrade/record.py RELEASE OUT.json

It is the release's code that runs, on the release's own stage (tests/scenarios): real tables, the local factory and
workspace. The story below is told in that release's language, so a later release is recorded by adding to it what
became new. What is written: every row of every table with its types; and how the factory and the workspace stand, as
far as the rows speak of them. Names that are new in every session (accounts, ports) become fixed ones.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from azure.data.tables import EntityProperty
from azure.identity import DefaultAzureCredential

from local.cloud import LocalCloud, Options
from local.faults import AcceptThen, Drop
from local.progress import ByHand, Immediately
from shared.cloud import actions, due_table, permit_table, rows
from shared.cloud.data_factory import DataFactoryClient
from shared.cloud.lane_table import LaneTable
from shared.errors import StorageUnavailable
from shared.events import records
from shared.settings import TABLES
from tests.scenarios.serving import BETTER, WORSE, Serving, breaches
from tests.scenarios.stage import PIPELINE, Stage

PIPELINES = ("score", "failing", "doubtful", "unheard", "quick")
ENDPOINTS = ("traffic", "creating", "refusing")


def _file_rule(name: str, more: str = "", *, pipeline: str = "score", collect: str = "") -> str:
    return (
        f"  {name}:\n"
        f'    when: {{file-landed: {{path: "lake/{name}/{{batch}}/*.csv"}}}}\n'
        f'    collect: {{by: "{{batch}}"{collect}}}\n'
        f"    run-pipeline: {pipeline}\n"
        '    with: {batch: "{batch}", files: "{manifest}"}\n'
        f"{more}"
    )


def _deploy_rule(name: str) -> str:
    return (
        f"  deploy-{name}:\n"
        f"    when: {{model-registered: {{model: clf-{name}, tags: {{stage: candidate}}}}}}\n"
        "    deploy-model:\n"
        f"      endpoint: ep-{name}\n"
        "      gate: {metric: Accuracy, better-than: live, by: 0.002}\n"
        "      smoke-test: ml/samples/diabetes-request.json\n"
        '      serving: {code: "azureml:scenario-serving:1", environment: "azureml:scenario-env:1"}\n'
        "      keep-previous: 10s\n"
    )


RULES = (
    "version: 1\nreactions:\n"
    + _file_rule("window", collect=", quiet: 30m, max-wait: 2h")
    + _file_rule("burst", collect=", quiet: 10s, max-wait: 10m")
    + _file_rule("retried", "    retry: {attempts: 3, backoff: 10m}\n", pipeline="failing")
    + _file_rule("doubtful", pipeline="doubtful")
    + _file_rule("unheard", pipeline="unheard")
    + _file_rule("running", "    timeout: 2h\n")
    + _file_rule("skipping", "    limits: {while-running: skip}\n")
    + _file_rule("done", pipeline="quick")
    + _file_rule("parts", collect=", all-of: [a.csv, b.csv], give-up-after: 24h")
    + _file_rule("cooling", "    limits: {cooldown: 1h}\n", pipeline="quick")
    + "  retrain:\n"
    + '    when: {drift-detected: {monitor: "diabetes-*", signals: [data_drift], times: 2, within: 3d}}\n'
    + "    run-pipeline: score\n"
    + '    with: {batch: "{monitor}", files: "{signal}"}\n'
    + "".join(_deploy_rule(name) for name in ENDPOINTS)
)


def main(release: str, target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, _cloud(Path(folder)) as cloud, DefaultAzureCredential() as credential:
        pipelines = tuple({**PIPELINE, "name": name} for name in PIPELINES)
        nobody = {"RELEARN_EVENTS_TOPIC_ENDPOINT": "https://127.0.0.1:9/api/events"}  # so that the outbox keeps it
        stage = Stage(
            cloud=cloud,
            credential=credential,
            folder=Path(folder),
            rules=RULES,
            extra_settings=nobody,
            pipelines=pipelines,
        )
        try:
            said = _story(stage)
            recorded = {"release": release, "at": stage.clock.now().isoformat(), "rules": RULES, **said}
            recorded |= {"tables": _tables(stage), "runs": _runs(stage), "endpoints": _endpoints(stage)}
            recorded |= {"needs": _needs(stage), "knows": _knows()}
        finally:
            stage.close()
    target.write_text(_text(_named(recorded, stage)))


@contextmanager
def _cloud(folder: Path) -> Iterator[LocalCloud]:
    cloud = LocalCloud(folder / "cloud", in_memory=True, options=Options(time_scale=0.01))
    cloud.start()
    os.environ.update(cloud.child_environment())
    yield cloud
    cloud.close()


# --- the story --------------------------------------------------------------------------------------------------------


def _story(stage: Stage) -> dict[str, Any]:
    """Everything that can be under way at once. Gives the events that were delivered, by what became of them."""
    stage.factory.progress.set(ByHand())
    stage.factory.progress.set(Immediately(), "quick")
    serving = {name: Serving(stage, endpoint=f"ep-{name}", model=f"clf-{name}") for name in ENDPOINTS}
    for each in serving.values():
        each.already_live("1")
    told = _files(stage) | _models(serving)
    [told["breach"], *_] = breaches("diabetes-a", "monitor-run-1", stage.clock.now())
    told["unmatched"] = stage.land("elsewhere/a.csv")
    told["malformed"] = '{"eventType": "Microsoft.Storage.BlobCreated", "data": 5}'
    stage.deliver(told["breach"], told["unmatched"], told["malformed"])
    told |= _late(stage)
    return {"events": told}


def _files(stage: Stage) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name in ("done", "cooling"):
        told[name] = stage.land(f"{name}/b1/a.csv")
        stage.deliver(told[name])
        stage.settle(lambda: set(stage.states()) == {"succeeded"})
    told["cooling-next"] = stage.land("cooling/b1/b.csv")
    told["window"] = [stage.land(f"window/b1/{n}.csv") for n in range(3)]
    told["part"] = stage.land("parts/b1/a.csv")
    told["running"] = stage.land("running/b1/a.csv")
    told["running-next"] = stage.land("running/b1/b.csv")
    told["skipping"] = stage.land("skipping/b1/a.csv")
    told["retried"] = stage.land("retried/b1/a.csv")
    stage.deliver(told["cooling-next"], *told["window"], told["part"], told["running"], told["running-next"])
    stage.deliver(told["skipping"], told["retried"])
    stage.clock.advance(timedelta(seconds=1))
    told["skipped"] = stage.land("skipping/b1/b.csv")
    stage.deliver(told["skipped"])
    [failing] = stage.factory.runs("failing")
    stage.factory.fail(failing.id, "the prep job failed")
    stage.settle(lambda: _state(stage, "retried") == "pending")
    return told


def _models(serving: dict[str, Serving]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    serving["traffic"].goes(updates=ByHand())
    serving["creating"].goes(creations=ByHand())
    told["traffic"] = serving["traffic"].register("2", BETTER)
    told["creating"] = serving["creating"].register("2", BETTER)
    told["creating-next"] = serving["creating"].register("3", {**WORSE, "live.Accuracy": "0.79"})
    told["refusing"] = serving["refusing"].register("2", WORSE)
    stage = serving["traffic"].stage
    stage.deliver(told["traffic"], told["creating"], told["creating-next"], told["refusing"])
    stage.settle(lambda: serving["traffic"].online.endpoint("ep-traffic").state == "Updating")
    return told


def _late(stage: Stage) -> dict[str, Any]:
    """What lasts only for moments: a start nobody knows the answer of, one that nobody sent yet, half a claim."""
    told: dict[str, Any] = {}
    burst = [stage.land(f"burst/b1/{n:03}.csv") for n in range(60)]
    stage.deliver(*burst)
    told["burst"] = [burst[0], burst[-1]]
    path = f"*/factories/{stage.factory_name}/pipelines/doubtful/createrun"
    stage.cloud.data_factory.faults.add(method="POST", path=path, action=AcceptThen(Drop()))
    stage.factory.hide(polls=1)
    told["doubtful"] = stage.land("doubtful/b1/a.csv")
    stage.deliver(told["doubtful"])
    stage.clock.advance(timedelta(seconds=10))
    with _dying(LaneTable, "commit", after=1):
        _look_at(stage, "burst")
    told["unheard"] = stage.land("unheard/b1/a.csv")
    with _dying(DataFactoryClient, "create_run", after=0):
        stage.deliver(told["unheard"])
    return told


@contextmanager
def _dying(owner: type, method: str, *, after: int) -> Iterator[None]:
    """After so many calls of it the process is as good as gone: what was saved by then is all there is."""
    real, made = getattr(owner, method), 0

    def call(*args: Any, **options: Any) -> Any:
        nonlocal made
        made += 1
        if made > after:
            raise StorageUnavailable("the process died here")
        return real(*args, **options)

    setattr(owner, method, call)
    try:
        yield
    finally:
        setattr(owner, method, real)


def _look_at(stage: Stage, rule: str) -> None:
    from shared.lanes import lane_id

    try:
        stage.look(f"lane:{lane_id(rule, 'b1')}")
    except StorageUnavailable:
        return
    raise AssertionError("it was to die, and it lived")


def _state(stage: Stage, rule: str) -> str:
    return next(r["state"] for r in stage.reactions() if r["rule"] == rule)


# --- what is left of it -----------------------------------------------------------------------------------------------


def _tables(stage: Stage) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for name in TABLES:
        entities = stage._tables.get_table_client(name).list_entities()
        found[name] = [{key: _plain(value) for key, value in entity.items()} for entity in entities]
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return {
            "time": datetime.fromtimestamp(value.timestamp(), UTC).replace(microsecond=value.microsecond).isoformat()
        }
    if isinstance(value, EntityProperty):
        return {"int64": value.value}
    assert isinstance(value, str | int | bool), value
    return value


# --- what this release must find in a row -----------------------------------------------------------------------------


class _Noting(dict[str, Any]):
    """Notes what is asked of it without a default: that must be there."""

    def __init__(self, values: Mapping[str, Any], asked: set[str]) -> None:
        super().__init__(values)
        self._asked = asked

    def __getitem__(self, name: str) -> Any:
        self._asked.add(name)
        return super().__getitem__(name)


def _needs(stage: Stage) -> dict[str, dict[str, str]]:
    """By the kind of a row, and whatever else its reader goes by: the properties that it needs, and their types.

    Of a text in JSON that is read as well, the names within are given as NAME.INNER.
    """
    found: dict[str, dict[str, str]] = {}
    for table in TABLES:
        for row in stage._tables.get_table_client(table).list_entities():
            kind, asked = _kind(table, row), set[str]()
            _read_as_ever(table, row, asked)
            if table == "lanes" and "kind" in row and row["RowKey"][0] in "de":
                asked |= {"kind", *(f.name for f in fields(records._KINDS[row["kind"]]) if f.default is MISSING)}
            types = {name: _type(_property(row, name)) for name in asked - {"PartitionKey", "RowKey"}}
            known = found.setdefault(kind, types)
            found[kind] = {name: of for name, of in known.items() if name in types}
    return dict(sorted(found.items()))


def _kind(table: str, row: Mapping[str, Any]) -> str:
    """The letter that its key begins with; of events their kind, of reactions their action and how far they are."""
    start = row["RowKey"][:1] if table != "recent" or row["PartitionKey"] == "refused" else "day"
    more = [str(row["kind"])] if start in {"d", "e"} and table == "lanes" else []
    if start == "r":
        more = [json.loads(row["action"])["kind"], *(name for name in ("intentSince", "rollout") if name in row)]
    return "/".join([table, start if table != "due" else "row", *more])


def _read_as_ever(table: str, row: Any, asked: set[str]) -> None:
    """Hands the row to the release's own reader, which goes by `rows.plain` and by `json.loads`."""
    plain, loads = rows.plain, json.loads
    inner: dict[str, str] = {str(value): name for name, value in row.items() if name in {"action", "rollout", "data"}}

    def noting_loads(text: str) -> Any:
        values, names = loads(text), set[str]()
        if text not in inner or not isinstance(values, dict):
            return values
        noted[inner[text]] = names
        return _Noting(values, names)

    noted: dict[str, set[str]] = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rows, "plain", lambda given: _Noting(plain(given), asked))
        patched.setattr(actions, "json", SimpleNamespace(loads=noting_loads, dumps=json.dumps))
        patched.setattr(rows, "json", SimpleNamespace(loads=noting_loads, dumps=json.dumps))
        _reader(table, row)(row)
    asked |= {f"{name}.{each}" for name, names in noted.items() for each in names}


def _reader(table: str, row: Mapping[str, Any]) -> Any:
    if table == "lanes":
        readers = {
            "d": rows.taken_event,
            "e": rows.pending_event,
            "i": rows.notification,
            "l": rows.head,
            "r": rows.reaction,
            "y": rows.history_entry,
        }
        return readers[row["RowKey"][0]]
    if table == "due":
        return due_table._due
    if table == "permits":
        head = row["RowKey"] == "h"
        return (
            (lambda given: rows.plain(given)["looks"])
            if head
            else (lambda given: permit_table._permit(rows.plain(given)))
        )
    names = ("reactionId", "state")
    if row["PartitionKey"] == "refused":
        names = ("reason", "count") if row["RowKey"].startswith("c!") else ("at", "reason", "detail")
    return lambda given: [rows.plain(given)[name] for name in names]


def _property(row: Mapping[str, Any], name: str) -> Any:
    outer, _, inner = name.partition(".")
    return json.loads(row[outer])[inner] if inner else row[outer]


def _type(value: Any) -> str:
    return type(value).__name__ if not isinstance(value, datetime | EntityProperty) else _plain(value).popitem()[0]


def _knows() -> dict[str, list[str]]:
    """Values of which a row may hold no others."""
    from shared.lanes import SkipReason
    from shared.notifications import Kind
    from shared.reactions import Phase, State

    found = {each.__name__: sorted(str(value) for value in each) for each in (State, SkipReason, Kind, Phase)}
    return {**found, "event": sorted(records._KINDS), "action": ["deploy-model", "run-pipeline"]}


def _runs(stage: Stage) -> list[dict[str, Any]]:
    return [
        {"id": run.id, "pipeline": run.pipeline, "parameters": dict(run.parameters), "status": str(run.status.value)}
        for run in stage.factory.runs()
    ]


def _endpoints(stage: Stage) -> dict[str, Any]:
    online, registry = stage.cloud.machine_learning.online, stage.cloud.machine_learning.registry
    return {
        name: {
            "state": str(online.endpoint(f"ep-{name}").state),
            "traffic": dict(online.endpoint(f"ep-{name}").traffic),
            "deployments": [
                {"name": each.name, "tags": dict(each.tags), "model": each.model, "state": str(each.state)}
                for each in online.directory.deployments(f"ep-{name}")
            ],
            "models": [
                {
                    "version": model.version,
                    "tags": dict(model.tags),
                    "properties": dict(model.properties),
                    "created": {"time": model.created.isoformat()},
                }
                for model in registry.versions(f"clf-{name}")
            ],
        }
        for name in ENDPOINTS
    }


def _named(recorded: dict[str, Any], stage: Stage) -> dict[str, Any]:
    """Fixed names for what each session names anew. (Not for the lake's account: it is in the files' identities.)"""
    text = json.dumps(recorded)
    text = re.sub(r"https://127\.0\.0\.1:\d+", "https://local.invalid", text)
    text = text.replace(stage.factory_name, "recorded-factory").replace(stage.account.name, "recordedapp")
    named: dict[str, Any] = json.loads(text)
    return {**named, "lake": stage.lake.name}


def _text(value: Any, depth: int = 2) -> str:
    """JSON with a line per row, so that a difference between two recordings can be read."""
    if depth == 0 or not isinstance(value, dict | list) or not value:
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    if isinstance(value, list):
        return "[\n" + ",\n".join(_text(each, 0) for each in value) + "\n]"
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {_text(each, depth - 1)}" for key, each in value.items()) + "\n}"


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve())
