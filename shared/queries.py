"""What people and tools may ask: reactions as lists, one with its whole story, and what was refused."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.events import FileLanded
from shared.lanes import TakenEvent
from shared.ports import Lanes, Recent
from shared.reactions import HistoryEntry, Reaction, State

EVENTS_SHOWN: Final = 1000
DAYS_AT_MOST: Final = 30

Json = dict[str, object]


class Queries:
    def __init__(self, *, lanes: Lanes, recent: Recent, factory_id: str) -> None:
        self._lanes = lanes
        self._recent = recent
        self._factory_id = factory_id

    def reactions(
        self,
        *,
        now: datetime,
        days: int = 1,
        rule: str | None = None,
        state: State | None = None,
        top: int = 100,
    ) -> list[Json]:
        """Reactions created in the last days, newest first, each as it is now: the list itself may lag behind."""
        listed: list[Json] = []
        for back in range(days):
            for reaction_id, _ in self._recent.reactions(now - timedelta(days=back)):
                reaction = self._lanes.reaction(reaction_id)
                if reaction is None or (rule or reaction.rule) != reaction.rule:
                    continue
                if state in (None, reaction.state):
                    listed.append(summary(reaction))
                if len(listed) >= top:
                    return listed
        return listed

    def reaction(self, reaction_id: str) -> Json | None:
        """One reaction with its history, events, run and lineage; None if there is no such reaction."""
        reaction = self._lanes.reaction(reaction_id)
        if reaction is None:
            return None
        events = self._lanes.events_of(reaction_id)
        return {
            **summary(reaction),
            "revision": reaction.revision,
            "history": [_history(entry) for entry in self._lanes.history(reaction_id)],
            "events": [_event(taken) for taken in events[:EVENTS_SHOWN]],
            "events_left_out": max(0, len(events) - EVENTS_SHOWN),
            "manifest": reaction.manifest_url,
            "run": self._run(reaction),
            "lineage": self._lineage(reaction, events),
        }

    def refused(self) -> Json:
        counts, last = self._recent.refused()
        return {
            "counts": counts,
            "last": [
                {
                    "at": _text(event.at),
                    "reason": event.reason,
                    "detail": event.detail,
                    "event_id": event.event_id,
                    "subject": event.subject,
                }
                for event in last[:100]
            ],
        }

    def _run(self, reaction: Reaction) -> Json:
        action = reaction.action
        return {
            "kind": "pipeline",
            "factory": self._factory_id,
            "pipeline": action.pipeline,
            "parameters": dict(action.parameters),
            "id": reaction.run_id,
            "attempt": reaction.attempt,
            "attempts": action.attempts,
            "accepted": _text(reaction.accepted),
            "timeout_seconds": action.timeout.total_seconds(),
            "jobs": _jobs(reaction),
        }

    def _lineage(self, reaction: Reaction, events: Iterable[TakenEvent]) -> Json:
        """The chain as links: from each file to the reaction to the run to its jobs, and back."""
        files = [
            {"account": e.account, "container": e.container, "path": e.path, "etag": e.etag, "event_id": e.event_id}
            for e in (taken.pending.event for taken in events)
            if isinstance(e, FileLanded)
        ]
        stamp = {"reaction_id": reaction.id, "attempt": str(reaction.attempt)}
        return {
            "files": files[:EVENTS_SHOWN],
            "reaction": reaction.id,
            "rule": reaction.rule,
            "pipeline_run": {"pipeline": reaction.action.pipeline, "run_id": reaction.run_id, "stamp": stamp},
            "jobs": _jobs(reaction),
        }


def summary(reaction: Reaction) -> Json:
    return {
        "id": reaction.id,
        "rule": reaction.rule,
        "key": reaction.key,
        "state": str(reaction.state),
        "reason": reaction.reason,
        "created": _text(reaction.created),
        "changed": _text(reaction.changed),
        "ended": _text(reaction.ended),
        "event_count": reaction.events,
        "attempt": reaction.attempt,
        "run_id": reaction.run_id,
    }


def _jobs(reaction: Reaction) -> list[Json]:
    return [{"run_id": j.run_id, "name": j.name, "url": j.url, "status": j.status} for j in reaction.jobs]


def _history(entry: HistoryEntry) -> Json:
    return {
        "at": _text(entry.at),
        "what": entry.what,
        "reason": entry.reason,
        "attempt": entry.attempt,
        "run_id": entry.run_id,
    }


def _event(taken: TakenEvent) -> Json:
    event = taken.pending.event
    path = {"container": event.container, "path": event.path} if isinstance(event, FileLanded) else {}
    return {
        "key": taken.pending.id,
        "event_id": event.event_id,
        "subject": event.subject,
        "time": _text(event.time),
        "accepted": _text(taken.pending.accepted),
        **path,
    }


def _text(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at is not None else None
