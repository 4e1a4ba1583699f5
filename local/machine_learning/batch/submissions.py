"""Reads what is PUT to /jobs: a pipeline job, of a registered pipeline component or of steps that are registered."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from local.machine_learning.batch.components import ComponentError
from local.machine_learning.batch.invocations import LITERAL, FindModel, InvalidInvocation, NotImitated, read_data
from local.machine_learning.batch.pipelines import PipelineComponent, load_pipeline
from local.machine_learning.batch.records import Data, Value
from local.machine_learning.references import BadReference
from local.machine_learning.registry.assets import Asset, InvalidAsset
from local.machine_learning.registry.components import keep_component
from local.machine_learning.registry.registry import UnknownAsset

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
_HANDED_ON: Final = re.compile(r"\$\{\{\s*parent\.inputs\.(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_ONE_VERSION: Final = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobBody:
    """A checked body. Inputs left out have their default; an output without a place is not in `outputs`.

    Attributes:
        runs: the name of what it runs, by which its progress is set.
        given: the properties as they came.
        component_id: as it was given, where the whole job is one registered component.
    """

    component: PipelineComponent
    runs: str
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Data]
    experiment: str
    given: Mapping[str, Any]
    display_name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    component_id: str | None = None
    compute: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submissions:
    """What a job may refer to. `folder`: where pipelines are kept that were not registered before."""

    find: Callable[[str, str], Asset]
    find_model: FindModel
    folder: Path

    def read(self, name: str, body: object) -> JobBody:
        """Check a job's body against what it refers to.

        Raises:
            InvalidInvocation: with every problem found.
            NotImitated: AML would know what to do with it.
        """
        properties = body.get("properties") if isinstance(body, Mapping) else None
        if not isinstance(properties, Mapping):
            raise InvalidInvocation(["the body has no 'properties' object"])
        if _NAME.fullmatch(name) is None:
            raise InvalidInvocation([f"{name!r} is no name of a job: up to 255 letters, digits, '-' and '_'"])
        if properties.get("jobType") != "Pipeline":
            raise NotImitated(f"jobs of type {properties.get('jobType')!r}; only Pipeline is imitated")
        try:
            component = self._component(name, properties)
        except (BadReference, UnknownAsset, ComponentError, InvalidAsset) as problem:
            raise InvalidInvocation([str(problem)]) from problem
        inputs, outputs = read_data(
            component, properties.get("inputs"), properties.get("outputs"), find_model=self.find_model
        )
        settings = properties.get("settings") or {}
        return JobBody(
            component=component,
            runs=component.name if properties.get("componentId") else component.steps[0].component.name,
            inputs=inputs,
            outputs=outputs,
            given=properties,
            experiment=str(properties.get("experimentName") or "Default"),
            display_name=properties.get("displayName"),
            tags={key: str(value) for key, value in (properties.get("tags") or {}).items()},
            component_id=properties.get("componentId"),
            compute=properties.get("computeId") or settings.get("default_compute"),
        )

    def _component(self, name: str, properties: Mapping[str, Any]) -> PipelineComponent:
        reference = properties.get("componentId")
        if reference is not None:
            folder = self.find("components", str(reference)).folder
            if folder is None:
                raise UnknownAsset(f"{reference!r} is not on this machine")
            return load_pipeline(folder / "component.yml")
        jobs: Mapping[str, Any] = properties.get("jobs") or {}
        spec = {
            "type": "pipeline",
            "inputs": self._inputs(properties, jobs),
            "outputs": _outputs(properties),
            "jobs": jobs,
        }
        return load_pipeline(keep_component(self.folder, name, _ONE_VERSION, spec, self.find))

    def _inputs(self, properties: Mapping[str, Any], jobs: Mapping[str, Any]) -> dict[str, Any]:
        """The pipeline's inputs are declared by no component: they have the types of the steps' that get them."""
        handed_on = {}
        for step in jobs.values():
            declared = (
                self.find("components", str(step.get("componentId"))).properties["componentSpec"].get("inputs", {})
            )
            for port, bound in (step.get("inputs") or {}).items():
                text = bound.get("value") if isinstance(bound, Mapping) else bound
                if (match := _HANDED_ON.fullmatch(str(text))) and port in declared:
                    handed_on[match["name"]] = declared[port]["type"]
        given: Mapping[str, Mapping[str, Any]] = properties.get("inputs") or {}
        return {key: {"type": _type(value, handed_on.get(key, "string"))} for key, value in given.items()}


def _type(given: Mapping[str, Any], of_step: str) -> str:
    kind = str(given.get("jobInputType"))
    return of_step if kind.lower() == LITERAL.lower() else kind.lower()


def _outputs(properties: Mapping[str, Any]) -> dict[str, Any]:
    given: Mapping[str, Mapping[str, Any]] = properties.get("outputs") or {}
    return {key: {"type": str(value.get("jobOutputType", "uri_folder")).lower()} for key, value in given.items()}
