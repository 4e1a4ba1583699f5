"""The repository as the checks read it: one folder, and what would be deployed from it."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.infra.bicep import Deployment, deploy
from tests.infra.checks.variants import VARIANTS, Variant

ROOT = Path(__file__).resolve().parents[3]
# Everything that a check reads.
PARTS = (
    "infra", "ml", "shared", "functions", "tests/data", ".github", "azure-pipelines", "azure.yaml", "pyproject.toml",
    "host.json", "docs", "local.settings.sample.json", "reactions.yaml",
)  # fmt: skip


TIMES = count(1)


class Repo:
    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self._deployments: dict[str, Deployment] = {}

    def copy(self, target: Path) -> Repo:
        for part in PARTS:
            source, copy = self.root / part, target / part
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, copy)
        return Repo(target)

    @contextmanager
    def changed(self, path: str, text: str) -> Iterator[Repo]:
        """This copy with one file's text replaced, for a while."""
        before = self.text(path)
        _write(self.root / path, text)
        try:
            yield Repo(self.root)
        finally:
            _write(self.root / path, before)

    def text(self, path: str) -> str:
        return (self.root / path).read_text()

    def json(self, path: str) -> Any:
        return json.loads(self.text(path))

    def yaml(self, path: str) -> Any:
        return YAML(typ="safe", pure=True).load(self.text(path))

    def files(self, pattern: str) -> list[Path]:
        return sorted(self.root.glob(pattern))

    # What is deployed

    def deployed(self, variant: str = "default") -> Deployment:
        """
        Raises:
            Refused: a compiler or the deployment itself would not take it.
        """
        if variant not in self._deployments:
            self._deployments[variant] = self.deploy(VARIANTS[variant])
        return self._deployments[variant]

    def deploy(self, variant: Variant) -> Deployment:
        return deploy(self.root / "infra" / "main.bicep", variant.parameters, existing=variant.existing)

    def webhook_subscriptions(self, variant: str = "default") -> Deployment:
        """infra/events.bicep as the hook deploys it, with the outputs of the main deployment."""
        told = self.deployed(variant).outputs
        parameters = {
            "functionAppName": told["AZURE_FUNCTION_APP_NAME"],
            "appStorageAccountName": told["RELEARN_APP_STORAGE_ACCOUNT"],
            "lakeTopicId": told["RELEARN_LAKE_TOPIC_ID"],
            "workspaceTopicId": told["RELEARN_WORKSPACE_TOPIC_ID"],
        }
        group = told["AZURE_RESOURCE_GROUP"]
        return deploy(self.root / "infra" / "events.bicep", parameters, group=group)

    # What the product says

    def module(self, name: str) -> Any:
        """A module as it is in this folder, whatever else is loaded under its name."""
        if self.root == ROOT:
            return importlib.import_module(name)
        package = name.partition(".")[0]
        ours, writes = _loaded(package), sys.dont_write_bytecode
        sys.path.insert(0, str(self.root))
        sys.dont_write_bytecode = True  # a file may be changed again within the second that compiled ones go by
        try:
            return importlib.import_module(name)
        finally:
            sys.dont_write_bytecode = writes
            sys.path.remove(str(self.root))
            _loaded(package)
            sys.modules.update(ours)

    @cached_property
    def settings(self) -> Any:
        return self.module("shared.settings")

    @cached_property
    def rules(self) -> dict[str, Any]:
        found: dict[str, Any] = self.yaml("reactions.yaml")["reactions"]
        return found

    @cached_property
    def settings_read(self) -> set[str]:
        """The names that the product asks for: shared/settings.py in the environment, reactions.yaml as ${NAME}."""
        asked: set[str] = set()

        class Recording(dict):
            def get(self, name, default=None):
                asked.add(name)
                return default

        self.settings.rules_path(self.root, Recording())
        try:
            self.settings.from_environment(Recording())
        except Exception as problem:
            if type(problem).__name__ != "ConfigurationError":
                raise
        # A connection string: for development, and never beside an identity. And the platform's own word.
        asked -= {self.settings.STORAGE_CONNECTION, self.settings.PLATFORM_AUTHENTICATION}
        return asked | {name for text in strings(self.rules) for name in re.findall(r"\$\{(\w+)\}", text)}

    @cached_property
    def functions(self) -> dict[str, dict[str, Any]]:
        """The functions of functions/: by name, their trigger and what it is told."""
        found = {}
        for path in self.files("functions/*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef) and node.decorator_list:
                    name, trigger = self._function(node)
                    found[name] = trigger
        return found

    def _function(self, node: ast.FunctionDef) -> tuple[str, dict[str, Any]]:
        name, trigger = node.name, {}
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute):
                if decorator.func.attr == "function_name":
                    name = self._constant(decorator.args[0])
                else:
                    told = {each.arg: self._constant(each.value) for each in decorator.keywords}
                    trigger = {"trigger": decorator.func.attr, **told}
        return name, trigger

    def _constant(self, node: ast.expr) -> Any:
        """A literal, or a name that shared/settings.py gives a value."""
        if isinstance(node, ast.Name):
            return getattr(self.settings, node.id)
        return node.value if isinstance(node, ast.Constant) else None


def _write(path: Path, text: str) -> None:
    """With a time of its own: two changes may be within one tick of the file system's clock."""
    path.write_text(text)
    time = next(TIMES)
    os.utime(path, ns=(time, time))


def _loaded(package: str) -> dict[str, Any]:
    """Takes a package's modules out of those that are loaded."""
    names = [each for each in sys.modules if each.partition(".")[0] == package]
    return {each: sys.modules.pop(each) for each in names}


def strings(value: Any) -> Iterator[str]:
    """Every text in a value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from strings(key)
            yield from strings(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from strings(item)


def differences(what: str, found: Mapping[str, Any] | set[str], wanted: Mapping[str, Any] | set[str]) -> Iterator[str]:
    """What one side has and the other has not; of two mappings also what they say differently."""
    yield from (f"{what}: {name} is missing" for name in sorted(set(wanted) - set(found)))
    yield from (f"{what}: {name} is too much" for name in sorted(set(found) - set(wanted)))
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        for name in sorted(found.keys() & wanted.keys()):
            if found[name] != wanted[name]:
                yield f"{what}: {name} is {found[name]!r}, not {wanted[name]!r}"
