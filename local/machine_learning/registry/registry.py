"""The registered assets of a workspace; the first PUT of a model's version is announced, later ones are not."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from local.machine_learning.events import Publish, model_registered
from local.machine_learning.references import Reference, read_reference
from local.machine_learning.registry.assets import Asset, Immutable, InvalidAsset, Model, ModelBody, check_name
from local.machine_learning.registry.files import read_component
from local.machine_learning.store import Store
from local.progress import Clock

_CHANGEABLE: Final = frozenset({"tags", "description", "isArchived", "properties", "provisioningState"})


class UnknownAsset(LookupError):
    """Nothing is registered under this reference."""


class Registry:
    """Safe from any thread. Names and versions are found whatever their case."""

    def __init__(self, workspace: str, *, clock: Clock, publish: Publish, store: Store) -> None:
        self._workspace = workspace
        self._clock = clock
        self._publish = publish
        self._store = store
        self._lock = threading.Lock()
        self._models: dict[str, dict[str, Model]] = {}
        self._assets: dict[tuple[str, str, str], Asset] = {}
        self._restore(store.load())

    # Models

    def register(
        self,
        name: str,
        version: str | None = None,
        *,
        uri: str,
        tags: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        created: datetime | None = None,
        announce: bool = True,
    ) -> Model:
        """The door for tests and the demo: a new version, made at any time; says nothing with announce=False.

        Raises:
            InvalidAsset: the version is there already.
        """
        body = ModelBody(uri=uri, type="mlflow_model", tags=tags or {}, properties=properties or {})
        with self._lock:
            version = version or self._next_version(name)
            if version.lower() in self._models.get(name.lower(), {}):
                raise InvalidAsset(f"{name}:{version} is registered already")
            model = self._add(body, name, version, created)
        if announce:
            self._announce(model)
        return model

    def put(self, name: str, version: str, body: ModelBody) -> tuple[Model, bool]:
        """The version as it is now, and whether it is new.

        Raises:
            InvalidAsset: AML would not take it.
            Immutable: the version exists and is something else.
        """
        check_name(name, version)
        with self._lock:
            known = self._models.get(name.lower(), {}).get(version.lower())
            if known is not None:
                changed = known.updated(body, self._clock.now())
                self._models[name.lower()][version.lower()] = changed
                self._save()
                return changed, False
            model = self._add(body, name, version, None)
        self._announce(model)
        return model, True

    def model(self, name: str, version: str) -> Model | None:
        with self._lock:
            return self._models.get(name.lower(), {}).get(version.lower())

    def versions(self, name: str) -> list[Model]:
        """In the order they were created; empty where there is no model of this name."""
        with self._lock:
            return sorted(self._models.get(name.lower(), {}).values(), key=lambda model: model.created)

    def models(self) -> list[list[Model]]:
        """The versions of every model."""
        with self._lock:
            names = list(self._models)
        return [self.versions(name) for name in names]

    def next_version(self, name: str) -> str:
        with self._lock:
            return self._next_version(name)

    def find_model(self, text: str) -> Model:
        """The model version a text refers to.

        Raises:
            BadReference: it refers to no model of this workspace.
            UnknownAsset: it is not registered.
        """
        reference = read_reference(text, "models", self._workspace)
        found = self.model(reference.name, reference.version)
        if found is None:
            raise UnknownAsset(f"there is no {reference}")
        return found

    # Code and environments

    def add_code(self, name: str, version: str, folder: Path) -> Asset:
        """Registers a folder of this machine; a deployment copies it.

        Raises:
            InvalidAsset: there is no such folder.
        """
        if not folder.is_dir():
            raise InvalidAsset(f"{folder} is no folder")
        return self.put_asset("codes", name, version, {"codeUri": folder.as_uri()}, folder.absolute())

    def add_environment(self, name: str, version: str) -> Asset:
        """Registers a name; whatever it is, a deployment runs in the one ML environment of this machine."""
        return self.put_asset("environments", name, version, {})

    def add_component(self, file: Path) -> Asset:
        """Registers the component in a file component.yml of this machine, which is read again at every use.

        Raises:
            InvalidAsset: it is none that is imitated.
        """
        spec = read_component(file)
        return self.put_asset("components", spec["name"], spec["version"], {"componentSpec": spec}, file.parent)

    def put_asset(
        self, kind: str, name: str, version: str, properties: Mapping[str, Any], folder: Path | None = None
    ) -> Asset:
        """What is registered already is replaced.

        Raises:
            InvalidAsset: AML would not take it.
        """
        check_name(name, version)
        with self._lock:
            key = (kind, name.lower(), version.lower())
            known = self._assets.get(key)
            created = known.created if known else self._clock.now()
            asset = Asset(
                kind=kind, name=name, version=version, created=created, properties=dict(properties), folder=folder
            )
            self._assets[key] = asset
            self._save()
            return asset

    def put_version(
        self, kind: str, name: str, version: str, properties: Mapping[str, Any], folder: Path | None = None
    ) -> Asset:
        """The same for what never changes but in its tags and description, once it is registered.

        Raises:
            InvalidAsset: AML would not take it.
            Immutable: the version is there, and is something else.
        """
        known = self.asset(kind, name, version)
        if known is not None:
            changed = sorted(key for key in {*known.properties, *properties} if _changed(key, known, properties))
            if changed:
                raise Immutable(f"{', '.join(changed)} of {name}:{version} cannot be changed")
        return self.put_asset(kind, name, version, properties, folder)

    def asset(self, kind: str, name: str, version: str) -> Asset | None:
        with self._lock:
            return self._assets.get((kind, name.lower(), version.lower()))

    def assets(self, kind: str, name: str | None = None) -> list[Asset]:
        """In the order they were created."""
        with self._lock:
            found = list(self._assets.values())
        return [asset for asset in found if asset.kind == kind and name in (None, asset.name.lower())]

    def find_asset(self, kind: str, text: str) -> Asset:
        """Raises BadReference or UnknownAsset."""
        reference: Reference = read_reference(text, kind, self._workspace)
        found = self.asset(kind, reference.name, reference.version)
        if found is None:
            raise UnknownAsset(f"there is no {reference}")
        return found

    def forget(self) -> None:
        """Forget every model; code and environments stay."""
        with self._lock:
            self._models.clear()
            self._save()

    # Within

    def _add(self, body: ModelBody, name: str, version: str, created: datetime | None) -> Model:
        check_name(name, version)
        model = body.new(name, version, created or self._clock.now())
        self._models.setdefault(name.lower(), {})[version.lower()] = model
        self._save()
        return model

    def _announce(self, model: Model) -> None:
        self._publish(
            model_registered(
                name=model.name,
                version=model.version,
                tags=model.tags,
                properties=model.properties,
                time=model.created,
            )
        )

    def _next_version(self, name: str) -> str:
        numbers = [int(version) for version in self._models.get(name.lower(), {}) if version.isdecimal()]
        return str(max(numbers, default=0) + 1)

    def _save(self) -> None:
        models = [asdict(model) for versions in self._models.values() for model in versions.values()]
        self._store.save({"models": models, "assets": [asdict(asset) for asset in self._assets.values()]})

    def _restore(self, saved: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
        for known in saved.get("models", ()):
            times = {name: datetime.fromisoformat(known[name]) for name in ("created", "modified")}
            model = Model(**{**known, **times})
            self._models.setdefault(model.name.lower(), {})[model.version.lower()] = model
        for known in saved.get("assets", ()):
            folder = Path(known["folder"]) if known["folder"] else None
            asset = Asset(**{**known, "created": datetime.fromisoformat(known["created"]), "folder": folder})
            self._assets[asset.kind, asset.name.lower(), asset.version.lower()] = asset


def _changed(key: str, known: Asset, properties: Mapping[str, Any]) -> bool:
    return key not in _CHANGEABLE and known.properties.get(key) != properties.get(key)
