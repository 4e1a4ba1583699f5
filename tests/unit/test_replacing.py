"""`while-running: replace` on the fakes: the running reaction gives way, and the next one has its events as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from shared.errors import TargetBusy, TargetRefused
from shared.ports import RunStatus
from shared.reactions import Reaction
from tests.fakes import T0, landed, lose
from tests.unit.test_engine import run_to_the_end
from tests.world import RULES, World

MINUTE = timedelta(minutes=1)
REPLACE = (
    RULES.replace('with: {batch: "{batch}"}', 'with: {batch: "{count}", files: "{manifest}"}')
    + "    limits: {while-running: replace}\n"
)


def running(rules: str = REPLACE, files: int = 1) -> World:
    world = World(rules=rules)
    for n in range(files):
        world.deliver(landed(f"in/b1/old-{n}.csv"))
    assert world.states()[-1] == "running"
    world.clock.advance(MINUTE)
    return world


def manifest(world: World, reaction: Reaction) -> list[str]:
    return [t.pending.event.path.rpartition("/")[2] for t in world.manifests.written[reaction.id]]


def test_the_running_reaction_is_cancelled_and_the_next_has_the_events_of_both() -> None:
    world = running()
    world.deliver(landed("in/b1/new.csv"))
    assert world.factory.cancelled == ["run-1"]
    old, new = world.reactions()
    assert (str(old.state), str(new.state), new.replaces) == ("superseded", "running", old.seq)
    assert old.reason == "replaced: 1 event; run run-1 cancelled"
    assert world.story(old) == ["pending", "starting", "running", "gives-way", "superseded"]
    assert manifest(world, new) == ["old-0.csv", "new.csv"]
    assert world.factory.started[-1].run.parameters["batch"] == "2"
    assert (old.events, new.events) == (1, 1)
    run_to_the_end(world)
    assert world.states() == ["superseded", "succeeded"]
    assert world.permits.held["factory:adf"] == {}


def test_the_same_event_once_more_replaces_nothing() -> None:
    world = running()
    world.deliver(landed("in/b1/new.csv"))
    world.deliver(landed("in/b1/new.csv"), landed("in/b1/old-0.csv"))
    run_to_the_end(world)
    assert world.states() == ["superseded", "succeeded"]
    assert world.factory.cancelled == ["run-1"]


def test_many_late_deliveries_end_nothing() -> None:
    files = 60
    world = World(rules=REPLACE.replace('{by: "{batch}"}', '{by: "{batch}", quiet: 30s, max-wait: 1m}'))
    for n in range(files):
        world.deliver(landed(f"in/b1/{n}.csv"))
    while world.states() != ["running"]:
        world.look_when_due()
    for n in range(files):
        world.deliver(landed(f"in/b1/{n}.csv"))
    [lane] = [key for key in world.due.rows if key.startswith("lane:")]
    world.clock.advance_to(world.due.rows[lane].at)
    world.engine.look(lane)  # while it runs
    assert world.states() == ["running"]
    run_to_the_end(world)
    assert world.states() == ["succeeded"]
    assert world.factory.cancelled == []


def test_a_chain_of_replaced_reactions_keeps_every_event() -> None:
    world = running()
    for n in range(4):
        world.deliver(landed(f"in/b1/new-{n}.csv"))
        world.clock.advance(MINUTE)
    run_to_the_end(world)
    last = world.reactions()[-1]
    assert world.states() == ["superseded"] * 4 + ["succeeded"]
    assert manifest(world, last) == ["old-0.csv", *(f"new-{n}.csv" for n in range(4))]
    assert world.factory.started[-1].run.parameters["batch"] == "5"
    world.clock.advance(MINUTE)
    world.deliver(landed("in/b1/later.csv"))  # a new story: the chain has come to its end
    assert world.reactions()[-1].replaces is None


def test_a_replacement_waits_until_its_batch_is_closed() -> None:
    world = World(rules=REPLACE.replace('{by: "{batch}"}', '{by: "{batch}", quiet: 2m, max-wait: 9m}'))
    world.deliver(landed("in/b1/old-0.csv"))
    while world.states() != ["running"]:
        world.look_when_due()
    world.deliver(landed("in/b1/new.csv"))
    came = world.clock.now()
    while world.factory.cancelled == []:
        assert world.look_when_due()
    assert world.clock.now() == came + 2 * MINUTE


def test_a_run_that_ended_by_itself_meanwhile_is_not_replaced() -> None:
    world = running()
    world.factory.end_all()
    world.deliver(landed("in/b1/new.csv"))
    run_to_the_end(world)
    assert world.states() == ["succeeded", "succeeded"]
    assert [manifest(world, r) for r in world.reactions()] == [["old-0.csv"], ["new.csv"]]
    assert world.reactions()[1].replaces is None


def test_a_run_that_ends_in_the_moment_of_the_cancel_is_not_replaced_either() -> None:
    world = running()
    world.storage.before_call = lambda _n, what: world.factory.end_all() if what == "cancel run" else None
    world.deliver(landed("in/b1/new.csv"))
    world.nothing_breaks()
    run_to_the_end(world)
    assert world.states() == ["succeeded", "succeeded"]


def test_a_run_that_fails_while_it_gives_way_is_superseded() -> None:
    world = running(REPLACE + "    retry: {attempts: 3, backoff: 1m}\n")
    failing_cancel(world, TargetBusy("429", retry_after=MINUTE))
    world.deliver(landed("in/b1/new.csv"))
    world.factory.end_all(RunStatus.FAILED)
    run_to_the_end(world)
    assert world.states() == ["superseded", "succeeded"]
    assert manifest(world, world.reactions()[1]) == ["old-0.csv", "new.csv"]


def failing_cancel(world: World, error: Exception, times: int = 1) -> None:
    left = [times]
    cancel = world.factory.cancel

    def cancelling(run_id: str) -> None:
        if left[0]:
            left[0] -= 1
            raise error
        cancel(run_id)

    world.factory.cancel = cancelling  # type: ignore[method-assign]


@pytest.mark.parametrize("error", [TargetBusy("429", retry_after=MINUTE), TargetRefused("403 no", status=403)])
def test_nothing_is_started_before_the_cancel_is_accepted(error: Exception) -> None:
    world = running()
    failing_cancel(world, error, times=3)
    world.deliver(landed("in/b1/new.csv"))
    while not world.factory.cancelled:
        assert world.states() == ["running"]
        assert world.look_when_due(timedelta(minutes=10))
    run_to_the_end(world)
    assert world.factory.cancelled == ["run-1"]
    assert world.states() == ["superseded", "succeeded"]


def test_what_cannot_be_cancelled_gives_way_at_its_timeout() -> None:
    world = running(REPLACE + "    timeout: 10m\n")
    failing_cancel(world, TargetRefused("403 no", status=403), times=10_000)
    world.deliver(landed("in/b1/new.csv"))
    world.settle(within=timedelta(minutes=12))
    old, new = world.reactions()
    assert str(old.state) == "superseded"
    assert "not cancelled, the factory refused" in old.reason
    assert new.created >= T0 + timedelta(minutes=10)


def test_one_that_has_not_been_started_yet_gives_way_at_once() -> None:
    world = World(rules=REPLACE)

    def busy(_accept: Callable[[], str]) -> str:
        raise TargetBusy("429", retry_after=timedelta(minutes=5))

    world.factory.on_start = busy
    world.deliver(landed("in/b1/old.csv"))
    world.clock.advance(MINUTE)
    world.factory.on_start = lambda accept: accept()
    world.deliver(landed("in/b1/new.csv"))
    assert world.states() == ["superseded", "pending"]
    run_to_the_end(world)
    assert world.states() == ["superseded", "succeeded"]
    assert world.factory.cancelled == []
    assert manifest(world, world.reactions()[1]) == ["old.csv", "new.csv"]


def test_a_start_that_may_be_out_is_settled_first() -> None:
    world = World(rules=REPLACE)
    world.factory.on_start = lose
    world.deliver(landed("in/b1/old.csv"))
    assert world.states() == ["starting"]
    world.factory.on_start = lambda accept: accept()
    world.deliver(landed("in/b1/new.csv"))
    run_to_the_end_slowly(world)
    assert world.states() == ["superseded", "succeeded"]
    assert [run.run.parameters["reaction_id"][-1] for run in world.factory.started] == ["1", "2"]
    assert world.factory.cancelled == ["run-1"]


def run_to_the_end_slowly(world: World) -> None:
    """Runs go on for an hour before they end."""
    until = world.clock.now() + timedelta(hours=1)
    while world.clock.now() < until and world.look_when_due(timedelta(hours=1)):
        pass
    run_to_the_end(world)


def test_a_cooldown_does_not_hold_a_replacement() -> None:
    world = running(REPLACE.replace("replace}", "replace, cooldown: 6h, during-cooldown: skip}"))
    world.deliver(landed("in/b1/new.csv"))
    world.clock.advance(MINUTE)
    assert world.states() == ["superseded", "running"]
    run_to_the_end(world)
    ended = world.clock.now()
    world.clock.advance(MINUTE)
    world.deliver(landed("in/b1/skipped.csv"))
    world.clock.advance_to(ended + timedelta(hours=6))
    world.deliver(landed("in/b1/later.csv"))
    run_to_the_end(world)
    assert world.states() == ["superseded", "succeeded", "succeeded"]


@pytest.mark.parametrize("files", [1, 60, 130])
@pytest.mark.parametrize("die", [True, False], ids=["dies", "storage is down"])
def test_whichever_call_breaks_no_event_is_lost(files: int, die: bool) -> None:
    quiet = REPLACE.replace('{by: "{batch}"}', '{by: "{batch}", quiet: 30s, max-wait: 2m}')
    step = 1 if files == 1 else 7
    for calls in range(1, 60, step):
        world = World(rules=quiet)
        world.deliver(landed("in/b1/old.csv"))
        while world.states() != ["running"]:
            world.look_when_due()
        for n in range(files):
            world.deliver(landed(f"in/b1/{n:03}.csv"))
        world.break_call(calls, die=die)
        for _ in range(12):
            world.survive(partial(world.look_when_due, timedelta(minutes=3)))
        world.nothing_breaks()
        run_to_the_end(world)
        assert world.states() == ["superseded", "succeeded"], calls
        new = world.reactions()[1]
        assert len(manifest(world, new)) == files + 1, calls
        assert world.factory.started[-1].run.parameters["batch"] == str(files + 1)
        assert world.permits.held["factory:adf"] == {}


@pytest.mark.parametrize("policy", ["coalesce", "queue", "skip"])
def test_nothing_is_lost_if_the_rule_changes_while_one_gives_way(policy: str) -> None:
    world = running()
    failing_cancel(world, TargetBusy("429", retry_after=MINUTE))
    world.deliver(landed("in/b1/new.csv"))
    world.restart(rules=REPLACE.replace("replace}", f"{policy}}}"), modified=T0 + MINUTE)
    run_to_the_end_slowly(world)
    old, new = world.reactions()
    assert (str(old.state), str(new.state)) == ("superseded", "succeeded")
    assert manifest(world, new)[0] == "old-0.csv"


def test_if_those_that_took_its_place_are_skipped_its_events_are_acted_on_all_the_same() -> None:
    world = running()
    failing_cancel(world, TargetBusy("429", retry_after=MINUTE))
    world.deliver(landed("in/b1/new.csv"))
    excluding = REPLACE.replace('*.csv"}', '*.csv", exclude: ["new*"]}')
    world.restart(rules=excluding, modified=T0 + MINUTE)
    run_to_the_end_slowly(world)
    old, new = world.reactions()
    assert (str(old.state), str(new.state), new.replaces, new.events) == ("superseded", "succeeded", old.seq, 0)
    assert manifest(world, new) == ["old-0.csv"]
    assert new.key == "b1"


def test_a_cancel_that_somebody_wants_is_a_cancel() -> None:
    world = running()
    failing_cancel(world, TargetBusy("429", retry_after=MINUTE))
    [partition] = world.lanes.partitions.values()
    partition.reactions[1] = replace(partition.reactions[1], cancel="ann: wrong files")
    world.deliver(landed("in/b1/new.csv"))
    run_to_the_end_slowly(world)
    assert world.states() == ["cancelled", "succeeded"]
    assert manifest(world, world.reactions()[1]) == ["new.csv"]
