"""What a workspace lists: its models, and the runs in which a monitor found a breach.

AML's list of jobs is not documented to hold the steps of a pipeline, and azure-ai-ml asks the run history for them. The
tag that makes the event of a breach is on the step's run only, so both are asked: the list for what has that tag, and
the run history for the steps of monitor runs, which carry another tag of the same meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from shared.events import BREACH_TAG
from shared.models import BreachedRun, ModelRef, ModelVersion

_ROOT_TAG: Final = "azureml.modelmonitor.threshold.breached."

Json = Mapping[str, Any]
Pages = Callable[[str, Mapping[str, str]], Iterator[list[Json]]]
"""Every page of the list at a path below the workspace, asked for with these parameters."""
Children = Callable[[str], Iterable[Json]]
"""The runs of a job's steps, as the run history tells them."""


def models_created(pages: Pages, workspace: str, after: datetime, named: Callable[[str], bool]) -> list[ModelVersion]:
    """The versions created at or after a time of the models whose names are wanted, oldest first."""
    found: list[ModelVersion] = []
    for containers in pages("models", {"listViewType": "ActiveOnly"}):
        for name in (str(container["name"]) for container in containers):
            if named(name):
                found += _versions(pages, workspace, name, after)
    return sorted(found, key=lambda model: model.created)


def _versions(pages: Pages, workspace: str, name: str, after: datetime) -> Iterator[ModelVersion]:
    path = f"models/{segment(name)}/versions"
    for page in pages(path, {"$orderBy": "createdtime desc", "listViewType": "ActiveOnly"}):
        for listed in page:
            version = model_version(ModelRef(name=name, version=str(listed["name"])), workspace, listed)
            if version.created < after:
                return
            yield version


def breached_runs(pages: Pages, children: Children, after: datetime) -> list[BreachedRun]:
    """The runs that found a breach, of monitors that began at or after a time, oldest first."""
    found: dict[str, BreachedRun] = {}
    for job in _jobs(pages, {"tag": BREACH_TAG}, after):
        found |= _breached(_run_of_job(job))
    for job in _jobs(pages, {"jobType": "Pipeline"}, after):
        properties = job["properties"] or {}
        if any(tag.startswith(_ROOT_TAG) for tag in texts(properties.get("tags"))):
            for run in children(str(job["name"])):
                found |= _breached(_run_of_history(run, str(properties.get("experimentName") or "")))
    return sorted(found.values(), key=lambda run: run.ended)


def _jobs(pages: Pages, wanted: Mapping[str, str], after: datetime) -> Iterator[Json]:
    """AML lists the newest first: the pages end with the first that is older as a whole."""
    for page in pages("jobs", {**wanted, "listViewType": "All"}):
        young = [job for job in page if _created(job) >= after]
        yield from young
        if page and not young:
            return


def _breached(run: BreachedRun) -> dict[str, BreachedRun]:
    return {run.id: run} if run.text.strip() else {}


def _run_of_job(job: Json) -> BreachedRun:
    properties = job["properties"] or {}  # a step's may be left out
    return BreachedRun(
        id=str(job["name"]),
        experiment=str(properties.get("experimentName") or ""),
        ended=_created(job),
        text=texts(properties.get("tags")).get(BREACH_TAG, ""),
        properties=texts(properties.get("properties")),
        end_told=False,
    )


def _run_of_history(run: Json, experiment: str) -> BreachedRun:
    return BreachedRun(
        id=str(run["runId"]),
        experiment=experiment,
        ended=_time(run.get("endTimeUtc") or run["createdUtc"]),
        text=texts(run.get("tags")).get(BREACH_TAG, ""),
        properties=texts(run.get("properties")),
    )


def model_version(ref: ModelRef, workspace: str, found: Json) -> ModelVersion:
    """A version as AML tells it; `workspace` is the workspace's ARM id."""
    properties = found["properties"]
    return ModelVersion(
        ref=ref,
        created=_created(found),
        asset=f"azureml:{workspace}/models/{segment(ref.name)}/versions/{segment(ref.version)}",
        archived=bool(properties.get("isArchived")),
        tags=texts(properties.get("tags")),
        properties=texts(properties.get("properties")),
    )


def _created(found: Json) -> datetime:
    return _time(found["systemData"]["createdAt"])


def _time(text: object) -> datetime:
    """The run history's names say that its times are in UTC, whether or not the times do."""
    time = datetime.fromisoformat(str(text))
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def texts(found: Json | None) -> dict[str, str]:
    return {str(name): str(value) for name, value in (found or {}).items()}


def segment(name: str) -> str:
    """One part of an address, whatever its characters: names come with events, too."""
    return quote(name, safe="")
