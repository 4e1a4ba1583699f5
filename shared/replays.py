"""Events once more: an event that was taken or skipped comes back into its lane, under an identity of the request."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from shared import acts, chains
from shared.acts import Answer, Request
from shared.errors import NotPossible, NotThere, UnreadableRow
from shared.lanes import PendingEvent, TakenEvent
from shared.looks import Scheduler, lane_key
from shared.ports import Clock, Lanes, Recent
from shared.reactions import Reaction, State, reaction_id
from shared.rules import Rules

PAGE: Final = 25
"""Reactions that are replayed by one call of a replay by filter."""
LOOKED_AT: Final = 250
"""Reactions that are looked at by one call, whether or not they match."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which reactions. Both times are of their creation; `until` is exclusive."""

    since: datetime
    until: datetime
    rule: str | None = None
    state: State | None = None

    def takes(self, reaction: Reaction) -> bool:
        return (
            self.since <= reaction.created < self.until
            and self.rule in (None, reaction.rule)
            and self.state in (None, reaction.state)
        )


class Replays:
    def __init__(self, *, rules: Rules, lanes: Lanes, recent: Recent, scheduler: Scheduler, clock: Clock) -> None:
        self._rules = rules
        self._lanes = lanes
        self._recent = recent
        self._scheduler = scheduler
        self._clock = clock

    def event(self, lane: str, key: str, request: Request) -> Answer:
        """One event of a lane.

        Raises:
            NotThere: it never came there.
            NotPossible: it is still waiting, or its rule would not take it any more.
        """
        found = self._lanes.find_event(lane, key)
        if found is None:
            raise NotThere(f"event {key[:40]!r} never came into lane {lane}", "explain the path or the event first")
        if isinstance(found, PendingEvent):
            raise NotPossible(f"event {key} is still waiting in lane {lane}", "explain says what it waits for")
        if found.reaction is not None:
            self._refuse_running(self._lanes.reaction(reaction_id(lane, found.reaction)))
        wrong = self._unfit(found.pending)
        if wrong is not None:
            raise NotPossible(wrong, "mend reactions.yaml first, or let the event be")
        new = self._bring_in(lane, [found], request)
        if found.reaction is not None:
            self._note(reaction_id(lane, found.reaction), request)
        return {"lane": lane, "event": key, "replayed": 1, "new": new}

    def reaction(self, wanted: str, request: Request) -> Answer:
        """All events of a reaction, those it took over from reactions that it replaced among them.

        Raises:
            NotThere: there is no such reaction.
            NotPossible: it has not ended, or its rule would take none of its events any more.
        """
        reaction = self._lanes.reaction(wanted)
        if reaction is None:
            raise NotThere(f"there is no reaction {wanted[:100]!r}", "GET /api/reactions lists them")
        self._refuse_running(reaction)
        events, unfit = self._events(reaction)
        if not events:
            why = next(iter(unfit), "it has no events any more")
            raise NotPossible(f"reaction {reaction.id} cannot be replayed: {why}", "mend reactions.yaml first")
        new = self._bring_in(reaction.lane, events, request)
        self._note(reaction.id, request)
        return {"reaction": reaction.id, "replayed": len(events), "new": new, "left_out": sum(unfit.values())}

    def page(self, wanted: Filter, after: str | None, request: Request | None) -> Answer:
        """Some of the reactions that the filter takes, newest first; without a request they are counted only.

        Args:
            after: where the page before ended.

        Returns:
            Counts, and `next`: where the next page begins; None after the last.
        """
        counts: Counter[str] = Counter()
        left: Counter[str] = Counter()
        last: str | None = None
        for number, (place, listed) in enumerate(self._listed(wanted, after)):
            if number == LOOKED_AT or counts["reactions"] == PAGE:
                return _page(counts, left, last)
            last = place
            try:
                reaction = self._lanes.reaction(listed)
                if reaction is not None and wanted.takes(reaction):
                    self._one(reaction, request, counts, left)
            except UnreadableRow:  # no other has to wait for it
                left["a later version wrote it"] += 1
        return _page(counts, left, None)

    def _one(self, reaction: Reaction, request: Request | None, counts: Counter[str], left: Counter[str]) -> None:
        if self._acting(reaction) is not None:
            left["has not ended"] += 1
            return
        if request is None:
            counts["reactions"] += 1
            counts["events"] += reaction.events
            return
        events, unfit = self._events(reaction)
        left.update(unfit)
        events = [taken for taken in events if not _brought(taken.pending, request)]
        if events:
            counts["reactions"] += 1
            counts["events"] += len(events)
            counts["new"] += self._bring_in(reaction.lane, events, request)
            self._note(reaction.id, request)

    def _listed(self, wanted: Filter, after: str | None) -> Iterator[tuple[str, str]]:
        """Reactions of the days in question, newest first, each with its place in the list."""
        day, _, reaction = (after or "").partition("/")
        skipping = bool(after)
        at, first = wanted.until.astimezone(UTC), wanted.since.astimezone(UTC).date()  # lists are of UTC's days
        while at.date() >= first:
            of_day = at.date().isoformat()
            if not skipping or of_day <= day:
                for listed in self._recent.reactions(at):
                    if skipping and of_day == day:
                        skipping = listed != reaction
                        continue
                    yield f"{of_day}/{listed}", listed
                skipping = False
            at -= timedelta(days=1)

    # --- bringing events in -------------------------------------------------------------------------------------------

    def _events(self, reaction: Reaction) -> tuple[list[TakenEvent], Counter[str]]:
        """The events to be replayed, and how many are left out for what."""
        found = chains.events_of(self._lanes, reaction)
        unfit = Counter(why for taken in found if (why := self._unfit(taken.pending)) is not None)
        return [taken for taken in found if self._unfit(taken.pending) is None], unfit

    def _unfit(self, event: PendingEvent) -> str | None:
        """Why the event's lane would not act on it."""
        rule = self._rules.rules.get(event.rule)
        if rule is None:
            return f"there is no rule {event.rule} any more"
        match = rule.match(event.event)
        if match is None or match.key != event.key:
            return f"rule {event.rule} was changed and does not take it any more"
        return None

    def _bring_in(self, lane: str, events: Sequence[TakenEvent], request: Request) -> int:
        """How many were not waiting already under this request."""
        now = self._clock.now()
        copies = [replayed(taken.pending, request, now, self._rules) for taken in events]
        known = self._lanes.taken(lane, [copy.id for copy in copies])
        new = sum(self._lanes.add_event(lane, copy) for copy in copies if copy.id not in known)
        self._scheduler.bring_forward(lane_key(lane), now)
        return new

    def _note(self, wanted: str, request: Request) -> None:
        reaction = self._lanes.reaction(wanted)
        if reaction is not None:
            self._lanes.add_history(wanted, acts.line(reaction, request, "replayed", self._clock))

    def _refuse_running(self, reaction: Reaction | None) -> None:
        why = self._acting(reaction) if reaction is not None else None
        if why is not None:
            raise NotPossible(f"{why}: its events are being acted on", "wait for its end, or cancel it first")

    def _acting(self, reaction: Reaction) -> str | None:
        """Which reaction acts on its events now: it, or one that has taken its place; None where all have ended."""
        while reaction.state is State.SUPERSEDED:
            heir = self._lanes.reaction(reaction_id(reaction.lane, reaction.seq + 1))
            if heir is None:
                head = self._lanes.read(reaction.lane).head
                inherited = head is not None and head.inherits == reaction.seq
                return f"reaction {reaction.id} gives way to the lane's next" if inherited else None
            if heir.replaces != reaction.seq:
                return None
            reaction = heir
        return None if reaction.final else f"reaction {reaction.id} is {reaction.state}"


def _brought(event: PendingEvent, request: Request) -> bool:
    """Whether this very request brought it in: a filter said once more, with a later end, takes that in, too."""
    return event.replay is not None and event.replay.startswith(f"{request.id}: ")


def replayed(event: PendingEvent, request: Request, now: datetime, rules: Rules) -> PendingEvent:
    """The event as it comes back. The same request makes the same of it, so that it comes back once."""
    key = hashlib.sha256(json.dumps([event.id, request.id]).encode()).hexdigest()[:32]
    return replace(event, id=key, accepted=now, revision=rules.revision, replay=request.stamp)


def _page(counts: Counter[str], left: Counter[str], following: str | None) -> Answer:
    return {
        "reactions": counts["reactions"],
        "events": counts["events"],
        "new": counts["new"],
        "left_out": dict(left),
        "next": following,
    }
