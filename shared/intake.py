"""An event arrives: it is parsed, matched, made safe in the ledger once per lane, and a look is made sure of."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from shared import events, telemetry
from shared.errors import UnreadableRow
from shared.events import Event, FileLanded, ModelRegistered, Reason, Refused
from shared.lanes import PendingEvent, lane_id
from shared.looks import Scheduler, lane_key
from shared.models import ATTEMPT_TAG, REACTION_TAG, ModelRef
from shared.ports import Clock, Lake, Lanes, Recent
from shared.reactions import MODEL_REGISTERED, HistoryEntry
from shared.rules import Collect, Match, Rule, Rules

logger = logging.getLogger(__name__)

GATHERED_LOOK: Final = timedelta(minutes=4)
"""Within this time a lane is looked at that gathers until a time of the day. Shorter than a sweep: it has a wake-up."""
_ATTEMPT: Final = re.compile(r"[1-9][0-9]{0,3}")

LookNow = Callable[[str], bool]
"""Looks at a lane at once, where that is possible; False if somebody must look later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What became of an event, by the rules that it matched: True where it was not pending there before."""

    rules: Mapping[str, bool]


class Intake:
    def __init__(  # noqa: PLR0913 - it is handed its parts
        self,
        *,
        rules: Rules,
        accounts: frozenset[str],
        workspace_id: str | None,
        lanes: Lanes,
        recent: Recent,
        lake: Lake,
        clock: Clock,
        scheduler: Scheduler,
        look_now: LookNow,
    ) -> None:
        self._rules = rules
        self._accounts = accounts
        self._workspace_id = workspace_id
        self._lanes = lanes
        self._recent = recent
        self._lake = lake
        self._clock = clock
        self._scheduler = scheduler
        self._look_now = look_now

    def receive(self, raw: str) -> None:
        """Takes one delivered event. Returning means: it is in the ledger, or recorded as refused.

        Raises:
            StorageUnavailable: it is not; whoever delivered it must deliver it again.
        """
        self.take(raw)

    def take(self, raw: str) -> Accepted | Refused:
        """The same, and tells what became of it.

        Raises:
            StorageUnavailable: it is not in the ledger, nor recorded as refused.
        """
        parsed = events.parse(raw, accounts=self._accounts, workspace_id=self._workspace_id)
        if isinstance(parsed, FileLanded) and parsed.etag is None and self._rules.match(parsed):
            parsed = self._look_up(parsed)
        if isinstance(parsed, Refused):
            self._refuse(parsed)
            return parsed
        return self.accept(parsed)

    def accept(self, event: Event, *, rule: str | None = None, gather: timedelta | None = None) -> Accepted:
        """Takes one event, however it came to be known.

        Args:
            rule: the only one to take it; None: each that it matches.
            gather: for so long at least nobody looks, because more are to come at once.

        Raises:
            StorageUnavailable: it is not in the ledger.
        """
        matches = [(found, match) for found, match in self._rules.match(event) if rule in (None, found.name)]
        if not matches:
            self._refuse(_unmatched(event))
        return Accepted(rules={found.name: self._accept(found, match, event, gather) for found, match in matches})

    def has_taken(self, event: Event) -> bool:
        """Whether every rule that it matches, if any, has done with it: a reaction took it, or it was skipped."""
        key = events.event_key(event)
        return all(self._lanes.taken(lane, [key]) for lane in self._lanes_of(event))

    def see_to(self, event: Event) -> None:
        """Makes sure that what took an event goes on: its process may have died, and nobody delivers it once more."""
        for lane in self._lanes_of(event):
            head = self._lanes.read(lane).head
            if head is not None and (head.claim is not None or head.running is not None):
                self._scheduler.wake_soon(lane_key(lane))

    def _lanes_of(self, event: Event) -> list[str]:
        return [lane_id(rule.name, match.key) for rule, match in self._rules.match(event)]

    def receive_queued(self, text: str) -> None:
        """Takes the message of a queue: one event, or an array of them, which a webhook's host would have taken apart.

        Raises:
            StorageUnavailable: one of them is not in the ledger; the message must come again, and those that are in it
                are known then.
        """
        for raw in events.separate(text):
            self.receive(raw)

    def _look_up(self, renamed: FileLanded) -> Event | Refused:
        """A rename does not carry the file's ETag, which is half of its identity: one HEAD gives it."""
        found = self._lake.properties(renamed.account, renamed.container, renamed.path)
        if found is None:
            return _refused(renamed, Reason.FILE_GONE, f"{renamed.path} was not there when its rename was announced")
        if found.size == 0:
            return _refused(renamed, Reason.EMPTY_FILE, f"{renamed.path} has no content")
        return replace(renamed, etag=found.etag, size=found.size)

    def _refuse(self, refused: Refused) -> None:
        self._recent.count_refused(refused, self._clock.now())
        facts = {"reason": refused.reason, "detail": refused.detail, "event": refused.event_id}
        telemetry.record(logger, "event_refused", facts)

    def _accept(self, rule: Rule, match: Match, event: Event, gather: timedelta | None) -> bool:
        """True if the event was new to the lane (or came once more after it had been taken)."""
        lane, now = lane_id(rule.name, match.key), self._clock.now()
        pending = PendingEvent(
            id=events.event_key(event),
            rule=rule.name,
            key=match.key,
            event=event,
            accepted=now,
            revision=self._rules.revision,
        )
        new = self._lanes.add_event(lane, pending)
        if isinstance(event, ModelRegistered):
            self._link_back(event, pending.id)
        facts = {"event": event.event_id, "rule": rule.name, "key": match.key}
        telemetry.record(logger, "event_accepted" if new else "event_known", facts)
        # A known event needs its look as well: the first delivery may have died before it made sure of one.
        key = lane_key(lane)
        closes = _closes(rule.collect, now)
        if gather is not None:
            closes = max(closes or now, now + gather)
        if closes is not None:
            self._scheduler.wake_at(key, closes)
            return new
        # Until it is acknowledged it comes again: the look has made sure of the next one, or now a due row does.
        if not self._look_now(lane):
            self._scheduler.wake_soon(key)
        return new

    def _link_back(self, model: ModelRegistered, key: str) -> None:
        """The reaction whose run registered the model is told, so that the way forward can be seen from there.

        However often it is told: the line has a key. A tag may say anything, and is only believed of what is there.
        """
        trained_by = model.tags.get(REACTION_TAG, "")
        try:
            if self._lanes.reaction(trained_by) is None:
                return
        except UnreadableRow:
            pass  # a later version wrote it: it is there, and what is in it does not matter here
        ref = ModelRef(name=model.name, version=model.version)
        entry = HistoryEntry(
            at=model.time,
            what=MODEL_REGISTERED,
            reason=f"its run registered model {ref}",
            attempt=int(attempt) if _ATTEMPT.fullmatch(attempt := model.tags.get(ATTEMPT_TAG, "")) else 1,
            run_id=f"{model.source}/models/{model.name}/versions/{model.version}",
            key=key,
        )
        self._lanes.add_history(trained_by, entry)


def _closes(collect: Collect, now: datetime) -> datetime | None:
    """When a batch is looked at that an event joins now; None: at once.

    One that is gathered for long is looked at within minutes all the same: then one look serves a burst, and it alone
    has to move the lane's due row.
    """
    if collect.until is not None:
        return min(collect.until.next_after(now), now + GATHERED_LOOK)
    return now + collect.quiet if collect.quiet is not None else None


def _unmatched(event: Event) -> Refused:
    return _refused(event, Reason.UNMATCHED, "no rule waits for it")


def _refused(event: Event, reason: Reason, detail: str) -> Refused:
    return Refused(
        reason=reason,
        detail=detail,
        event_id=event.event_id,
        event_type=type(event).__name__,
        subject=event.subject,
    )
