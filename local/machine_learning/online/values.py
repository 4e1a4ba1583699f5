"""Online endpoints and their deployments, as values: replaced at every change, kept over a restart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

# Letters, digits and single hyphens, beginning with a letter, 3 to 32 characters.
_NAME: Final = re.compile(r"(?=.{3,32}$)[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")
_DURATION: Final = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?")
DEFAULT_TIMEOUT: Final = "PT5S"


class State(StrEnum):
    """AML's provisioning states. While one is not final, nothing else can be asked of the resource."""

    CREATING = "Creating"
    UPDATING = "Updating"
    DELETING = "Deleting"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"

    @property
    def is_final(self) -> bool:
        return self in {State.SUCCEEDED, State.FAILED, State.CANCELED}


class AuthMode(StrEnum):
    KEY = "Key"
    AML_TOKEN = "AMLToken"
    AAD_TOKEN = "AADToken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    primary: str = field(repr=False)
    secondary: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`traffic` is what is in force; `operation` the one that made the state what it is."""

    name: str
    auth_mode: AuthMode
    keys: Keys
    created: datetime
    modified: datetime
    operation: str
    state: State = State.CREATING
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    traffic: Mapping[str, int] = field(default_factory=dict)
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRecord:
    """The inference server's process as it was really started."""

    argv: tuple[str, ...]
    pid: int
    port: int
    log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """`properties` are those of the PUT, as they were sent. `served`: by a real process, else by a canned answer;
    `up`: it has come up, and whatever became of changes since, it answers."""

    endpoint: str
    name: str
    created: datetime
    modified: datetime
    operation: str
    properties: Mapping[str, Any]
    state: State = State.CREATING
    tags: Mapping[str, str] = field(default_factory=dict)
    capacity: int = 1
    served: bool = True
    message: str = ""
    server: ServerRecord | None = None
    up: bool = False

    @property
    def model(self) -> str | None:
        return self.properties.get("model")

    @property
    def code(self) -> tuple[str, str] | None:
        """The code asset's id and the script in it."""
        given = self.properties.get("codeConfiguration")
        return (given["codeId"], given["scoringScript"]) if given else None

    @property
    def environment(self) -> str | None:
        return self.properties.get("environmentId")

    @property
    def environment_variables(self) -> Mapping[str, str]:
        return self.properties.get("environmentVariables") or {}

    @property
    def timeout_seconds(self) -> float:
        given = self.properties.get("requestSettings") or {}
        return seconds_of(given.get("requestTimeout") or DEFAULT_TIMEOUT)


def is_name(text: str) -> bool:
    """Whether it can name an endpoint or a deployment."""
    return _NAME.fullmatch(text) is not None


def seconds_of(duration: str) -> float:
    """Raises ValueError: it is no ISO 8601 duration of hours, minutes and seconds."""
    match = _DURATION.fullmatch(duration)
    if match is None or not any(match.groups()):
        raise ValueError(f"{duration!r} is no duration like {DEFAULT_TIMEOUT}")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds
