"""Files that nobody told of are taken in from the lake itself, and each once: through the real entry points."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from shared.backfill import BackfillPage
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.cloud
RULES = """\
version: 1
reactions:
  score:
    when: {file-landed: {path: "lake/in/{batch}/*.csv", exclude: ["_*"]}}
    collect: {by: "{batch}", quiet: 30s, max-wait: 10m}
    run-pipeline: score
    with: {batch: "{batch}", files: "{manifest}"}
"""


@pytest.fixture
def lake(stage_with: Callable[..., Stage]) -> Stage:
    return stage_with(rules=RULES)


def backfill(stage: Stage, age: timedelta = timedelta(hours=1)) -> BackfillPage:
    return stage.app.backfill.page("score", stage.clock.now() - age)


def counts(page: BackfillPage) -> tuple[int, int, int, int, int]:
    return page.listed, page.matched, page.new, page.known, page.too_old


def batches(stage: Stage) -> list[int]:
    return [reaction["event_count"] for reaction in stage.reactions()]


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_of_120_files_the_half_that_nobody_told_of_is_taken_in(lake: Stage, copies: int) -> None:
    events = [lake.land(f"in/b1/{n:03}.csv") for n in range(120)]
    lake.land("in/b1/_SUCCESS")
    lake.land("elsewhere/b1/a.csv")
    lake.deliver(*events[:40] * copies)
    lake.settle(lake.all_final)
    lake.deliver(*events[40:60] * copies)  # these wait for a quiet moment
    for _ in range(copies - 1):
        backfill(lake)
    page = backfill(lake)
    new = 60 if copies == 1 else 0  # the first of two has taken them in
    assert counts(page) == (121, 120, new, 120 - new, 0)
    assert page.continuation is None
    lake.settle(lake.all_final)
    lake.deliver(*events[30:90] * copies)
    lake.settle()
    assert batches(lake) == [40, 80]
    assert lake.states() == ["succeeded", "succeeded"]
    assert counts(backfill(lake)) == (121, 120, 0, 120, 0)
    lake.settle()
    assert len(lake.starts()) == 2


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_a_changed_file_is_taken_in_as_it_is_now(lake: Stage, copies: int) -> None:
    lake.deliver(*[lake.land("in/b1/a.csv")] * copies)
    lost = lake.land("in/b1/a.csv", b"a,b\n3,4\n")
    assert counts(backfill(lake)) == (1, 1, 1, 0, 0)
    lake.deliver(*[lost] * copies)
    lake.settle(lake.all_final)
    [reaction] = lake.reactions()
    files = lake.manifest(reaction["id"])
    assert [file["path"] for file in files] == ["in/b1/a.csv", "in/b1/a.csv"]
    assert {file["etag"]: file["current"] for file in files} == {
        files[0]["etag"]: not files[0]["sequencer"],  # what was listed has no sequencer, and is the present version
        files[1]["etag"]: not files[1]["sequencer"],
    }


def test_what_landed_before_is_left_alone(lake: Stage) -> None:
    lake.land("in/b1/a.csv")
    lake.clock.advance(timedelta(days=1))
    assert counts(backfill(lake, timedelta(hours=12))) == (1, 0, 0, 0, 0)
    lake.clock.advance(timedelta(days=30))
    assert counts(backfill(lake, timedelta(days=40))) == (1, 1, 0, 0, 1)
    lake.settle()
    assert lake.reactions() == []
