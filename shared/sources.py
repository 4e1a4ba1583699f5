"""What nobody told us: new models and breached monitors are listed every hour, and taken in like delivered events.

AML's events are a preview without a promise, and Event Grid gives up after a day.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from shared import telemetry
from shared.errors import TargetBusy, TargetRefused, TargetUnavailable
from shared.events import Event, Refused, listed
from shared.intake import Intake
from shared.ports import Clock, Permits, Workspace
from shared.rules import DriftDetectedTrigger, ModelRegisteredTrigger, Rules

logger = logging.getLogger(__name__)

MODELS: Final = "models"
MONITORS: Final = "monitors"
EVERY: Final = timedelta(hours=1)
OVERLAP: Final = timedelta(hours=1)
"""By how much a list begins before the last one: for clocks that differ, and for what is listed late."""
LONGEST_MONITOR: Final = timedelta(hours=24)
"""A monitor's run is listed by when it began, and finds its breach at its end."""
AGAIN: Final = timedelta(minutes=15)
"""When a workspace that gave no answer is asked again."""
AT_MOST: Final = 200
"""New events of one look; the next look follows at once where there are more."""

List = Callable[[datetime], Iterable[Event | Refused]]
"""The events since a time, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The lists of one workspace, as chores."""

    rules: Rules
    workspace: Workspace
    workspace_id: str
    permits: Permits
    intake: Intake
    clock: Clock

    def models(self) -> datetime | None:
        """Takes in the versions of models that a rule waits for."""
        triggers = [rule.trigger for rule in self.rules.rules.values()]
        wanted = [trigger.model for trigger in triggers if isinstance(trigger, ModelRegisteredTrigger)]
        if not wanted:
            return None

        def since(after: datetime) -> Iterable[Event | Refused]:
            found = self.workspace.models_created(after, lambda name: any(p.match(name) is not None for p in wanted))
            return (listed.model_registered(self.workspace_id, model) for model in found)

        return self._look(MODELS, since)

    def monitors(self) -> datetime | None:
        """Takes in the breaches of monitors that a rule waits for."""
        if not any(isinstance(rule.trigger, DriftDetectedTrigger) for rule in self.rules.rules.values()):
            return None

        def since(after: datetime) -> Iterable[Event | Refused]:
            found = self.workspace.breached_runs(after - LONGEST_MONITOR)
            # A job tells only when it began; it may have breached at any time since then.
            return (listed.breach(self.workspace_id, run) for run in found if run.ended >= after or not run.end_told)

        return self._look(MONITORS, since)

    def _look(self, name: str, since: List) -> datetime:
        """The first look begins an hour back: what is in an old workspace is no news."""
        now = self.clock.now()
        head = self.permits.read(f"source:{name}")
        try:
            found = list(since((head.cursor or now) - OVERLAP))
        except (TargetBusy, TargetUnavailable, TargetRefused) as error:
            level = logging.ERROR if isinstance(error, TargetRefused) else logging.WARNING
            telemetry.record(logger, "source_not_listed", {"source": name, "error": str(error)}, level)
            return now + AGAIN
        rest = self._take_in(name, found)
        self.permits.save_head(replace(head, cursor=rest or now))
        return now + EVERY if rest is None else now

    def _take_in(self, name: str, found: Iterable[Event | Refused]) -> datetime | None:
        """Gives the time of the first event that is left for another look."""
        new: list[str] = []
        rest: datetime | None = None
        for event in found:
            # One that no rule waits for is left alone, too: every list would record it once more.
            if isinstance(event, Refused):
                continue
            if self.intake.has_taken(event):
                self.intake.see_to(event)
                continue
            if len(new) == AT_MOST:
                rest = event.time
                break
            if any(self.intake.accept(event).rules.values()):
                new.append(event.event_id)
        if new:
            # Event Grid should have told of each; where it does so now, that changes nothing.
            facts = {"source": name, "events": len(new), "first": new[:5]}
            telemetry.record(logger, "source_found", facts, logging.WARNING)
        return rest
