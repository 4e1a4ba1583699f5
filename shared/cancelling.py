"""Somebody wants a reaction's end: that is saved with it, and whoever moves it next sees to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from shared import acts
from shared.acts import Answer, Request
from shared.errors import NotPossible, NotThere, Stale
from shared.looks import Scheduler, lane_key
from shared.ports import Clock, LaneChange, Lanes
from shared.reactions import Phase, Reaction

_TRIES: Final = 5


class Cancelling:
    def __init__(self, *, lanes: Lanes, scheduler: Scheduler, clock: Clock) -> None:
        self._lanes = lanes
        self._scheduler = scheduler
        self._clock = clock

    def cancel(self, reaction_id: str, request: Request) -> Answer:
        """Saves the will to end it. What it has started outside is ended by the next look, which is due at once.

        Raises:
            NotThere: there is no such reaction.
            NotPossible: it has ended, or the model it rolls out is live.
        """
        for _ in range(_TRIES):
            reaction = self._lanes.reaction(reaction_id)
            if reaction is None:
                raise NotThere(f"there is no reaction {reaction_id[:100]!r}", "GET /api/reactions lists them")
            refuse(reaction)
            if reaction.cancel is not None:
                return self._told(reaction, f"wanted already by {reaction.cancel}")
            wanted = replace(reaction, cancel=str(request))
            entry = replace(acts.line(reaction, request, "cancelled", self._clock), key=None)  # in its time's place
            try:
                self._lanes.commit(reaction.lane, LaneChange(reaction=wanted, history=(entry,)))
            except Stale:
                continue
            return self._told(reaction, "its end is wanted; the next look sees to it")
        raise Stale(f"reaction {reaction_id} is being moved by others: ask again")

    def _told(self, reaction: Reaction, what: str) -> Answer:
        self._scheduler.bring_forward(lane_key(reaction.lane), self._clock.now())
        return {"reaction": reaction.id, "was": str(reaction.state), "cancel": what}


def refuse(reaction: Reaction) -> None:
    """Raises NotPossible where a reaction cannot be cancelled any more."""
    if reaction.final:
        ended = reaction.ended.isoformat(timespec="seconds") if reaction.ended is not None else "some time ago"
        raise NotPossible(
            f"reaction {reaction.id} is {reaction.state} since {ended}, and that is final",
            "replay it to have its events acted on once more",
        )
    if reaction.phase is Phase.RETIRING:
        raise NotPossible(
            f"reaction {reaction.id} has taken its model live: what is live is not cancelled",
            "move the endpoint's traffic to the deployment before, or deploy another model",
        )
