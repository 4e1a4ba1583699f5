"""References to registered assets, in the spellings that clients use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from local.service import workspace_id

_BY_ID: Final = re.compile(
    r"(azureml:)?(?P<workspace>/subscriptions/[^/]+/resourcegroups/[^/]+/providers/[^/]+/workspaces/[^/]+)"
    r"/(?P<kind>[a-z]+)/(?P<name>[^/]+)/versions/(?P<version>[^/]+)",
    re.IGNORECASE,
)
_BY_NAME: Final = re.compile(r"azureml:(?P<name>[^/:@]+):(?P<version>[^/:@]+)")


class BadReference(ValueError):
    """A text that refers to no asset of this workspace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """`kind` as in a path: models, codes, environments."""

    kind: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}/versions/{self.version}"


def is_reference(text: str) -> bool:
    """Whether it is meant as one; an azureml://datastores/… address is not."""
    return (text.startswith("azureml:") and not text.startswith("azureml://")) or text.startswith("/subscriptions/")


def read_reference(text: str, kind: str, workspace: str) -> Reference:
    """Reads azureml:NAME:VERSION, azureml:/subscriptions/…/models/NAME/versions/V, and the ARM id alone.

    Raises:
        BadReference: it is none of these, of another kind, or of another workspace.
    """
    if match := _BY_NAME.fullmatch(text):
        return Reference(kind=kind, name=match["name"], version=match["version"])
    match = _BY_ID.fullmatch(text)
    if match is None:
        raise BadReference(f"{text!r} is neither azureml:NAME:VERSION nor the ARM id of one of the workspace's {kind}")
    if match["kind"].lower() != kind:
        raise BadReference(f"{text!r} is one of the workspace's {match['kind']}, not of its {kind}")
    if match["workspace"].lower() != workspace_id(workspace).lower():
        raise BadReference(f"{text!r} is in another workspace than {workspace}")
    return Reference(kind=kind, name=match["name"], version=match["version"])
