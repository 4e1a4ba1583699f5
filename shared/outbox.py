"""Notifications saved with the step they tell of: published afterwards, and again until that has worked."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from shared import telemetry
from shared.errors import TargetBusy, TargetRefused, TargetUnavailable
from shared.lanes import Lane
from shared.notifications import Notification
from shared.ports import Clock, Lanes, Notifier

logger = logging.getLogger(__name__)

AGAIN: Final = timedelta(seconds=30)
AT_ONCE: Final = 20
"""So many go into one request: a topic takes 1 MB, and every character of a reason may take six bytes there."""


class Outbox:
    """Empties a lane's outbox. Without a notifier nobody wants to know."""

    def __init__(self, *, lanes: Lanes, notifier: Notifier | None, clock: Clock) -> None:
        self._lanes = lanes
        self._notifier = notifier
        self._clock = clock

    def empty(self, lane: Lane) -> datetime | None:
        """Publishes what the lane has to tell. Gives when to try again, where it could not be told now."""
        parts = (lane.outbox[start : start + AT_ONCE] for start in range(0, len(lane.outbox), AT_ONCE))
        return next((again for part in parts if (again := self._tell(lane.id, part)) is not None), None)

    def _tell(self, lane: str, part: Sequence[Notification]) -> datetime | None:
        kinds = sorted(str(notification.kind) for notification in part)
        try:
            if self._notifier is not None:
                self._notifier.publish(part)
        except (TargetBusy, TargetUnavailable) as error:
            facts = {"lane": lane, "kinds": kinds, "error": str(error)}
            telemetry.record(logger, "not_notified_yet", facts, logging.WARNING)
            return self._clock.now() + AGAIN
        except TargetRefused as error:
            # Nothing to wait for: it is in the reaction's history all the same.
            facts = {"lane": lane, "kinds": kinds, "error": str(error)}
            telemetry.record(logger, "notification_refused", facts, logging.ERROR)
        self._lanes.told(lane, [notification.id for notification in part])
        return None
