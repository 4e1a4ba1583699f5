"""Components that a client registers: read from what it sends, kept as the files that components are read from here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local.machine_learning.batch.components import ComponentError, load_command
from local.machine_learning.batch.pipelines import load_pipeline
from local.machine_learning.references import BadReference
from local.machine_learning.registry.assets import Asset, InvalidAsset
from local.machine_learning.registry.registry import UnknownAsset

FindAsset = Callable[[str, str], Asset]
_PORT = ("type", "optional", "default", "description")


def keep_component(folder: Path, name: str, version: str, spec: object, find: FindAsset) -> Path:
    """Writes the component into a folder of its own, as component.yml, and checks it.

    What it refers to must be registered: AML takes only references, to which the client has turned every path.

    Raises:
        InvalidAsset: it is no component that is imitated, or refers to what there is not.
    """
    if not isinstance(spec, Mapping):
        raise InvalidAsset("the body has no 'componentSpec' object")
    pipeline = spec.get("type") == "pipeline"
    file = folder / name / version / "component.yml"
    try:
        content = _pipeline(spec, find) if pipeline else _command(spec, find)
        file.parent.mkdir(parents=True, exist_ok=True)
        # JSON is YAML.
        file.write_text(json.dumps({**content, "name": name, "version": version}, indent=1), encoding="utf-8")
        (load_pipeline if pipeline else load_command)(file)
    except (BadReference, UnknownAsset, ComponentError) as problem:
        raise InvalidAsset(str(problem)) from problem
    return file


def _command(spec: Mapping[str, Any], find: FindAsset) -> dict[str, Any]:
    find("environments", str(spec.get("environment")))  # what runs it is this machine's one environment
    content = {**_common(spec), "command": spec.get("command")}
    if code := spec.get("code"):
        folder = find("codes", str(code)).folder
        if folder is None:
            raise InvalidAsset(f"the code {code!r} is not on this machine, so it could not be run")
        content["code"] = str(folder)
    return content


def _pipeline(spec: Mapping[str, Any], find: FindAsset) -> dict[str, Any]:
    jobs = {name: _step(step, find) for name, step in (spec.get("jobs") or {}).items()}
    return {**_common(spec), "description": spec.get("description") or "", "jobs": jobs}


def _step(step: Mapping[str, Any], find: FindAsset) -> dict[str, Any]:
    component = find("components", str(step.get("componentId")))
    content: dict[str, Any] = {
        "type": step.get("type", "command"),
        "component": f"{component.folder}/component.yml",
        "inputs": {name: _bound(value) for name, value in (step.get("inputs") or {}).items()},
        "outputs": {name: _bound(value) for name, value in (step.get("outputs") or {}).items()},
    }
    if limits := step.get("limits"):
        content["limits"] = limits
    return content


def _bound(value: object) -> object:
    """A literal's text, or the address of data."""
    if isinstance(value, Mapping):
        return value.get("value", value.get("uri", value.get("path")))
    return value


def _common(spec: Mapping[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"type": spec.get("type")}
    for section in ("inputs", "outputs"):
        ports = spec.get(section) or {}
        content[section] = {name: {key: port[key] for key in _PORT if key in port} for name, port in ports.items()}
    return content
