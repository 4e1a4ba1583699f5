"""Fakes of our own ports. They hold state to assert on, and keep the promises that the ports write down."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from shared.controls import ControlState, Pause, WaitingLane
from shared.errors import AlreadyTaken, InDoubt, Stale, StorageUnavailable, TargetBusy, TargetRefused, UnreadableRow
from shared.events import DriftDetected, FileLanded, ModelRegistered, Refused
from shared.lanes import MISSED_IN_A_ROW, Head, Lane, PendingEvent, TakenEvent
from shared.models import REACTION_TAG, BreachedRun, Deployment, Endpoint, ModelRef, ModelVersion, Provisioning
from shared.notifications import Notification
from shared.ports import (
    Act,
    Component,
    DeadLetter,
    DeadLetterPage,
    Due,
    FileProperties,
    LakeFile,
    LakePage,
    LaneChange,
    NewDeployment,
    NewJob,
    OldRow,
    OldRows,
    Permit,
    PoisonedEvent,
    RefusedEvent,
    Removal,
    Resource,
    RowKind,
    Run,
    RunStatus,
    Saved,
    Waiter,
    WorkspaceJob,
)
from shared.reactions import HistoryEntry, Job, Reaction, State, address
from shared.rollouts.smoke import Answer

WORKSPACE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/mlw"
T0 = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


class FakeClock:
    def __init__(self, now: datetime = T0) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def advance(self, step: timedelta) -> None:
        self.time += step

    def advance_to(self, at: datetime) -> None:
        self.time = max(self.time, at)


class Storage:
    """Shared by the fake tables: counts calls, and fails the ones a test wants to fail."""

    def __init__(self) -> None:
        self.calls = 0
        self.before_call: Callable[[int, str], None] = lambda _number, _what: None
        self._etags = itertools.count(1)

    def call(self, what: str) -> None:
        self.calls += 1
        self.before_call(self.calls, what)

    def etag(self) -> str:
        return f'W/"{next(self._etags)}"'


@dataclass
class _Partition:
    head: Head | None = None
    pending: dict[str, PendingEvent] = field(default_factory=dict)
    taken: dict[str, TakenEvent] = field(default_factory=dict)
    reactions: dict[int, Reaction] = field(default_factory=dict)
    history: dict[int, list[HistoryEntry]] = field(default_factory=dict)
    outbox: dict[str, Notification] = field(default_factory=dict)


class FakeLanes:
    """`unreadable`: lanes of which a later version has written rows."""

    def __init__(self, storage: Storage | None = None) -> None:
        self.unreadable: set[str] = set()
        self.storage = storage or Storage()
        self.partitions: dict[str, _Partition] = {}

    def _of(self, lane: str) -> _Partition:
        return self.partitions.setdefault(lane, _Partition())

    def add_event(self, lane: str, event: PendingEvent) -> bool:
        self.storage.call("insert event")
        known = event.id in self._of(lane).pending
        self._of(lane).pending.setdefault(event.id, event)
        return not known

    def read(self, lane: str) -> Lane:
        self.storage.call("read lane")
        self._readable(lane)
        found = self._of(lane)
        pending = tuple(found.pending[i] for i in sorted(found.pending))
        return Lane(id=lane, head=found.head, pending=pending, outbox=tuple(found.outbox.values()))

    def _readable(self, lane: str) -> None:
        if lane in self.unreadable:
            raise UnreadableRow(f"a row of lane {lane} has schema 2; this version reads 1: a later one wrote it")

    def taken(self, lane: str, event_ids: Iterable[str]) -> frozenset[str]:
        self.storage.call("taken")
        return frozenset(event_ids) & self._of(lane).taken.keys()

    def drop_pending(self, lane: str, event_ids: Iterable[str]) -> None:
        for event_id in event_ids:
            self.storage.call("drop")
            self._of(lane).pending.pop(event_id, None)

    def commit(self, lane: str, change: LaneChange) -> Saved:
        self.storage.call("commit")
        if len(change.take) > change.capacity():
            raise ValueError("too many events for one transaction")
        found = self._of(lane)
        saved_reaction = found.reactions.get(change.reaction.seq) if change.reaction is not None else None
        self._check(found.head, change.head, "head")
        self._check(saved_reaction, change.reaction, "reaction")
        known = frozenset(e.id for e in change.take) & found.taken.keys()
        if known:
            raise AlreadyTaken(known)
        if any(e.id not in found.pending for e in change.take):
            raise Stale("a pending event was taken by somebody else")
        head = replace(change.head, etag=self.storage.etag()) if change.head is not None else None
        reaction = replace(change.reaction, etag=self.storage.etag()) if change.reaction is not None else None
        found.head = head or found.head
        for event in change.take:
            assert change.at is not None
            del found.pending[event.id]
            found.taken[event.id] = TakenEvent(
                pending=event, at=change.at, reaction=change.taken_by, skipped=change.skipped
            )
        if reaction is not None:
            found.reactions[reaction.seq] = reaction
            found.history.setdefault(reaction.seq, []).extend(change.history)
        found.outbox |= {notification.id: notification for notification in change.tell}
        return Saved(head=head, reaction=reaction)

    @staticmethod
    def _check(saved: Head | Reaction | None, new: Head | Reaction | None, what: str) -> None:
        if new is not None and new.etag != (saved.etag if saved is not None else None):
            raise Stale(f"the {what} was changed by somebody else")

    def reaction(self, reaction_id: str) -> Reaction | None:
        self.storage.call("read reaction")
        found = address(reaction_id)
        self._readable(found[0] if found is not None else "")
        return self._of(found[0]).reactions.get(found[1]) if found is not None else None

    def history(self, reaction_id: str) -> list[HistoryEntry]:
        self.storage.call("history")
        lane, _, seq = reaction_id.rpartition("-")
        return sorted(self._of(lane).history.get(int(seq), []), key=lambda e: e.at)

    def add_history(self, reaction_id: str, entry: HistoryEntry, tell: Sequence[Notification] = ()) -> None:
        self.storage.call("add history")
        lane, _, seq = reaction_id.rpartition("-")
        found = self._of(lane)
        lines = found.history.setdefault(int(seq), [])
        if entry.key is None or all(line.key != entry.key for line in lines):
            lines.append(entry)
        found.outbox |= {notification.id: notification for notification in tell}

    def told(self, lane: str, notification_ids: Iterable[str]) -> None:
        for notification_id in notification_ids:
            self.storage.call("told")
            self._of(lane).outbox.pop(notification_id, None)

    def find_event(self, lane: str, event_id: str) -> PendingEvent | TakenEvent | None:
        self.storage.call("find event")
        found = self._of(lane)
        return found.taken.get(event_id) or found.pending.get(event_id)

    def events_of(self, reaction_id: str) -> list[TakenEvent]:
        self.storage.call("events of")
        lane, _, seq = reaction_id.rpartition("-")
        found = [t for t in self._of(lane).taken.values() if t.reaction == int(seq)]
        return sorted(found, key=lambda t: (t.pending.accepted, t.pending.id))


class FakeArchive:
    """The rows of FakeLanes, in the order of their keys. A token is the key of the last row of a page."""

    def __init__(self, lanes: FakeLanes) -> None:
        self.lanes = lanes
        self.storage = lanes.storage
        self.saved = Removal()

    def removal(self) -> Removal:
        self.storage.call("read removal")
        return self.saved

    def save(self, removal: Removal) -> Removal | None:
        self.storage.call("save removal")
        if removal.etag != self.saved.etag:
            return None
        self.saved = replace(removal, etag=self.storage.etag())
        return self.saved

    def page(self, cutoff: datetime, place: str | None, size: int) -> OldRows:
        self.storage.call("page of old rows")
        found = sorted((row for row in self._rows() if _may_be_old(row, cutoff)), key=_order)
        after = [row for row in found if place is None or json.dumps(_order(row)) > place]
        page = after[:size]
        return OldRows(rows=page, place=json.dumps(_order(page[-1])) if len(after) > size else None)

    def _rows(self) -> Iterable[OldRow]:
        for lane, found in self.lanes.partitions.items():
            for event_id, taken in found.taken.items():
                at = max(taken.at, taken.pending.event.time)
                yield OldRow(lane=lane, key=f"d!{event_id}", kind=RowKind.IDENTITY, at=at, number=taken.reaction or 0)
            if found.head is not None:
                yield _head_as_row(lane, found.head)
            for seq, reaction in found.reactions.items():
                yield OldRow(
                    lane=lane,
                    key=f"r!{seq:08}",
                    kind=RowKind.REACTION,
                    at=reaction.ended,
                    number=seq,
                    in_use=not reaction.final,
                    superseded=reaction.state is State.SUPERSEDED or reaction.gives_way,
                    manifest=reaction.manifest_url is not None,
                    etag=reaction.etag,
                )
            for seq, lines in found.history.items():
                for line in lines:
                    key = f"y!{seq:08}!{id(line):020}"
                    yield OldRow(lane=lane, key=key, kind=RowKind.HISTORY, at=line.at, number=seq)

    def pending(self, lane: str, event_ids: Sequence[str]) -> frozenset[str]:
        self.storage.call("pending of old")
        return frozenset(event_ids) & self.lanes.partitions[lane].pending.keys()

    def reactions(self, lane: str, numbers: Iterable[int]) -> list[OldRow]:
        self.storage.call("reactions of old")
        asked = set(numbers)
        found = [row for row in self._rows() if (row.lane, row.kind) == (lane, RowKind.REACTION)]
        return [row for row in found if row.number in asked]

    def in_use(self, lane: str) -> bool:
        self.storage.call("head in use")
        head = self.lanes._of(lane).head
        return head is not None and _head_as_row(lane, head).in_use

    def nothing_left(self, lane: str) -> bool:
        self.storage.call("nothing left")
        found = self.lanes.partitions[lane]
        return not (found.pending or found.taken or found.reactions or any(found.history.values()) or found.outbox)

    def remove(self, lane: str, rows: Sequence[OldRow]) -> list[OldRow]:
        self.storage.call("remove old")
        now = {row.key: row for row in self._rows() if row.lane == lane}
        parts = [rows[start : start + 100] for start in range(0, len(rows), 100)]
        going = [p for p in parts if all(row.key in now and now[row.key].etag == row.etag for row in p)]
        gone = [row for part in going for row in part]
        for row in gone:
            self._drop(self.lanes.partitions[lane], row)
        return gone

    def _drop(self, found: _Partition, row: OldRow) -> None:
        if row.kind is RowKind.IDENTITY:
            del found.taken[row.event_id]
        elif row.kind is RowKind.REACTION:
            del found.reactions[row.number]
        elif row.kind is RowKind.HEAD:
            found.head = None
        else:
            lines = found.history[row.number]
            lines[:] = [line for line in lines if not row.key.endswith(f"!{id(line):020}")]


def _may_be_old(row: OldRow, cutoff: datetime) -> bool:
    return row.kind is RowKind.HEAD or (row.at is not None and row.at < cutoff)


def _order(row: OldRow) -> tuple[str, str]:
    return row.lane, row.key if row.kind is not RowKind.HEAD else "l"


def _head_as_row(lane: str, head: Head) -> OldRow:
    in_use = head.running is not None or head.claim is not None or head.inherits is not None
    return OldRow(
        lane=lane,
        key="l",
        kind=RowKind.HEAD,
        at=head.ended,
        number=head.seq,
        rule=head.rule,
        in_use=in_use,
        expects=head.expected is not None and (not head.key or head.expected.missed < MISSED_IN_A_ROW),
        etag=head.etag,
    )


class FakeControls:
    def __init__(self, storage: Storage | None = None) -> None:
        self.storage = storage or Storage()
        self.pauses: dict[str | None, Pause] = {}
        self.lanes: dict[tuple[str, str], WaitingLane] = {}

    def read(self) -> ControlState:
        self.storage.call("read controls")
        paused = {rule: pause for rule, pause in self.pauses.items() if rule is not None}
        return ControlState(stopped=self.pauses.get(None), paused=paused)

    def pause(self, rule: str | None, pause: Pause) -> None:
        self.storage.call("pause")
        self.pauses.setdefault(rule, pause)

    def resume(self, rule: str | None) -> Pause | None:
        self.storage.call("resume")
        return self.pauses.pop(rule, None)

    def wait(self, rule: str, lane: str) -> None:
        self.storage.call("wait for a resume")
        self.lanes[rule, lane] = WaitingLane(rule=rule, lane=lane, etag=self.storage.etag())

    def waiting(self, limit: int) -> Sequence[WaitingLane]:
        state = self.read()
        self.storage.call("read waiting lanes")
        return [self.lanes[key] for key in sorted(self.lanes) if state.holds(key[0]) is None][:limit]

    def woken(self, lanes: Sequence[WaitingLane]) -> None:
        for waiting in lanes:
            self.storage.call("remove waiting lane")
            noted = self.lanes.get((waiting.rule, waiting.lane))
            if noted is not None and noted.etag == waiting.etag:
                del self.lanes[waiting.rule, waiting.lane]


class FakeDueTable:
    def __init__(self, storage: Storage | None = None) -> None:
        self.storage = storage or Storage()
        self.rows: dict[str, Due] = {}
        self.next_get: dict[str, Due | None] = {}
        """What the next read of a key gives: as it was before somebody else's look wrote it."""

    def get(self, key: str) -> Due | None:
        self.storage.call("get due")
        return self.next_get.pop(key) if key in self.next_get else self.rows.get(key)

    def set(self, key: str, at: datetime, *, waked: bool = False) -> Due:
        self.storage.call("set due")
        self.rows[key] = Due(key=key, at=at, waked=waked, etag=self.storage.etag())
        return self.rows[key]

    def move(self, due: Due | None, key: str, at: datetime, *, waked: bool = False) -> Due | None:
        self.storage.call("move due")
        if not self._unchanged(due, key):
            return None
        self.rows[key] = Due(key=key, at=at, waked=waked, etag=self.storage.etag())
        return self.rows[key]

    def remove(self, due: Due) -> bool:
        self.storage.call("remove due")
        if not self._unchanged(due, due.key):
            return False
        self.rows.pop(due.key, None)
        return True

    def _unchanged(self, due: Due | None, key: str) -> bool:
        saved = self.rows.get(key)
        return (saved.etag if saved is not None else None) == (due.etag if due is not None else None)

    def due(self, before: datetime) -> Iterable[Due]:
        self.storage.call("query due")
        return sorted((d for d in self.rows.values() if d.at <= before), key=lambda d: d.at)


