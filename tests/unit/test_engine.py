"""Looks on the fakes: batches, windows, duplicates, crashes between any two storage calls, rules that change."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from shared.errors import StorageUnavailable
from shared.events import Reason
from shared.lanes import lane_id
from shared.looks import lane_key
from shared.ports import LaneChange, Run, RunStatus, Saved
from tests.fakes import T0, delivery, landed
from tests.world import RULES, Died, World

WINDOW = RULES.replace('{by: "{batch}"}', '{by: "{batch}", quiet: 30s, max-wait: 10m}').replace(
    'with: {batch: "{batch}"}', 'with: {batch: "{batch}", files: "{manifest}"}'
)
MINUTE = timedelta(minutes=1)


def burst(count: int, batch: str = "b1") -> list[str]:
    return [f"in/{batch}/{n:05}.csv" for n in range(count)]


def run_to_the_end(world: World) -> None:
    for _ in range(100):
        world.factory.end_all()
        if not world.look_when_due():
            return
    raise AssertionError("never settled")


@pytest.mark.parametrize("count", [1, 47, 48, 49, 50, 97, 200])
def test_a_burst_becomes_one_reaction_with_every_file_in_its_manifest(count: int) -> None:
    world = World(rules=WINDOW)
    for path in burst(count):
        world.deliver(landed(path))
    run_to_the_end(world)
    [reaction] = world.reactions()
    assert reaction.events == count
    assert sorted(t.pending.event.path for t in world.manifests.written[reaction.id]) == burst(count)
    assert world.states() == ["succeeded"]


def test_a_decision_says_how_long_its_first_event_has_waited(caplog: pytest.LogCaptureFixture) -> None:
    world = World(rules=WINDOW)
    world.deliver(landed("in/b1/a.csv"))
    with caplog.at_level(logging.INFO):
        run_to_the_end(world)
    [decided] = [text for text in caplog.messages if text.startswith("reaction_pending ")]
    assert json.loads(decided.partition(" ")[2])["waited"] == 30


def test_a_burst_delivered_twice_becomes_one_reaction() -> None:
    world = World(rules=WINDOW)
    for path in burst(60):
        world.deliver(landed(path), landed(path))
    run_to_the_end(world)
    for path in reversed(burst(60)):
        world.deliver(landed(path))
    run_to_the_end(world)
    assert [(str(r.state), r.events) for r in world.reactions()] == [("succeeded", 60)]
    assert all(p.pending == {} for p in world.lanes.partitions.values())


def test_an_extra_event_of_a_burst_costs_one_storage_call_to_take_in() -> None:
    world = World(rules=WINDOW)
    world.deliver(landed("in/b1/first.csv"))
    before = world.storage.calls
    for path in burst(100):
        world.deliver(landed(path))
    assert world.storage.calls - before == 100


def test_an_event_of_a_day_that_is_gathered_costs_about_one_storage_call() -> None:
    world = World(rules=RULES.replace('{by: "{batch}"}', '{by: "{batch}", until: "0 2 * * *"}'))
    world.deliver(landed("in/b1/first.csv"))
    before = world.storage.calls
    for path in burst(100):
        world.clock.advance(timedelta(seconds=1))
        world.deliver(landed(path))
    assert world.storage.calls - before == 100
    night = T0.replace(hour=2) + timedelta(days=1)
    while world.reactions() == []:
        assert world.look_when_due()
    assert (world.clock.now(), world.reactions()[0].events) == (night, 101)


def test_a_changed_file_is_a_new_event_and_the_same_file_is_not() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv", etag="0x1"))
    run_to_the_end(world)
    world.deliver(landed("in/b1/a.csv", etag="0x1", event_id="another delivery id"))
    world.deliver(landed("in/b1/a.csv", etag="0x2"))
    run_to_the_end(world)
    assert world.states() == ["succeeded", "succeeded"]


def test_events_that_come_while_it_runs_become_one_reaction_after_it() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    world.clock.advance(MINUTE)
    world.deliver(landed("in/b1/b.csv"), landed("in/b1/c.csv"))
    assert world.states() == ["running"]
    run_to_the_end(world)
    assert [r.events for r in world.reactions()] == [1, 2]


def test_events_that_come_while_it_runs_are_skipped_where_the_rule_says_so() -> None:
    world = World(rules=RULES + "    limits: {while-running: skip}\n")
    world.deliver(landed("in/b1/a.csv"))
    world.clock.advance(MINUTE)
    world.deliver(landed("in/b1/b.csv"))
    run_to_the_end(world)
    assert [r.events for r in world.reactions()] == [1]
    [partition] = world.lanes.partitions.values()
    assert [str(t.skipped) for t in partition.taken.values() if t.skipped] == ["while-running"]


def test_lanes_of_one_rule_run_side_by_side() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"), landed("in/b2/a.csv"))
    assert world.states() == ["running", "running"]
    assert {r.key for r in world.reactions()} == {"b1", "b2"}


def test_an_incomplete_batch_ends_as_skipped_with_its_reason() -> None:
    rules = RULES.replace('{by: "{batch}"}', '{by: "{batch}", all-of: [a.csv, b.csv], give-up-after: 24h}')
    world = World(rules=rules)
    world.deliver(landed("in/b1/a.csv"))
    run_to_the_end(world)
    assert world.reactions() == []
    [partition] = world.lanes.partitions.values()
    assert [str(t.skipped) for t in partition.taken.values()] == ["incomplete"]
    assert world.due.rows == {}


def test_a_cooldown_keeps_events_until_it_is_over() -> None:
    world = World(rules=RULES + "    limits: {cooldown: 1h}\n")
    world.deliver(landed("in/b1/a.csv"))
    run_to_the_end(world)
    ended = world.reactions()[0].ended
    assert ended is not None
    world.deliver(landed("in/b1/b.csv"))
    assert len(world.reactions()) == 1
    run_to_the_end(world)
    assert world.reactions()[1].created == ended + timedelta(hours=1)


def test_pending_events_of_a_removed_rule_are_skipped_and_its_reaction_goes_on() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    world.deliver(landed("in/b1/b.csv"))
    world.restart(RULES.replace("  score:", "  other:").replace("lake/in/", "lake/elsewhere/"))
    run_to_the_end(world)
    assert world.states() == ["succeeded"]
    [partition] = world.lanes.partitions.values()
    assert sorted(str(t.skipped) for t in partition.taken.values()) == ["None", "rule-removed"]


def test_a_reaction_follows_its_snapshot_when_the_rule_changes() -> None:
    world = World(rules=RULES + "    retry: {attempts: 2, backoff: 1m}\n")
    world.deliver(landed("in/b1/a.csv"))
    world.restart(RULES.replace("run-pipeline: score", "run-pipeline: another"))
    world.factory.end_all(RunStatus.FAILED)
    run_to_the_end(world)
    assert [s.run.pipeline for s in world.factory.started] == ["score", "score"]


def test_max_events_splits_a_batch() -> None:
    world = World(rules=WINDOW.replace("max-wait: 10m", "max-wait: 10m, max-events: 60"))
    for path in burst(150):
        world.deliver(landed(path))
    run_to_the_end(world)
    assert [r.events for r in world.reactions()] == [60, 60, 30]
    taken = [t.pending.event.path for written in world.manifests.written.values() for t in written]
    assert sorted(taken) == burst(150)


def test_a_claim_that_another_process_continues_keeps_to_its_limit() -> None:
    world = World(rules=WINDOW.replace("max-wait: 10m", "max-wait: 10m, max-events: 60"))
    for path in burst(150):
        world.deliver(landed(path))
    dying_in_the_claim(world)
    run_to_the_end(world)
    assert [r.events for r in world.reactions()] == [60, 60, 30]


# --- the door ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"eventType": "Contoso.Coffee.Ready"}, "unknown-type"),
        ({"topic": landed("x", account="foreign").source}, "foreign-source"),
        ({"subject": "/blobServices/default/containers/lake/blobs/elsewhere/a.csv"}, "unmatched"),
        ({"data": {"api": "CreateFile", "eTag": "0x1", "contentLength": 0}}, "not-complete"),
        ({"data": {"api": "PutBlob", "eTag": "0x1", "contentLength": 0}}, "empty-file"),
    ],
)
def test_what_is_not_ours_is_counted_with_its_reason_and_starts_nothing(change: dict[str, object], reason: str) -> None:
    world = World()
    world.intake.receive(json.dumps(json.loads(delivery(landed("in/b1/a.csv"))) | change))
    assert world.recent.counts == {reason: 1}
    assert world.lanes.partitions == {}
    assert world.due.rows == {}


def test_a_renamed_file_gets_its_identity_from_the_lake() -> None:
    world = World()
    renamed = json.loads(delivery(landed("in/b1/a.csv"))) | {
        "eventType": "Microsoft.Storage.BlobRenamed",
        "data": {
            "api": "RenameFile",
            "sourceUrl": "https://acc.dfs.core.windows.net/lake/tmp/a.part",
            "destinationUrl": "https://acc.dfs.core.windows.net/lake/in/b1/a.csv",
            "sequencer": "01",
        },
    }
    world.intake.receive(json.dumps(renamed))
    assert world.recent.counts == {str(Reason.FILE_GONE): 1}
    world.lake.put("in/b1/a.csv", size=0)
    world.intake.receive(json.dumps(renamed))
    assert world.recent.counts[str(Reason.EMPTY_FILE)] == 1
    world.lake.put("in/b1/a.csv", size=7)
    world.intake.receive(json.dumps(renamed))
    world.deliver(landed("in/b1/a.csv", etag="0x1"))  # the same content announced otherwise
    assert len(world.reactions()) == 1


def test_storage_that_is_down_is_no_acknowledgement() -> None:
    world = World()

    def down(_number: int, _what: str) -> None:
        raise StorageUnavailable("tables are down")

    world.storage.before_call = down
    with pytest.raises(StorageUnavailable):
        world.deliver(landed("in/b1/a.csv"))


def test_a_look_that_fails_does_not_fail_the_delivery_and_is_made_up_for() -> None:
    world = World(inline=False)
    world.deliver(landed("in/b1/a.csv"))
    assert world.wake_ups.sent == [(lane_key(lane_id("score", "b1")), 0.0)]
    assert world.reactions() == []
    world.scheduler.sweep()
    run_to_the_end(world)
    assert world.states() == ["succeeded"]


# --- lanes and the factory's look -------------------------------------------------------------------------------------


def test_one_lanes_trouble_is_not_the_other_lanes() -> None:
    world = World()
    world.deliver(*(landed(f"in/b{n}/a.csv") for n in range(6)))
    bad = sorted(world.reactions(), key=lambda r: r.id)[0]
    world.factory.end_all()
    committing = world.lanes.commit

    def commit(lane: str, change: LaneChange) -> Saved:
        if lane == bad.lane:
            raise StorageUnavailable("this one partition is down")
        return committing(lane, change)

    world.lanes.commit = commit
    for _ in range(3):
        world.clock.advance(timedelta(seconds=10))
        world.engine.look("factory:adf")
    assert world.states().count("succeeded") == 5
    world.lanes.commit = committing
    world.clock.advance(timedelta(hours=1))
    run_to_the_end(world)
    assert world.states() == ["succeeded"] * 6


@pytest.mark.parametrize("broken", ["read lane", "commit", "move due", "put recent", "release permit"])
@pytest.mark.parametrize("rules", [RULES, RULES + "    retry: {attempts: 2, backoff: 1m}\n"], ids=["", "retry"])
def test_what_waits_for_a_run_does_not_wait_for_its_timeout(broken: str, rules: str) -> None:
    """The look that ends a reaction breaks off at any later call: what comes next is still due within a sweep."""
    for occurrence in range(1, 8):
        world = World(rules=rules)
        world.deliver(landed("in/b1/a.csv"))
        world.clock.advance(MINUTE)
        world.deliver(landed("in/b1/b.csv"))
        world.factory.end_all(RunStatus.FAILED)
        world.storage.before_call = failing_once(broken, occurrence)
        for _ in range(3):
            try:
                world.engine.look("factory:adf")
            except StorageUnavailable:
                world.restart()
        world.nothing_breaks()
        for _ in range(10):
            world.clock.advance(MINUTE)
            world.scheduler.sweep()
            for row in sorted(world.due.due(world.clock.now()), key=lambda d: d.at):
                world.engine.look(row.key)
        assert len(world.factory.started) >= 2, f"{broken} {occurrence}: nothing came next within ten minutes"


def failing_once(what: str, occurrence: int) -> Callable[[int, str], None]:
    seen = 0

    def fail(_number: int, call: str) -> None:
        nonlocal seen
        seen += call == what
        if call == what and seen == occurrence:
            raise StorageUnavailable("for a moment")

    return fail


def test_a_window_longer_than_a_sweep_keeps_to_its_longest_wait() -> None:
    world = World(rules=RULES.replace('{by: "{batch}"}', '{by: "{batch}", quiet: 10m, max-wait: 30m}'))
    for minute in range(60):
        world.deliver(landed(f"in/b1/{minute}.csv", time=world.clock.now()))
        world.clock.advance(MINUTE)
        world.scheduler.sweep()
        for row in list(world.due.due(world.clock.now())):
            world.engine.look(row.key)
        if world.reactions():
            break
    assert world.reactions()[0].created - T0 <= 32 * MINUTE


def dying_in_the_claim(world: World) -> None:
    """The process dies at the second commit: the first has opened a claim of more events than it holds."""
    commits = 0

    def die(_number: int, what: str) -> None:
        nonlocal commits
        commits += what == "commit"
        if what == "commit" and commits == 2:
            raise Died

    world.storage.before_call = die
    with pytest.raises(Died):
        world.look_when_due()
    world.nothing_breaks()
    world.restart()


def test_the_files_that_make_a_batch_complete_are_in_it_whoever_moves_the_rest() -> None:
    names = "all-of: [zz-done.csv], give-up-after: 24h, max-events: 60"
    world = World(rules=WINDOW.replace("quiet: 30s, max-wait: 10m", names), inline=False)
    for path in burst(100):
        world.deliver(landed(path))
        world.clock.advance(timedelta(milliseconds=1))
    world.deliver(landed("in/b1/zz-done.csv"))
    dying_in_the_claim(world)
    world.look_when_due()
    first = world.reactions()[0]
    assert first.events == 60
    assert "in/b1/zz-done.csv" in [t.pending.event.path for t in world.manifests.written[first.id]]


def test_what_came_after_a_claim_was_opened_is_for_the_next_decision() -> None:
    world = World(rules=WINDOW + "    limits: {while-running: skip}\n")
    for path in burst(100):
        world.deliver(landed(path))
    dying_in_the_claim(world)
    world.clock.advance(MINUTE)
    world.deliver(landed("in/b1/late.csv"))
    run_to_the_end(world)
    assert [r.events for r in world.reactions()] == [100]
    [partition] = world.lanes.partitions.values()
    assert [str(t.skipped) for t in partition.taken.values() if t.skipped] == ["while-running"]


def test_after_a_quiet_month_the_factory_is_not_asked_for_all_of_it() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    world.clock.advance(MINUTE)
    world.deliver(landed("in/b2/a.csv"))
    while world.permits.heads.get("factory:adf") is None:
        world.look_when_due()
    run_to_the_end(world)
    world.clock.advance(timedelta(days=40))
    asked: list[timedelta] = []
    query = world.factory.runs_updated

    def runs_updated(after: datetime, before: datetime, pipeline: str | None = None) -> list[Run]:
        asked.append(before - after)
        return query(after, before, pipeline)

    world.factory.runs_updated = runs_updated
    world.deliver(landed("in/b3/a.csv", time=world.clock.now()))
    world.look_when_due()
    assert asked
    assert max(asked) < timedelta(hours=1)


def test_foreign_runs_with_parameters_like_ours_disturb_nothing() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    for foreign in ("2026/11/22-1", "x", "0" * 24 + "-1"):
        world.factory.force("score", {"reaction_id": foreign, "attempt": "1"})
    world.factory.end("run-1")
    world.look_when_due()
    assert world.states() == ["succeeded"]
    assert world.factory.cancelled == []


def test_a_newer_workers_event_waits_for_a_worker_with_its_rules() -> None:
    newer = RULES.replace("  score:", "  brand-new:").replace("lake/in/", "lake/new/")
    world = World(inline=False)
    world.restart(newer, modified=T0 + MINUTE)
    world.deliver(landed("new/b1/a.csv"))
    world.restart(RULES, modified=T0)  # the wake-up reaches a worker with the older rules
    world.look_when_due()
    assert all(p.taken == {} for p in world.lanes.partitions.values())
    world.restart(newer, modified=T0 + MINUTE)
    run_to_the_end(world)
    assert world.states() == ["succeeded"]


# --- crashes ----------------------------------------------------------------------------------------------------------


def calls_of_one_story(count: int) -> int:
    world = World(rules=WINDOW)
    for path in burst(count):
        world.deliver(landed(path))
    run_to_the_end(world)
    return world.storage.calls


@pytest.mark.parametrize("count", [1, 60])
def test_death_before_any_call_changes_nothing_in_the_end(count: int) -> None:
    """Dies before the k-th call, for every k; the delivery that was not acknowledged comes again."""
    calls = calls_of_one_story(count)
    assert calls > 15
    for k in range(1, calls + 1):
        world = dying_once(before_call=k, count=count)
        summary = (world.states(), [r.events for r in world.reactions()], len(world.factory.started))
        assert summary == (["succeeded"], [count], 1), f"died before call {k} of {calls}"
        assert world.permits.held.get("factory:adf", {}) == {}, f"died before call {k} of {calls}"
        assert world.due.rows == {}, f"died before call {k} of {calls}"


def dying_once(before_call: int, count: int) -> World:
    world = World(rules=WINDOW)

    def die(number: int, _what: str) -> None:
        if number == before_call:
            raise Died

    world.storage.before_call = die
    for path in burst(count):
        try:
            world.deliver(landed(path))
        except Died:
            world.restart()
            world.deliver(landed(path))
    for _ in range(200):
        world.factory.end_all()
        try:
            if not world.look_when_due():
                break
        except Died:
            world.restart()
    world.scheduler.sweep()
    return world


def test_a_poisoned_wake_up_is_due_again_after_the_sweep() -> None:
    world = World()
    key = lane_key(lane_id("score", "b1"))
    world.wake_ups.poisoned = [key]
    assert world.scheduler.sweep() == 1
    assert (key, 0.0) in world.wake_ups.sent


def test_a_wake_up_for_something_unknown_is_dropped() -> None:
    world = World()
    world.due.set("factory:another", T0)
    for key in ("planet:mars", "lane:' or true", "factory/adf", "factory:another"):
        world.engine.look(key)
    assert world.due.rows == {}


def test_a_wake_up_looks_even_where_no_row_is_due() -> None:
    """Intake may rely on a wake-up for an event that the look which removed the row did not see."""
    world = World(rules=WINDOW)
    world.deliver(landed("in/b1/a.csv"))
    key = lane_key(lane_id("score", "b1"))
    del world.due.rows[key]
    world.clock.advance(timedelta(seconds=31))
    world.engine.look(key)
    assert world.states() == ["running"]
