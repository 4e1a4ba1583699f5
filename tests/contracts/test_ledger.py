"""The ledger protocol: the same cases on the fake and on real tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest

from shared.cloud import storage
from shared.cloud.control_rows import ControlRows
from shared.cloud.due_table import DueTable
from shared.cloud.lane_table import LaneTable
from shared.cloud.permit_table import PermitTable
from shared.cloud.recent_table import RecentTable
from shared.controls import ControlState, Pause, WaitingLane
from shared.errors import AlreadyTaken, Stale, UnreadableRow
from shared.events import FileOverdue, Reason, Refused, event_key
from shared.lanes import Claim, Expected, Head, PendingEvent, SkipReason, TakenEvent, lane_id
from shared.models import ModelRef
from shared.notifications import Kind, Notification
from shared.ports import Act, LaneChange, Permit, Waiter
from shared.reactions import (
    DeployAction,
    HistoryEntry,
    Intent,
    Job,
    JobAction,
    NotifyAction,
    Phase,
    PipelineAction,
    Reaction,
    Rollout,
    StartLimits,
    State,
    entry_of,
    live_mark,
    reaction_id,
)
from shared.rules import Gate, Priority, Rate, Revision, Serving
from shared.settings import from_environment
from tests.fakes import T0, FakeControls, FakeDueTable, FakeLanes, FakePermits, FakeRecent, breached, landed, registered

LANE = lane_id("score", "b1")
DAY = timedelta(days=1)
REVISION = Revision(hash="0123456789ab", modified=T0)
HEAD = Head(rule="score", key="b1", revision=REVISION)


@dataclass
class Ledger:
    lanes: Any
    due: Any
    permits: Any
    recent: Any
    controls: Any


@pytest.fixture(params=["fake", pytest.param("azurite", marks=pytest.mark.cloud)])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    if request.param == "fake":
        yield Ledger(FakeLanes(), FakeDueTable(), FakePermits(), FakeRecent(), FakeControls())
        return
    cloud, account = request.getfixturevalue("cloud"), request.getfixturevalue("app_account")
    settings = from_environment(cloud.app_settings(account.name))
    with storage.tables(settings.storage, request.getfixturevalue("credential")) as tables:
        yield Ledger(
            LaneTable(tables.get_table_client("lanes")),
            DueTable(tables.get_table_client("due")),
            PermitTable(tables.get_table_client("permits")),
            RecentTable(tables.get_table_client("recent")),
            ControlRows(tables.get_table_client("permits")),
        )


def event(n: int, padding: str = "") -> PendingEvent:
    file = landed(f"in/b1/{n:04}{padding}.csv")
    return PendingEvent(
        id=event_key(file),
        rule="score",
        key="b1",
        event=file,
        accepted=T0 + timedelta(milliseconds=n),
        revision=REVISION,
    )


def reaction(seq: int = 1, **changes: Any) -> Reaction:
    action = PipelineAction(
        pipeline="score-diabetes",
        parameters={"batch": "b1", "files": "https://x/y.json", "umlaut": "ä\n\"'"},
        timeout=timedelta(hours=2),
        attempts=3,
        backoff=timedelta(minutes=1),
        needs_manifest=True,
    )
    made = Reaction(
        id=reaction_id(LANE, seq),
        rule="score",
        key="b1",
        revision=REVISION.to_text(),
        state=State.PENDING,
        reason="2 events",
        action=action,
        created=T0,
        changed=T0,
        events=1,
    )
    return replace(made, **changes)


def take(ledger: Ledger, events: list[PendingEvent], head: Head = HEAD, seq: int = 1, **changes: Any) -> Any:
    made = reaction(seq, events=len(events))
    change = LaneChange(
        head=replace(head, seq=seq, running=seq, claimed=T0),
        take=events,
        taken_by=seq,
        at=T0,
        reaction=made,
        history=(entry_of(made),),
    )
    return ledger.lanes.commit(LANE, replace(change, **changes))


def test_an_event_is_inserted_once(ledger: Ledger) -> None:
    assert ledger.lanes.add_event(LANE, event(1)) is True
    assert ledger.lanes.add_event(LANE, event(1)) is False
    lane = ledger.lanes.read(LANE)
    assert (lane.head, lane.pending) == (None, (event(1),))


def test_taking_moves_events_and_saves_head_reaction_and_history_together(ledger: Ledger) -> None:
    events = [event(n) for n in range(3)]
    for each in events:
        ledger.lanes.add_event(LANE, each)
    saved = take(ledger, events[:2])
    lane = ledger.lanes.read(LANE)
    assert lane.head == replace(HEAD, seq=1, running=1, claimed=T0)
    assert lane.head.etag == saved.head.etag
    assert lane.pending == (events[2],)
    assert ledger.lanes.reaction(reaction_id(LANE, 1)) == reaction(1, events=2)
    assert [t.pending for t in ledger.lanes.events_of(reaction_id(LANE, 1))] == events[:2]
    assert [e.what for e in ledger.lanes.history(reaction_id(LANE, 1))] == ["pending"]
    assert ledger.lanes.taken(LANE, [e.id for e in events]) == {e.id for e in events[:2]}


def test_a_stale_claimer_fails_and_changes_nothing(ledger: Ledger) -> None:
    events = [event(n) for n in range(2)]
    for each in events:
        ledger.lanes.add_event(LANE, each)
    first = take(ledger, events[:1])
    take(ledger, [], replace(first.head, running=None), seq=2)
    with pytest.raises(Stale):
        take(ledger, events[1:], first.head, seq=3)  # its head was read before the second change
    with pytest.raises(Stale):
        take(ledger, events[1:], HEAD, seq=3)  # it never saw a head at all
    assert ledger.lanes.read(LANE).pending == (events[1],)
    assert ledger.lanes.reaction(reaction_id(LANE, 3)) is None
    assert ledger.lanes.taken(LANE, [events[1].id]) == frozenset()


def test_a_stale_reaction_fails_and_leaves_the_head_alone(ledger: Ledger) -> None:
    saved = take(ledger, [])
    newer = saved.reaction.moved_to(State.STARTING, "x", T0)
    ledger.lanes.commit(LANE, LaneChange(reaction=newer))
    ended = replace(saved.head, running=None, ended=T0)
    with pytest.raises(Stale):
        ledger.lanes.commit(LANE, LaneChange(head=ended, reaction=saved.reaction.moved_to(State.FAILED, "y", T0)))
    assert ledger.lanes.read(LANE).head.running == 1
    assert ledger.lanes.reaction(saved.reaction.id).state is State.STARTING


def test_a_late_duplicate_after_the_take_is_told_when_it_is_taken(ledger: Ledger) -> None:
    for n in range(3):
        ledger.lanes.add_event(LANE, event(n))
    saved = take(ledger, [event(0), event(1)])
    assert ledger.lanes.add_event(LANE, event(1)) is True  # nothing pending under its key any more
    free = replace(saved.head, running=None)
    with pytest.raises(AlreadyTaken) as known:
        take(ledger, [event(1), event(2)], free, seq=2)
    assert known.value.event_ids == {event(1).id}
    assert ledger.lanes.read(LANE).head.seq == 1
    ledger.lanes.drop_pending(LANE, known.value.event_ids)
    ledger.lanes.drop_pending(LANE, known.value.event_ids)  # twice is once
    take(ledger, [event(2)], free, seq=2)
    assert ledger.lanes.read(LANE).pending == ()
    assert [t.pending.id for t in ledger.lanes.events_of(reaction_id(LANE, 1))] == [event(0).id, event(1).id]


def test_an_event_that_somebody_else_took_out_of_pending_is_not_taken_again(ledger: Ledger) -> None:
    ledger.lanes.add_event(LANE, event(0))
    with pytest.raises(Stale):
        take(ledger, [event(0), event(1)])  # event 1 was never inserted
    assert ledger.lanes.read(LANE).head is None


def test_more_events_than_one_transaction_holds_are_moved_under_one_claim(ledger: Ledger) -> None:
    events = [event(n) for n in range(120)]
    for each in events:
        ledger.lanes.add_event(LANE, each)
    made = reaction(1, events=0)
    head, rest = replace(HEAD, seq=1, claim=Claim(seq=1, room=None)), list(events)
    moved = 0
    while rest:
        history = (entry_of(made),) if made.etag is None else ()
        change = LaneChange(head=head, reaction=made, history=history, taken_by=1, at=T0)
        part, rest = rest[: change.capacity()], rest[change.capacity() :]
        assert len(part) <= 49
        moved += len(part)
        saved = ledger.lanes.commit(LANE, replace(change, take=part, reaction=replace(made, events=moved)))
        head, made = saved.head, saved.reaction
    assert ledger.lanes.read(LANE).head.claim == Claim(seq=1, room=None)
    assert ledger.lanes.read(LANE).pending == ()
    assert [t.pending for t in ledger.lanes.events_of(made.id)] == events
    assert ledger.lanes.reaction(made.id).events == 120


def test_a_transaction_says_how_many_events_it_holds(ledger: Ledger) -> None:
    events = [event(n) for n in range(50)]
    for each in events:
        ledger.lanes.add_event(LANE, each)
    with pytest.raises(ValueError, match="transaction"):
        take(ledger, events)
    made = reaction(1)
    full = LaneChange(head=HEAD, reaction=made, history=(entry_of(made),)).capacity()
    take(ledger, events[:full])
    assert len(ledger.lanes.read(LANE).pending) == 50 - full


def test_of_two_writers_one_wins(ledger: Ledger) -> None:
    events = [event(n) for n in range(8)]
    for each in events:
        ledger.lanes.add_event(LANE, each)
    barrier = Barrier(4)

    def claim(_writer: int) -> str:
        barrier.wait(timeout=30)
        try:
            take(ledger, events)
        except (Stale, AlreadyTaken):
            return "lost"
        return "won"

    with ThreadPoolExecutor(4) as pool:
        outcomes = sorted(pool.map(claim, range(4)))
    assert outcomes == ["lost", "lost", "lost", "won"]
    assert [t.pending for t in ledger.lanes.events_of(reaction_id(LANE, 1))] == events


def test_skipped_events_keep_their_reason(ledger: Ledger) -> None:
    ledger.lanes.add_event(LANE, event(1))
    change = LaneChange(head=HEAD, take=(event(1),), skipped=SkipReason.INCOMPLETE, at=T0)
    ledger.lanes.commit(LANE, change)
    assert ledger.lanes.read(LANE).pending == ()
    assert ledger.lanes.taken(LANE, [event(1).id]) == {event(1).id}
    assert ledger.lanes.events_of(reaction_id(LANE, 1)) == []


def test_a_reaction_comes_back_as_it_was_saved(ledger: Ledger) -> None:
    intent = Intent(since=T0, deadline=T0 + timedelta(seconds=30), posted=2, doubt_since=T0, queries=3, probe=True)
    full = reaction(
        1,
        state=State.STARTING,
        attempt=2,
        next_look=T0 + timedelta(microseconds=1),
        intent=intent,
        run_id="run-1",
        accepted=T0,
        ended=T0,
        manifest_url="https://x/y.json",
        manifest_written=True,
        queues=("resource:spark", "rule:score"),
        objection="loop guard: lake/in/ is what the rule waits for",
    )
    ledger.lanes.commit(LANE, LaneChange(reaction=full))
    assert ledger.lanes.reaction(full.id) == full
    assert ledger.lanes.reaction(reaction_id(LANE, 2)) is None
    for foreign in ("no-such-reaction", "2026/11/22-1", f"{LANE}-{'9' * 400}", f"{LANE}-0", f"{LANE}-²", "' or true-1"):
        assert ledger.lanes.reaction(foreign) is None


@pytest.mark.parametrize(
    "limits",
    [
        StartLimits(),
        StartLimits(
            concurrency=4,
            resources={"spark": 2, "disk": 1},
            rate=Rate(count=60, per=timedelta(hours=1)),
            priority=Priority.HIGH,
        ),
    ],
)
def test_what_its_starts_keep_to_comes_back_as_it_was_saved(ledger: Ledger, limits: StartLimits) -> None:
    made = reaction()
    ledger.lanes.commit(LANE, LaneChange(reaction=replace(made, action=replace(made.action, limits=limits))))
    found = ledger.lanes.reaction(made.id)
    assert found.action.limits == limits
    assert found.queues == ()


def test_the_jobs_of_a_reaction_come_back_as_they_were_saved(ledger: Ledger) -> None:
    jobs = (
        Job(run_id="run-1", name='prep-ä"', url="https://e/jobs/prep", status="Completed"),
        Job(run_id="run-2"),
    )
    ledger.lanes.commit(LANE, LaneChange(reaction=reaction(1, jobs=jobs)))
    found = ledger.lanes.reaction(reaction_id(LANE, 1))
    assert found.jobs == jobs
    ledger.lanes.commit(LANE, LaneChange(reaction=replace(found, jobs=())))
    assert ledger.lanes.reaction(reaction_id(LANE, 1)).jobs == ()


DEPLOY = DeployAction(
    endpoint="ep1",
    model=ModelRef(name="clf", version="7"),
    model_created=T0 - timedelta(hours=1, microseconds=5),
    deployment="clf-7-abcd",
    smoke_test='{"data": [{"name": "ä\\n"}]}',
    serving=Serving(code="azureml:c:1", environment="azureml:e:2", instance_type="Standard_DS2_v2", instances=3),
    gate=Gate(metric="Accuracy", by=Decimal("0.10")),
    keep_previous=timedelta(seconds=90),
    timeout=timedelta(hours=1),
    attempts=2,
    backoff=timedelta(minutes=3),
)
ROLLOUT = Rollout(
    phase=Phase.REMOVING,
    previous="blue",
    previous_model=ModelRef(name="clf", version="6"),
    tries=2,
    promoted=T0,
    ends=State.ROLLED_BACK,
    why="ä said no",
)


@pytest.mark.parametrize("action", [DEPLOY, replace(DEPLOY, gate=None)])
@pytest.mark.parametrize("rollout", [None, ROLLOUT, Rollout(phase=Phase.CREATING)])
def test_a_rollout_comes_back_as_it_was_saved(ledger: Ledger, action: DeployAction, rollout: Rollout | None) -> None:
    made = reaction(state=State.RUNNING, action=action, rollout=rollout)
    ledger.lanes.commit(LANE, LaneChange(reaction=made))
    found = ledger.lanes.reaction(made.id)
    assert found == made
    assert found.action.gate is None or str(found.action.gate.by) == "0.10"


RENDERED: dict[str, Any] = {
    "timeout": timedelta(hours=2),
    "attempts": 3,
    "backoff": timedelta(minutes=1),
    "needs_manifest": True,
}
TRAIN = JobAction(
    component="azureml:train:1", compute="cpu-cluster", experiment="retrain", parameters={"batch": "ä"}, **RENDERED
)


@pytest.mark.parametrize(
    "action", [TRAIN, replace(TRAIN, compute=None), NotifyAction(parameters={"text": "batch ä\n"}, **RENDERED)]
)
def test_a_job_and_a_notice_come_back_as_they_were_saved(ledger: Ledger, action: JobAction | NotifyAction) -> None:
    made = reaction(action=action)
    ledger.lanes.commit(LANE, LaneChange(reaction=made))
    assert ledger.lanes.reaction(made.id) == made


def test_a_parameter_that_waits_for_the_live_model_is_kept_as_such(ledger: Ledger) -> None:
    action = replace(reaction().action, parameters={"model": live_mark("ep1"), "both": f"a{live_mark('ep2')}"})
    ledger.lanes.commit(LANE, LaneChange(reaction=reaction(action=action)))
    assert ledger.lanes.reaction(reaction_id(LANE, 1)).action.live_endpoints == ("ep1", "ep2")


@pytest.mark.parametrize(
    "happened",
    [registered("clf", "7", tags={"stage": "ä"}, properties={"live.Accuracy": "0.7"}), breached("diabetes-a", "run-1")],
    ids=["model", "drift"],
)
def test_events_of_the_workspace_come_back_as_they_were_saved(ledger: Ledger, happened: Any) -> None:
    pending = replace(event(1), id=event_key(happened), event=happened)
    ledger.lanes.add_event(LANE, pending)
    assert ledger.lanes.read(LANE).pending == (pending,)


def test_one_event_is_found_pending_taken_or_not_at_all(ledger: Ledger) -> None:
    ledger.lanes.add_event(LANE, event(1))
    assert ledger.lanes.find_event(LANE, event(1).id) == event(1)
    take(ledger, [event(1)])
    found = ledger.lanes.find_event(LANE, event(1).id)
    assert isinstance(found, TakenEvent)
    assert (found.pending, found.reaction, found.skipped) == (event(1), 1, None)
    ledger.lanes.add_event(LANE, event(1))  # a late delivery: what became of it is what counts
    assert ledger.lanes.find_event(LANE, event(1).id) == found
    assert ledger.lanes.find_event(LANE, event(2).id) is None


def notification(n: int) -> Notification:
    return Notification(
        id=f"{LANE}-1-ModelPromoted-{n}",
        kind=Kind.MODEL_PROMOTED,
        subject=f"reactions/{LANE}-1",
        time=T0,
        data={"model": "clf", "reason": "ä\n"},
    )


def test_notifications_stay_in_the_outbox_until_they_are_told(ledger: Ledger) -> None:
    ledger.lanes.add_event(LANE, event(1))
    take(ledger, [], tell=(notification(1), notification(2)))
    lane = ledger.lanes.read(LANE)
    assert (lane.outbox, lane.pending, lane.head.seq) == ((notification(1), notification(2)), (event(1),), 1)
    ledger.lanes.told(LANE, [notification(1).id])
    assert ledger.lanes.read(LANE).outbox == (notification(2),)
    ledger.lanes.told(LANE, [notification(1).id, notification(2).id])
    assert ledger.lanes.read(LANE).outbox == ()


def test_a_change_that_is_not_saved_tells_nothing(ledger: Ledger) -> None:
    take(ledger, [])
    with pytest.raises(Stale):
        take(ledger, [], tell=(notification(1),))
    assert ledger.lanes.read(LANE).outbox == ()


def test_a_line_with_a_key_is_there_once_and_brings_its_notification(ledger: Ledger) -> None:
    take(ledger, [])
    line = HistoryEntry(
        at=T0, what="model-registered", reason="clf:7", attempt=1, run_id="/models/clf/versions/7", key="k"
    )
    for again in (line, line, replace(line, at=T0 + timedelta(seconds=1))):  # announced once more, at another time
        ledger.lanes.add_history(reaction_id(LANE, 1), again, (notification(1),))
    found = [entry for entry in ledger.lanes.history(reaction_id(LANE, 1)) if entry.what == "model-registered"]
    assert [(entry.reason, entry.run_id) for entry in found] == [("clf:7", "/models/clf/versions/7")]
    assert ledger.lanes.read(LANE).outbox == (notification(1),)


def test_history_is_in_order_and_of_one_reaction(ledger: Ledger) -> None:
    take(ledger, [])
    for n in range(12):
        ledger.lanes.add_history(
            reaction_id(LANE, 1), HistoryEntry(at=T0, what=f"w{n}", reason="", attempt=1, run_id=None)
        )
    before = HistoryEntry(at=T0 - timedelta(days=1), what="before", reason="", attempt=1, run_id=None, key="f" * 32)
    ledger.lanes.add_history(reaction_id(LANE, 1), before)
    other = reaction(11)
    ledger.lanes.commit(LANE, LaneChange(reaction=other, history=(entry_of(other),)))
    in_order = ["before", "pending", *(f"w{n}" for n in range(12))]
    assert [e.what for e in ledger.lanes.history(reaction_id(LANE, 1))] == in_order


def test_checking_for_taken_events_takes_any_number(ledger: Ledger) -> None:
    events = [event(n) for n in range(33)]
    for each in events:
        ledger.lanes.add_event(LANE, each)
    take(ledger, events[:31])
    assert ledger.lanes.taken(LANE, [e.id for e in events]) == {e.id for e in events[:31]}


@pytest.mark.parametrize(
    "expected",
    [
        None,
        Expected(since=T0),
        Expected(since=T0 + DAY, last=T0, missed=2, captures={"batch": "ä", "by": "b/1"}),
    ],
)
@pytest.mark.parametrize("claim", [None, Claim(seq=3), Claim(seq=3, room=7, until=T0 + DAY)])
def test_a_head_comes_back_as_it_was_saved(ledger: Ledger, expected: Expected | None, claim: Claim | None) -> None:
    head = replace(HEAD, seq=3, claim=claim, claimed=T0, ended=T0, inherits=2, expected=expected)
    ledger.lanes.commit(LANE, LaneChange(head=head))
    assert ledger.lanes.read(LANE).head == head


def test_a_reaction_that_gives_way_comes_back_as_such(ledger: Ledger) -> None:
    made = reaction(gives_way=True, cancel="replaced: 1 event", replaces=7, observe=True)
    ledger.lanes.commit(LANE, LaneChange(reaction=made))
    assert ledger.lanes.reaction(made.id) == made


def test_the_event_of_an_overdue_file_comes_back_as_it_was_saved(ledger: Ledger) -> None:
    for last in (None, T0):
        overdue = FileOverdue(
            source="relearn",
            event_id=f"overdue-{last}",
            subject="lake/in/{batch}/*.csv",
            time=T0 + DAY,
            pattern="lake/in/{batch}/*.csv",
            captures={"batch": "b1"},
            due=T0 + (DAY if last else 2 * DAY),
            last=last,
        )
        pending = replace(event(1), id=event_key(overdue), event=overdue)
        assert ledger.lanes.add_event(LANE, pending)
        assert not ledger.lanes.add_event(LANE, pending)
        found = ledger.lanes.read(LANE).pending
        assert pending in found
        assert event_key(next(e for e in found if e.id == pending.id).event) == pending.id


# --- due --------------------------------------------------------------------------------------------------------------


def test_a_due_row_is_moved_only_by_who_read_it_last(ledger: Ledger) -> None:
    first = ledger.due.set("lane:a", T0)
    assert ledger.due.get("lane:a") == first
    ledger.due.set("lane:a", T0 + timedelta(seconds=1))
    assert ledger.due.remove(first) is False
    assert ledger.due.move(first, "lane:a", T0 + timedelta(hours=1)) is None
    assert ledger.due.move(None, "lane:a", T0) is None
    now = ledger.due.get("lane:a")
    assert now.at == T0 + timedelta(seconds=1)
    moved = ledger.due.move(now, "lane:a", T0 + timedelta(hours=1))
    assert moved is not None
    assert (moved, moved.etag) == (ledger.due.get("lane:a"), getattr(ledger.due.get("lane:a"), "etag", None))
    assert ledger.due.get("lane:a").at == T0 + timedelta(hours=1)
    assert ledger.due.remove(moved) is True
    assert ledger.due.get("lane:a") is None
    assert ledger.due.move(None, "lane:a", T0, waked=True) is not None
    assert [(d.at, d.waked) for d in ledger.due.due(T0)] == [(T0, True)]
    assert ledger.due.set("lane:a", T0).waked is False
    assert ledger.due.get("lane:a").waked is False


def test_what_is_due_before_a_time_is_found_over_all_partitions(ledger: Ledger) -> None:
    for n in range(40):
        ledger.due.set(f"lane:{n}", T0 + timedelta(seconds=n))
    found = {d.key for d in ledger.due.due(T0 + timedelta(seconds=19))}
    assert found == {f"lane:{n}" for n in range(20)}


# --- permits ----------------------------------------------------------------------------------------------------------


def permit(n: int, attempt: int = 1) -> Permit:
    return Permit(reaction_id=reaction_id(LANE, n), since=T0, attempt=attempt)


def waiter(n: int, priority: int = 2, seconds: int = 0) -> Waiter:
    since = T0 + timedelta(seconds=seconds, microseconds=1)
    return Waiter(name=reaction_id(LANE, n), priority=priority, since=since, seen=T0)


def test_a_permit_is_held_once_and_released_once(ledger: Ledger) -> None:
    for resource in ("factory:f", "factory:g"):
        assert ledger.permits.hold(resource, permit(1)) is False, "nobody has looked at it yet"
        assert ledger.permits.save_head(ledger.permits.read(resource))
    for _ in range(2):
        assert ledger.permits.hold("factory:f", permit(1, attempt=2))
    assert ledger.permits.hold("factory:f", permit(2))
    assert ledger.permits.hold("factory:g", permit(3))
    held = {(p.reaction_id, p.attempt) for p in ledger.permits.read("factory:f").permits}
    assert held == {(reaction_id(LANE, 1), 2), (reaction_id(LANE, 2), 1)}
    for _ in range(2):
        ledger.permits.release("factory:f", reaction_id(LANE, 1))
    assert ledger.permits.read("factory:f").permits == (permit(2),)


def test_a_permit_is_taken_back_only_as_it_was_granted(ledger: Ledger) -> None:
    mine, again = permit(1), replace(permit(1), since=T0 + timedelta(seconds=1))
    assert ledger.permits.take_back("rule:score", mine) is False
    assert ledger.permits.grant(ledger.permits.read("rule:score"), mine)
    assert ledger.permits.grant(ledger.permits.read("rule:score"), again)
    assert ledger.permits.take_back("rule:score", mine) is False
    assert ledger.permits.read("rule:score").permits == (again,)
    assert ledger.permits.take_back("rule:score", again) is True
    assert ledger.permits.read("rule:score").permits == ()


def test_what_is_left_alone_is_not_held_without_a_look(ledger: Ledger) -> None:
    assert ledger.permits.save_head(ledger.permits.read("factory:f"))
    seen = ledger.permits.read("factory:f")
    assert ledger.permits.save_head(replace(seen, failures=1, next_attempt=T0))
    assert ledger.permits.hold("factory:f", permit(1)) is False
    assert ledger.permits.read("factory:f").permits == ()
    seen = ledger.permits.read("factory:f")
    assert (seen.failures, seen.next_attempt, seen.free) == (1, T0, False)
    assert ledger.permits.grant(replace(seen, failures=0, next_attempt=None), permit(1))
    assert ledger.permits.hold("factory:f", permit(2))
    assert len(ledger.permits.read("factory:f").permits) == 2


def test_a_grant_is_made_on_the_head_as_it_was_read_or_not_at_all(ledger: Ledger) -> None:
    seen = ledger.permits.read("rule:score")
    assert ledger.permits.grant(replace(seen, full_at=T0 + timedelta(minutes=1)), permit(1)) is True
    assert ledger.permits.grant(replace(seen, full_at=T0 + timedelta(minutes=9)), permit(2)) is False
    again = ledger.permits.read("rule:score")
    assert (again.permits, again.full_at) == ((permit(1),), T0 + timedelta(minutes=1))
    assert ledger.permits.grant(replace(again, full_at=T0 + timedelta(minutes=2)), None) is True
    last = ledger.permits.read("rule:score")
    assert (last.permits, last.full_at) == ((permit(1),), T0 + timedelta(minutes=2))


def test_who_waits_is_in_order_and_leaves_with_the_grant(ledger: Ledger) -> None:
    late, early, urgent = waiter(1, seconds=9), waiter(2), waiter(3, priority=1, seconds=99)
    for each in (late, early, urgent, late):
        ledger.permits.wait("resource:spark/pool", each)
    ledger.permits.wait("resource:other", waiter(4))
    assert list(ledger.permits.waiting("resource:spark/pool")) == [urgent, early, late]
    assert next(iter(ledger.permits.waiting("resource:spark/pool", 1))) == urgent
    seen = ledger.permits.read("resource:spark/pool")
    assert [(w.name, w.seen) for w in seen.waiters] == [(w.name, T0) for w in (urgent, early, late)]
    assert ledger.permits.grant(seen, permit(3), urgent)
    for _ in range(2):
        ledger.permits.leave("resource:spark/pool", early)
    assert ledger.permits.read("resource:spark/pool").waiters == (late,)
    assert ledger.permits.grant(ledger.permits.read("resource:spark/pool"), permit(2), early), "it queues no more"


def test_who_waits_is_seen_when_it_last_looked(ledger: Ledger) -> None:
    ledger.permits.wait("rule:score", waiter(1))
    ledger.permits.wait("rule:score", replace(waiter(1), seen=T0 + timedelta(minutes=3)))
    assert [w.seen for w in ledger.permits.waiting("rule:score")] == [T0 + timedelta(minutes=3)]


@pytest.mark.cloud
@pytest.mark.parametrize("ledger", ["azurite"], indirect=True)
def test_of_many_who_want_it_at_once_as_many_hold_it_as_may(ledger: Ledger) -> None:
    barrier = Barrier(6)

    def ask(n: int) -> bool:
        barrier.wait()
        while True:
            seen = ledger.permits.read("resource:spark")
            if len(seen.permits) >= 3:
                return False
            if ledger.permits.grant(seen, permit(n)):
                return True

    with ThreadPoolExecutor(6) as pool:
        granted = list(pool.map(ask, range(1, 7)))
    assert granted.count(True) == 3
    assert len(ledger.permits.read("resource:spark").permits) == 3


def test_of_two_followers_one_saves_the_cursor(ledger: Ledger) -> None:
    seen = ledger.permits.read("factory:f")
    assert ledger.permits.save_head(replace(seen, cursor=T0)) is True
    assert ledger.permits.save_head(replace(seen, cursor=T0 + timedelta(minutes=1))) is False
    again = ledger.permits.read("factory:f")
    assert again.cursor == T0
    assert ledger.permits.save_head(replace(again, cursor=T0 + timedelta(minutes=1))) is True


@pytest.mark.cloud
def test_resources_of_the_release_before_are_read_and_go_on(cloud: Any, app_account: Any, credential: Any) -> None:
    """Its rows as it wrote them; and what it needs of every row it may find."""
    settings = from_environment(cloud.app_settings(app_account.name))
    with storage.tables(settings.storage, credential) as tables:
        table = tables.get_table_client("permits")
        head = {"PartitionKey": "factory:f", "RowKey": "h", "cursor": T0, "looks": 3, "rowSchema": 1}
        held = {"PartitionKey": "factory:f", "RowKey": f"p!{permit(1).reaction_id}", "since": T0, "attempt": 2}
        table.create_entity(head)
        table.create_entity({**held, "rowSchema": 1})
        permits = PermitTable(table)
        found = permits.read("factory:f")
        assert (found.permits, found.cursor) == ((permit(1, attempt=2),), T0)
        assert (found.full_at, found.next_attempt, found.failures, found.waiters) == (None, None, 0, ())
        assert permits.hold("factory:f", permit(2)) is False
        assert permits.grant(found, permit(2))
        assert permits.hold("factory:f", permit(3))
        permits.wait("factory:f", waiter(4))
        again = permits.read("factory:f")
        assert (len(again.permits), again.cursor, again.waiters) == (3, T0, (waiter(4),))
        for row in table.query_entities("PartitionKey eq 'factory:f'"):
            assert {"looks"} <= row.keys() if row["RowKey"] == "h" else {"since", "attempt"} <= row.keys()


# --- lists ------------------------------------------------------------------------------------------------------------


def test_what_people_had_done_is_kept_by_day_beside_the_reactions(ledger: Ledger) -> None:
    def act(key: str, at: Any) -> Act:
        return Act(
            key=key, at=at, by="ada@example.com", what="cancel x", reason="it \N{SNOWMAN} was wrong", answer='{"a": 1}'
        )

    first, second = act("a" * 32, T0), act("b" * 32, T0 + timedelta(minutes=1))
    yesterday = act("c" * 32, T0 - timedelta(days=1))
    for each in (first, second, yesterday, second):
        ledger.recent.keep_act(each)
    ledger.recent.put(reaction(1, created=T0))
    assert ledger.recent.acts(T0) == [second, first]
    assert ledger.recent.acts(T0 - timedelta(days=1)) == [yesterday]
    assert ledger.recent.acts(T0 + timedelta(days=1)) == []
    assert ledger.recent.act("a" * 32, T0) == first
    assert ledger.recent.act("a" * 32, T0 - timedelta(days=1)) is None
    assert ledger.recent.reactions(T0) == [reaction(1, created=T0).id]


def test_reactions_are_listed_by_day_newest_first(ledger: Ledger) -> None:
    for seq in range(1, 4):
        ledger.recent.put(reaction(seq, created=T0 + timedelta(minutes=seq)))
    ledger.recent.put(reaction(4, created=T0 - timedelta(days=1)))
    ledger.recent.put(reaction(2, created=T0 + timedelta(minutes=2)))
    assert [listed[-1] for listed in ledger.recent.reactions(T0)] == ["3", "2", "1"]


def test_refused_events_are_counted_by_reason_and_the_last_are_kept(ledger: Ledger) -> None:
    for n in range(3):
        ledger.recent.count_refused(
            Refused(reason=Reason.EMPTY_FILE, detail=f"file {n}", event_id=str(n)), T0 + timedelta(seconds=n)
        )
    ledger.recent.count_refused(Refused(reason=Reason.UNMATCHED, detail="no rule"), T0 - timedelta(seconds=1))
    counts, last = ledger.recent.refused()
    assert counts == {"empty-file": 3, "unmatched": 1}
    assert [e.event_id for e in last][:3] == ["2", "1", "0"]


# --- what people have stopped -----------------------------------------------------------------------------------------

PAUSE = Pause(by="ann", at=T0, reason="the clinic moves\nä")


def test_what_is_stopped_stays_as_it_was_stopped_first_until_it_goes_on(ledger: Ledger) -> None:
    assert ledger.controls.read() == ControlState()
    for rule in (None, "score"):
        ledger.controls.pause(rule, PAUSE)
        ledger.controls.pause(rule, replace(PAUSE, by="bob"))
    assert ledger.controls.read() == ControlState(stopped=PAUSE, paused={"score": PAUSE})
    assert ledger.controls.resume(None) == PAUSE
    assert ledger.controls.resume(None) is None
    assert ledger.controls.read() == ControlState(paused={"score": PAUSE})


def test_lanes_wait_until_their_rule_may_go_on(ledger: Ledger) -> None:
    for rule, lane in (("score", "a" * 24), ("score-all", "b" * 24), ("train", "c" * 24), ("score", "a" * 24)):
        ledger.controls.wait(rule, lane)
    ledger.controls.pause("score", PAUSE)
    assert [w.rule for w in ledger.controls.waiting(10)] == ["score-all", "train"]
    ledger.controls.pause(None, PAUSE)
    assert list(ledger.controls.waiting(10)) == []
    ledger.controls.resume(None)
    ledger.controls.resume("score")
    found = ledger.controls.waiting(2)
    assert list(found) == [
        WaitingLane(rule="score", lane="a" * 24),
        WaitingLane(rule="score-all", lane="b" * 24),
    ]
    ledger.controls.woken(found)
    ledger.controls.woken(found)
    assert [w.rule for w in ledger.controls.waiting(10)] == ["train"]
    assert ledger.controls.read() == ControlState()


def test_a_lane_that_waits_once_more_is_not_forgotten_with_the_first_time(ledger: Ledger) -> None:
    ledger.controls.wait("score", LANE)
    found = ledger.controls.waiting(10)
    ledger.controls.wait("score", LANE)  # paused again, before the first time was cleared away
    ledger.controls.woken(found)
    assert list(ledger.controls.waiting(10)) == list(found)


# --- rows of other versions (on real tables only: the fake has no rows) -----------------------------------------------


@pytest.fixture
def lane_rows(cloud: Any, app_account: Any, credential: Any) -> Iterator[Any]:
    settings = from_environment(cloud.app_settings(app_account.name))
    with storage.tables(settings.storage, credential) as tables:
        yield tables.get_table_client("lanes")


def rewritten(lane_rows: Any, key: str, **properties: Any) -> None:
    row = next(row for row in lane_rows.query_entities(f"PartitionKey eq '{LANE}'") if row["RowKey"].startswith(key))
    lane_rows.update_entity({**row, **properties}, mode="merge")


READS: dict[str, Callable[[LaneTable], object]] = {
    "l": lambda lanes: lanes.read(LANE),
    "e!": lambda lanes: lanes.read(LANE),
    "i!": lambda lanes: lanes.read(LANE),
    "r!": lambda lanes: lanes.reaction(reaction_id(LANE, 1)),
    "y!": lambda lanes: lanes.history(reaction_id(LANE, 1)),
    "d!": lambda lanes: lanes.events_of(reaction_id(LANE, 1)),
}
DAMAGES: dict[str, dict[str, Any]] = {
    "l": {"revision": "?"},
    "e!": {"kind": "file-melted"},
    "i!": {"data": "{"},
    "r!": {"state": "dreaming"},
    "y!": {"rowSchema": 7},
    "d!": {"skipped": "for-fun"},
}


@pytest.mark.cloud
@pytest.mark.parametrize("key", READS)
@pytest.mark.parametrize("damaged", [False, True], ids=["of a later version", "damaged"])
def test_a_row_that_cannot_be_read_says_so_and_is_not_half_read(lane_rows: Any, key: str, damaged: bool) -> None:
    lanes = LaneTable(lane_rows)
    for n in (1, 2):
        lanes.add_event(LANE, event(n))
    take(Ledger(lanes, *[None] * 4), [event(1)], tell=(notification(1),))
    READS[key](lanes)
    rewritten(lane_rows, key, **(DAMAGES[key] if damaged else {"rowSchema": 2, "unheardOf": "x"}))
    with pytest.raises(UnreadableRow, match=f"row {key}.* of lane {LANE}"):
        READS[key](lanes)


@pytest.mark.cloud
def test_properties_that_a_later_version_added_are_passed_over(lane_rows: Any) -> None:
    lanes = LaneTable(lane_rows)
    for n in (1, 2):
        lanes.add_event(LANE, event(n))
    take(Ledger(lanes, *[None] * 4), [event(1)])
    before = lanes.read(LANE), lanes.reaction(reaction_id(LANE, 1)), lanes.events_of(reaction_id(LANE, 1))
    for key in ("l", "e!", "r!", "y!", "d!"):
        rewritten(lane_rows, key, unheardOf="x")
    assert (lanes.read(LANE), lanes.reaction(reaction_id(LANE, 1)), lanes.events_of(reaction_id(LANE, 1))) == before