class FakeWakeUps:
    def __init__(self, storage: Storage | None = None) -> None:
        self.storage = storage or Storage()
        self.sent: list[tuple[str, float]] = []
        self.poisoned: list[str] = []

    def send(self, key: str, delay_seconds: float = 0.0) -> None:
        self.storage.call("send wake-up")
        self.sent.append((key, delay_seconds))

    def drain_poisoned(self, revive: Callable[[str], None]) -> list[str]:
        self.storage.call("drain")
        drained, self.poisoned = self.poisoned, []
        for key in drained:
            revive(key)
        return drained


class FakePoisonedEvents:
    """Messages are hidden by the clock; `broken` says of which the removal fails."""

    def __init__(self, clock: FakeClock, storage: Storage | None = None) -> None:
        self.clock = clock
        self.storage = storage or Storage()
        self.messages: dict[str, PoisonedEvent] = {}
        self.visible: dict[str, datetime] = {}
        self.broken: set[str] = set()
        self._ids = itertools.count(1)

    def put(self, text: str) -> str:
        id_ = str(next(self._ids))
        expires = self.clock.now() + timedelta(days=7)
        self.messages[id_] = PoisonedEvent(id=id_, text=text, expires=expires, receipt="")
        self.visible[id_] = self.clock.now()
        return id_

    def receive(self) -> PoisonedEvent | None:
        self.storage.call("receive poisoned event")
        found = min((i for i in self.messages if self.visible[i] <= self.clock.now()), key=self.visible.get, default="")
        if not found:
            return None
        self.visible[found] = self.clock.now() + timedelta(minutes=4)
        return self.messages[found]

    def remove(self, event: PoisonedEvent) -> None:
        self.storage.call("remove poisoned event")
        if event.id in self.broken:
            raise StorageUnavailable("not removed")
        del self.messages[event.id]


