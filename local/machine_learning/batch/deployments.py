"""Batch endpoints and what is deployed on them."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from local.machine_learning.batch.pipelines import PipelineComponent
from local.service import now

# Letters, digits and single hyphens, beginning with a letter, 3 to 32 characters.
_NAME = re.compile(r"(?=.{3,32}$)[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One pipeline component behind an endpoint."""

    name: str
    component: PipelineComponent
    created: datetime
    tags: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A name to invoke; a call that names no deployment goes to the default one, if there is one."""

    name: str
    default: str | None
    created: datetime
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    deployments: Mapping[str, Deployment] = field(default_factory=dict)

    def deployment(self, name: str | None) -> Deployment | None:
        return self.deployments.get((name or self.default or "").lower())


class Endpoints:
    """The endpoints of a workspace, safe from any thread. Names are found whatever their case."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_name: dict[str, Endpoint] = {}

    def put(self, name: str, default: str | None, tags: Mapping[str, str], description: str) -> Endpoint:
        """An endpoint, new or changed.

        Raises:
            ValueError: it is no name, or there is no such deployment.
        """
        _check_name(name)
        with self._lock:
            known = self._by_name.get(name.lower()) or Endpoint(name=name, default=None, created=now())
            if default and default.lower() not in known.deployments:
                raise ValueError(f"endpoint {name!r} has no deployment {default!r}, so it cannot be its default")
            known = replace(known, default=default or None, tags=dict(tags), description=description)
            self._by_name[name.lower()] = known
            return known

    def put_deployment(self, endpoint: str, deployment: Deployment) -> Endpoint:
        """Put a deployment, new or changed, at an endpoint that is there; which is the default does not change.

        Raises:
            KeyError: there is no such endpoint.
            ValueError: it is no name.
        """
        _check_name(deployment.name)
        with self._lock:
            known = self._by_name[endpoint.lower()]
            known = replace(known, deployments={**known.deployments, deployment.name.lower(): deployment})
            self._by_name[endpoint.lower()] = known
            return known

    def deploy(self, endpoint: str, deployment: str, component: PipelineComponent, *, default: bool) -> Endpoint:
        """Put a component behind an endpoint, which is made if need be; the first deployment is the default."""
        for name in (endpoint, deployment):
            _check_name(name)
        with self._lock:
            known = self._by_name.get(endpoint.lower()) or Endpoint(name=endpoint, default=deployment, created=now())
            added = Deployment(name=deployment, component=component, created=now())
            known = replace(
                known,
                default=deployment if default else known.default,
                deployments={**known.deployments, deployment.lower(): added},
            )
            self._by_name[endpoint.lower()] = known
            return known

    def get(self, name: str) -> Endpoint | None:
        with self._lock:
            return self._by_name.get(name.lower())

    def all(self) -> list[Endpoint]:
        with self._lock:
            return list(self._by_name.values())


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no name of an endpoint or deployment: 3 to 32 letters, digits, hyphens")
