"""The warm process and the lots on which cases are played."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from local.cloud import LocalCloud
from tests.crashes.matrix import Lot, Matrix, Story
from tests.crashes.processes import Nursery
from tests.scenarios.stage import Stage

LOTS = 3
"""Cases that are played at once: while one waits for an answer another one has work to do."""


@pytest.fixture(scope="session")
def nursery(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    made = Nursery(cloud.child_environment(), tmp_path_factory.mktemp("nursery"))
    try:
        yield made.wait()
    finally:
        made.close()


@pytest.fixture
def matrix_of(stage_with: Callable[..., Stage], nursery: Nursery) -> Iterator[Callable[[Story], Matrix]]:
    with ExitStack() as lots:

        def make(story: Story) -> Matrix:
            made = []
            for _ in range(LOTS):
                stage = stage_with(rules=story.rules, pipelines=story.pipelines, extra_settings=story.settings)
                made.append(Lot(stage, nursery.keeper()))
                lots.callback(made[-1].close)
            return Matrix(story, made)

        yield make