class FakePermits:
    def __init__(self, storage: Storage | None = None) -> None:
        self.storage = storage or Storage()
        self.held: dict[str, dict[str, Permit]] = {}
        self.heads: dict[str, Resource] = {}
        self.queues: dict[str, dict[tuple[int, datetime, str], Waiter]] = {}

    def read(self, resource: str) -> Resource:
        self.storage.call("read permits")
        head = self.heads.get(resource, Resource(name=resource))
        return replace(head, permits=tuple(self.held.get(resource, {}).values()), waiters=tuple(self._queue(resource)))

    def _queue(self, resource: str) -> list[Waiter]:
        return [waiter for _, waiter in sorted(self.queues.get(resource, {}).items())]

    def hold(self, resource: str, permit: Permit) -> bool:
        self.storage.call("hold permit")
        if resource not in self.heads or not self.heads[resource].free:
            return False
        self.held.setdefault(resource, {})[permit.reaction_id] = permit
        return True

    def grant(self, resource: Resource, permit: Permit | None, waiter: Waiter | None = None) -> bool:
        self.storage.call("grant permit")
        if not self._saved(resource):
            return False
        if permit is not None:
            self.held.setdefault(resource.name, {})[permit.reaction_id] = permit
        if waiter is not None:
            self.queues.get(resource.name, {}).pop(waiter.order, None)
        return True

    def release(self, resource: str, reaction_id: str) -> None:
        self.storage.call("release permit")
        self.held.get(resource, {}).pop(reaction_id, None)

    def take_back(self, resource: str, permit: Permit) -> bool:
        self.storage.call("take back permit")
        held = self.held.get(resource, {})
        if held.get(permit.reaction_id) != permit:
            return False
        del held[permit.reaction_id]
        return True

    def wait(self, resource: str, waiter: Waiter) -> None:
        self.storage.call("wait for permit")
        self.queues.setdefault(resource, {})[waiter.order] = waiter

    def leave(self, resource: str, waiter: Waiter) -> None:
        self.storage.call("leave queue")
        self.queues.get(resource, {}).pop(waiter.order, None)

    def waiting(self, resource: str, at_once: int = 1000) -> Iterable[Waiter]:
        self.storage.call("who waits")
        return self._queue(resource)

    def save_head(self, resource: Resource) -> bool:
        self.storage.call("save resource")
        return self._saved(resource)

    def _saved(self, resource: Resource) -> bool:
        saved = self.heads.get(resource.name)
        if (saved.etag if saved is not None else None) != resource.etag:
            return False
        etag, free = self.storage.etag(), resource.failures == 0
        self.heads[resource.name] = replace(resource, permits=(), waiters=(), free=free, etag=etag)
        return True


