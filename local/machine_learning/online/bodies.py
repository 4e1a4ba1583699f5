"""Reads what is PUT to online endpoints and deployments, and refuses what AML would refuse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from local.machine_learning.answers import Refused
from local.machine_learning.online.values import AuthMode, is_name, seconds_of

MOST_SECONDS: Final = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointBody:
    auth_mode: AuthMode
    traffic: Mapping[str, int]
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, body: object) -> EndpointBody:
        """Raises Refused."""
        given, properties = _parts(body)
        mode = properties.get("authMode")
        if mode not in set(AuthMode):
            raise _user_error(f"authMode {mode!r} is none of {', '.join(AuthMode)}")
        if properties.get("mirrorTraffic"):
            raise Refused(501, "NotImitatedLocally", "Mirrored traffic is not imitated.")
        return cls(
            auth_mode=AuthMode(mode),
            traffic=_traffic(properties.get("traffic") or {}),
            tags=_texts("tags", given.get("tags")),
            description=str(properties.get("description") or ""),
            properties=_texts("properties.properties", properties.get("properties")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentBody:
    properties: Mapping[str, Any]
    capacity: int
    tags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, body: object) -> DeploymentBody:
        """Raises Refused."""
        given, properties = _parts(body)
        kind = properties.get("endpointComputeType", "Managed")
        if kind != "Managed":
            raise Refused(501, "NotImitatedLocally", f"Deployments on {kind} compute are not imitated.")
        for name in ("model", "environmentId"):
            if not isinstance(properties.get(name), (str, type(None))):
                raise _user_error(f"properties.{name} must be the id of an asset")
        _check_code(properties.get("codeConfiguration"))
        _texts("properties.environmentVariables", properties.get("environmentVariables"))
        _check_timeout(properties.get("requestSettings"))
        return cls(
            properties=dict(properties), capacity=_capacity(given.get("sku")), tags=_texts("tags", given.get("tags"))
        )


def check_name(what: str, name: str) -> None:
    """Raises Refused."""
    if not is_name(name):
        rule = "3 to 32 letters, digits and single hyphens, beginning with a letter"
        raise _user_error(f"{name!r} is no name of {what}: {rule}")


def _parts(body: object) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    properties = body.get("properties") if isinstance(body, Mapping) else None
    if not isinstance(body, Mapping) or not isinstance(properties, Mapping):
        raise _user_error("the body has no 'properties' object")
    if not body.get("location"):
        raise _user_error("the body has no 'location'")
    return body, properties


def _traffic(given: object) -> dict[str, int]:
    if not isinstance(given, Mapping):
        raise _user_error("traffic must be an object of percentages")
    for name, share in given.items():
        if isinstance(share, bool) or not isinstance(share, int) or not 0 <= share <= 100:
            raise _user_error(f"the traffic of {name!r} must be a whole number from 0 to 100, not {share!r}")
    if sum(given.values()) not in (0, 100):
        raise _user_error(f"traffic must total 0 or 100, not {sum(given.values())}")
    return dict(given)


def _texts(what: str, given: object) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(value, str) for value in given.values()):
        raise _user_error(f"{what} must be an object of texts")
    return dict(given)


def _check_code(given: object) -> None:
    if given is None:
        return
    wanted = ("codeId", "scoringScript")
    if not isinstance(given, Mapping) or not all(isinstance(given.get(name), str) for name in wanted):
        raise _user_error("codeConfiguration must have a codeId and a scoringScript")


def _check_timeout(given: object) -> None:
    text = given.get("requestTimeout") if isinstance(given, Mapping) else None
    if text is None:
        return
    try:
        seconds = seconds_of(text)
    except (TypeError, ValueError) as problem:
        raise _user_error(f"requestSettings.requestTimeout: {problem}") from problem
    if seconds > MOST_SECONDS:
        raise _user_error(f"requestSettings.requestTimeout is {seconds:g} s; at most {MOST_SECONDS:g} s are allowed")


def _capacity(sku: object) -> int:
    capacity = sku.get("capacity", 1) if isinstance(sku, Mapping) else 1
    if isinstance(capacity, bool) or not isinstance(capacity, int) or not 1 <= capacity <= 50:
        raise _user_error(f"sku.capacity must be a number of instances from 1 to 50, not {capacity!r}")
    return capacity


def _user_error(message: str) -> Refused:
    return Refused(400, "UserError", f"The request is invalid: {message}.")
