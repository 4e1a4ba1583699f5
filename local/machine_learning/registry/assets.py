"""What can be registered: models, and the code and environments that a deployment refers to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
MODEL_TYPES: Final = ("mlflow_model", "custom_model", "triton_model")


class InvalidAsset(ValueError):
    """A name, a version or a body that AML would not take."""


class Immutable(RuntimeError):
    """A change of what cannot be changed once it is registered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One version of a model; a value, replaced at every change."""

    name: str
    version: str
    uri: str
    created: datetime
    modified: datetime
    type: str = "mlflow_model"
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    flavors: Mapping[str, Any] = field(default_factory=dict)
    stage: str | None = None
    archived: bool = False

    def updated(self, body: ModelBody, at: datetime) -> Model:
        """What a second PUT makes of it: tags, description and the archive flag; properties may only be added.

        Raises:
            Immutable: it names another place for the model's files, or another type.
        """
        for what, known, asked in (("modelUri", self.uri, body.uri), ("modelType", self.type, body.type)):
            if asked is not None and asked.rstrip("/") != known.rstrip("/"):
                raise Immutable(f"{what} of {self.name}:{self.version} is {known!r} and cannot become {asked!r}")
        return replace(
            self,
            description=body.description,
            tags=body.tags,
            properties={**body.properties, **self.properties},
            stage=body.stage or self.stage,
            archived=body.archived,
            modified=at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBody:
    """`properties` of a PUT, checked. Without `uri` it can only change an existing version."""

    uri: str | None = None
    type: str | None = None
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    flavors: Mapping[str, Any] = field(default_factory=dict)
    stage: str | None = None
    archived: bool = False

    @classmethod
    def read(cls, body: object) -> ModelBody:
        """Raises InvalidAsset."""
        given = body.get("properties") if isinstance(body, Mapping) else None
        if not isinstance(given, Mapping):
            raise InvalidAsset("the body has no 'properties' object")
        kind = given.get("modelType")
        if kind is not None and kind not in MODEL_TYPES:
            raise InvalidAsset(f"modelType {kind!r} is none of {', '.join(MODEL_TYPES)}")
        return cls(
            uri=_text(given, "modelUri"),
            type=kind,
            description=_text(given, "description") or "",
            tags=_texts(given, "tags"),
            properties=_texts(given, "properties"),
            flavors=given.get("flavors") or {},
            stage=_text(given, "stage"),
            archived=bool(given.get("isArchived")),
        )

    def new(self, name: str, version: str, created: datetime) -> Model:
        """Raises InvalidAsset."""
        if not self.uri:
            raise InvalidAsset("modelUri is missing")
        return Model(
            name=name,
            version=version,
            uri=self.uri,
            type=self.type or "custom_model",
            description=self.description,
            tags=self.tags,
            properties=self.properties,
            flavors=self.flavors,
            stage=self.stage,
            archived=self.archived,
            created=created,
            modified=created,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One version of a code or an environment; `folder` is where code lies on this machine, if it does."""

    kind: str
    name: str
    version: str
    created: datetime
    properties: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None


def check_name(name: str, version: str) -> None:
    """Raises InvalidAsset."""
    for what, text in (("name", name), ("version", version)):
        if _NAME.fullmatch(text) is None:
            raise InvalidAsset(f"{text!r} is no {what}: letters, digits, '.', '_' and '-', at most 255 characters")


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is None or isinstance(value, str):
        return value
    raise InvalidAsset(f"{name} must be a text")


def _texts(given: Mapping[str, Any], name: str) -> dict[str, str]:
    value = given.get(name) or {}
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value.values()):
        raise InvalidAsset(f"{name} must be an object of texts")
    return dict(value)
