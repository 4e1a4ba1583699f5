"""A stage for every scenario: accounts, a factory and an app of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenarios.stage import Stage


@pytest.fixture
def stage(stage_with: Callable[..., Stage]) -> Stage:
    return stage_with()
