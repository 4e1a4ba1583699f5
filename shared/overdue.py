"""Carries out what is decided about expected files, and makes sure that somebody looks for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared import telemetry
from shared.events import event_key
from shared.lanes import Expect, Head, Lane, PendingEvent, lane_id
from shared.looks import Scheduler, lane_key
from shared.ports import Clock, LaneChange, Lanes
from shared.rules import FileOverdueTrigger, Rule, Rules

logger = logging.getLogger(__name__)

EVERY: Final = timedelta(hours=1)
"""How often it is made sure of that each rule whose files are expected from the beginning on has its due row."""


class Overdue:
    def __init__(
        self, *, rules: Rules, lanes: Lanes, clock: Clock, scheduler: Scheduler, numbers: Callable[[], int]
    ) -> None:
        """`numbers`: after which a new lane's begin."""
        self._numbers = numbers
        self._revision = rules.revision
        self._lanes = lanes
        self._clock = clock
        self._scheduler = scheduler
        found = (r for r in rules.rules.values() if isinstance(r.trigger, FileOverdueTrigger) and r.collect.by is None)
        self.always: Mapping[str, Rule] = {lane_id(rule.name, ""): rule for rule in found}
        """Rules with one lane, which is there before any file has landed; by lane."""

    def make_sure(self) -> datetime | None:
        """The chore `overdue` of the upkeep."""
        for lane in self.always:
            if self._scheduler.get(lane_key(lane)) is None:
                self._scheduler.bring_forward(lane_key(lane), self._clock.now())
        return self._clock.now() + EVERY if self.always else None

    def note(self, lane: Lane, rule: Rule, decision: Expect) -> None:
        """Puts the event that a file is overdue into its lane, and then moves on what is expected.

        The event's identity is its due time: whoever does this once more changes nothing.

        Raises:
            Stale: somebody else changed the lane.
        """
        key = lane.head.key if lane.head is not None else ""
        if decision.event is not None:
            # Accepted when it was due, whenever somebody looked.
            pending = PendingEvent(
                id=event_key(decision.event),
                rule=rule.name,
                key=key,
                event=decision.event,
                accepted=decision.event.due,
                revision=self._revision,
            )
            self._lanes.add_event(lane.id, pending)
            facts = {"event": decision.event.event_id, "rule": rule.name, "key": key, "reason": decision.reason}
            telemetry.record(logger, "file_overdue", facts)
        head = lane.head or Head(rule=rule.name, key=key, revision=self._revision, seq=self._numbers())
        head = replace(head, expected=decision.expected, revision=self._revision)
        self._lanes.commit(lane.id, LaneChange(head=head))
