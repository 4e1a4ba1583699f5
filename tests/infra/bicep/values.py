"""Values that only a running deployment has, and what a resource answers about itself before that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Runtime(str):
    """What only Azure can know, as a text that says what it would be: `${<id>.identity.principalId}`.

    A text that contains one is one, too.
    """

    __slots__ = ()

    @classmethod
    def of(cls, description: str) -> Runtime:
        return cls(f"${{{description}}}")


def is_runtime(value: Any) -> bool:
    """Whether some part of the value is only known at run time."""
    if isinstance(value, dict):
        return any(map(is_runtime, value.values()))
    if isinstance(value, list):
        return any(map(is_runtime, value))
    return isinstance(value, Runtime)


def spelled(value: Any) -> str:
    """As a string interpolation spells a value."""
    if isinstance(value, bool):
        return "True" if value else "False"
    return "" if value is None else str(value)


def joined(parts: list[Any], between: str = "") -> str:
    text = between.join(spelled(part) for part in parts)
    return Runtime(text) if any(isinstance(part, Runtime) for part in parts) else text


class Scope(dict[str, Any]):
    """A subscription, a resource group or the tenant: its properties, and where resources in it have their ids."""

    def __init__(self, kind: str, path: str, **properties: Any) -> None:
        super().__init__(id=path or "/", **properties)
        self.kind, self.path = kind, path


def subscription_scope(subscription: str) -> Scope:
    path = f"/subscriptions/{subscription}"
    return Scope("subscription", path, subscriptionId=subscription, tenantId=Runtime.of("tenantId"), displayName="sub")


def group_scope(subscription: str, group: str, location: str) -> Scope:
    path = f"/subscriptions/{subscription}/resourceGroups/{group}"
    return Scope(
        "resourceGroup", path, name=group, location=location, tags={}, type="Microsoft.Resources/resourceGroups"
    )


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource as it would be deployed, or as it is referred to when it exists already."""

    type: str
    api_version: str
    symbol: str
    file: str
    """The file that declares it, relative to the folder of the main file."""
    line: int
    trail: tuple[str, ...]
    """The names of the modules that lead to it."""
    name: str
    """Its full name, with those of its parents: `account/default/queue`."""
    id: str
    scope: str
    """The id of the group, subscription or resource it lies in."""
    parent: str | None
    """The id of its parent resource."""
    body: dict[str, Any]
    """What is written about it, without name, scope, parent and dependsOn."""
    depends_on: frozenset[str]
    """The resources and modules of its file that it waits for, implicitly or explicitly."""
    existing: bool = False
    deployed: bool = True
    """False when its condition does not hold."""
    known: bool = False
    """An existing resource of which the test has said what it is like: `body` is all there is."""

    @property
    def properties(self) -> dict[str, Any]:
        found: dict[str, Any] = self.body.get("properties", {})
        return found

    @property
    def short_name(self) -> str:
        return self.name.rpartition("/")[2]

    def member(self, name: str) -> Any:
        """`resource.name`: known at the start, written in the body, or only known at run time."""
        known = {"id": self.id, "name": self.short_name, "type": self.type, "apiVersion": self.api_version}
        if name in known:
            return known[name]
        if name == "identity":
            return self._identity()
        if name == "properties":
            computed = COMPUTED.get(self.type.lower(), _nothing)(self)
            return Answer(self.id + ".properties", self.properties, computed, whole=self.known)
        if name not in self.body and self.known:
            raise LookupError(f"{self.id} has no {name}")
        return self.body[name] if name in self.body else Runtime.of(f"{self.id}.{name}")

    def _identity(self) -> Answer:
        declared = self.body.get("identity", {})
        if not self.existing and "SystemAssigned" not in declared.get("type", ""):
            return Answer(self.id + ".identity", declared, {}, without=frozenset({"principalId", "tenantId"}))
        return Answer(self.id + ".identity", declared, {}, whole=self.known)


@dataclass(frozen=True)
class Answer:
    """A part of what Azure answers about a resource: what is declared, what follows from names, the rest later."""

    path: str
    declared: dict[str, Any]
    computed: dict[str, Any]
    without: frozenset[str] = frozenset()
    whole: bool = False

    def member(self, name: str) -> Any:
        if name in self.without:
            raise LookupError(f"{self.path} has no {name}: there is no system-assigned identity")
        known = {**self.declared, **self.computed}
        if name not in known and self.whole:
            raise LookupError(f"{self.path} has no {name}")
        return known.get(name, Runtime.of(f"{self.path}.{name}"))

    def as_argument(self) -> Any:
        """For functions that look at all of it."""
        return {**self.declared, **self.computed} if self.whole else Runtime.of(self.path)


def _nothing(resource: Resource) -> dict[str, Any]:
    return {}


def _account(resource: Resource) -> dict[str, Any]:
    services = ("blob", "dfs", "file", "queue", "table", "web")
    return {"primaryEndpoints": {s: f"https://{resource.name}.{s}.core.windows.net/" for s in services}}


def _vault(resource: Resource) -> dict[str, Any]:
    return {"vaultUri": f"https://{resource.name}.vault.azure.net/"}


def _registry(resource: Resource) -> dict[str, Any]:
    return {"loginServer": f"{resource.name}.azurecr.io"}


def _site(resource: Resource) -> dict[str, Any]:
    return {"defaultHostName": f"{resource.name}.azurewebsites.net"}


def _topic(resource: Resource) -> dict[str, Any]:
    place = resource.body.get("location", "westeurope")
    return {"endpoint": f"https://{resource.name}.{place}-1.eventgrid.azure.net/api/events"}


# What Azure answers, where it follows from a name; in the public cloud.
COMPUTED: dict[str, Callable[[Resource], dict[str, Any]]] = {
    "microsoft.storage/storageaccounts": _account,
    "microsoft.keyvault/vaults": _vault,
    "microsoft.containerregistry/registries": _registry,
    "microsoft.web/sites": _site,
    "microsoft.eventgrid/topics": _topic,
}
