"""Files that do not come: with and without `by`, found by whoever looks whenever, told once each time."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.controls import Pause
from shared.events import FileOverdue
from shared.lanes import MISSED_IN_A_ROW, lane_id
from shared.looks import lane_key, upkeep_key
from tests.fakes import T0, landed
from tests.unit.test_broken_rules import problems_of
from tests.world import DECLARED, World, rules_of

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NIGHTLY = """\
version: 1
reactions:
  missing:
    when: {file-overdue: {path: "lake/in/{batch}/*.csv", expect: "every 24h", exclude: ["_*"]}}
    run-pipeline: score
    with: {batch: "{last}", files: "{due}"}
"""
BY = NIGHTLY.replace("    run-pipeline", '    collect: {by: "{batch}"}\n    run-pipeline').replace(
    'batch: "{last}"', 'batch: "{batch}"'
)


def world(rules: str = NIGHTLY) -> World:
    made = World(rules=rules)
    made.factory.pipelines["score"] = DECLARED
    made.upkeep.make_sure()
    return made


def until(made: World, at: datetime) -> None:
    """Everything that is due until then is looked at, and runs succeed."""
    for _ in range(2000):
        made.factory.end_all()
        due = [row.at for row in made.due.rows.values() if row.at <= at]
        if not due:
            made.clock.advance_to(at)
            return
        made.look_when_due(at - made.clock.now())
    raise AssertionError("still busy")


def starts(made: World) -> list[tuple[str, str]]:
    return [(s.run.parameters["batch"], s.run.parameters["files"]) for s in made.factory.started]


def missed(made: World) -> list[datetime]:
    found = [t.pending.event for p in made.lanes.partitions.values() for t in p.taken.values()]
    return sorted(event.due for event in found if isinstance(event, FileOverdue))


def waited_for(made: World) -> list[str]:
    """What is due beside the chores that every app has."""
    return [key for key in made.due.rows if key != upkeep_key("retention")]


def skipped(made: World) -> list[str]:
    return [str(t.skipped) for p in made.lanes.partitions.values() for t in p.taken.values() if t.skipped]


# --- without `by`: known from the beginning on ------------------------------------------------------------------------


def test_without_any_file_each_time_that_passes_is_an_event_counted_from_when_the_rule_was_seen() -> None:
    made = world()
    until(made, T0 + DAY - HOUR)
    assert starts(made) == []
    until(made, T0 + 3 * DAY + HOUR)
    assert missed(made) == [T0 + DAY, T0 + 2 * DAY, T0 + 3 * DAY]
    assert starts(made) == [("never", (T0 + n * DAY).isoformat()) for n in (1, 2, 3)]


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_a_file_begins_the_time_anew(copies: int) -> None:
    made = world()
    until(made, T0 + 20 * HOUR)
    file = landed("in/b1/a.csv", time=made.clock.now())
    for _ in range(copies):
        made.deliver(file)
    until(made, T0 + 43 * HOUR)
    assert starts(made) == []
    until(made, T0 + 45 * HOUR)
    due = T0 + 44 * HOUR
    assert starts(made) == [((T0 + 20 * HOUR).isoformat(), due.isoformat())]
    assert skipped(made) == ["arrived"]


def test_a_file_after_some_were_missed_is_the_recovery() -> None:
    made = world()
    until(made, T0 + 49 * HOUR)
    made.deliver(landed("in/b1/a.csv", time=made.clock.now()))
    until(made, T0 + 49 * HOUR + 23 * HOUR)
    assert len(missed(made)) == 2
    until(made, T0 + 49 * HOUR + 25 * HOUR)
    assert missed(made)[2] == T0 + 73 * HOUR


def test_an_excluded_file_and_one_elsewhere_do_not_count() -> None:
    made = world()
    until(made, T0 + 20 * HOUR)
    made.deliver(landed("in/b1/_SUCCESS.csv", time=made.clock.now()), landed("out/b1/a.csv", time=made.clock.now()))
    until(made, T0 + DAY + HOUR)
    assert missed(made) == [T0 + DAY]


def test_files_told_in_another_order_count_by_when_they_landed() -> None:
    made = world()
    newer, older = (landed(f"in/b1/{n}.csv", time=T0 + n * HOUR) for n in (10, 5))
    until(made, T0 + 11 * HOUR)
    made.deliver(newer, older)
    until(made, T0 + 33 * HOUR)
    assert missed(made) == []
    until(made, T0 + 35 * HOUR)
    assert missed(made) == [T0 + 34 * HOUR]


def test_a_due_row_that_was_lost_is_there_again_within_the_hour() -> None:
    made = world()
    until(made, T0 + HOUR)
    lane = lane_key(lane_id("missing", ""))
    assert made.due.rows[lane].at == T0 + DAY
    del made.due.rows[lane]
    until(made, T0 + DAY + HOUR)
    assert missed(made) == [T0 + DAY]


def test_an_app_without_such_a_rule_has_no_chore_for_it() -> None:
    made = World()
    made.upkeep.make_sure()
    assert upkeep_key("overdue") not in made.due.rows


@pytest.mark.parametrize("now", [NIGHTLY.replace("24h", "2d"), BY.replace('{by: "{batch}"}', '{by: "of/{batch}"}')])
def test_a_rule_that_groups_otherwise_by_now_leaves_the_lanes_of_before_alone(now: str) -> None:
    made = world(BY)
    made.deliver(landed("in/b1/a.csv", time=T0))
    made.restart(rules=now, modified=T0 + HOUR)
    until(made, T0 + 3 * DAY)
    assert (missed(made), lane_key(lane_id("missing", "b1")) in made.due.rows) == ([], False)


@pytest.mark.parametrize("rules", [NIGHTLY, BY], ids=["without keys", "with keys"])
def test_a_lane_in_which_nothing_is_overdue_for_months_is_not_forgotten(rules: str) -> None:
    made = world(rules)
    for n in range(80):
        until(made, T0 + n * 20 * HOUR)
        made.deliver(landed("in/b1/a.csv", etag=str(n), time=made.clock.now()))
    last = made.clock.now()
    until(made, last + 25 * HOUR)
    assert missed(made) == [last + DAY]


def test_a_rule_that_is_gone_leaves_nothing_to_do() -> None:
    made = world()
    until(made, T0 + HOUR)
    made.restart(rules=World().rules, modified=T0 + HOUR)
    until(made, T0 + 3 * DAY)
    assert (missed(made), waited_for(made)) == ([], [])


# --- with `by`: from the first file of each key on --------------------------------------------------------------------


def test_each_key_counts_by_itself_from_its_first_file_on() -> None:
    made = world(BY)
    until(made, T0 + HOUR)
    made.deliver(landed("in/b1/a.csv", time=T0 + HOUR))
    until(made, T0 + 3 * HOUR)
    made.deliver(landed("in/b2/a.csv", time=T0 + 3 * HOUR))
    until(made, T0 + 30 * HOUR)
    assert starts(made) == [("b1", (T0 + 25 * HOUR).isoformat()), ("b2", (T0 + 27 * HOUR).isoformat())]
    assert {r.key for r in made.reactions()} == {"b1", "b2"}


def test_after_three_in_a_row_there_is_silence_until_a_file_lands() -> None:
    made = world(BY)
    made.deliver(landed("in/b1/a.csv", time=T0))
    until(made, T0 + 20 * DAY)
    assert missed(made) == [T0 + n * DAY for n in range(1, MISSED_IN_A_ROW + 1)]
    assert waited_for(made) == []
    made.deliver(landed("in/b1/b.csv", time=made.clock.now()))
    until(made, T0 + 21 * DAY + HOUR)
    assert missed(made)[MISSED_IN_A_ROW:] == [T0 + 21 * DAY]


# --- whoever looks whenever -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("calls", range(1, 30))
@pytest.mark.parametrize("die", [True, False])
def test_whichever_call_breaks_each_time_is_one_event(calls: int, die: bool) -> None:
    made = world()
    until(made, T0 + DAY - HOUR)
    made.break_call(calls, die=die)
    for _ in range(6):
        made.survive(lambda: made.look_when_due(2 * HOUR))
    made.nothing_breaks()
    until(made, T0 + 2 * DAY + HOUR)
    assert missed(made) == [T0 + DAY, T0 + 2 * DAY]
    assert len(starts(made)) == 2


def test_who_looks_after_days_finds_each_time_that_has_passed() -> None:
    made = world(NIGHTLY + "    limits: {while-running: queue}\n")
    until(made, T0 + HOUR)
    made.clock.advance(3 * DAY)
    until(made, made.clock.now() + HOUR)
    assert starts(made) == [("never", (T0 + n * DAY).isoformat()) for n in (1, 2, 3)]


def test_a_file_that_has_landed_by_the_time_somebody_looks_is_not_overdue() -> None:
    made = world()
    until(made, T0 + HOUR)
    made.clock.advance(2 * DAY)
    made.deliver(landed("in/b1/a.csv", time=made.clock.now()))
    until(made, made.clock.now() + 23 * HOUR)
    assert missed(made) == []


def test_while_a_reaction_runs_further_times_are_events_as_well() -> None:
    made = world(NIGHTLY.replace("24h", "1h"))
    end = T0 + 3 * HOUR + HOUR / 2
    while made.look_when_due(end - made.clock.now()):
        pass
    until(made, end + HOUR / 4)
    assert missed(made) == [T0 + HOUR, T0 + 2 * HOUR, T0 + 3 * HOUR]
    assert [r.events for r in made.reactions()] == [1, 2]


def test_while_its_rule_is_paused_the_events_gather() -> None:
    made = world()
    made.controls.pause("missing", Pause(by="ann", at=T0, reason="holiday"))
    until(made, T0 + 2 * DAY + HOUR)
    assert starts(made) == []
    made.controls.resume("missing")
    made.upkeep.make_due("resume")
    until(made, made.clock.now() + HOUR)
    assert [r.events for r in made.reactions()] == [2]


def test_a_worker_with_older_rules_notes_nothing() -> None:
    made = world()
    until(made, T0 + HOUR)
    made.restart(rules=NIGHTLY.replace("24h", "1h"), modified=T0 - HOUR)
    until(made, T0 + 3 * HOUR)
    assert missed(made) == []


def test_a_parameter_may_not_use_what_only_a_file_has() -> None:
    assert rules_of(BY).rules
    [(line, message)] = problems_of(NIGHTLY.replace('batch: "{last}"', 'batch: "{batch}"'))
    assert line == 6
    assert "{batch} may differ between the files that are expected; add it to collect.by" in message


@given(
    files=st.lists(st.integers(0, 6 * 24), max_size=6),
    looks=st.lists(st.integers(0, 7 * 24), max_size=12),
)
def test_what_was_missed_is_the_same_whoever_looks_when_besides(files: list[int], looks: list[int]) -> None:
    def told(extra: list[int]) -> list[datetime]:
        made = world(BY)
        lane = lane_key(lane_id("missing", "b1"))
        steps = sorted([(h, 0) for h in files] + [(h, 1) for h in extra])
        for hours, is_look in steps:
            until(made, T0 + hours * HOUR)
            if is_look:
                made.engine.look(lane)
            else:
                made.deliver(landed("in/b1/a.csv", etag=str(hours), time=made.clock.now()))
        until(made, T0 + 12 * DAY)
        return missed(made)

    assert told(looks) == told([])


def test_a_worker_with_older_rules_leaves_what_is_overdue_alone_and_does_not_look_at_once_for_ever() -> None:
    made = world()
    made.restart(rules=NIGHTLY.replace("_*", "_x*"), modified=T0 + HOUR)
    until(made, T0 + HOUR)
    made.engine.look(lane_key(lane_id("missing", "")))  # its head knows the newer rules
    until(made, T0 + DAY + HOUR)
    made.restart(rules=NIGHTLY, modified=T0)
    made.clock.advance(DAY)
    began = made.clock.now()
    for _ in range(5):
        made.engine.look(lane_key(lane_id("missing", "")))
        assert made.due.rows[lane_key(lane_id("missing", ""))].at > made.clock.now()
    assert made.clock.now() == began
    assert missed(made) == [T0 + DAY]