class FakeRecent:
    def __init__(self, storage: Storage | None = None) -> None:
        self.storage = storage or Storage()
        self.listed: dict[str, Reaction] = {}
        self.kept: dict[str, Act] = {}
        self.counts: Counter[str] = Counter()
        self.counted: list[tuple[date, str]] = []
        self.last: list[RefusedEvent] = []

    def put(self, reaction: Reaction) -> None:
        self.storage.call("put recent")
        self.listed[reaction.id] = reaction

    def reactions(self, day: datetime) -> list[str]:
        found = [r for r in self.listed.values() if r.created.date() == day.date()]
        return [r.id for r in sorted(found, key=lambda r: r.created, reverse=True)]

    def keep_act(self, act: Act) -> None:
        self.storage.call("keep act")
        self.kept[act.key] = act

    def act(self, key: str, day: datetime) -> Act | None:
        self.storage.call("read act")
        found = self.kept.get(key)
        return found if found is not None and found.at.date() == day.date() else None

    def acts(self, day: datetime) -> list[Act]:
        of_day = (act for act in self.kept.values() if act.at.date() == day.date())
        return sorted(of_day, key=lambda act: act.at, reverse=True)

    def forget(self, before: datetime, at_most: int) -> int:
        self.storage.call("forget recent")
        gone = [(day, reason) for day, reason in self.counted if day < before.date()]
        self.counts.subtract(reason for _, reason in gone)
        self.counted = [counted for counted in self.counted if counted not in gone]
        old = [r.id for r in self.listed.values() if r.created.date() < before.date()][:at_most]
        for each in old:
            del self.listed[each]
        return len(old)

    def count_refused(self, refused: Refused, at: datetime) -> None:
        self.storage.call("count refused")
        self.counts[str(refused.reason)] += 1
        self.counted.append((at.date(), str(refused.reason)))
        self.last.append(
            RefusedEvent(
                at=at,
                reason=str(refused.reason),
                detail=refused.detail,
                event_id=refused.event_id,
                subject=refused.subject,
            )
        )

    def refused(self) -> tuple[dict[str, int], list[RefusedEvent]]:
        return dict(self.counts), sorted(self.last, key=lambda e: e.at, reverse=True)


