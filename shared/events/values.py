"""What can happen outside, as frozen past-tense values, and what makes two deliveries the same event."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import ClassVar

from shared.events.addresses import canonical
from shared.events.breaches import Breach


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What every event has.

    Attributes:
        source: the ARM id of the storage account or workspace it comes from.
        truncated: a text that only explains was longer than 32 KB and is cut.
    """

    kind: ClassVar[str]

    source: str
    event_id: str
    subject: str
    time: datetime
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLanded(Happened):
    """A complete file is there. The event of a rename carries no ETag: it is None until it was read from storage."""

    kind: ClassVar[str] = "file-landed"

    account: str
    container: str
    path: str
    etag: str | None
    api: str = ""
    sequencer: str = ""
    size: int | None = None
    url: str = ""
    content_type: str = ""
    renamed: bool = False
    renamed_from: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftDetected(Happened):
    """A monitor's signal went beyond its threshold. Generation 1 is the retired dataset monitor."""

    kind: ClassVar[str] = "drift-detected"

    run_id: str
    monitor: str | None = None
    signal: str | None = None
    breaches: tuple[Breach, ...] = ()
    coefficient: float | None = None
    text: str = ""
    generation: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRegistered(Happened):
    """A version of a model was registered. A version need not be a number."""

    kind: ClassVar[str] = "model-registered"

    name: str
    version: str
    tags: Mapping[str, str]
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Happened):
    """A run in the workspace reached a final status: `Completed`, `Failed` or `Canceled`."""

    kind: ClassVar[str] = "run-ended"

    run_id: str
    status: str
    experiment: str = ""
    run_type: str = ""
    tags: Mapping[str, str]
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOverdue(Happened):
    """No file has landed that a rule waits for. Relearn itself finds it out.

    Attributes:
        pattern: of the files' path.
        captures: what the pattern captured of the files that landed before.
        last: when the last one landed; None where none has, since the rule is known.
        due: when the next one should have landed.
    """

    kind: ClassVar[str] = "file-overdue"

    pattern: str
    captures: Mapping[str, str]
    due: datetime
    last: datetime | None = None


Event = FileLanded | DriftDetected | ModelRegistered | RunEnded | FileOverdue


class Reason(StrEnum):
    """Why something delivered is not acted on."""

    MALFORMED = "malformed"
    UNKNOWN_TYPE = "unknown-type"
    FOREIGN_SOURCE = "foreign-source"
    NOT_COMPLETE = "not-complete"
    EMPTY_FILE = "empty-file"
    NOT_A_LANDING = "not-a-landing"
    NOT_FINAL = "not-final"
    FILE_GONE = "file-gone"
    UNMATCHED = "unmatched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A delivery that is not acted on, with as much of its label as could be read."""

    reason: Reason
    detail: str
    event_id: str | None = None
    event_type: str | None = None
    subject: str | None = None


def identity(event: Event) -> str:
    """What makes two deliveries the same event: equal for the same one, different for any other.

    Raises:
        ValueError: for a renamed file whose ETag has not been read yet.
    """
    if isinstance(event, FileLanded):
        if event.etag is None:
            raise ValueError(f"the ETag of {event.path} must be read before its event has an identity")
        return _joined("file", event.account, event.container, event.path, event.etag)
    source = canonical(event.source)
    if isinstance(event, ModelRegistered):
        return _model_identity(source, event.name, event.version)
    if isinstance(event, DriftDetected):
        return _joined("drift", source, event.run_id)
    if isinstance(event, FileOverdue):
        return _joined("overdue", event.pattern, json.dumps(event.captures, sort_keys=True), event.due.isoformat())
    return _joined("event", source, event.event_id)


def event_key(event: Event) -> str:
    """The identity as 32 hexadecimal digits, fit for a row key."""
    return _key(identity(event))


def model_key(workspace_id: str, name: str, version: str) -> str:
    """The key of the event that a version of a model was registered, whether or not it has come."""
    return _key(_model_identity(canonical(workspace_id), name, version))


def _model_identity(source: str, name: str, version: str) -> str:
    return _joined("model", source, name, version)


def _key(identity: str) -> str:
    return sha256(identity.encode()).hexdigest()[:32]


def _joined(*parts: str) -> str:
    return json.dumps(parts, ensure_ascii=False)  # any separator might occur in a path as well
