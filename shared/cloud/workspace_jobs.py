"""Jobs of registered components, over ARM: the body is what azure-ai-ml sends for them, which need not be loaded.

A pipeline component is the whole job, by its id. A command component is the only step of a pipeline job, whose inputs
are handed on to it: AML takes no registered command as a job by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from azure.core.rest import HttpRequest, HttpResponse

from shared.cloud.targets import asked, sought, started
from shared.errors import TargetRefused
from shared.models import REACTION_TAG
from shared.ports import Component, NewJob, RunStatus, WorkspaceJob

SERVERLESS: Final = "serverless"
"""Stands where a compute's name does."""
STEP: Final = "run"
"""The only step of a command component's job."""

_NAMED: Final = re.compile(r"azureml:(?P<name>[^:/@]+):(?P<version>[^:/@]+)")
_LITERALS: Final = frozenset({"string", "number", "integer", "boolean"})
_MODELS: Final = frozenset({"mlflow_model", "custom_model", "triton_model"})
_BUSY: Final = frozenset({408, 409, 429})
_STATUS: Final = {
    "notstarted": RunStatus.QUEUED,
    "queued": RunStatus.QUEUED,
    "cancelrequested": RunStatus.CANCELING,
    "completed": RunStatus.SUCCEEDED,
    "failed": RunStatus.FAILED,
    "canceled": RunStatus.CANCELLED,
}

Json = Mapping[str, Any]


class WorkspaceJobs:
    """The part of the port Workspace that is about jobs.

    Args:
        workspace: its ARM id.
        url: the address of a path below it.
        read: sends a request, and gives the JSON object that answers it.
        send: sends a request; raises HttpResponseError where the answer is no success.
    """

    def __init__(
        self,
        workspace: str,
        *,
        url: Callable[[str], str],
        read: Callable[[HttpRequest], Json],
        send: Callable[[HttpRequest], HttpResponse],
    ) -> None:
        self._workspace = workspace
        self._url = url
        self._read = read
        self._send = send
        self._components: dict[str, Component] = {}

    def component(self, reference: str) -> Component | None:
        """A version of a component never changes, so it is asked for once."""
        known = self._components.get(reference)
        if known is not None:
            return known
        address = self._asset("components", reference)
        if not address.lower().startswith(f"{self._workspace.lower()}/"):
            raise TargetRefused(f"component {reference} is not one of this workspace")
        url = self._url(address[len(self._workspace) + 1 :])
        found = sought("workspace", lambda: _component(self._read(HttpRequest("GET", url))), busy=_BUSY)
        if found is not None:
            self._components[reference] = found
        return found

    def job(self, name: str) -> WorkspaceJob | None:
        return sought("workspace", lambda: _job(self._read(HttpRequest("GET", self._job_url(name)))), busy=_BUSY)

    def start(self, wanted: NewJob) -> None:
        request = HttpRequest("PUT", self._job_url(wanted.name), json={"properties": self._properties(wanted)})
        started(lambda: self._read(request))

    def cancel(self, name: str) -> None:
        asked("workspace", lambda: self._send(HttpRequest("POST", self._job_url(name, "/cancel"))), busy=_BUSY)

    def _job_url(self, name: str, below: str = "") -> str:
        return self._url(f"jobs/{quote(name, safe='')}{below}")

    # --- the body -----------------------------------------------------------------------------------------------------

    def _properties(self, wanted: NewJob) -> dict[str, Any]:
        component = wanted.component
        inputs = {name: self._input(component.inputs[name], value) for name, value in wanted.inputs.items()}
        own: dict[str, Any] = (
            {"componentId": component.id, "jobs": {}} if component.pipeline else {"jobs": {STEP: _step(wanted)}}
        )
        return {
            "jobType": "Pipeline",
            "displayName": wanted.name,
            "experimentName": wanted.experiment,
            "tags": dict(wanted.tags),
            "isArchived": False,
            "inputs": inputs,
            "outputs": {},
            "settings": {
                "default_compute": f"{self._workspace}/computes/{wanted.compute or SERVERLESS}",
                "_source": "REMOTE.WORKSPACE.COMPONENT",
            },
            **own,
        }

    def _input(self, kind: str, value: str) -> dict[str, str]:
        if kind in _LITERALS:
            return {"jobInputType": "literal", "value": value}
        return {"jobInputType": kind, "uri": self._asset("models" if kind in _MODELS else "data", value)}

    def _asset(self, kind: str, reference: str) -> str:
        """A registered asset's ARM id, without the `azureml:` that may stand before it; any other address as it is."""
        named = _NAMED.fullmatch(reference)
        if named is not None:
            parts = (quote(named[part], safe="") for part in ("name", "version"))
            return f"{self._workspace}/{kind}/{'/versions/'.join(parts)}"
        by_id = reference.lower().startswith("azureml:/subscriptions/")
        return reference.removeprefix("azureml:") if by_id else reference


def _step(wanted: NewJob) -> dict[str, Any]:
    handed_on = {
        name: {"job_input_type": "literal", "value": f"${{{{parent.inputs.{name}}}}}"} for name in wanted.inputs
    }
    return {
        "name": STEP,
        "type": "command",
        "componentId": wanted.component.id,
        "inputs": handed_on,
        "_source": "REMOTE.WORKSPACE.COMPONENT",
    }


# --- what is read -----------------------------------------------------------------------------------------------------


def _component(found: Json) -> Component:
    spec = found["properties"]["componentSpec"]
    inputs: Mapping[str, Json] = spec.get("inputs") or {}
    return Component(
        id=str(found["id"]),
        pipeline=str(spec["type"]).lower() == "pipeline",
        inputs={name: str(each["type"]).lower() for name, each in inputs.items()},
        required=frozenset(name for name, each in inputs.items() if not _may_be_left_out(each)),
    )


def _may_be_left_out(declared: Json) -> bool:
    """A registered component's flags come back as texts or as booleans."""
    return str(declared.get("optional", False)).lower() == "true" or declared.get("default") is not None


def _job(found: Json) -> WorkspaceJob:
    properties = found["properties"]
    tags: Mapping[str, object] = properties.get("tags") or {}
    reaction = tags.get(REACTION_TAG)
    return WorkspaceJob(
        name=str(found["name"]),
        # A status that is new to us is not taken for an end: the job is followed on, at most until its timeout.
        status=_STATUS.get(str(properties.get("status")).lower(), RunStatus.IN_PROGRESS),
        reaction=str(reaction) if reaction is not None else None,
    )