class FakeManifests:
    def __init__(self, storage: Storage | None = None) -> None:
        self.storage = storage or Storage()
        self.written: dict[str, list[TakenEvent]] = {}
        self.written_at: dict[str, datetime] = {}

    def url(self, reaction_id: str) -> str:
        return f"https://manifests.invalid/{reaction_id}.json"

    def write(self, reaction: Reaction, events: Sequence[TakenEvent]) -> None:
        self.storage.call("write manifest")
        if reaction.id not in self.written:
            self.written[reaction.id] = list(events)
            self.written_at[reaction.id] = reaction.created

    def remove(self, reaction_id: str, before: datetime) -> None:
        self.storage.call("remove manifest")
        if reaction_id in self.written and self.written_at[reaction_id] < before:
            del self.written[reaction_id]


class FakeLake:
    def __init__(self, accounts: Sequence[str] = ("acc",)) -> None:
        self.accounts = tuple(accounts)
        self.there: dict[tuple[str, str, str], LakeFile] = {}
        self.asked = 0
        self.contents: dict[tuple[str, str, str], bytes] = {}
        self.down = False

    def put(
        self, path: str, *, etag: str = "0x1", size: int = 10, modified: datetime = T0, account: str = "acc"
    ) -> None:
        self.there[account, "lake", path] = LakeFile(
            path=path,
            etag=etag,
            size=size,
            modified=modified,
            url=f"https://{account}.blob.core.windows.net/lake/{path}",
        )

    def properties(self, account: str, container: str, path: str) -> FileProperties | None:
        self.asked += 1
        found = self.there.get((account, container, path))
        return FileProperties(etag=found.etag, size=found.size) if found is not None else None

    def files(self, account: str, container: str, prefix: str, *, top: int, continuation: str | None) -> LakePage:
        self.asked += 1
        names = sorted(p for a, c, p in self.there if (a, c) == (account, container) and p.startswith(prefix))
        rest = [name for name in names if continuation is None or name >= continuation]
        return LakePage(
            files=tuple(self.there[account, container, name] for name in rest[:top]),
            continuation=rest[top] if len(rest) > top else None,
        )

    def read(self, account: str, container: str, path: str, limit: int) -> bytes | None:
        if self.down:
            raise StorageUnavailable("the lake is down")
        found = self.contents.get((account, container, path))
        return None if found is None else found[:limit]


class FakeDeadLetters:
    """Blobs by name. `broken` says which cannot be read."""

    def __init__(self, storage: Storage | None = None) -> None:
        self.storage = storage or Storage()
        self.blobs: dict[str, tuple[DeadLetter, str]] = {}
        self.broken: set[str] = set()

    def put(self, name: str, content: str, at: datetime = T0) -> None:
        letter = DeadLetter(name=name, at=at, size=len(content.encode()), etag=self.storage.etag())
        self.blobs[name] = letter, content

    def list(self, *, top: int = 500, continuation: str | None = None) -> DeadLetterPage:
        self.storage.call("list dead letters")
        names = sorted(name for name in self.blobs if continuation is None or name >= continuation)
        return DeadLetterPage(
            letters=tuple(self.blobs[name][0] for name in names[:top]),
            continuation=names[top] if len(names) > top else None,
        )

    def read(self, name: str) -> str | None:
        self.storage.call("read dead letter")
        if name in self.broken:
            raise StorageUnavailable("not read")
        return self.blobs[name][1] if name in self.blobs else None

    def mark(self, letter: DeadLetter, refused: str) -> bool:
        self.storage.call("mark dead letter")
        found = self.blobs.get(letter.name)
        if found is None or found[0].etag != letter.etag:
            return False
        self.blobs[letter.name] = replace(found[0], refused=refused[:1000], etag=self.storage.etag()), found[1]
        return True

    def remove(self, name: str) -> None:
        self.storage.call("remove dead letter")
        self.blobs.pop(name, None)


@dataclass
class StartedRun:
    run: Run
    hidden_until: datetime = T0
    shown_from: datetime | None = None
    """For a run without a start: since when queries show it."""


