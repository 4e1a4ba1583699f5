"""A run that would start its own rule again is not started, and its reaction says why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenarios.stage import Stage

pytestmark = pytest.mark.cloud

RULES = """\
version: 1
reactions:
  score:
    when: {file-landed: {path: "lake/{name}.csv"}}
    collect: {max-events: 1}
    run-pipeline: score
    with: {batch: "{name}", files: "{name}/scores.csv"}
"""


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_a_run_that_would_write_what_its_rule_waits_for_is_not_started(
    stage_with: Callable[..., Stage], copies: int
) -> None:
    stage = stage_with(rules=RULES)
    event = stage.land("lake.csv")  # of this one the scores would be lake/scores.csv
    for _ in range(copies):
        stage.deliver(event)
    stage.settle()
    [reaction] = stage.reactions()
    assert reaction["state"] == "failed"
    assert reaction["reason"] == (
        "loop guard: with.files: lake/scores.csv is a path that the rule itself waits for (lake/{name}.csv), so its "
        "run would start it again, for ever; have the run write elsewhere, or exclude the path"
    )
    assert stage.story(reaction["id"]) == ["pending", "failed"]
    assert stage.starts() == []


def test_others_of_the_rule_are_started(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(rules=RULES)
    stage.deliver(stage.land("p1.csv"))
    stage.settle(stage.all_final)
    assert stage.states() == ["succeeded"]


def test_where_it_is_only_observed_it_says_so(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(rules=RULES.replace("version: 1", "version: 1\nmode: observe"))
    stage.deliver(stage.land("lake.csv"))
    stage.settle()
    [reaction] = stage.reactions()
    assert reaction["state"] == "observed"
    assert reaction["reason"].startswith(
        "observe: would have failed: loop guard: with.files: lake/scores.csv is a path"
    )
