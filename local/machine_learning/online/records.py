"""Endpoints and deployments as they are kept in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from local.machine_learning.online.values import AuthMode, Deployment, Endpoint, Keys, State


def write_records(endpoints: Sequence[Endpoint], deployments: Sequence[Deployment]) -> dict[str, Any]:
    return {
        "endpoints": [asdict(endpoint) for endpoint in endpoints],
        # A process does not outlive the local cloud.
        "deployments": [asdict(deployment) | {"server": None} for deployment in deployments],
    }


def read_records(saved: Mapping[str, Any]) -> tuple[list[Endpoint], list[Deployment]]:
    endpoints = [
        Endpoint(**_read(known) | {"auth_mode": AuthMode(known["auth_mode"]), "keys": Keys(**known["keys"])})
        for known in saved.get("endpoints", ())
    ]
    return endpoints, [Deployment(**_read(known)) for known in saved.get("deployments", ())]


def _read(known: Mapping[str, Any]) -> dict[str, Any]:
    times = {name: datetime.fromisoformat(known[name]) for name in ("created", "modified")}
    return {**known, **times, "state": State(known["state"])}