class FakeFactory:
    """A factory whose runs end when a test says so. `on_start` may raise what a start would raise, or accept first."""

    def __init__(self, clock: FakeClock, storage: Storage | None = None, name: str = "adf") -> None:
        self.name = name
        self.clock = clock
        self.storage = storage or Storage()
        self.pipelines: dict[str, frozenset[str]] = {}
        self.started: list[StartedRun] = []
        self._numbers = itertools.count(1)
        self.cancelled: list[str] = []
        self.on_cancel: list[Exception] = []
        """What the next cancellations raise."""
        self.on_start: Callable[[Callable[[], str]], str] = lambda accept: accept()
        self.on_query: Callable[[], None] = lambda: None
        """May raise what a query of the runs would raise."""
        self.jobs: dict[str, tuple[Job, ...]] = {}
        self.on_jobs: Callable[[], None] = lambda: None

    def declared_parameters(self, pipeline: str) -> frozenset[str]:
        self.storage.call("get pipeline")
        if pipeline not in self.pipelines:
            raise TargetRefused(f"404 pipeline {pipeline} was not found", status=404)
        return self.pipelines[pipeline]

    def create_run(self, pipeline: str, parameters: dict[str, str]) -> str:
        self.storage.call("create run")
        if pipeline not in self.pipelines:
            raise TargetRefused(f"404 pipeline {pipeline} was not found", status=404)
        run_id = self.on_start(lambda: self.force(pipeline, parameters))
        self.storage.call("create run answered")
        return run_id

    def force(self, pipeline: str, parameters: dict[str, str], hidden_until: datetime = T0) -> str:
        run = Run(
            id=f"run-{next(self._numbers)}",
            pipeline=pipeline,
            status=RunStatus.IN_PROGRESS,
            parameters=dict(parameters),
            started=self.clock.now(),
            message="",
        )
        self.started.append(StartedRun(run=run, hidden_until=hidden_until))
        return run.id

    def end(self, run_id: str, status: RunStatus = RunStatus.SUCCEEDED, message: str = "") -> None:
        for started in self.started:
            if started.run.id == run_id and not started.run.status.final:
                started.run = replace(started.run, status=status, message=message)

    def end_all(self, status: RunStatus = RunStatus.SUCCEEDED, message: str = "") -> None:
        for started in self.started:
            self.end(started.run.id, status, message)

    def run(self, run_id: str) -> Run | None:
        self.storage.call("get run")
        return next((s.run for s in self.started if s.run.id == run_id), None)

    def runs_updated(self, after: datetime, before: datetime, pipeline: str | None = None) -> list[Run]:
        self.storage.call("query runs")
        self.on_query()
        seen: list[Run] = []
        for started in self.started:
            since = started.run.started or started.shown_from
            if self.clock.now() < started.hidden_until or since is None:
                continue
            # Its last update is never later than now, and never earlier than its start.
            if pipeline in (None, started.run.pipeline) and since <= before:
                seen += [started.run] if after <= self.clock.now() else []
        return seen

    def cancel(self, run_id: str) -> None:
        self.storage.call("cancel run")
        if self.on_cancel:
            raise self.on_cancel.pop(0)
        if all(started.run.id != run_id for started in self.started):
            raise TargetRefused(f"404 run {run_id} was not found", status=404)
        self.cancelled.append(run_id)
        self.end(run_id, RunStatus.CANCELLED)

    def jobs_of(self, run_id: str, after: datetime, before: datetime) -> tuple[Job, ...]:
        self.storage.call("query activity runs")
        self.on_jobs()
        if all(started.run.id != run_id for started in self.started):
            raise TargetRefused(f"404 run {run_id} was not found", status=404)
        return self.jobs.get(run_id, ()) if after <= self.clock.now() <= before else ()

    @property
    def running(self) -> list[Run]:
        return [s.run for s in self.started if not s.run.status.final]


@dataclass
class _Deployed:
    deployment: Deployment
    ready_at: datetime
    gone_at: datetime | None = None
    listed_at: datetime = T0


@dataclass
class _StartedJob:
    wanted: NewJob
    status: RunStatus
    shown_from: datetime


