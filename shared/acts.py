"""What people have Relearn do: who, why, and that a request which arrives twice is one request."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared import telemetry
from shared.ports import Act, Clock, Recent
from shared.reactions import HistoryEntry, Reaction

logger = logging.getLogger(__name__)

OPERATOR = "operator"
"""In a history: somebody had this done to the reaction."""

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One thing that somebody wants. The same id is the same request, however often it arrives."""

    id: str
    by: str
    reason: str

    def __str__(self) -> str:
        return f"{self.by}: {self.reason}"

    @property
    def stamp(self) -> str:
        """What a replayed event carries."""
        return f"{self.id}: {self}"

    def key(self, what: str) -> str:
        """Of a line that is written once for what this request does, as 32 hexadecimal digits."""
        return hashlib.sha256(json.dumps([self.id, what]).encode()).hexdigest()[:32]


class Acts:
    """Does what is asked for, and keeps who had it done."""

    def __init__(self, *, recent: Recent, clock: Clock) -> None:
        self._recent = recent
        self._clock = clock

    def listed(self, days: int) -> list[Act]:
        """What was done in the last days, newest first."""
        now = self._clock.now()
        return [act for back in range(days) for act in self._recent.acts(now - timedelta(days=back))]

    def once(self, request: Request, what: str, work: Callable[[], Answer]) -> Answer:
        """Does the work, unless this request has had it done today or yesterday: then the same is answered.

        The work itself must do no harm when it is done twice: a process may die before it has kept that it did it.
        """
        now, key = self._clock.now(), request.key(what)
        for day in (now, now - timedelta(days=1)):
            known = self._recent.act(key, day)
            if known is not None:
                found: Answer = json.loads(known.answer)
                return {**found, "repeated": True}
        answer = work()
        kept = json.dumps(answer, ensure_ascii=False)  # a property of a table holds no more than 32 Ki characters
        act = Act(key=key, at=now, by=request.by, what=what, reason=request.reason, answer=kept)
        self._recent.keep_act(act)
        facts = {"by": request.by, "what": what, "reason": request.reason, "request": request.id}
        telemetry.record(logger, "operator_acted", facts)
        return answer


def line(reaction: Reaction, request: Request, did: str, clock: Clock) -> HistoryEntry:
    """The history line that says who had what done to a reaction; added twice, it is there once for each request."""
    return HistoryEntry(
        at=clock.now(),
        what=OPERATOR,
        reason=f"{request.by}: {did}: {request.reason}",
        attempt=reaction.attempt,
        key=request.key(did),
    )
