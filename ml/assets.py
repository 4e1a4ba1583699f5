"""The YAML files of AML's assets, read without AML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    file: Path
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One YAML file: a component, a pipeline component, an environment, an endpoint, a deployment or a monitor."""

    file: Path
    body: dict[str, Any]

    @property
    def reference(self) -> str:
        """How others refer to it once it is registered."""
        return f"azureml:{self.body.get('name')}:{self.body.get('version')}"

    def section(self, name: str) -> dict[str, Any]:
        return mapping(self.body.get(name))

    def type_of(self, section: str, name: str) -> str | None:
        """The declared type of an input or output; None where there is none of that name."""
        port = self.section(section).get(name)
        return None if port is None else str(mapping(port).get("type"))

    def may_be_missing(self, name: str) -> bool:
        """Whether a run may have no value at all for this input."""
        port = mapping(self.section("inputs").get(name))
        return bool(port.get("optional")) and "default" not in port

    def required_inputs(self) -> list[str]:
        ports = self.section("inputs").items()
        return [name for name, port in ports if not mapping(port).get("optional") and "default" not in mapping(port)]

    def problem(self, key: str, message: str) -> Problem:
        return Problem(file=self.file, key=key, message=message)


def mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def read(file: Path) -> Asset | Problem:
    try:
        body = YAML(typ="safe", pure=True).load(file)
    except (OSError, YAMLError) as error:
        return Problem(file=file, key="(file)", message=" ".join(str(error).split()))
    if not isinstance(body, dict):
        return Problem(file=file, key="(file)", message="it is not a mapping")
    return Asset(file=file, body=body)
