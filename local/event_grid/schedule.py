"""What Event Grid makes of an answer, and when it tries again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SUCCESS: Final = frozenset({200, 201, 202, 203, 204})
# Seconds before the second, third, ... attempt; the last one repeats.
WAITS: Final = (10, 30, 60, 300, 600, 1800, 3600, 10800, 21600, 43200)
_SHORTEST: Final = 10
_AT_LEAST: Final = {401: 300, 404: 300, 408: 120, 503: 30}
_NOT_RETRIED_BY_RESOURCE: Final = frozenset({400, 403, 413})
_NOT_RETRIED_BY_WEBHOOK: Final = _NOT_RETRIED_BY_RESOURCE | {401}
_OUTCOMES: Final = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    408: "TimedOut",
    413: "PayloadTooLarge",
    429: "Busy",
    503: "Busy",
}

# Only the first of these texts is documented; the service treats them as free text, so may we.
TOO_MANY_ATTEMPTS: Final = "MaxDeliveryAttemptsExceeded"
TOO_OLD: Final = "TimeToLiveExceeded"
NOT_RETRIED: Final = "UndeliverableDueToClientError"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one attempt ended; `status` is None where no answer came."""

    name: str
    status: int | None = None

    @property
    def delivered(self) -> bool:
        return self.status in SUCCESS

    def final(self, *, resource: bool) -> bool:
        """Whether the destination said something that trying again does not change."""
        return self.status in (_NOT_RETRIED_BY_RESOURCE if resource else _NOT_RETRIED_BY_WEBHOOK)

    def wait(self, attempts: int) -> float:
        """Seconds until the next attempt, after so many."""
        scheduled = WAITS[min(attempts, len(WAITS)) - 1]
        return max(scheduled, _AT_LEAST.get(self.status or 0, _SHORTEST))


def outcome_of(status: int) -> Outcome:
    name = "Delivered" if status in SUCCESS else _OUTCOMES.get(status, "Aborted")
    return Outcome(name=name, status=status)


TIMED_OUT: Final = Outcome(name="TimedOut")
SOCKET_ERROR: Final = Outcome(name="SocketError")
