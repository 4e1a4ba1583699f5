"""A stage for every scenario: accounts, a factory and an app of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.stage import Stage


@pytest.fixture
def stage_with(cloud: Any, credential: Any, tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def make(**options: Any) -> Stage:
        made.append(Stage(cloud=cloud, credential=credential, folder=tmp_path, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def stage(stage_with: Callable[..., Stage]) -> Stage:
    return stage_with()
