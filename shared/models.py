"""What the workspace tells about models, endpoints and deployments, and the names Relearn gives there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

REACTION_TAG: Final = "relearn_reaction"
"""On a deployment: the rollout that made it. On a job: the reaction that started it. On a model: the reaction whose run
registered it."""

ATTEMPT_TAG: Final = "relearn_attempt"
"""Beside it: which of the reaction's attempts."""

_VERSION: Final = re.compile(r"(?:azureml:)?.*/models/(?P<name>[^/]+)/versions/(?P<version>[^/]+)", re.IGNORECASE)
_SHORT: Final = re.compile(r"azureml:(?P<name>[^:/]+):(?P<version>[^:/]+)")
_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """Which version of which model. A version need not be a number."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"

    @classmethod
    def parse(cls, text: str) -> ModelRef | None:
        """From `azureml:NAME:VERSION`, or an ARM id with or without `azureml:` before it; None for anything else."""
        found = _VERSION.fullmatch(text) or _SHORT.fullmatch(text)
        return cls(name=found["name"], version=found["version"]) if found is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A registered model as it is now: what an event said of its tags is a snapshot.

    Attributes:
        created: AML's own time, by which two versions are ordered; a version's text orders nothing.
        asset: `azureml:` and the ARM id, which a job takes as the address of a model.
    """

    ref: ModelRef
    created: datetime
    asset: str
    archived: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreachedRun:
    """A run of a model monitor that found a signal beyond its threshold.

    Attributes:
        id: of the evaluating step's own run, which is what the event of a breach names.
        experiment: the monitor's name.
        ended: when it ended; where that is not told, when it began.
        end_told: whether it is.
        text: what the tag says.
        properties: of the run, which name the run of the whole monitor.
    """

    id: str
    experiment: str
    ended: datetime
    text: str
    properties: Mapping[str, str] = field(default_factory=dict)
    end_told: bool = True


class Provisioning(StrEnum):
    """How far AML is with a resource. What is new to us is taken as on its way, never as an end."""

    UNDER_WAY = "under way"
    DELETING = "deleting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One deployment of an endpoint. `model` is None where what it serves is no model of the workspace."""

    name: str
    model: ModelRef | None
    provisioning: Provisioning
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def reaction(self) -> str | None:
        """The rollout that made it; None for a deployment that is not ours."""
        return self.tags.get(REACTION_TAG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An online endpoint with its deployments. `traffic` holds per cent by deployment, zeros left out."""

    name: str
    provisioning: Provisioning
    auth_mode: str
    scoring_uri: str | None
    traffic: Mapping[str, int] = field(default_factory=dict)
    deployments: tuple[Deployment, ...] = ()

    def deployment(self, name: str) -> Deployment | None:
        return next((d for d in self.deployments if d.name.lower() == name.lower()), None)

    def share(self, deployment: str) -> int:
        return next((share for name, share in self.traffic.items() if name.lower() == deployment.lower()), 0)

    @property
    def live(self) -> Deployment | None:
        """The deployment with the most traffic; None where none has any."""
        served = [d for d in self.deployments if self.share(d.name) > 0]
        return max(served, key=lambda d: (self.share(d.name), d.name), default=None)


def deployment_name(model: ModelRef) -> str:
    """The name of a version's deployment: readable, and different for different versions.

    AML allows 3 to 32 letters, digits and single hyphens, beginning with a letter: at most 16 of the model's name, 8 of
    the version, and 4 digits of a hash, since slugs of different names may be the same.
    """
    digest = hashlib.sha256(f"{model.name}\0{model.version}".encode()).hexdigest()[:4]
    name = _slug(model.name)[:16].strip("-")
    if not name[:1].isalpha():
        name = f"m-{name}"[:16].strip("-")
    return "-".join(part for part in (name, _slug(model.version)[:8].strip("-"), digest) if part)


def _slug(text: str) -> str:
    return _NOT_IN_A_NAME.sub("-", text.lower()).strip("-")
