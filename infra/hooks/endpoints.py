"""Whether main.bicep is to make the endpoints: a PUT of one that is there takes its traffic away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

ONLINE, BATCH = "onlineEndpoints", "batchEndpoints"
API_VERSION: Final = "2024-04-01"
TAG: Final = "azd-env-name"
EXPECTED: Final = {ONLINE: 1, BATCH: 3}
"""How many of a kind main.bicep makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An endpoint of the workspace. `serves`: what a PUT of it would take away."""

    name: str
    kind: str
    environment: str
    serves: str

    @classmethod
    def read(cls, kind: str, endpoint: Mapping[str, Any]) -> Self:
        properties = endpoint.get("properties") or {}
        if kind == ONLINE:
            shares = {name: share for name, share in (properties.get("traffic") or {}).items() if share}
            serves = ", ".join(f"{share} % of its traffic to {name}" for name, share in sorted(shares.items()))
        else:
            default = (properties.get("defaults") or {}).get("deploymentName")
            serves = f"its default deployment {default}" if default else ""
        tags = endpoint.get("tags") or {}
        return cls(name=endpoint["name"], kind=kind, environment=tags.get(TAG, ""), serves=serves)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    create: bool
    why: str


def plan(found: Sequence[Found], environment: str, online_name: str) -> Plan:
    """Make them all, unless one of ours serves something, or all are there.

    An endpoint is ours by its tag, or by the name that was given to the online one. Ours that serve nothing are what a
    deployment that failed has left: to put them again loses nothing, and makes those that are missing.
    """
    ours = [each for each in found if each.environment == environment or each.name.lower() == online_name.lower() != ""]
    missing = [kind for kind, number in EXPECTED.items() if sum(each.kind == kind for each in ours) < number]
    serving = [f"{each.name} has {each.serves}" for each in ours if each.serves]
    if not missing:
        return Plan(create=False, why="they are there")
    if serving:
        told = "; ".join(serving)
        return Plan(
            create=False, why=f"some of the {' and '.join(missing)} are missing, but {told}: make those by hand"
        )
    return Plan(create=True, why="there is none yet" if not ours else "not all of them are there, and none serves")
