"""Table rows to domain values and back. Rows carry a schema number; version N writes what N-1 can read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import wraps
from typing import Any, Final, TypeVar

from azure.data.tables import EdmType, EntityProperty

from shared import events
from shared.cloud import actions
from shared.errors import UnreadableRow
from shared.lanes import Claim, Expected, Head, PendingEvent, SkipReason, TakenEvent
from shared.notifications import Kind, Notification
from shared.quality import Requirement
from shared.reactions import HistoryEntry, Intent, Job, Reaction, State, reaction_id
from shared.rules import Revision

SCHEMA: Final = 1
Row = dict[str, Any]
_T = TypeVar("_T")

HEAD: Final = "l"
_INT32: Final = 2**31
_JOBS_KEPT: Final = 60
"""The last ones, and their texts cut, so that together they fit into a property (32 K characters)."""


def pending_key(event_id: str) -> str:
    return f"e!{event_id}"


def taken_key(event_id: str) -> str:
    return f"d!{event_id}"


def reaction_key(seq: int) -> str:
    return f"r!{seq:08}"


def outbox_key(notification_id: str) -> str:
    """Between the events and the head, so that one query reads all three."""
    return f"i!{notification_id}"


def history_prefix(seq: int) -> str:
    return f"y!{seq:08}!"


def keyed(partition: str, row: str, properties: Mapping[str, object]) -> Row:
    """An entity: what is None is left out, and whole numbers beyond 32 bits are marked as such."""
    values = {k: _typed(v) for k, v in properties.items() if v is not None}
    return {**values, "PartitionKey": partition, "RowKey": row, "rowSchema": SCHEMA}


def _typed(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _INT32:
        return EntityProperty(value, EdmType.INT64)
    return value


def plain(row: Mapping[str, Any]) -> Row:
    """A row as read: numbers of 64 bits unwrapped, times as plain UTC times."""
    return {k: _untyped(v) for k, v in row.items()}


def _untyped(value: Any) -> Any:  # noqa: ANN401 - the wire layer
    if isinstance(value, EntityProperty):
        return value.value
    if isinstance(value, datetime):
        return datetime.fromtimestamp(value.timestamp(), UTC).replace(microsecond=value.microsecond)
    return value


def etag(row: Mapping[str, Any]) -> str | None:
    metadata = getattr(row, "metadata", {})
    found = metadata.get("etag")
    return str(found) if found is not None else None


def _reading(read: Callable[[Mapping[str, Any]], _T]) -> Callable[[Mapping[str, Any]], _T]:
    """Makes the reader refuse what a later version wrote, and whatever else it does not understand."""

    @wraps(read)
    def checked(row: Mapping[str, Any]) -> _T:
        where, schema = f"row {row['RowKey']} of lane {row['PartitionKey']}", row.get("rowSchema", SCHEMA)
        if schema > SCHEMA:
            raise UnreadableRow(f"{where} has schema {schema}; this version reads {SCHEMA}: a later one wrote it")
        try:
            return read(row)
        except (KeyError, ValueError, TypeError, ArithmeticError) as error:
            raise UnreadableRow(f"{where} cannot be read: {error!r}") from error

    return checked


# --- events -----------------------------------------------------------------------------------------------------------


def pending_row(lane: str, event: PendingEvent) -> Row:
    return keyed(lane, pending_key(event.id), _pending_properties(event))


def _pending_properties(event: PendingEvent) -> dict[str, object]:
    return {
        **events.to_record(event.event),
        "laneRule": event.rule,
        "laneKey": event.key,
        "accepted": event.accepted,
        "revision": event.revision.to_text(),
        "replay": event.replay,
    }


@_reading
def pending_event(row: Mapping[str, Any]) -> PendingEvent:
    values = plain(row)
    return PendingEvent(
        id=values["RowKey"][2:],
        rule=values["laneRule"],
        key=values["laneKey"],
        event=events.from_record(values),
        accepted=values["accepted"],
        revision=Revision.from_text(values["revision"]),
        replay=values.get("replay"),
    )


def taken_row(lane: str, event: PendingEvent, *, at: datetime, by: int | None, skipped: SkipReason | None) -> Row:
    properties = {**_pending_properties(event), "takenAt": at, "reaction": by, "skipped": skipped and str(skipped)}
    return keyed(lane, taken_key(event.id), properties)


@_reading
def taken_event(row: Mapping[str, Any]) -> TakenEvent:
    values = plain(row)
    skipped = values.get("skipped")
    return TakenEvent(
        pending=pending_event(row),
        at=values["takenAt"],
        reaction=values.get("reaction"),
        skipped=SkipReason(skipped) if skipped is not None else None,
    )


# --- the head ---------------------------------------------------------------------------------------------------------


def head_row(lane: str, head: Head) -> Row:
    return keyed(
        lane,
        HEAD,
        {
            "laneRule": head.rule,
            "laneKey": head.key,
            "revision": head.revision.to_text(),
            "seq": head.seq,
            "running": head.running,
            "claimSeq": head.claim.seq if head.claim is not None else None,
            "claimRoom": head.claim.room if head.claim is not None else None,
            "claimUntil": head.claim.until if head.claim is not None else None,
            "claimed": head.claimed,
            "ended": head.ended,
            "inherits": head.inherits,
            **(_expected_properties(head.expected) if head.expected is not None else {}),
        },
    )


def _expected_properties(expected: Expected) -> dict[str, object]:
    return {
        "expectedSince": expected.since,
        "expectedLast": expected.last,
        "expectedMissed": expected.missed,
        "expectedCaptures": json.dumps(dict(expected.captures), ensure_ascii=False),
    }


def _expected(values: Row) -> Expected | None:
    if values.get("expectedSince") is None:
        return None
    return Expected(
        since=values["expectedSince"],
        last=values.get("expectedLast"),
        missed=values["expectedMissed"],
        captures=json.loads(values["expectedCaptures"]),
    )


@_reading
def head(row: Mapping[str, Any]) -> Head:
    values = plain(row)
    claim_seq = values.get("claimSeq")
    return Head(
        rule=values["laneRule"],
        key=values["laneKey"],
        revision=Revision.from_text(values["revision"]),
        seq=values["seq"],
        running=values.get("running"),
        claim=None
        if claim_seq is None
        else Claim(seq=claim_seq, room=values.get("claimRoom"), until=values.get("claimUntil")),
        claimed=values.get("claimed"),
        ended=values.get("ended"),
        inherits=values.get("inherits"),
        expected=_expected(values),
        etag=etag(row),
    )


# --- reactions --------------------------------------------------------------------------------------------------------


def reaction_row(reaction: Reaction) -> Row:
    intent = reaction.intent
    return keyed(
        reaction.lane,
        reaction_key(reaction.seq),
        {
            "laneRule": reaction.rule,
            "laneKey": reaction.key,
            "revision": reaction.revision,
            "state": str(reaction.state),
            "reason": reaction.reason[:8000],
            "action": actions.to_text(reaction.action),
            "created": reaction.created,
            "changed": reaction.changed,
            "events": reaction.events,
            "attempt": reaction.attempt,
            "nextLook": reaction.next_look,
            "intentSince": intent.since if intent is not None else None,
            "intentDeadline": intent.deadline if intent is not None else None,
            "intentPosted": intent.posted if intent is not None else None,
            "intentDoubtSince": intent.doubt_since if intent is not None else None,
            "intentQueries": intent.queries if intent is not None else None,
            "intentProbe": (intent.probe or None) if intent is not None else None,
            "runId": reaction.run_id,
            "acceptedAt": reaction.accepted,
            "endedAt": reaction.ended,
            "manifestUrl": reaction.manifest_url,
            "manifestWritten": reaction.manifest_written,
            "jobs": _jobs_text(reaction.jobs),
            "rollout": actions.rollout_to_text(reaction.rollout) if reaction.rollout is not None else None,
            "observe": reaction.observe or None,
            "replaces": reaction.replaces,
            "cancel": reaction.cancel and reaction.cancel[:2000],
            "objection": reaction.objection and reaction.objection[:2000],
            "queues": " ".join(reaction.queues) or None,
            "require": _requirement_text(reaction.require),
            "givesWay": reaction.gives_way or None,
        },
    )


@_reading
def reaction(row: Mapping[str, Any]) -> Reaction:
    values = plain(row)
    since = values.get("intentSince")
    return Reaction(
        id=reaction_id(values["PartitionKey"], int(values["RowKey"][2:])),
        rule=values["laneRule"],
        key=values["laneKey"],
        revision=values["revision"],
        state=State(values["state"]),
        reason=values["reason"],
        action=actions.from_text(values["action"]),
        created=values["created"],
        changed=values["changed"],
        events=values["events"],
        attempt=values["attempt"],
        next_look=values.get("nextLook"),
        intent=None
        if since is None
        else Intent(
            since=since,
            deadline=values["intentDeadline"],
            posted=values["intentPosted"],
            doubt_since=values.get("intentDoubtSince"),
            queries=values["intentQueries"],
            probe=values.get("intentProbe", False),
        ),
        run_id=values.get("runId"),
        accepted=values.get("acceptedAt"),
        ended=values.get("endedAt"),
        manifest_url=values.get("manifestUrl"),
        manifest_written=values["manifestWritten"],
        jobs=_jobs(values.get("jobs")),
        rollout=actions.rollout_from_text(values["rollout"]) if values.get("rollout") is not None else None,
        observe=values.get("observe", False),
        replaces=values.get("replaces"),
        cancel=values.get("cancel"),
        objection=values.get("objection"),
        queues=tuple(values.get("queues", "").split()),
        require=_requirement(values.get("require")),
        gives_way=values.get("givesWay", False),
        etag=etag(row),
    )


def _jobs_text(jobs: tuple[Job, ...]) -> str | None:
    kept = [[j.run_id[:64], j.name and j.name[:128], j.url and j.url[:256], j.status[:32]] for j in jobs[-_JOBS_KEPT:]]
    return json.dumps(kept, ensure_ascii=False) if kept else None


def _jobs(text: str | None) -> tuple[Job, ...]:
    found = json.loads(text) if text is not None else []
    return tuple(Job(run_id=run_id, name=name, url=url, status=status) for run_id, name, url, status in found)


def _requirement_text(requirement: Requirement | None) -> str | None:
    if requirement is None:
        return None
    most = requirement.max_missing
    return json.dumps([requirement.report, requirement.min_rows, None if most is None else str(most)])


def _requirement(text: str | None) -> Requirement | None:
    if text is None:
        return None
    report, rows, most = json.loads(text)
    return Requirement(report=report, min_rows=rows, max_missing=None if most is None else Decimal(most))


def history_row(lane: str, row: str, entry: HistoryEntry) -> Row:
    return keyed(
        lane,
        row,
        {
            "at": entry.at,
            "what": entry.what,
            "reason": entry.reason[:8000],
            "attempt": entry.attempt,
            "runId": entry.run_id and entry.run_id[:8000],
        },
    )


@_reading
def history_entry(row: Mapping[str, Any]) -> HistoryEntry:
    values = plain(row)
    return HistoryEntry(
        at=values["at"],
        what=values["what"],
        reason=values["reason"],
        attempt=values["attempt"],
        run_id=values.get("runId"),
    )


# --- the outbox -------------------------------------------------------------------------------------------------------


def notification_row(lane: str, notification: Notification) -> Row:
    return keyed(
        lane,
        outbox_key(notification.id),
        {
            "kind": str(notification.kind),
            "subject": notification.subject,
            "time": notification.time,
            "data": json.dumps(dict(notification.data), ensure_ascii=False),
        },
    )


@_reading
def notification(row: Mapping[str, Any]) -> Notification:
    values = plain(row)
    return Notification(
        id=values["RowKey"].removeprefix("i!"),
        kind=Kind(values["kind"]),
        subject=values["subject"],
        time=values["time"],
        data=json.loads(values["data"]),
    )
