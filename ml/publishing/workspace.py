"""A workspace as publishing sees it: what is there under a name, and putting something there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from azure.ai.ml import load_component, load_data, load_environment
from azure.ai.ml.entities import BatchEndpoint, Resource, Schedule
from azure.core.exceptions import ResourceNotFoundError

from ml.publishing import sdk
from ml.publishing.contents import LABEL, NOT_CODE, Item, Kind
from ml.publishing.steps import Endpoint, Known, Refused

_Entity = TypeVar("_Entity", bound=Resource)


class Workspace:
    """Talks to AML with Microsoft's client; every read is one call, or two of code that is there."""

    def __init__(self, client: sdk.MLClient) -> None:
        self._client = client
        self._getters: dict[Kind, Callable[[Item], Any]] = {
            Kind.ENVIRONMENT: lambda item: client.environments.get(item.name, item.version),
            Kind.COMPONENT: lambda item: client.components.get(item.name, item.version),
            Kind.PIPELINE: lambda item: client.components.get(item.name, item.version),
            Kind.DATA: lambda item: client.data.get(item.name, item.version),
            Kind.DEPLOYMENT: lambda item: client.batch_deployments.get(item.name, item.version),
            Kind.MONITOR: lambda item: client.schedules.get(item.name),
        }

    def find(self, item: Item) -> Known | None:
        if item.kind is Kind.CODE:
            return self._find_code(item)
        with sdk.quiet():
            try:
                found = self._getters[item.kind](item)
            except ResourceNotFoundError:
                return None
        sound = getattr(found, "provisioning_state", None) not in ("Failed", "Canceled")
        return Known(content=(found.tags or {}).get(LABEL), sound=sound)

    def _find_code(self, item: Item) -> Known | None:
        """AML keeps no tags of code, but finds it by the client's hash: what is the same is ours, whoever put it."""
        with sdk.quiet(), _staged(item) as folder:
            code = sdk.Code(name=item.name, version=item.version, path=str(folder))
            if item.version in sdk.code_versions(self._client, code):
                return Known(content=item.content)
            try:
                sdk.get_code(self._client, item.name, item.version)
            except ResourceNotFoundError:
                return None
            return Known(content="other")

    def put(self, item: Item) -> None:
        """New, or where it may change, changed.

        Raises:
            Refused: the same code is there under another version.
        """
        label = {LABEL: item.content}
        with sdk.quiet(), _staged(item) as folder:
            body = item.body if folder is None else {**item.body, "code": str(folder)}
            source = sdk.source(body)
            match item.kind:
                case Kind.ENVIRONMENT:
                    self._client.environments.create_or_update(_labelled(load_environment(source), label))
                case Kind.CODE:
                    self._put_code(item, folder)
                case Kind.COMPONENT | Kind.PIPELINE:
                    self._client.components.create_or_update(_labelled(load_component(source), label))
                case Kind.DATA:
                    self._client.data.create_or_update(_labelled(load_data(source), label))
                case Kind.DEPLOYMENT:
                    deployment = _labelled(sdk.load_deployment(source), label)
                    self._client.batch_deployments.begin_create_or_update(deployment).result()
                case Kind.MONITOR:
                    self._client.schedules.begin_create_or_update(_labelled(self._monitor(body), label)).result()

    def _monitor(self, body: dict[str, Any]) -> Schedule:
        """With whole ids of the signals' components: of all references, the client sends this one as it finds it.

        A signal's literal inputs are set once it is loaded: the client sends them, but knows none in YAML.
        """
        create = body["create_monitor"]
        inputs = {name: signal.get("inputs") for name, signal in create["monitoring_signals"].items()}
        signals = {
            name: {
                **{key: value for key, value in signal.items() if key != "inputs"},
                "component_id": f"azureml:{self._component_id(signal['component_id'])}",
            }
            for name, signal in create["monitoring_signals"].items()
        }
        monitor = sdk.load_monitor(sdk.source({**body, "create_monitor": {**create, "monitoring_signals": signals}}))
        for name, signal in monitor.create_monitor.monitoring_signals.items():
            signal.inputs = inputs[name]
        return monitor

    def _component_id(self, reference: str) -> str:
        _, name, version = reference.split(":")
        client = self._client
        return (
            f"/subscriptions/{client.subscription_id}/resourceGroups/{client.resource_group_name}/providers"
            f"/Microsoft.MachineLearningServices/workspaces/{client.workspace_name}/components/{name}/versions/{version}"
        )

    def _put_code(self, item: Item, folder: Path | None) -> None:
        code = sdk.Code(name=item.name, version=item.version, path=str(folder))
        version = sdk.put_code(self._client, code)
        if version != item.version:
            raise Refused(f"{item.file}: version: this very code is {item.name}:{version}: say {version}")

    def endpoint(self, name: str) -> Endpoint | None:
        with sdk.quiet():
            try:
                found = self._client.batch_endpoints.get(name)
            except ResourceNotFoundError:
                return None
            deployments = tuple(str(each.name) for each in self._client.batch_deployments.list(name))
        return Endpoint(name=name, default=_default(found), deployments=deployments)

    def make_default(self, endpoint: str, deployment: str) -> None:
        """Everything else of the endpoint is put as it was read."""
        with sdk.quiet():
            found = self._client.batch_endpoints.get(endpoint)
            found.defaults = {"deployment_name": deployment}
            self._client.batch_endpoints.begin_create_or_update(found).result()


def _default(endpoint: BatchEndpoint) -> str | None:
    return getattr(endpoint.defaults, "deployment_name", None) or None


def _labelled(entity: _Entity, label: dict[str, str]) -> _Entity:
    entity.tags = {**(entity.tags or {}), **label}
    return entity


class _staged:  # used as a function is
    """A copy of an item's code without what is no code: the client would upload and hash that, too."""

    def __init__(self, item: Item) -> None:
        self._code = item.folder
        self._temporary: TemporaryDirectory[str] | None = None

    def __enter__(self) -> Path | None:
        if self._code is None:
            return None
        self._temporary = TemporaryDirectory(prefix="relearn-publish-")
        return Path(shutil.copytree(self._code, Path(self._temporary.name, self._code.name), ignore=NOT_CODE))

    def __exit__(self, *_: object) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()
