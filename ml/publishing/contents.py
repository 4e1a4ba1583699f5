"""What there is to publish: the YAML files as AML is given them, each with a fingerprint of its content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from ml.assets import Asset, Problem, mapping, read

LABEL: Final = "relearn_content"
"""The tag that carries the fingerprint of what was published."""
NOT_CODE: Final = shutil.ignore_patterns("__pycache__", "*.pyc", ".DS_Store")
# What only people read may be improved without a new version; it is published with the next one.
_FOR_PEOPLE: Final = frozenset({"$schema", "description", "display_name", "tags", "properties"})
_BATCH: Final = "BATCH"
NEWEST_REPORT: Final = "newest_report"
"""The input of a signal's component that says where its newest report goes."""


class Kind(StrEnum):
    """In the order in which they are published: none refers to a later one."""

    ENVIRONMENT = "environment"
    CODE = "code"
    COMPONENT = "component"
    PIPELINE = "pipeline"
    DATA = "data"
    DEPLOYMENT = "deployment"
    MONITOR = "monitor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing to publish.

    Attributes:
        version: of a monitor, which has none, empty; of a deployment, whose name tells them apart, the endpoint's name.
        body: what AML's loaders are given: the file's content, with references in place of the paths of other files.
        content: the fingerprint.
        folder: code that is uploaded with it.
        users: files that refer to this version, and change with it.
    """

    kind: Kind
    name: str
    version: str
    file: Path
    body: dict[str, Any]
    content: str
    folder: Path | None = None
    users: tuple[Path, ...] = ()

    @property
    def reference(self) -> str:
        return f"{self.name}:{self.version}"


class Unreadable(ValueError):
    """A file that cannot be published as it is; `ml.check` says more."""


def contents(root: Path, endpoints: dict[str, str], monitors: list[str], lake: str = "") -> list[Item]:
    """Everything below `root`, in the order in which it is published.

    Args:
        endpoints: names of batch endpoints in this workspace, by the names in the files.
        monitors: the batches that get a monitor.
        lake: the https address of the lake's container, where monitors leave their newest reports.

    Raises:
        Unreadable: a file is not what it should be.
    """
    pipelines = _files(root, "pipelines/*.yml")
    return [
        *(_environment(asset) for asset in _files(root, "environments/*.yml")),
        *(_code(asset) for asset in _files(root, "codes/*.yml")),
        *(_component(asset, pipelines) for asset in _files(root, "components/*/component.yml")),
        *(_pipeline(asset) for asset in pipelines),
        *(_item(Kind.DATA, asset, dict(asset.body)) for asset in _files(root, "data/*.yml")),
        *(_deployment(asset, endpoints) for asset in _files(root, "batch/*-deployment.yml")),
        *(_monitor(asset, batch, lake) for asset in _files(root, "monitors/*.yml") for batch in monitors),
    ]


def _environment(asset: Asset) -> Item:
    """With the conda file's content in the file's place, which is part of what is compared."""
    body = dict(asset.body)
    if isinstance(body.get("conda_file"), str):
        body["conda_file"] = _read(asset.file.parent / body["conda_file"]).body
    return _item(Kind.ENVIRONMENT, asset, body)


def _code(asset: Asset) -> Item:
    return _item(Kind.CODE, asset, dict(asset.body), (asset.file.parent / str(asset.body.get("path"))).resolve())


def _component(asset: Asset, pipelines: list[Asset]) -> Item:
    where = asset.body.get("code")
    folder = None if where is None else (asset.file.parent / str(where)).resolve()
    users = tuple(pipeline.file for pipeline in pipelines if asset.file.resolve() in _steps(pipeline).values())
    return _item(Kind.COMPONENT, asset, dict(asset.body), folder, users)


def _pipeline(asset: Asset) -> Item:
    """A step names the registered component, so that what ran is a version that can be looked up."""
    jobs = {name: dict(mapping(step)) for name, step in asset.section("jobs").items()}
    for name, file in _steps(asset).items():
        jobs[name]["component"] = _read(file).reference
    return _item(Kind.PIPELINE, asset, {**asset.body, "jobs": jobs})


def _deployment(asset: Asset, endpoints: dict[str, str]) -> Item:
    """Where it is deployed is no part of its content."""
    component = _read(asset.file.parent / str(asset.body.get("component"))).reference
    named = str(asset.body.get("endpoint_name"))
    endpoint = endpoints.get(named, named)
    content = fingerprint({**asset.body, "component": component, "endpoint_name": named}, None)
    return Item(
        kind=Kind.DEPLOYMENT,
        name=str(asset.body.get("name")),
        version=endpoint,
        file=asset.file,
        body={**asset.body, "component": component, "endpoint_name": endpoint},
        content=content,
    )


def _monitor(asset: Asset, batch: str, lake: str) -> Item:
    body = _filled(asset.body, batch)
    for signal in body["create_monitor"]["monitoring_signals"].values() if lake else ():
        signal["inputs"] = {NEWEST_REPORT: f"{lake.rstrip('/')}/monitoring/{body['name']}/report.json"}
    return Item(
        kind=Kind.MONITOR,
        name=str(body.get("name")),
        version="",
        file=asset.file,
        body=body,
        content=fingerprint(body, None),
    )


def _item(
    kind: Kind, asset: Asset, body: dict[str, Any], folder: Path | None = None, users: tuple[Path, ...] = ()
) -> Item:
    name, version = asset.body.get("name"), asset.body.get("version")
    if not isinstance(name, str) or not isinstance(version, str):
        raise Unreadable(f'{asset.file}: name and version must be texts: version: "1"')
    return Item(
        kind=kind,
        name=name,
        version=version,
        file=asset.file,
        body=body,
        content=fingerprint(body, folder),
        folder=folder,
        users=users,
    )


def fingerprint(body: dict[str, Any], folder: Path | None) -> str:
    """The same for the same content, on whatever machine and at whatever time."""
    said = {name: value for name, value in body.items() if name not in _FOR_PEOPLE}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode())
    for name, file in _code_files(folder) if folder else ():
        content = file.read_bytes()
        digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:32]


def _code_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """What is uploaded, but the component's own YAML: its content is in the body."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - NOT_CODE(parent, folders))
        for name in sorted(set(names) - NOT_CODE(parent, names) - {"component.yml"}):
            file = Path(parent, name)
            yield file.relative_to(folder).as_posix(), file


def _filled(value: Any, batch: str) -> Any:  # noqa: ANN401  # whatever YAML holds
    """The same with the batch's name in its place, in every text."""
    if isinstance(value, dict):
        return {name: _filled(each, batch) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, batch) for each in value]
    return value.replace(_BATCH, batch) if isinstance(value, str) else value


def _steps(pipeline: Asset) -> dict[str, Path]:
    """The file of each step's component."""
    jobs = pipeline.section("jobs").items()
    return {name: (pipeline.file.parent / str(mapping(step).get("component"))).resolve() for name, step in jobs}


def _files(root: Path, pattern: str) -> list[Asset]:
    return [_read(file) for file in sorted(root.glob(pattern))]


def _read(file: Path) -> Asset:
    asset = read(file)
    if isinstance(asset, Problem):
        raise Unreadable(str(asset))
    return asset
