"""Models, codes and environments as AML writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from local.machine_learning.answers import PROVIDER, Answers, system_data
from local.machine_learning.registry.assets import Asset, Model


class RegistryAnswers:
    """Renders what stands below /models, /codes and /environments."""

    def __init__(self, workspace: Answers) -> None:
        self._workspace = workspace

    def model_id(self, model: Model) -> str:
        return f"{self._workspace.id}/models/{model.name}/versions/{model.version}"

    def model(self, model: Model) -> dict[str, Any]:
        return {
            "id": self.model_id(model),
            "name": model.version,
            "type": f"{PROVIDER}/models/versions",
            "systemData": system_data(model.created, model.modified),
            "properties": {
                "description": model.description,
                "tags": dict(model.tags),
                "properties": dict(model.properties),
                "isArchived": model.archived,
                "isAnonymous": False,
                "flavors": dict(model.flavors),  # the client cannot live without this object
                "modelType": model.type,
                "modelUri": model.uri,
                "jobName": None,
                "stage": model.stage,
                "provisioningState": "Succeeded",
            },
        }

    def container(self, versions: Sequence[Model], next_version: str) -> dict[str, Any]:
        """A model as such, from its versions in the order of their creation."""
        latest = versions[-1]
        return {
            "id": f"{self._workspace.id}/models/{latest.name}",
            "name": latest.name,
            "type": f"{PROVIDER}/models",
            "systemData": system_data(versions[0].created, latest.modified),
            "properties": {
                "description": "",
                "tags": {},
                "properties": {},
                "isArchived": all(model.archived for model in versions),
                "latestVersion": latest.version,
                "nextVersion": next_version,
                "provisioningState": "Succeeded",
            },
        }

    def asset(self, asset: Asset) -> dict[str, Any]:
        return {
            "id": f"{self._workspace.id}/{asset.kind}/{asset.name}/versions/{asset.version}",
            "name": asset.version,
            "type": f"{PROVIDER}/{asset.kind}/versions",
            "systemData": system_data(asset.created),
            "properties": {
                "description": "",
                "tags": {},
                "properties": {},
                "isArchived": False,
                "isAnonymous": False,
                **asset.properties,
                "provisioningState": "Succeeded",
            },
        }
