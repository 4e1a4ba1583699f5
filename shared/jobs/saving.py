"""How the steps of a job are saved, what its start needs; and the name that a job is given."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from shared.limits import Demand
from shared.reactions import JobAction, Reaction
from shared.starts import Granted, TargetTrouble
from shared.steps import WORKSPACE, Step, TargetSteps


class JobSteps(TargetSteps):
    """Steps of one job. How many run at a time is the workspace's own business; that it is busy is everybody's."""

    target = WORKSPACE

    def demands_of(self, reaction: Reaction) -> Sequence[Demand]:
        return [Demand(resource=WORKSPACE, holds=False, target=True)]

    def postpone(self, step: Step, error: TargetTrouble, granted: Granted | None = None) -> Step:
        return self.busy(step, WORKSPACE, error, f"the workspace cannot take it now: {error}", granted)


def action_of(reaction: Reaction) -> JobAction:
    if not isinstance(reaction.action, JobAction):
        raise TypeError(f"reaction {reaction.id} runs no job")
    return reaction.action


def job_name(reaction: Reaction) -> str:
    """A name that no other attempt ever has.

    A ledger that is made anew gives the same ids again, so the time is in it, too. AML takes up to 255 letters, digits,
    hyphens and underscores, and tells upper from lower case.
    """
    created = reaction.created.astimezone(UTC)
    return f"relearn-{reaction.id}-{reaction.attempt}-{created:%Y%m%d%H%M%S}"