class FakeWorkspace:
    """A workspace with endpoints whose deployments take time to come and to go, and with jobs that a test ends.

    `hooks` may raise what a call would raise, before it has an effect; `after`, when it has had it.
    """

    def __init__(self, clock: FakeClock, storage: Storage | None = None) -> None:
        self.clock = clock
        self.storage = storage or Storage()
        self.models: dict[ModelRef, ModelVersion] = {}
        self.breached: list[BreachedRun] = []
        self.began: dict[str, datetime] = {}
        """When a monitor began, by its breached run; at the run's end where nothing is said."""
        self.endpoints: dict[str, dict[str, _Deployed]] = {}
        self.traffic: dict[str, dict[str, int]] = {}
        self.updating_until: dict[str, datetime] = {}
        self.broken: set[str] = set()
        """Endpoints that are themselves in a failed state."""
        self.creation = timedelta(minutes=3)
        self.deletion = timedelta(seconds=20)
        self.update = timedelta(seconds=5)
        self.lag = timedelta(0)
        """How long it takes until a new deployment is in the list of its endpoint."""
        self.fails: dict[str, str] = {}
        """Deployments that AML cannot make, and why."""
        self.answers: list[Answer | Exception] = []
        """What the next scoring requests get; a good answer where there is none."""
        self.hooks: dict[str, Callable[[], None]] = {}
        self.after: dict[str, Callable[[], None]] = {}
        self.writes: list[str] = []
        self.components: dict[str, Component] = {}
        self.jobs: dict[str, _StartedJob] = {}
        self.job_lag = timedelta(0)
        """How long it takes until a job that was started can be seen."""
        self.cancelled: list[str] = []
        self.cancels_at_once = True

    def register(self, name: str, version: str, created: datetime | None = None, **properties: str) -> ModelVersion:
        ref = ModelRef(name=name, version=version)
        model = ModelVersion(
            ref=ref,
            created=created or self.clock.now(),
            asset=f"azureml:/workspaces/ws/models/{name}/versions/{version}",
            properties={k.replace("__", "."): v for k, v in properties.items()},
        )
        self.models[ref] = model
        return model

    def serve(
        self, endpoint: str, name: str, model: ModelRef | None, share: int = 100, tags: str | None = None
    ) -> None:
        """A deployment that is there already; without `tags` (a reaction) it is not ours."""
        deployment = Deployment(
            name=name,
            model=model,
            provisioning=Provisioning.SUCCEEDED,
            tags={REACTION_TAG: tags} if tags is not None else {},
        )
        self.endpoints.setdefault(endpoint, {})[name] = _Deployed(deployment=deployment, ready_at=self.clock.now())
        if share:
            self.traffic.setdefault(endpoint, {})[name] = share

    def endpoint(self, name: str) -> Endpoint | None:
        self._call("get endpoint")
        if name not in self.endpoints:
            return None
        self._pass_time(name)
        updating = self.updating_until.get(name, T0) > self.clock.now()
        going = Provisioning.UNDER_WAY if updating else Provisioning.SUCCEEDED
        return Endpoint(
            name=name,
            provisioning=Provisioning.FAILED if name in self.broken else going,
            auth_mode="Key",
            scoring_uri=f"https://{name}.invalid/score",
            traffic=dict(self.traffic.get(name, {})),
            deployments=tuple(
                self._shown(each) for each in self.endpoints[name].values() if each.listed_at <= self.clock.now()
            ),
        )

    def _pass_time(self, endpoint: str) -> None:
        there = self.endpoints[endpoint]
        gone = [name for name, each in there.items() if each.gone_at is not None and each.gone_at <= self.clock.now()]
        for name in gone:
            del there[name]

    def _shown(self, each: _Deployed) -> Deployment:
        if each.gone_at is not None:
            return replace(each.deployment, provisioning=Provisioning.DELETING)
        if each.ready_at > self.clock.now():
            return replace(each.deployment, provisioning=Provisioning.UNDER_WAY)
        failed = each.deployment.name in self.fails
        return replace(each.deployment, provisioning=Provisioning.FAILED if failed else Provisioning.SUCCEEDED)

    def model(self, ref: ModelRef) -> ModelVersion | None:
        self._call("get model")
        return self.models.get(ref)

    def models_created(self, after: datetime, named: Callable[[str], bool]) -> list[ModelVersion]:
        self._call("list models")
        found = [m for m in self.models.values() if m.created >= after and named(m.ref.name) and not m.archived]
        return sorted(found, key=lambda model: model.created)

    def breached_runs(self, after: datetime) -> list[BreachedRun]:
        self._call("list breached runs")
        return sorted(
            (run for run in self.breached if self.began.get(run.id, run.ended) >= after), key=lambda run: run.ended
        )

    def live_model(self, endpoint: str) -> ModelVersion | None:
        found = self.endpoint(endpoint)
        if found is None:
            raise TargetRefused(f"there is no online endpoint {endpoint}", status=404)
        return self.models.get(found.live.model) if found.live is not None and found.live.model is not None else None

    def create_deployment(self, wanted: NewDeployment) -> None:
        self._call("create deployment")
        there = self.endpoints[wanted.endpoint].get(wanted.name)
        if there is not None and there.listed_at > self.clock.now():
            raise TargetBusy("409 the deployment is being made")
        assert there is None, "a PUT on a deployment that is there"
        deployment = Deployment(
            name=wanted.name, model=wanted.model, provisioning=Provisioning.UNDER_WAY, tags=dict(wanted.tags)
        )
        now = self.clock.now()
        self.endpoints[wanted.endpoint][wanted.name] = _Deployed(
            deployment=deployment, ready_at=now + self.creation, listed_at=now + self.lag
        )
        self._wrote("create deployment", f"create {wanted.name}")

    def set_traffic(self, endpoint: str, traffic: Mapping[str, int]) -> None:
        self._call("set traffic")
        assert sum(traffic.values()) in (0, 100), traffic
        assert set(traffic) <= set(self.endpoints[endpoint]), traffic
        self.traffic[endpoint] = dict(traffic)
        self.updating_until[endpoint] = self.clock.now() + self.update
        self._wrote("set traffic", f"traffic {dict(traffic)}")

    def delete_deployment(self, endpoint: str, deployment: str) -> None:
        self._call("delete deployment")
        assert not self.traffic.get(endpoint, {}).get(deployment), f"{deployment} has traffic"
        there = self.endpoints[endpoint].get(deployment)
        if there is not None:
            there.gone_at = self.clock.now() + self.deletion
        self._wrote("delete deployment", f"delete {deployment}")

    def failure(self, endpoint: str, deployment: str) -> str:
        self._call("failure")
        return self.fails[deployment]

    def component(self, reference: str) -> Component | None:
        self._call("get component")
        return self.components.get(reference)

    def job(self, name: str) -> WorkspaceJob | None:
        self._call("get job")
        started = self.jobs.get(name)
        if started is None or self.clock.now() < started.shown_from:
            return None
        return WorkspaceJob(name=name, status=started.status, reaction=started.wanted.tags.get(REACTION_TAG))

    def start_job(self, wanted: NewJob) -> None:
        self._call("start job")
        known = self.jobs.get(wanted.name)
        if known is not None:  # AML starts no second one
            known.wanted = replace(known.wanted, tags=wanted.tags)
        else:
            shown_from = self.clock.now() + self.job_lag
            self.jobs[wanted.name] = _StartedJob(wanted=wanted, status=RunStatus.IN_PROGRESS, shown_from=shown_from)
        self._wrote("start job", f"start {wanted.name}")

    def cancel_job(self, name: str) -> None:
        self._call("cancel job")
        if name not in self.jobs:
            raise TargetRefused(f"404 job {name} was not found", status=404)
        self.cancelled.append(name)
        self.end_job(name, RunStatus.CANCELLED if self.cancels_at_once else RunStatus.CANCELING)

    def end_job(self, name: str, status: RunStatus = RunStatus.SUCCEEDED) -> None:
        if not self.jobs[name].status.final:
            self.jobs[name].status = status

    def end_jobs(self, status: RunStatus = RunStatus.SUCCEEDED) -> None:
        for name in self.jobs:
            self.end_job(name, status)

    @property
    def running_jobs(self) -> list[str]:
        return [name for name, started in self.jobs.items() if not started.status.final]

    def score(self, endpoint: Endpoint, deployment: str, request: str) -> Answer:
        self._call("score")
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return replace(answer, deployment=answer.deployment or deployment)
        results = [0] * len(json.loads(request)["data"])
        return Answer(status=200, deployment=deployment, body=json.dumps({"result": results}), seconds=0.01)

    def _call(self, what: str) -> None:
        self.storage.call(what)
        self.hooks.get(what, lambda: None)()

    def _wrote(self, what: str, told: str) -> None:
        self.writes.append(told)
        self.after.get(what, lambda: None)()
        self.storage.call(f"{what} answered")


