"""Components in files of this machine, as AML would describe them once they are registered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from local.machine_learning.batch.components import ComponentError, Node, load_command
from local.machine_learning.batch.pipelines import load_pipeline
from local.machine_learning.registry.assets import InvalidAsset

FILE = "component.yml"


def read_component(file: Path) -> dict[str, Any]:
    """What stands in the file, after it has been found right.

    Raises:
        InvalidAsset: it is no component that is imitated, or its file has another name than component.yml.
    """
    if file.name != FILE:
        raise InvalidAsset(f"{file}: a registered component's file is named {FILE}")
    try:
        root = Node.load(file)
        kind = root.text("type", "command")
        loaded = (load_pipeline if kind == "pipeline" else load_command)(file)
        ports = {
            side: {name: dict(port.content) for name, port in root.children(side)} for side in ("inputs", "outputs")
        }
    except ComponentError as problem:
        raise InvalidAsset(str(problem)) from problem
    return {"name": loaded.name, "version": loaded.version, "type": kind, **ports}
