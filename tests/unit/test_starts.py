"""Starts on the fakes: limits, turns, what is left behind, busy targets, and what people have stopped."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared import limits
from shared.controls import Pause
from shared.errors import InDoubt, TargetBusy
from shared.looks import lane_key
from shared.ports import Permit, Resource, RunStatus, Waiter
from shared.reactions import State
from tests.fakes import T0, busy, landed, lose
from tests.world import DECLARED, RULES, Died, World

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
TWO_RULES = """\
version: 1
resources: {pool: 1}
reactions:
  score:
    when: {file-landed: {path: "lake/in/{batch}/*.csv"}}
    collect: {by: "{batch}"}
    run-pipeline: score
    with: {batch: "{batch}"}
    limits: {resources: [pool]}
  urgent:
    when: {file-landed: {path: "lake/urgent/{batch}/*.csv"}}
    collect: {by: "{batch}"}
    run-pipeline: urgent
    with: {batch: "{batch}"}
    limits: {resources: [pool], priority: high}
"""


def limited(how: str, head: str = "") -> World:
    return World(rules=f"{head}{RULES}    limits: {how}\n")


def land(world: World, *batches: str, folder: str = "in") -> None:
    """One lane after the other, a second apart."""
    for batch in batches:
        world.deliver(landed(f"{folder}/{batch}/a.csv"))
        world.clock.advance(SECOND)


def started(world: World) -> list[str]:
    return [run.run.parameters["batch"] for run in world.factory.started]


def end_first(world: World) -> None:
    world.factory.end(world.factory.running[0].id)


def play(world: World, at_most: int, looks: int = 300) -> None:
    """One run ends at every third look, until everything is done; never more than so many run."""
    for turn in range(looks):
        assert len(world.factory.running) <= at_most
        if turn % 3 == 0 and world.factory.running:
            end_first(world)
        if not world.look_when_due():
            break
    assert set(world.states()) == {"succeeded"}


# --- permits ----------------------------------------------------------------------------------------------------------


def test_no_more_run_than_the_rule_allows_and_each_has_its_turn() -> None:
    world = limited("{concurrency: 2}")
    land(world, "b1", "b2", "b3", "b4", "b5", "b6")
    assert (started(world), world.states().count("pending")) == (["b1", "b2"], 4)
    play(world, at_most=2)
    assert started(world) == ["b1", "b2", "b3", "b4", "b5", "b6"]
    assert not any(world.permits.held.values())
    assert not any(world.permits.queues.values())


def test_who_waits_says_so_once_and_costs_no_attempt() -> None:
    world = limited("{concurrency: 1}")
    land(world, "b1", "b2")
    for _ in range(200):
        if world.clock.now() > T0 + timedelta(hours=1):
            break
        world.look_when_due()
    waiting = world.reactions()[1]
    assert (str(waiting.state), waiting.attempt) == ("pending", 1)
    assert waiting.reason == f"rule:score is held by reaction {world.reactions()[0].id}"
    assert world.story(waiting) == ["pending", "pending"]


def test_a_named_resource_is_shared_by_the_rules_that_name_it() -> None:
    world = World(rules=TWO_RULES)
    world.factory.pipelines["urgent"] = DECLARED
    land(world, "b1")
    land(world, "u1", folder="urgent")
    land(world, "b2")
    assert started(world) == ["b1"]
    play(world, at_most=1)
    assert sorted(started(world)) == ["b1", "b2", "u1"]


def test_the_more_urgent_goes_first_whoever_came_first() -> None:
    world = World(rules=TWO_RULES)
    world.factory.pipelines["urgent"] = DECLARED
    land(world, "b1", "b2", "b3")
    land(world, "u1", folder="urgent")
    play(world, at_most=1)
    assert started(world) == ["b1", "u1", "b2", "b3"]


def test_the_factory_has_one_budget_for_all_rules() -> None:
    world = World(rules="factory: {concurrency: 2}\n" + TWO_RULES.replace("{pool: 1}", "{pool: 9}"))
    world.factory.pipelines["urgent"] = DECLARED
    land(world, "b1", "b2", "b3")
    land(world, "u1", "u2", folder="urgent")
    assert started(world) == ["b1", "b2"]
    play(world, at_most=2)
    assert started(world)[2:4] == ["u1", "u2"]


def test_a_release_wakes_the_first_who_waits_at_once() -> None:
    world = limited("{concurrency: 1}")
    land(world, "b1", "b2", "b3")
    lanes = {reaction.key: f"lane:{reaction.lane}" for reaction in world.reactions()}
    world.clock.advance(20 * SECOND)
    world.factory.end_all()
    world.engine.look("factory:adf")
    assert world.due.rows[lanes["b2"]].at <= world.clock.now()
    assert world.due.rows[lanes["b3"]].at > world.clock.now() + MINUTE
    before = world.clock.now()
    while started(world) != ["b1", "b2"]:
        assert world.look_when_due()
    assert world.clock.now() == before


def test_a_reaction_that_is_woken_before_its_back_off_is_over_waits_on() -> None:
    world = World(rules=RULES + "    limits: {concurrency: 1}\n    retry: {attempts: 2, backoff: 30m}\n")
    land(world, "b1")
    world.factory.end_all(RunStatus.FAILED)
    while world.states() == ["running"]:
        world.look_when_due()
    [waiting] = world.reactions()
    world.engine.look(f"lane:{waiting.lane}")
    assert len(world.factory.started) == 1


def test_nothing_is_held_by_who_waits() -> None:
    world = limited("{concurrency: 3, resources: [pool]}", head="resources: {pool: 1}\n")
    land(world, "b1", "b2")
    first = world.reactions()[0].id
    assert {name: list(held) for name, held in world.permits.held.items()} == {
        "factory:adf": [first],
        "resource:pool": [first],
        "rule:score": [first],
    }


def test_a_release_that_died_before_it_woke_anybody_is_made_good() -> None:
    world = limited("{concurrency: 1}")
    land(world, "b1", "b2")
    [first, second] = world.reactions()
    world.permits.release("rule:score", first.id)  # and nobody was woken
    while second.key not in started(world):
        assert world.look_when_due()
    assert world.clock.now() <= T0 + limits.FIRST_LOOKS + 10 * SECOND


@pytest.mark.parametrize("resource", ["rule:score", "resource:pool"])
def test_a_permit_of_a_reaction_that_has_ended_is_freed_by_whoever_wants_it(resource: str) -> None:
    world = limited("{concurrency: 1, resources: [pool]}", head="resources: {pool: 1}\n")
    land(world, "b1")
    world.factory.end_all()
    world.settle()
    [ended] = world.reactions()
    world.permits.held[resource] = {ended.id: Permit(reaction_id=ended.id, since=T0)}
    land(world, "b2")
    assert started(world) == ["b1", "b2"]


def test_a_place_in_the_queue_that_was_left_behind_is_forgotten() -> None:
    world = limited("{concurrency: 1}")
    land(world, "b1", "b2", "b3")
    second = world.reactions()[1]
    world.lanes.partitions.pop(second.lane)  # it is gone, and its place is not
    del world.due.rows[f"lane:{second.lane}"]
    play_until(world, lambda: started(world) == ["b1", "b3"], ends=True)
    world.factory.end_all()
    world.settle()
    assert world.permits.queues["rule:score"] == {}


def test_a_stale_place_is_removed_by_whoever_has_to_wait() -> None:
    world = limited("{concurrency: 1}")
    old = Waiter(name="f" * 24 + "-1", priority=1, since=T0 - MINUTE, seen=T0 - limits.UNSEEN)
    world.permits.wait("rule:score", old)
    land(world, "b1", "b2")
    assert [waiter.name for waiter in world.permits.queues["rule:score"].values()] == [world.reactions()[1].id]


def play_until(world: World, done: Callable[[], bool], *, ends: bool = False, looks: int = 200) -> None:
    for _ in range(looks):
        if done():
            return
        if ends:
            world.factory.end_all()
        assert world.look_when_due()
    raise AssertionError(f"not so after {looks} looks: {world.states()}, started {started(world)}")


def test_two_releases_at_once_let_two_go() -> None:
    world = limited("{concurrency: 2}")
    land(world, "b1", "b2", "b3", "b4")
    world.factory.end_all()
    before = world.clock.now()
    play_until(world, lambda: len(started(world)) == 4)
    assert world.clock.now() <= before + 10 * SECOND


def test_two_who_need_the_same_two_resources_both_get_them() -> None:
    rules = TWO_RULES.replace("{pool: 1}", "{pool: 1, disk: 1}").replace("[pool], p", "[disk, pool], p")
    world = World(rules=rules.replace("[pool]}", "[pool, disk]}"))
    world.factory.pipelines["urgent"] = DECLARED
    land(world, "b1", "b2", "b3")
    land(world, "u1", "u2", folder="urgent")
    play(world, at_most=1)
    assert len(started(world)) == 5


def test_one_that_is_cancelled_while_it_waits_leaves_its_place() -> None:
    world = limited("{concurrency: 1}")
    land(world, "b1", "b2", "b3")
    second = world.reactions()[1]
    partition = world.lanes.partitions[second.lane]
    partition.reactions[second.seq] = replace(second, cancel="anna: a mistake", etag=world.storage.etag())
    world.engine.look(f"lane:{second.lane}")
    assert world.states() == ["running", "cancelled", "pending"]
    assert [w.name for w in world.permits.queues["rule:score"].values()] == [world.reactions()[2].id]
    play_until(world, lambda: started(world) == ["b1", "b3"], ends=True)


# --- rates ------------------------------------------------------------------------------------------------------------


def test_starts_come_no_faster_than_the_rate() -> None:
    world = limited("{start-rate: 2/h}")
    land(world, "b1", "b2", "b3", "b4", "b5")
    assert started(world) == ["b1", "b2"]
    times: list[datetime] = []
    while len(times) < 3:
        before = len(started(world))
        world.factory.end_all()
        assert world.look_when_due()
        times += [world.clock.now()] * (len(started(world)) - before)
    assert started(world) == ["b1", "b2", "b3", "b4", "b5"]
    assert times == [T0 + timedelta(minutes=30 * n) for n in (1, 2, 3)]
    assert "rule:score may start 2 in 1:00:00, which is used up" in [
        e.reason for e in world.lanes.history(world.reactions()[2].id)
    ]


def test_the_factory_has_one_rate_for_all_rules() -> None:
    world = World(rules="factory: {start-rate: 2/m}\n" + TWO_RULES.replace("{pool: 1}", "{pool: 9}"))
    world.factory.pipelines["urgent"] = DECLARED
    land(world, "b1", "b2", "b3")
    land(world, "u1", folder="urgent")
    assert started(world) == ["b1", "b2"]
    play_until(world, lambda: len(started(world)) == 4)
    assert started(world) == ["b1", "b2", "u1", "b3"]
    assert world.clock.now() == T0 + MINUTE


def test_a_start_that_was_none_gives_its_part_of_the_rate_back() -> None:
    world = limited("{start-rate: 1/h}")
    world.factory.on_start = busy
    land(world, "b1")
    world.factory.on_start = lambda accept: accept()
    play_until(world, lambda: started(world) == ["b1"])
    assert world.clock.now() < T0 + MINUTE


def test_without_a_limit_a_hundred_start_at_once_and_sixty_by_default() -> None:
    for how, expected in (("{start-rate: unlimited}", 100), ("{while-running: coalesce}", 60)):
        world = limited(how)
        for n in range(100):
            world.deliver(landed(f"in/b{n}/a.csv"))
        assert len(started(world)) == expected


# --- what it costs ----------------------------------------------------------------------------------------------------


def calls(world: World, batch: str) -> tuple[int, int]:
    """Calls of the ledger by a start, and by its end."""
    before = world.storage.calls
    land(world, batch)
    middle = world.storage.calls
    world.factory.end_all()
    world.settle()
    return middle - before, world.storage.calls - middle


def test_the_default_rate_costs_two_calls_a_start_and_nothing_at_the_end() -> None:
    plain, ruled = limited("{start-rate: unlimited}"), limited("{while-running: coalesce}")
    for world in (plain, ruled):
        calls(world, "b1")  # whose start is the first ever
    cheap, usual = calls(plain, "b2"), calls(ruled, "b2")
    assert (usual[0] - cheap[0], usual[1] - cheap[1]) == (2, 0)


# --- death ------------------------------------------------------------------------------------------------------------

DYING = "{concurrency: 1, resources: [pool], start-rate: 9/m}"


def dying_at(k: int) -> tuple[World, int]:
    """Two lanes and one permit, and the process dies at its k-th call; and how many ran at once at most."""
    world = limited(DYING, head="resources: {pool: 1}\nfactory: {concurrency: 1, start-rate: 9/m}\n")
    most = 0

    def watched(accept: Callable[[], str]) -> str:
        nonlocal most
        run = accept()
        most = max(most, len(world.factory.running))
        return run

    world.factory.on_start = watched
    world.break_call(k, die=True)
    for batch in ("b1", "b2"):
        world.survive(lambda batch=batch: world.deliver(landed(f"in/{batch}/a.csv")))
    for turn in range(300):
        if turn % 4 == 0:
            world.factory.end_all()
        try:
            if not world.look_when_due():
                break
        except Died:
            world.nothing_breaks()
            world.restart()
    return world, most


def test_death_at_any_call_exceeds_nothing_and_leaves_nobody_behind() -> None:
    calls = dying_at(10**9)[0].storage.calls
    assert calls > 80
    for k in range(1, calls + 1):
        world, most = dying_at(k)
        assert (world.states(), most) == (["succeeded"] * 2, 1), f"died before call {k} of {calls}"
        assert sorted(started(world)) == ["b1", "b2"], f"died before call {k} of {calls}"


# --- targets ----------------------------------------------------------------------------------------------------------


def count_starts(world: World, answer: Callable[[Callable[[], str]], str]) -> list[datetime]:
    """When the factory was called to start something."""
    sent: list[datetime] = []

    def on_start(accept: Callable[[], str]) -> str:
        sent.append(world.clock.now())
        return answer(accept)

    world.factory.on_start = on_start
    return sent


def test_a_busy_factory_is_left_alone_by_all_and_then_tried_by_one() -> None:
    world = World()
    sent = count_starts(world, busy)
    land(world, "b1", "b2", "b3", "b4", "b5", "b6")
    assert len(sent) == 1, "the others do not call"
    assert world.states() == ["pending"] * 6
    while len(sent) < 2:
        assert world.look_when_due()
    assert timedelta(seconds=40) <= sent[1] - sent[0] < timedelta(seconds=48)
    count_starts(world, lambda accept: accept())
    play_until(world, lambda: len(started(world)) == 6)
    assert {reaction.attempt for reaction in world.reactions()} == {1}
    assert world.permits.heads["factory:adf"].failures == 0


def test_a_factory_that_advises_nothing_is_left_alone_for_longer_and_longer() -> None:
    world = World()

    def full(accept: Callable[[], str]) -> str:
        raise TargetBusy("429 the queue is full", status=429)

    sent = count_starts(world, full)
    land(world, "b1", "b2", "b3")
    while world.clock.now() < T0 + timedelta(hours=1):
        assert world.look_when_due()
    gaps = [(later - sooner).total_seconds() for sooner, later in itertools.pairwise(sent)]
    for gap, plain in zip(gaps, (30, 60, 120, 240, 480, 600, 600), strict=False):
        assert plain <= gap < plain * 1.2 + 36, gaps
    assert len(sent) <= 10


def test_a_factory_that_is_not_well_is_left_alone_while_one_start_is_unclear() -> None:
    world = World()

    def down(accept: Callable[[], str]) -> str:
        raise InDoubt("503 ServiceUnavailable")

    sent = count_starts(world, down)
    land(world, "b1", "b2", "b3", "b4")
    assert (len(sent), world.states()) == (1, ["starting", "pending", "pending", "pending"])
    while world.clock.now() < T0 + timedelta(minutes=10):
        assert world.look_when_due()
    assert len(sent) <= 6
    count_starts(world, lambda accept: accept())
    play_until(world, lambda: len(started(world)) == 4)
    world.factory.end_all()
    world.settle()
    assert world.states() == ["succeeded"] * 4


def test_the_breaker_outlives_the_process() -> None:
    world = World()
    sent = count_starts(world, busy)
    land(world, "b1")
    world.restart()
    land(world, "b2")
    assert len(sent) == 1


def test_a_start_that_tries_out_the_factory_is_not_held_up_by_its_own_try() -> None:
    world = World()
    count_starts(world, busy)
    land(world, "b1")
    sent = count_starts(world, lambda accept: accept())
    [waits] = world.reactions()
    world.clock.advance_to(world.permits.heads["factory:adf"].next_attempt + MINUTE)
    asked = iter(["once"])

    def meanwhile(_number: int, what: str) -> None:
        # The try is granted and not saved as the will to start; another worker looks at the same lane.
        if what == "get pipeline" and next(asked, None):
            another_worker(world).engine.look(lane_key(waits.lane))

    world.storage.before_call = meanwhile
    world.engine.look(lane_key(waits.lane))
    assert (len(sent), world.states()) == (1, ["running"])
    assert world.permits.heads["factory:adf"].failures == 0


# --- people -----------------------------------------------------------------------------------------------------------

STOP = Pause(by="anna", at=T0, reason="costs")


def resume(world: World, rule: str | None) -> None:
    world.controls.resume(rule)
    world.upkeep.make_due("resume")


@pytest.mark.parametrize("rule", [None, "score"], ids=["all starts", "the rule"])
def test_what_is_stopped_gathers_events_and_goes_on_with_all_of_them(rule: str | None) -> None:
    world = World()
    world.controls.pause(rule, STOP)
    for n in range(3):
        world.deliver(landed(f"in/b1/{n}.csv"))
    world.settle(looks=2, within=MINUTE)
    assert world.reactions() == []
    resume(world, rule)
    play_until(world, lambda: len(started(world)) == 1)
    [reaction] = world.reactions()
    assert reaction.events == 3


def test_a_rule_that_is_not_stopped_goes_on() -> None:
    world = World(rules=TWO_RULES.replace("{pool: 1}", "{pool: 9}"))
    world.factory.pipelines["urgent"] = DECLARED
    world.controls.pause("score", STOP)
    land(world, "b1")
    land(world, "u1", folder="urgent")
    assert started(world) == ["u1"]


def test_one_that_waits_already_does_not_begin_and_one_that_runs_goes_on() -> None:
    world = limited("{concurrency: 1}")
    land(world, "b1", "b2")
    world.controls.pause(None, STOP)
    world.factory.end_all()
    for _ in range(20):
        world.look_when_due(timedelta(minutes=10))
    assert world.states() == ["succeeded", "pending"]
    assert "all starts are stopped by anna" in world.reactions()[1].reason
    assert not any(world.permits.queues.values()), "it holds up nobody"
    resume(world, None)
    before = world.clock.now()
    play_until(world, lambda: started(world) == ["b1", "b2"])
    assert world.clock.now() == before


def test_a_further_attempt_does_not_begin_while_starts_are_stopped() -> None:
    world = World(rules=RULES + "    retry: {attempts: 2, backoff: 1m}\n")
    land(world, "b1")
    world.controls.pause("score", STOP)
    world.factory.end_all(RunStatus.FAILED)
    for _ in range(10):
        world.look_when_due(timedelta(minutes=30))
    assert len(started(world)) == 1
    resume(world, "score")
    play_until(world, lambda: len(started(world)) == 2)


def test_many_lanes_are_woken_some_at_a_time() -> None:
    world = limited("{start-rate: unlimited}")
    world.controls.pause(None, STOP)
    for n in range(450):
        world.deliver(landed(f"in/b{n}/a.csv"))
    resume(world, None)
    assert started(world) == []
    play_until(world, lambda: len(started(world)) == 450, looks=600)


def test_a_stop_that_is_over_before_it_is_noted_who_waits_holds_up_nobody() -> None:
    world = World()
    world.controls.pause(None, STOP)

    def over(_number: int, what: str) -> None:
        if what == "wait for a resume":
            world.controls.pauses.clear()

    world.storage.before_call = over
    land(world, "b1")
    assert started(world) == ["b1"]


# --- races ------------------------------------------------------------------------------------------------------------


def quicker(world: World, resource: str, *holders: str) -> None:
    """Just before the next grant of the resource, others are granted theirs."""
    left = iter([holders])

    def before_call(_number: int, what: str) -> None:
        if what == "grant permit" and world.permits.held.get("resource:pool") and (names := next(left, None)):
            head = world.permits.heads.get(resource, Resource(name=resource))
            world.permits.heads[resource] = replace(head, etag=world.storage.etag())
            permits = {name: Permit(reaction_id=name, since=world.clock.now()) for name in names}
            world.permits.held.setdefault(resource, {}).update(permits)

    world.storage.before_call = before_call


def test_a_start_that_is_granted_while_the_factory_is_followed_does_not_lose_the_followers_place() -> None:
    world = World(rules="factory: {concurrency: 5}\n" + RULES)
    land(world, "b1")
    world.clock.advance(10 * MINUTE)
    once = iter([None])

    def granted_meanwhile(_number: int, what: str) -> None:
        if what == "save resource" and next(once, True) is None:
            head = world.permits.heads["factory:adf"]
            world.permits.heads["factory:adf"] = replace(head, etag=world.storage.etag())

    world.storage.before_call = granted_meanwhile
    world.engine.look("factory:adf")
    assert world.permits.heads["factory:adf"].cursor == world.clock.now()


def test_who_loses_a_race_gives_back_what_it_took() -> None:
    rules = "factory: {start-rate: 2/m}\nresources: {pool: 2}\n"
    world = limited("{concurrency: 1, resources: [pool]}", head=rules)
    land(world, "b1")
    world.factory.end_all()
    world.settle()
    paid = world.permits.heads["factory:adf"].full_at
    world.clock.advance(10 * SECOND)
    other = "f" * 24 + "-1"
    world.lanes._of(other[:24]).reactions[1] = replace(world.reactions()[0], id=other, state=State.RUNNING)
    quicker(world, "rule:score", other)
    land(world, "b2")
    assert world.states().count("pending") == 1
    assert world.permits.held["resource:pool"] == world.permits.held["factory:adf"] == {}
    assert world.permits.heads["factory:adf"].full_at == paid


def test_a_permit_that_was_granted_a_moment_ago_is_not_taken_for_one_left_behind() -> None:
    world = limited("{concurrency: 1}")
    land(world, "b1", "b2", "b3")
    lanes = {reaction.key: f"lane:{reaction.lane}" for reaction in world.reactions()}
    world.factory.end_all()
    world.clock.advance(6 * SECOND)
    world.engine.look("factory:adf")
    asked = iter(["once"])

    def meanwhile(_number: int, what: str) -> None:
        # The second has its permit; that it is about to start is not saved yet, and its row says that it waits on.
        if what == "get pipeline" and next(asked, None):
            world.permits.queues["rule:score"].clear()
            world.engine.look(lanes["b3"])

    world.storage.before_call = meanwhile
    world.engine.look(lanes["b2"])
    assert started(world) == ["b1", "b2"]
    assert world.states() == ["succeeded", "running", "pending"]


def test_a_permit_that_is_granted_anew_while_it_is_found_to_be_left_behind_is_kept() -> None:
    world = limited("{concurrency: 1, resources: [pool]}", head="resources: {pool: 1}\n")
    land(world, "b1")
    world.factory.end_all()
    world.settle()
    left = Permit(reaction_id=world.reactions()[0].id, since=T0)
    anew = replace(left, since=world.clock.now())
    world.permits.held["resource:pool"] = {left.reaction_id: left}

    def meanwhile(_number: int, what: str) -> None:
        if what == "read reaction":
            world.permits.held["resource:pool"] = {left.reaction_id: anew}

    world.storage.before_call = meanwhile
    land(world, "b2")
    assert list(world.permits.held["resource:pool"].values()) == [anew]


def test_a_process_that_was_held_up_between_grant_and_intent_is_admitted_anew() -> None:
    world = limited("{concurrency: 1}")
    asked = iter(["once"])

    def held_up(_number: int, what: str) -> None:
        if what == "get pipeline" and next(asked, None):
            world.clock.advance(5 * MINUTE)
            land(world, "b2")  # frees what looks left behind, and starts

    world.storage.before_call = held_up
    land(world, "b1")
    assert len(world.factory.running) == 1
    assert sorted(world.states()) == ["pending", "running"]
    play(world, at_most=1)


def test_an_unclear_start_is_not_sent_again_while_starts_are_stopped() -> None:
    world = World()
    sent = count_starts(world, lose)
    land(world, "b1")
    world.controls.pause(None, STOP)
    while world.clock.now() < T0 + timedelta(hours=1):
        assert world.look_when_due()
    assert (len(sent), world.states()) == (1, ["starting"])
    resume(world, None)
    count_starts(world, lambda accept: accept())
    play_until(world, lambda: started(world) == ["b1"])


def another_worker(world: World) -> World:
    """A process of its own on the same tables and the same factory."""
    other = World(storage=world.storage, rules=world.rules, clock=world.clock)
    for name in ("lanes", "due", "wake_ups", "permits", "controls", "recent", "manifests", "archive", "factory"):
        setattr(other, name, getattr(world, name))
    other.restart()
    return other


def test_what_another_worker_relies_on_is_not_given_back() -> None:
    """Two look at one lane: the one that is too late with the second permit leaves the first one alone."""
    world = limited("{concurrency: 2, resources: [pool]}", head="factory: {concurrency: 5}\nresources: {pool: 1}\n")
    first, grants = another_worker(world), 0

    def between(_number: int, what: str) -> None:
        nonlocal grants
        grants += what == "grant permit"
        if what == "grant permit" and grants == 2:  # the first worker holds the factory's; it is slow with the rest
            world.nothing_breaks()
            world.clock.advance(SECOND)
            [lane] = world.lanes.partitions
            world.engine.look(lane_key(lane))
            assert world.states() == ["running"]
            world.storage.before_call = die_at_grant

    def die_at_grant(_number: int, what: str) -> None:
        if what == "read permits":  # it has given back what it could, and dies before it tries again
            raise Died

    world.storage.before_call = between
    with pytest.raises(Died):
        first.deliver(landed("in/b1/a.csv"))
    world.nothing_breaks()
    assert len(started(world)) == 1
    assert {name: len(held) for name, held in world.permits.held.items()} == {
        "factory:adf": 1,
        "resource:pool": 1,
        "rule:score": 1,
    }


def test_what_another_worker_has_paid_with_is_not_refunded() -> None:
    """Two look at one lane: one starts by the grant of the other, which then finds the factory busy."""
    world = limited("{concurrency: 2, start-rate: 5/h}")
    first = another_worker(world)

    def slow(_number: int, what: str) -> None:
        if what == "get pipeline":
            world.nothing_breaks()
            world.clock.advance(SECOND)
            [lane] = world.lanes.partitions
            world.engine.look(lane_key(lane))
            assert world.states() == ["running"]
            raise TargetBusy("429")

    world.storage.before_call = slow
    first.deliver(landed("in/b1/a.csv"))
    assert (world.states(), len(started(world))) == (["running"], 1)
    assert world.permits.heads["rule:score"].full_at is not None
