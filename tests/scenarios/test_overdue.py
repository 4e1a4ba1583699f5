"""Files that do not come, through the real entry points: the sweep finds them out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from tests.scenarios.policies import MINUTE, ONCE_AND_TWICE, SECOND, fate, land
from tests.scenarios.stage import PIPELINE, Stage

pytestmark = pytest.mark.cloud
EVERY = timedelta(seconds=40)
RULES = """\
version: 1
reactions:
  missing:
    when: {file-overdue: {path: "lake/in/{batch}/*.csv", expect: "every 40s"}}
    run-pipeline: score
    with: {batch: "{last}", files: "{due}"}
"""
BY = RULES.replace("    run-pipeline", '    collect: {by: "{batch}"}\n    run-pipeline').replace(
    '"{last}"', '"{batch}"'
)


def until(stage: Stage, at: datetime) -> None:
    """The sweep runs, and everything that is due until then is looked at."""
    stage.sweep()
    while stage.next_look(at - stage.clock.now()):
        pass
    stage.clock.advance_to(at)


def told(stage: Stage) -> list[str]:
    return [start["parameters"]["files"] for start in stage.starts()]


@ONCE_AND_TWICE
def test_a_rule_without_keys_waits_from_the_beginning_on(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = stage_with(rules=RULES, pipelines=(PIPELINE,))
    began = stage.clock.now()
    until(stage, began + EVERY - SECOND)
    assert stage.starts() == []
    until(stage, began + EVERY + 10 * SECOND)
    assert [(s["parameters"]["batch"], s["parameters"]["files"]) for s in stage.starts()] == [
        ("never", (began + EVERY).isoformat())
    ]
    landed = began + EVERY + 11 * SECOND
    event = land(stage, "a.csv", copies)
    assert fate(stage, "in/b1/a.csv") == ("skipped", "arrived")
    stage.restart()
    until(stage, landed + EVERY - SECOND)
    stage.deliver(event)
    assert len(stage.starts()) == 1  # the file was the recovery
    until(stage, landed + EVERY + 5 * SECOND)
    assert told(stage)[1:] == [(landed + EVERY).isoformat()]
    assert stage.starts()[1]["parameters"]["batch"] == landed.isoformat()


@ONCE_AND_TWICE
def test_each_key_is_waited_for_from_its_first_file_on_and_given_up_after_three(
    stage_with: Callable[..., Stage], copies: int
) -> None:
    stage = stage_with(rules=BY, pipelines=(PIPELINE,))
    began = stage.clock.now() + SECOND
    land(stage, "a.csv", copies)
    until(stage, began + 4 * MINUTE)
    assert told(stage) == [(began + n * EVERY).isoformat() for n in (1, 2, 3)]
    assert {start["parameters"]["batch"] for start in stage.starts()} == {"b1"}
    land(stage, "b.csv", copies)
    until(stage, stage.clock.now() + EVERY + SECOND)
    assert len(told(stage)) == 4
