"""Puts a recorded ledger into a stage's tables, and the factory and the workspace where they were."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from azure.data.tables import EdmType, EntityProperty

from local.machine_learning.online.bodies import DeploymentBody, EndpointBody
from local.progress import ByHand, Outcome
from local.service import REGION
from tests.scenarios.serving import Serving
from tests.scenarios.stage import PIPELINE, Stage

RECORDED = Path(__file__).parent
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00:00|Z)")
_DAY = re.compile(r"(?<![\d-])\d{4}-\d\d-\d\d(?![\dT-])")
_NEWEST_FIRST = 10**17


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What tests/upgrade/record.py wrote."""

    release: str
    at: datetime
    rules: str
    lake: str
    events: Mapping[str, Any]
    tables: Mapping[str, list[dict[str, Any]]]
    runs: list[dict[str, Any]]
    endpoints: Mapping[str, Any]
    needs: Mapping[str, Mapping[str, str]]
    knows: Mapping[str, list[str]]

    @property
    def pipelines(self) -> tuple[dict[str, Any], ...]:
        names = dict.fromkeys(["quick", "unheard", *(run["pipeline"] for run in self.runs)])
        return tuple({**PIPELINE, "name": name} for name in names)


def read(release: str) -> Recording:
    values = json.loads((RECORDED / f"ledger-{release}.json").read_text())
    return Recording(**{**values, "at": datetime.fromisoformat(values["at"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A recording that has become the present."""

    stage: Stage
    serving: Mapping[str, Serving]
    runs: Mapping[str, str]
    """The runs' ids now, by the stamp they carry (reaction and attempt)."""
    events: Mapping[str, Any]


def load(recording: Recording, stage: Stage) -> Loaded:
    """Moves all of it in time so that it was recorded just now."""
    if recording.lake != stage.lake.name:
        ours = stage.settings["RELEARN_LAKE_BLOB_SERVICE_URIS"]
        theirs = f"https://{recording.lake}.blob.core.windows.net"
        stage.extra_settings = {**stage.extra_settings, "RELEARN_LAKE_BLOB_SERVICE_URIS": f"{ours},{theirs}"}
    serving = {name: _serving(stage, name, told, recording) for name, told in recording.endpoints.items()}
    runs = {run["id"]: _run(stage, run, recording) for run in recording.runs}
    named = {
        "recorded-factory": stage.factory_name,
        "https://local.invalid/recordedapp": stage.account.blob.rstrip("/"),
        **runs,
    }
    moved = _Moved(stage.clock.now() - recording.at, named)
    for name, rows in recording.tables.items():
        table = stage._tables.get_table_client(name)
        for row in rows:
            table.create_entity(moved.row(name, row))
    stage.restart()
    stamps = {(r["parameters"]["reaction_id"], r["parameters"]["attempt"]): r["id"] for r in recording.runs}
    return Loaded(
        stage=stage,
        serving=serving,
        runs={"/".join(stamp): runs[old] for stamp, old in stamps.items()},
        events={name: moved.value(event) for name, event in recording.events.items()},
    )


class _Moved:
    """Moves rows in time, and gives what is named anew each time its present name."""

    def __init__(self, by: timedelta, names: Mapping[str, str]) -> None:
        self._by = by
        self._names = names

    def row(self, table: str, row: Mapping[str, Any]) -> dict[str, Any]:
        moved = {name: self.value(value) for name, value in row.items()}
        moved["RowKey"] = self._key(table, moved["RowKey"])
        if table == "due":  # whose partition is made of its key
            moved["PartitionKey"] = hashlib.sha256(moved["RowKey"].encode()).hexdigest()[0]
        order = moved["RowKey"].partition("!")[0]
        if table == "recent" and order.isdecimal():  # whose partition is the day of the time in its key
            created = datetime.fromtimestamp((_NEWEST_FIRST - int(order)) / 1_000_000, UTC)
            moved["PartitionKey"] = created.date().isoformat()
        return moved

    def value(self, value: Any) -> Any:
        if isinstance(value, dict):
            [(kind, inner)] = value.items()
            return self._time(inner) if kind == "time" else EntityProperty(inner, EdmType.INT64)
        if isinstance(value, list):
            return [self.value(each) for each in value]
        return self._text(value) if isinstance(value, str) else value

    def _time(self, text: str) -> datetime:
        return datetime.fromisoformat(text) + self._by

    def _text(self, text: str) -> str:
        for old, new in self._names.items():
            text = text.replace(old, new)
        text = _TIME.sub(lambda found: self._time(found[0]).isoformat(), text)
        return _DAY.sub(lambda found: self._day(found[0]), text)

    def _day(self, text: str) -> str:
        return (datetime.fromisoformat(text) + timedelta(hours=12) + self._by).date().isoformat()

    def _key(self, table: str, key: str) -> str:
        """Keys of histories and of the days' lists have a time in them, in microseconds."""
        by = self._by // timedelta(microseconds=1)
        if table == "lanes" and re.match(r"y!\d{8}!\d{17}!", key):
            start, seq, micros, rest = key.split("!", 3)
            return f"{start}!{seq}!{int(micros) + by:017}!{rest}"
        if table == "recent" and re.match(r"\d{18}!", key):
            order, _, rest = key.partition("!")
            return f"{int(order) - by:018}!{rest}"
        return key


def _run(stage: Stage, run: Mapping[str, Any], recording: Recording) -> str:
    """Its id now; a run that went on when the ledger was recorded goes on until a test ends it."""
    stage.factory.progress.set(ByHand())
    blob = stage.account.blob.rstrip("/")
    named = {k: v.replace("https://local.invalid/recordedapp", blob) for k, v in run["parameters"].items()}
    started = stage.factory.start(run["pipeline"], named)
    if run["status"] != "InProgress":
        outcome = Outcome.SUCCEEDED if run["status"] == "Succeeded" else Outcome.FAILED
        stage.factory.finish(started.id, outcome, "the prep job failed")
    return started.id


def _serving(stage: Stage, name: str, told: Mapping[str, Any], recording: Recording) -> Serving:
    """The endpoint with its deployments, each in its state; what was under way goes on until a test ends it."""
    serving = Serving(stage, endpoint=f"ep-{name}", model=f"clf-{name}")
    serving.make_endpoint()
    by = stage.clock.now() - recording.at
    for model in told["models"]:
        created = datetime.fromisoformat(model["created"]["time"]) + by
        serving.workspace.registry.register(
            serving.model,
            model["version"],
            uri=f"azureml://datastores/lake/paths/models/{serving.model}/{model['version']}",
            tags=model["tags"],
            properties=model["properties"],
            created=created,
            announce=False,
        )
    under_way = [each for each in told["deployments"] if each["state"] == "Creating"]
    for each in told["deployments"]:
        if each not in under_way:
            _deploy(serving, each)
    _share(serving, told["traffic"])
    serving.goes(creations=ByHand(), updates=ByHand())
    for each in under_way:
        _deploy(serving, each)
    if told["state"] == "Updating":
        _share(serving, {told["deployments"][-1]["name"]: 100})
    return serving


def _deploy(serving: Serving, told: Mapping[str, Any]) -> None:
    body = {
        "location": REGION,
        "tags": told["tags"],
        "sku": {"name": "Default", "capacity": 1},
        "properties": {"endpointComputeType": "Managed", "model": told["model"]},
    }
    serving.online.deployments.put(serving.endpoint, told["name"], DeploymentBody.read(body))


def _share(serving: Serving, traffic: Mapping[str, int]) -> None:
    body = {"location": REGION, "properties": {"authMode": "Key", "traffic": dict(traffic)}}
    serving.online.endpoints.put(serving.endpoint, EndpointBody.read(body))