class FakeNotifier:
    def __init__(self, storage: Storage | None = None) -> None:
        self.storage = storage or Storage()
        self.published: dict[str, Notification] = {}
        self.hook: Callable[[], None] = lambda: None

    def publish(self, notifications: Sequence[Notification]) -> None:
        self.storage.call("publish")
        self.hook()
        self.published |= {notification.id: notification for notification in notifications}

    @property
    def kinds(self) -> list[str]:
        return [each.kind.rpartition(".")[2] for each in self.published.values()]


class Lost(StorageUnavailable):
    """The answer to a call was lost: the call itself may or may not have happened."""


def accept_then_lose(accept: Callable[[], str]) -> str:
    accept()
    raise InDoubt("the connection was reset after the request")


def lose(accept: Callable[[], str]) -> str:
    raise InDoubt("the connection was reset")


def busy(accept: Callable[[], str]) -> str:
    raise TargetBusy("429 TooManyRequests", retry_after=timedelta(seconds=40), status=429)


def landed(
    path: str,
    *,
    etag: str = "0x1",
    time: datetime = T0,
    container: str = "lake",
    account: str = "acc",
    event_id: str = "",
) -> FileLanded:
    return FileLanded(
        source=f"/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/{account}",
        event_id=event_id or f"id-{path}-{etag}",
        subject=f"/blobServices/default/containers/{container}/blobs/{path}",
        time=time,
        account=account,
        container=container,
        path=path,
        etag=etag,
        api="PutBlob",
        sequencer=f"{int(time.timestamp() * 1_000_000):048x}",
        size=10,
        url=f"https://{account}.blob.core.windows.net/{container}/{path}",
    )


def registered(
    name: str,
    version: str,
    *,
    tags: Mapping[str, str] | None = None,
    properties: Mapping[str, str] | None = None,
    time: datetime = T0,
) -> ModelRegistered:
    return ModelRegistered(
        source=WORKSPACE,
        event_id=f"id-{name}-{version}-{time.timestamp()}",
        subject=f"models/{name}:{version}",
        time=time,
        name=name,
        version=version,
        tags={"stage": "candidate"} if tags is None else tags,
        properties=properties or {},
    )


def breached(
    monitor: str, run_id: str, *, signal: str = "data_drift", time: datetime = T0, event_id: str = ""
) -> DriftDetected:
    return DriftDetected(
        source=WORKSPACE,
        event_id=event_id or f"id-{run_id}",
        subject=f"experiments/e/runs/{run_id}",
        time=time,
        run_id=run_id,
        monitor=monitor,
        signal=signal,
    )


def delivery(event: FileLanded | ModelRegistered | DriftDetected) -> str:
    """The event as Event Grid would deliver it (Event Grid schema, one object, as the host hands it over)."""
    if isinstance(event, ModelRegistered):
        data = {
            "modelName": event.name,
            "modelVersion": event.version,
            "modelTags": dict(event.tags),
            "modelProperties": dict(event.properties),
        }
        return _envelope(event, "Microsoft.MachineLearningServices.ModelRegistered", data)
    if isinstance(event, DriftDetected):
        tag = f"The signal '{event.signal}' has failed due to one or more features violating metric thresholds.\n"
        data = {
            "experimentName": event.monitor,
            "runId": event.run_id,
            "runStatus": "Completed",
            "runTags": {"azureml_modelmonitor_threshold_breached": tag},
        }
        return _envelope(event, "Microsoft.MachineLearningServices.RunStatusChanged", data)
    return _landing(event)


def _envelope(event: ModelRegistered | DriftDetected, kind: str, data: Mapping[str, object]) -> str:
    return json.dumps(
        {
            "topic": event.source,
            "subject": event.subject,
            "eventType": kind,
            "eventTime": event.time.isoformat(),
            "id": event.event_id,
            "data": data,
            "dataVersion": "2",
            "metadataVersion": "1",
        }
    )


def _landing(event: FileLanded) -> str:
    return json.dumps(
        {
            "topic": event.source,
            "subject": event.subject,
            "eventType": "Microsoft.Storage.BlobCreated",
            "eventTime": event.time.isoformat(),
            "id": event.event_id,
            "data": {
                "api": event.api,
                "eTag": f'"{event.etag}"',
                "contentLength": event.size,
                "contentType": "text/csv",
                "blobType": "BlockBlob",
                "url": event.url,
                "sequencer": event.sequencer,
            },
            "dataVersion": "",
            "metadataVersion": "1",
        }
    )
