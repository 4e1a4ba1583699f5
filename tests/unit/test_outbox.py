"""What the outside is told: once per fact, whatever breaks between, and never at the price of the work itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import TargetBusy, TargetRefused, TargetUnavailable
from shared.ports import RunStatus
from tests.fakes import landed
from tests.unit.test_rollouts import candidate, with_live
from tests.world import RULES, World


def test_a_failed_run_is_told_once() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    world.factory.end_all(RunStatus.FAILED, "the job failed")
    world.settle()
    [told] = world.notifier.published.values()
    [reaction] = world.reactions()
    assert (told.kind, told.subject) == ("Relearn.ReactionFailed", f"reactions/{reaction.id}")
    assert told.data["reason"].endswith("the job failed")
    assert (told.data["rule"], told.data["state"], told.data["pipeline"]) == ("score", "failed", "score")


def test_a_run_that_went_well_is_nothing_to_tell() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    world.factory.end_all()
    world.settle()
    assert world.notifier.published == {}


def test_a_second_start_is_told() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    [reaction] = world.reactions()
    world.clock.advance(timedelta(seconds=1))
    world.factory.force("score", {"reaction_id": reaction.id, "attempt": "1", "batch": "b1"})
    for _ in range(3):
        world.look_when_due()
    world.factory.end_all()
    world.settle()
    assert world.notifier.kinds == ["DuplicateStart"]
    [told] = world.notifier.published.values()
    assert told.data["duplicate"] == "run-2"


@pytest.mark.parametrize("error", [TargetBusy("429"), TargetUnavailable("503")], ids=["429", "503"])
def test_a_topic_that_is_out_delays_only_the_telling(error: Exception) -> None:
    made = with_live()
    out_until = made.clock.now() + timedelta(hours=1)

    def out() -> None:
        if made.clock.now() < out_until:
            raise error

    made.notifier.hook = out
    candidate(made)
    made.settle(looks=500)
    assert (made.states()[-1], made.notifier.kinds) == ("succeeded", ["ModelPromoted"])
    assert made.clock.now() >= out_until


def test_a_topic_that_refuses_is_not_asked_for_ever() -> None:
    made = with_live()

    def refuse() -> None:
        raise TargetRefused("403", status=403)

    made.notifier.hook = refuse
    candidate(made)
    made.settle()
    assert made.states()[-1] == "succeeded"
    assert all(not partition.outbox for partition in made.lanes.partitions.values())


def test_without_a_topic_nothing_is_kept() -> None:
    world = World(rules=RULES)
    world.notifier = None  # type: ignore[assignment]
    world.restart()
    world.deliver(landed("in/b1/a.csv"))
    world.factory.end_all(RunStatus.FAILED)
    world.settle()
    assert all(not partition.outbox for partition in world.lanes.partitions.values())
    assert world.due.rows == {}
