"""Before a training begins, its data are judged: by the drift report that the rule names."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from shared import quality
from shared.errors import StorageUnavailable
from shared.ports import Clock, Lake
from shared.quality import LARGEST_REPORT, Requirement, UnusableReport
from shared.reactions import State
from shared.steps import HeldSteps, Step

REPORT_WAIT: Final = timedelta(minutes=10)
"""So long a report that is not there may take. It is written before the breach is told, so it is seldom waited for."""
REPORT_LOOK: Final = timedelta(minutes=1)


class Vetting:
    """Judges a pending reaction's data once, whatever its attempt: what was fit to begin is not judged again."""

    def __init__(self, *, lake: Lake, clock: Clock, steps: HeldSteps) -> None:
        self._lake = lake
        self._clock = clock
        self._steps = steps

    def vet(self, step: Step) -> Step | None:
        """None where nothing is required, or no longer; else the step, saved as what was found.

        Pending without a requirement where the data are fit, refused where they are not, or waiting for the report.

        Without a report that says enough nobody has judged the data, and somebody has to look into it: that is
        `failed`, not `refused`.
        """
        requirement = step.reaction.require
        if requirement is None:
            return None
        try:
            content = self._content(requirement)
        except StorageUnavailable as error:
            return self._steps.wait(step, f"the drift report cannot be read: {error}", REPORT_LOOK)
        if content is None:
            return self._wait(step, requirement)
        try:
            verdict = quality.judge(requirement, content)
        except UnusableReport as error:
            why = f"the data cannot be judged by the drift report {requirement.report}: {error}"
            return self._steps.end(step, State.FAILED, f"{why}. Mend what writes it, or the rule's require")
        if not verdict.fit:
            return self._steps.end(step, State.REFUSED, verdict.why)
        passed = step.reaction.moved_to(State.PENDING, verdict.why, self._clock.now(), require=None, next_look=None)
        return self._steps.save(step, passed)

    def _content(self, requirement: Requirement) -> bytes | None:
        """The report, of the first of the lake's accounts that has it."""
        for account in self._lake.accounts:
            found = self._lake.read(account, requirement.container, requirement.path, LARGEST_REPORT + 1)
            if found is not None:
                return found
        return None

    def _wait(self, step: Step, requirement: Requirement) -> Step:
        reaction = step.reaction
        why = f"there is no drift report {requirement.report} yet"
        if reaction.reason == why and self._clock.now() >= reaction.changed + REPORT_WAIT:
            minutes = int(REPORT_WAIT.total_seconds() // 60)
            why = f"after {minutes} minutes there is no drift report {requirement.report}: the data cannot be judged"
            return self._steps.end(step, State.FAILED, f"{why}. Publish the monitor again, or correct require.report")
        return self._steps.wait(step, why, REPORT_LOOK)
