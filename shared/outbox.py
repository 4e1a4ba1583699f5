"""Notifications saved with the step they tell of: published afterwards, and again until that has worked."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from shared import telemetry
from shared.errors import TargetBusy, TargetRefused, TargetUnavailable
from shared.lanes import Lane
from shared.ports import Clock, Lanes, Notifier

logger = logging.getLogger(__name__)

AGAIN: Final = timedelta(seconds=30)


class Outbox:
    """Empties a lane's outbox. Without a notifier nobody wants to know."""

    def __init__(self, *, lanes: Lanes, notifier: Notifier | None, clock: Clock) -> None:
        self._lanes = lanes
        self._notifier = notifier
        self._clock = clock

    def empty(self, lane: Lane) -> datetime | None:
        """Publishes what the lane has to tell. Gives when to try again, where it could not be told now."""
        if not lane.outbox:
            return None
        kinds = sorted(str(notification.kind) for notification in lane.outbox)
        try:
            if self._notifier is not None:
                self._notifier.publish(lane.outbox)
        except (TargetBusy, TargetUnavailable) as error:
            facts = {"lane": lane.id, "kinds": kinds, "error": str(error)}
            telemetry.record(logger, "not_notified_yet", facts, logging.WARNING)
            return self._clock.now() + AGAIN
        except TargetRefused as error:
            # Nothing to wait for: it is in the reaction's history all the same.
            facts = {"lane": lane.id, "kinds": kinds, "error": str(error)}
            telemetry.record(logger, "notification_refused", facts, logging.ERROR)
        self._lanes.told(lane.id, [notification.id for notification in lane.outbox])
        return None
