"""What is old is found and removed: the same cases on the fake and on real tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from shared.cloud import storage
from shared.cloud.archive_table import ArchiveTable
from shared.cloud.lane_table import LaneTable
from shared.cloud.manifest_blobs import ManifestBlobs
from shared.cloud.recent_table import RecentTable
from shared.events import Reason, Refused, event_key
from shared.lanes import MISSED_IN_A_ROW, Claim, Expected, Head, PendingEvent, SkipReason, lane_id
from shared.ports import LaneChange, OldRow, Removal, RowKind
from shared.reactions import HistoryEntry, PipelineAction, Reaction, State, entry_of, reaction_id
from shared.rules import Revision
from shared.settings import MANIFEST_CONTAINER, from_environment
from tests.fakes import T0, FakeArchive, FakeLanes, FakeManifests, FakeRecent, landed

LANE = lane_id("score", "b1")
REVISION = Revision(hash="0123456789ab", modified=T0)
HEAD = Head(rule="score", key="b1", revision=REVISION)
CUTOFF = T0 + timedelta(days=1)
LATER = T0 + timedelta(days=2)


@dataclass
class Ledger:
    lanes: Any
    archive: Any
    recent: Any
    manifests: Any


@pytest.fixture(params=["fake", pytest.param("azurite", marks=pytest.mark.cloud)])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    if request.param == "fake":
        lanes = FakeLanes()
        yield Ledger(lanes, FakeArchive(lanes), FakeRecent(), FakeManifests())
        return
    cloud, account = request.getfixturevalue("cloud"), request.getfixturevalue("app_account")
    credential = request.getfixturevalue("credential")
    settings = from_environment(cloud.app_settings(account.name)).storage
    with storage.tables(settings, credential) as tables, storage.blobs(settings, credential) as blobs:
        lane_rows = tables.get_table_client("lanes")
        yield Ledger(
            LaneTable(lane_rows),
            ArchiveTable(lane_rows, tables.get_table_client("permits")),
            RecentTable(tables.get_table_client("recent")),
            ManifestBlobs(blobs.get_container_client(MANIFEST_CONTAINER)),
        )


def event(n: int, **changes: Any) -> PendingEvent:
    file = landed(f"in/b1/{n:04}.csv", **changes)
    return PendingEvent(id=event_key(file), rule="score", key="b1", event=file, accepted=T0, revision=REVISION)


def reaction(seq: int = 1, **changes: Any) -> Reaction:
    action = PipelineAction(
        pipeline="score",
        parameters={},
        timeout=timedelta(hours=2),
        attempts=1,
        backoff=timedelta(minutes=1),
        needs_manifest=True,
    )
    made = Reaction(
        id=reaction_id(LANE, seq),
        rule="score",
        key="b1",
        revision=REVISION.to_text(),
        state=State.SUCCEEDED,
        reason="well",
        action=action,
        created=T0,
        changed=T0,
        ended=T0,
        events=1,
        manifest_url="https://x/y.json",
    )
    return replace(made, **changes)


def save(ledger: Ledger, made: Reaction | None = None, *events: PendingEvent, head: Head = HEAD, **changes: Any) -> Any:
    """One transaction: the head, the reaction with a line of its history, and what it took."""
    for each in events:
        ledger.lanes.add_event(LANE, each)
    change = LaneChange(
        head=head,
        reaction=made,
        history=(entry_of(made),) if made is not None else (),
        take=events,
        taken_by=made.seq if made is not None else None,
        at=T0,
    )
    return ledger.lanes.commit(LANE, replace(change, **changes))


def pages(ledger: Ledger, size: int = 1000, cutoff: Any = CUTOFF) -> list[list[OldRow]]:
    found, place = [], None
    while True:
        page = ledger.archive.page(cutoff, place, size)
        found.append(list(page.rows))
        place = page.place
        if place is None:
            return found


def rows(ledger: Ledger, **options: Any) -> list[OldRow]:
    return [row for page in pages(ledger, **options) for row in page]


def kinds(found: list[OldRow]) -> list[RowKind]:
    return [row.kind for row in found]


IDENTITY, REACTION, HISTORY, LANE_HEAD = RowKind.IDENTITY, RowKind.REACTION, RowKind.HISTORY, RowKind.HEAD


def test_what_is_old_is_found_in_the_order_of_a_lane(ledger: Ledger) -> None:
    save(ledger, reaction(1), event(1), event(2), head=replace(HEAD, seq=1, ended=T0))
    ledger.lanes.add_event(LANE, event(3))
    found = rows(ledger)
    assert kinds(found) == [IDENTITY, IDENTITY, LANE_HEAD, REACTION, HISTORY]
    assert {row.lane for row in found} == {LANE}
    assert {row.event_id for row in found[:2]} == {event(1).id, event(2).id}
    head, ended, line = found[2:]
    assert (head.at, head.number, head.rule, head.in_use) == (T0, 1, "score", False)
    assert (ended.at, ended.number, ended.manifest, ended.in_use) == (T0, 1, True, False)
    assert (line.at, line.number) == (T0, 1)


def test_what_is_not_old_is_not_found_but_for_heads(ledger: Ledger) -> None:
    made = reaction(1, ended=LATER, changed=LATER)
    save(ledger, made, event(1), head=replace(HEAD, seq=1, ended=LATER), at=LATER)
    assert kinds(rows(ledger)) == [LANE_HEAD]


def test_a_reaction_that_has_not_ended_is_not_found_however_old(ledger: Ledger) -> None:
    made = reaction(1, state=State.RUNNING, ended=None, changed=LATER)
    save(ledger, made, head=replace(HEAD, seq=1, running=1))
    found = rows(ledger)
    assert kinds(found) == [LANE_HEAD]
    assert found[0].in_use


@pytest.mark.parametrize(
    "head",
    [
        replace(HEAD, seq=1, running=1),
        replace(HEAD, seq=1, claim=Claim(seq=1)),
        replace(HEAD, seq=1, inherits=1),
    ],
    ids=["running", "claiming", "inheriting"],
)
def test_a_head_that_is_needed_says_so(ledger: Ledger, head: Head) -> None:
    save(ledger, head=head)
    assert [row.in_use for row in rows(ledger)] == [True]


@pytest.mark.parametrize(("key", "missed", "expects"), [("b1", 2, True), ("b1", 3, False), ("", 3, True)])
def test_a_key_whose_files_have_stopped_coming_expects_none(
    ledger: Ledger, key: str, missed: int, expects: bool
) -> None:
    assert MISSED_IN_A_ROW == 3
    save(ledger, head=replace(HEAD, key=key, expected=Expected(since=T0, missed=missed)))
    assert [row.expects for row in rows(ledger)] == [expects]


def test_an_event_that_says_it_is_from_the_future_is_as_young_as_it_says(ledger: Ledger) -> None:
    save(ledger, reaction(1), event(1, time=LATER), event(2))
    [identity] = [row for row in rows(ledger) if row.kind is IDENTITY and row.at is not None and row.at < CUTOFF]
    assert identity.event_id == event(2).id


def test_a_skipped_event_is_old_like_a_taken_one(ledger: Ledger) -> None:
    save(ledger, None, event(1), skipped=SkipReason.INCOMPLETE)
    assert kinds(rows(ledger)) == [IDENTITY, LANE_HEAD]


def test_pages_go_on_where_the_last_one_ended(ledger: Ledger) -> None:
    save(ledger, reaction(1), *(event(n) for n in range(20)), head=replace(HEAD, seq=1, ended=T0))
    found = pages(ledger, size=4)
    assert max(map(len, found)) == 4
    assert [row.key for page in found for row in page] == [row.key for row in rows(ledger)]


def test_a_page_goes_on_after_what_it_found_was_removed(ledger: Ledger) -> None:
    save(ledger, reaction(1), *(event(n) for n in range(9)), head=replace(HEAD, seq=1, ended=T0))
    first = ledger.archive.page(CUTOFF, None, 4)
    assert len(ledger.archive.remove(LANE, first.rows)) == 4
    second = ledger.archive.page(CUTOFF, first.place, 4)
    assert not {row.key for row in first.rows} & {row.key for row in second.rows}
    assert kinds(list(second.rows)) == [IDENTITY] * 4


def test_more_rows_than_a_transaction_holds_are_removed(ledger: Ledger) -> None:
    events = [event(n) for n in range(120)]
    save(ledger, reaction(1), *events[:40], head=replace(HEAD, seq=1))
    for start in (40, 80):
        head = ledger.lanes.read(LANE).head
        save(ledger, None, *events[start : start + 40], head=head, skipped=SkipReason.INCOMPLETE)
    old = [row for row in rows(ledger) if row.kind is IDENTITY]
    assert len(ledger.archive.remove(LANE, old)) == 120
    assert ledger.lanes.taken(LANE, [e.id for e in events]) == frozenset()


def test_what_changed_since_it_was_read_stays(ledger: Ledger) -> None:
    saved = save(ledger, reaction(1), head=replace(HEAD, seq=1, ended=T0))
    found = rows(ledger)
    ledger.lanes.commit(LANE, LaneChange(head=replace(saved.head, running=1)))
    [head] = [row for row in found if row.kind is LANE_HEAD]
    assert len(ledger.archive.remove(LANE, [head])) == 0
    assert ledger.lanes.read(LANE).head.running == 1
    [ended] = [row for row in found if row.kind is REACTION]
    assert len(ledger.archive.remove(LANE, [ended])) == 1
    assert len(ledger.archive.remove(LANE, [ended])) == 0, "twice is once"
    assert ledger.lanes.reaction(reaction_id(LANE, 1)) is None


def test_a_removed_row_leaves_its_neighbours_alone(ledger: Ledger) -> None:
    save(ledger, reaction(1), event(1), event(2), head=replace(HEAD, seq=1, ended=T0))
    ledger.lanes.add_event(LANE, event(3))
    old = [row for row in rows(ledger) if row.event_id == event(1).id]
    assert len(ledger.archive.remove(LANE, old)) == 1
    assert ledger.lanes.taken(LANE, [event(1).id, event(2).id]) == {event(2).id}
    lane = ledger.lanes.read(LANE)
    assert (lane.pending, lane.head.seq) == ((event(3),), 1)


def test_pending_twins_of_old_identities_are_named(ledger: Ledger) -> None:
    events = [event(n) for n in range(6)]
    save(ledger, reaction(1), *events)
    ledger.lanes.add_event(LANE, events[2])
    ledger.lanes.add_event(LANE, event(77))
    assert ledger.archive.pending(LANE, [e.id for e in events]) == {events[2].id}
    assert ledger.archive.pending(LANE, [events[2].id]) == {events[2].id}
    assert ledger.archive.pending(LANE, [events[1].id]) == frozenset()


def test_reactions_are_found_by_number_however_old(ledger: Ledger) -> None:
    save(ledger, reaction(1))
    running = reaction(2, state=State.RUNNING, ended=None, manifest_url=None)
    superseded = reaction(33, state=State.SUPERSEDED, ended=LATER)
    for each in (running, superseded):
        ledger.lanes.commit(LANE, LaneChange(reaction=each))
    first, second, third = ledger.archive.reactions(LANE, range(1, 40))
    assert (first.number, first.at, first.in_use, first.manifest, first.superseded) == (1, T0, False, True, False)
    assert (second.number, second.at, second.in_use, second.manifest) == (2, None, True, False)
    assert (third.number, third.at, third.in_use, third.superseded) == (33, LATER, False, True)


def test_a_head_says_whether_a_file_is_waited_for(ledger: Ledger) -> None:
    saved = save(ledger)
    assert [row.expects for row in rows(ledger)] == [False]
    ledger.lanes.commit(LANE, LaneChange(head=replace(saved.head, expected=Expected(since=T0))))
    assert [(row.expects, row.in_use) for row in rows(ledger)] == [(True, False)]


def test_a_reaction_that_gave_way_counts_as_superseded_however_it_ended(ledger: Ledger) -> None:
    save(ledger, reaction(1, state=State.FAILED, gives_way=True))
    assert [row.superseded for row in rows(ledger) if row.kind is REACTION] == [True]


def test_a_head_says_whether_it_is_needed(ledger: Ledger) -> None:
    assert not ledger.archive.in_use(LANE)
    saved = save(ledger)
    assert not ledger.archive.in_use(LANE)
    ledger.lanes.commit(LANE, LaneChange(head=replace(saved.head, inherits=1)))
    assert ledger.archive.in_use(LANE)


def test_an_identity_names_the_reaction_that_took_it(ledger: Ledger) -> None:
    saved = save(ledger, reaction(7), event(1), head=replace(HEAD, seq=7))
    save(ledger, None, event(2), head=saved.head, skipped=SkipReason.INCOMPLETE)
    found = {row.event_id: row.number for row in rows(ledger) if row.kind is IDENTITY}
    assert found == {event(1).id: 7, event(2).id: 0}


def test_a_lane_with_any_row_left_says_so(ledger: Ledger) -> None:
    save(ledger)
    assert ledger.archive.nothing_left(LANE)
    ledger.lanes.add_event(LANE, event(1))
    assert not ledger.archive.nothing_left(LANE)
    ledger.lanes.drop_pending(LANE, [event(1).id])
    line = HistoryEntry(at=T0, what="x", reason="y", attempt=1)
    ledger.lanes.add_history(reaction_id(LANE, 1), line)
    assert not ledger.archive.nothing_left(LANE)


def test_how_far_it_came_is_saved_by_one_of_two(ledger: Ledger) -> None:
    assert ledger.archive.removal() == Removal()
    first = Removal(began=T0, cutoff=CUTOFF, place="", numbers=3, settled=2)
    saved = ledger.archive.save(first)
    assert ledger.archive.save(first) is None
    assert ledger.archive.removal() == first
    second = ledger.archive.save(replace(saved, place=None))
    assert ledger.archive.save(replace(saved, place="x")) is None
    assert ledger.archive.removal() == second == replace(first, place=None)


def test_lists_and_counts_of_days_that_are_over_go(ledger: Ledger) -> None:
    day = timedelta(days=1)
    for n in range(3):
        ledger.recent.put(reaction(n + 1, created=T0 + n * day))
        ledger.recent.put(reaction(n + 11, created=T0 + n * day))
    assert ledger.recent.forget(T0 + day, 1) == 1
    assert ledger.recent.forget(T0 + day, 100) == 1
    assert ledger.recent.forget(T0 + day, 100) == 0
    assert ledger.recent.reactions(T0) == []
    assert len(ledger.recent.reactions(T0 + day)) == 2


def test_counts_of_what_was_refused_go_with_their_day(ledger: Ledger) -> None:
    refused = Refused(reason=Reason.UNMATCHED, detail="no rule", event_id="1", event_type="x", subject=None)
    for n in range(3):
        ledger.recent.count_refused(refused, T0 + n * timedelta(days=1))
    ledger.recent.forget(T0 + timedelta(days=2), 100)
    counts, last = ledger.recent.refused()
    assert counts == {"unmatched": 1}
    assert len(last) == 3, "the last thousand stay"


def test_a_manifest_that_is_younger_than_the_cutoff_stays(ledger: Ledger) -> None:
    made = reaction(1)
    ledger.manifests.write(made, [])
    ledger.manifests.remove(made.id, T0 - timedelta(days=700))
    assert _has_manifest(ledger, made)
    ledger.manifests.remove(made.id, T0 + timedelta(days=7000))
    ledger.manifests.remove(made.id, T0 + timedelta(days=7000))
    assert not _has_manifest(ledger, made)


def _has_manifest(ledger: Ledger, made: Reaction) -> bool:
    if isinstance(ledger.manifests, FakeManifests):
        return made.id in ledger.manifests.written
    return bool(ledger.manifests._container.get_blob_client(f"{made.id}.json").exists())
