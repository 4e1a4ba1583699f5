"""Reads what is PUT to batch endpoints and their deployments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.machine_learning.answers import Refused
from local.machine_learning.batch.pipelines import PipelineComponent


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What publishing over REST needs of the rest of the workspace.

    Attributes:
        component: the registered pipeline component a reference means.
        finished: keeps an operation of this kind that has succeeded; answers where it is asked about.
    """

    component: Callable[[str], PipelineComponent]
    finished: Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointBody:
    default: str | None
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""

    @classmethod
    def read(cls, body: object) -> EndpointBody:
        """Raises Refused."""
        given, properties = _parts(body)
        # The authentication is the only one there is: the client spells it aadToken, the service AADToken.
        mode = properties.get("authMode")
        if str(mode).lower() != "aadtoken":
            raise Refused(400, "UserError", f"The request is invalid: authMode {mode!r} is not AADToken.")
        defaults = properties.get("defaults")
        return cls(
            default=defaults.get("deploymentName") if isinstance(defaults, Mapping) else None,
            tags=dict(given.get("tags") or {}),
            description=str(properties.get("description") or ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentBody:
    component: str
    tags: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, body: object) -> DeploymentBody:
        """Raises Refused: what it does not deploy is a registered pipeline component."""
        given, properties = _parts(body)
        configuration = properties.get("deploymentConfiguration")
        if not isinstance(configuration, Mapping):
            raise Refused(501, "NotImitatedLocally", "Only deployments of pipeline components are imitated.")
        component = configuration.get("componentId")
        reference = component.get("assetId") if isinstance(component, Mapping) else None
        if not isinstance(reference, str):
            raise Refused(400, "UserError", "The request is invalid: deploymentConfiguration has no componentId.")
        return cls(
            component=reference,
            tags=dict(given.get("tags") or {}),
            settings=dict(configuration.get("settings") or {}),
        )


def _parts(body: object) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    given = body if isinstance(body, Mapping) else {}
    properties = given.get("properties")
    if not isinstance(properties, Mapping):
        raise Refused(400, "UserError", "The request is invalid: the body has no 'properties' object.")
    return given, properties
