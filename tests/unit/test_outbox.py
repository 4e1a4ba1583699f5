"""What the outside is told: once per fact, whatever breaks between, and never at the price of the work itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import TargetBusy, TargetRefused, TargetUnavailable
from shared.notifications import Notification
from shared.outbox import AT_ONCE, Outbox
from shared.ports import RunStatus
from tests.endpoint import RULES as ROLLOUT_RULES
from tests.endpoint import candidate, with_live
from tests.fakes import T0, FakeNotifier, landed
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
    assert world.notifier.kinds == ["DuplicateStart"], "before the run has ended"
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


def test_a_promotion_is_told_at_once_however_long_the_one_before_is_kept() -> None:
    made = with_live(ROLLOUT_RULES.replace("keep-previous: 10s", "keep-previous: 7h"))
    candidate(made)
    while made.notifier.kinds == []:
        assert made.look_when_due()
    assert made.clock.now() < T0 + timedelta(hours=1)
    assert [str(reaction.state) for reaction in made.reactions()] == ["succeeded", "running"]


def test_a_failure_is_told_before_the_lanes_next_run_has_ended() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    world.deliver(landed("in/b1/b.csv"))
    world.factory.end_all(RunStatus.FAILED, "the job failed")
    while len(world.reactions()) < 2:
        assert world.look_when_due()
    assert (world.states(), world.notifier.kinds) == (["failed", "running"], ["ReactionFailed"])


def test_what_has_piled_up_is_published_in_parts_that_the_topic_takes() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    world.factory.end_all(RunStatus.FAILED)
    world.settle()
    [told], [reaction] = world.notifier.published.values(), world.reactions()
    many = {f"{told.id}-{number}": replace(told, id=f"{told.id}-{number}") for number in range(3 * AT_ONCE - 1)}
    world.lanes.partitions[reaction.lane].outbox.update(many)
    notifier = InParts()
    outbox = Outbox(lanes=world.lanes, notifier=notifier, clock=world.clock)
    assert outbox.empty(world.lanes.read(reaction.lane)) is None
    assert notifier.parts == [AT_ONCE, AT_ONCE, AT_ONCE - 1]
    assert (set(notifier.published), world.lanes.read(reaction.lane).outbox) == (set(many), ())


class InParts(FakeNotifier):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[int] = []

    def publish(self, notifications: Sequence[Notification]) -> None:
        super().publish(notifications)
        self.parts.append(len(notifications))
