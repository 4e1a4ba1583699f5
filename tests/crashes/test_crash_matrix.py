"""The process really dies before and after each call it makes; in the end everything has happened once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from local.cloud import LocalCloud
from tests.crashes.matrix import Matrix, Story
from tests.crashes.stories import (
    Burst,
    DriftJob,
    FailingRun,
    HiddenRun,
    LoneFile,
    LostModel,
    Notice,
    Refused,
    Rollout,
    RolloutBack,
)

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(600)]
STORIES = (HiddenRun, Burst, FailingRun, DriftJob, Rollout, RolloutBack, LostModel, Refused, Notice)


@pytest.fixture(autouse=True)
def _nothing_is_left_in_the_workspace(cloud: LocalCloud) -> Iterator[None]:
    yield
    cloud.machine_learning.reset()


def test_a_lone_file_whatever_is_delivered_again(
    matrix_of: Callable[[Story], Matrix], capsys: pytest.CaptureFixture[str]
) -> None:
    story = LoneFile()
    matrix = matrix_of(story)
    dry = matrix.dry_run()
    died = matrix.deaths(dry, story.moments(dry))
    # Event Grid may deliver what it was told is done once more.
    later = matrix.deaths(dry, dry.moments(dry.delivering + 1), again=True)
    with capsys.disabled():
        print(
            f"\n{story.name}: N = {len(dry.calls)} calls; {died} processes died, and {later} with a delivery after it"
        )
    assert died == 2 * len(dry.calls)


@pytest.mark.parametrize("kind", STORIES, ids=[story.name for story in STORIES])
def test_a_story(kind: type[Story], matrix_of: Callable[[Story], Matrix], capsys: pytest.CaptureFixture[str]) -> None:
    story = kind()
    matrix = matrix_of(story)
    dry = matrix.dry_run()
    died = matrix.deaths(dry, story.moments(dry))
    with capsys.disabled():
        print(f"\n{story.name}: N = {len(dry.calls)} calls; {died} processes died")
