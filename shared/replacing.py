"""A running reaction gives way to newer events, where its rule wants that."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from typing import Final

from shared import telemetry
from shared.errors import AlreadyTaken
from shared.lanes import Lane, Replace, Wait
from shared.looks import LATER
from shared.ports import Clock, LaneChange, Lanes
from shared.reactions import DeployAction, HistoryEntry, Reaction, State
from shared.rollouts.mover import Rollouts
from shared.rules import DeployModel, Mode, Rule
from shared.steps import Step

logger = logging.getLogger(__name__)

GIVES_WAY: Final = "gives-way"
"""In a history: from then on its end is wanted, so that newer events take its place."""


def stays(rule: Rule, running: Reaction, mode: Mode, now: datetime) -> Wait | None:
    """Why a running reaction is not to be replaced now; None where it may be. Pure.

    Args:
        mode: of all rules.
    """
    if Mode.OBSERVE in (mode, rule.mode):
        return Wait(until=None, reason="what was started before the rule was only observed goes on to its end")
    if running.cancel is not None:
        return Wait(until=None, reason=f"the end of reaction {running.seq} is wanted already")
    if isinstance(rule.action, DeployModel) is not isinstance(running.action, DeployAction):
        return Wait(until=None, reason=f"reaction {running.seq} was started by what the rule was before")
    if running.state is State.STARTING:
        # Its start may be out: whoever waits for the answer would find the reaction changed, and be in doubt.
        return Wait(until=now + LATER, reason=f"reaction {running.seq} is being started")
    return None


class Replacing:
    """Makes reactions give way. Whoever moves them next sees to their end."""

    def __init__(self, *, lanes: Lanes, clock: Clock, rollouts: Rollouts, mode: Mode) -> None:
        self._lanes = lanes
        self._clock = clock
        self._rollouts = rollouts
        self._mode = mode

    def stays(self, rule: Rule, running: Reaction) -> Wait | None:
        """Why the running reaction is not to be replaced now; None where it may be."""
        return stays(rule, running, self._mode, self._clock.now())

    def give_way(self, lane: Lane, running: Step, decision: Replace) -> Reaction:
        """The running reaction gives way. That is saved before anything is ended: whoever goes on knows why.

        Gives the reaction as it is then; it may have ended.

        Raises:
            AlreadyTaken: some of the events are late deliveries, which alone are no reason to end anything.
        """
        if isinstance(running.reaction.action, DeployAction):
            return self._rollouts.supersede(running, decision.reason).reaction
        known = self._lanes.taken(lane.id, [event.id for event in decision.events])
        if known:
            raise AlreadyTaken(known)
        reaction = replace(running.reaction, cancel=decision.reason, gives_way=True)
        line = HistoryEntry(
            at=self._clock.now(),
            what=GIVES_WAY,
            reason=decision.reason,
            attempt=reaction.attempt,
            run_id=reaction.run_id,
        )
        self._lanes.commit(lane.id, LaneChange(reaction=reaction, history=(line,)))
        telemetry.record(logger, "reaction_gives_way", {"reason": decision.reason, **reaction.log_context()})
        return reaction
