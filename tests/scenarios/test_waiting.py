"""What waits for the end of a cooldown, a time of the day or a resume, through the real entry points."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.fakes import FakeClock
from tests.scenarios.policies import (
    MINUTE,
    ONCE_AND_TWICE,
    SECOND,
    batches,
    by_hand,
    end_runs,
    fate,
    land,
    next_minute,
    rules,
    to_the_end,
)
from tests.scenarios.stage import RULES, Stage

pytestmark = pytest.mark.cloud


# --- cooldown ---------------------------------------------------------------------------------------------------------


@ONCE_AND_TWICE
@pytest.mark.parametrize("policy", ["collect", "skip"])
def test_what_comes_during_a_cooldown(stage_with: Callable[..., Stage], policy: str, copies: int) -> None:
    stage = by_hand(stage_with, rules(f"cooldown: 2m, during-cooldown: {policy}"))
    land(stage, "0.csv", copies)
    end_runs(stage)
    stage.settle(lambda: stage.states() == ["succeeded"])
    ended = stage.clock.now()
    for n in (1, 2):
        land(stage, f"{n}.csv", copies)
    assert stage.states() == ["succeeded"]
    if policy == "skip":
        assert [fate(stage, f"in/b1/{n}.csv") for n in (1, 2)] == [("skipped", "cooldown")] * 2
        stage.clock.advance_to(ended + 2 * MINUTE)
        land(stage, "3.csv", copies)
    to_the_end(stage, reactions=2)
    assert batches(stage) == [["0.csv"], ["3.csv"] if policy == "skip" else ["1.csv", "2.csv"]]
    assert stage.clock.now() >= ended + 2 * MINUTE


# --- until a time of the day ------------------------------------------------------------------------------------------


@ONCE_AND_TWICE
def test_a_hundred_files_through_a_day_are_one_batch_at_night(stage_with: Callable[..., Stage], copies: int) -> None:
    stage = stage_with()
    night = next_minute(stage)
    stage.clock = FakeClock(night - timedelta(hours=18))  # the factory's time is the night's
    stage.restart(rules(collect=f', until: "{night.minute} {night.hour} * * *"'))
    events = []
    for n in range(100):
        stage.clock.advance_to(night - timedelta(hours=18) + n * timedelta(minutes=10))
        events.append(stage.land(f"in/b1/{n:03}.csv"))
        stage.deliver(*events[-1:] * copies)
        if n % 25 == 0:
            stage.sweep()
            while stage.next_look():
                pass
    assert stage.reactions() == []
    stage.clock.advance_to(night - SECOND)
    stage.sweep()
    stage.clock.advance_to(night)
    to_the_end(stage, reactions=1)
    stage.deliver(*events[:3])
    stage.sweep()
    to_the_end(stage, reactions=1)
    assert batches(stage) == [[f"{n:03}.csv" for n in range(100)]]
    [reaction] = stage.reactions()
    assert reaction["reason"].startswith("run ")
    first = stage.get(f"reactions/{reaction['id']}")[1]["history"][0]
    assert first["reason"] == f"100 events, gathered until {night.isoformat()}"


# --- stopped by people ------------------------------------------------------------------------------------------------


@ONCE_AND_TWICE
@pytest.mark.parametrize("what", [{"rule": "score"}, {"all": True}], ids=["a rule", "every start"])
def test_nothing_is_lost_while_it_is_stopped(
    stage_with: Callable[..., Stage], what: dict[str, object], copies: int
) -> None:
    stage = by_hand(stage_with, RULES)
    land(stage, "before.csv", copies)
    assert stage.post("controls/pause", asked(**what))[0] == 200
    end_runs(stage)
    stage.settle(lambda: stage.states() == ["succeeded"])  # what runs goes on to its end
    for n in range(3):
        land(stage, f"{n}.csv", copies)
        stage.restart()
    land(stage, "other.csv", copies, batch="b2")
    stage.settle()
    assert len(stage.starts()) == 1
    assert stage.post("controls/resume", asked(**what))[0] == 200
    to_the_end(stage, reactions=3)
    assert sorted(batches(stage)[1:]) == [["0.csv", "1.csv", "2.csv"], ["other.csv"]]


def asked(**more: object) -> dict[str, object]:
    return {"reason": "the factory is being changed", "request": str(uuid.uuid4()), **more}


@ONCE_AND_TWICE
@pytest.mark.parametrize("where", ["the rule", "the app"])
def test_what_is_only_observed_starts_nothing(stage_with: Callable[..., Stage], where: str, copies: int) -> None:
    in_rule = RULES.replace("  score:\n", "  score:\n    mode: observe\n")
    stage = stage_with(
        rules=in_rule if where == "the rule" else RULES.replace("version: 1", "version: 1\nmode: observe")
    )
    event = land(stage, "a.csv", copies)
    stage.settle()
    [reaction] = stage.reactions()
    told = "observe: would have started pipeline score with batch=b1, files=(the manifest)"
    assert (reaction["state"], reaction["reason"]) == ("observed", told)
    assert (stage.posts(), stage.get(f"reactions/{reaction['id']}")[1]["manifest"]) == ([], None)
    stage.restart(RULES)
    stage.deliver(event)
    stage.settle()
    assert stage.starts() == []  # known, and never started
    land(stage, "b.csv", copies)
    stage.settle(stage.all_final)
    assert batches(stage) == [["b.csv"]]
