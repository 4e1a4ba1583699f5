"""Start or adopt: a job is started once per attempt.

AML starts one job of a name, whatever is sent. So the name is the stamp: it is asked for before each start, and a job
that carries our tag is adopted. A second start under the name of a job that has ended would change its tags only.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from shared.errors import InDoubt, TargetBusy, TargetRefused, TargetUnavailable
from shared.following import follow_interval
from shared.jobs.saving import JobSteps, action_of, job_name
from shared.models import ATTEMPT_TAG, REACTION_TAG
from shared.ports import Clock, Component, NewJob, Workspace, WorkspaceJob
from shared.preparing import Preparing
from shared.reactions import Intent, JobAction, Reaction, State
from shared.rules import STAMPS
from shared.starts import Granted
from shared.steps import CALL_DEADLINE, Step, advised_wait, intent_in_time

SHORTLY: Final = timedelta(seconds=2)
"""When a job is looked for whose start was not answered clearly."""
LONGEST_DOUBT_WAIT: Final = timedelta(minutes=10)
SHOWN_BY: Final = timedelta(minutes=10)
"""AML may show a job late; one that cannot be seen after so long is not there."""
FIRST_LOOK: Final = follow_interval(timedelta(0))


class Starting:
    """Takes a reaction from pending to running."""

    def __init__(self, *, workspace: Workspace, clock: Clock, steps: JobSteps, preparing: Preparing) -> None:
        self._workspace = workspace
        self._clock = clock
        self._steps = steps
        self._preparing = preparing

    def begin(self, step: Step) -> Step:
        """From pending: what the start needs, the component's inputs, whether the job is there; and then the start."""
        step, granted = self._preparing.admit(step, action_of(step.reaction))
        if granted is None:
            return step
        action = action_of(step.reaction)
        try:
            component = self._workspace.component(action.component)
        except TargetRefused as error:
            return self._steps.end(step, State.FAILED, f"component {action.component}: {error}")
        except (TargetBusy, TargetUnavailable) as error:
            return self._steps.postpone(step, error, granted)
        if component is None or (objection := _objection(action, component)) is not None:
            return self._steps.end(step, State.FAILED, _unknown(action) if component is None else str(objection))
        return self._start(self._steps.intend(step, granted, f"job {job_name(step.reaction)}"), component, granted)

    def _start(self, step: Step, component: Component, granted: Granted) -> Step:
        """Even the first time the name is asked for: what it stands for, if anything, is not to be changed."""
        try:
            found = self._workspace.job(job_name(step.reaction))
        except TargetRefused as error:
            return self._steps.end(step, State.FAILED, f"the workspace refused to tell of jobs: {error}")
        except (TargetBusy, TargetUnavailable) as error:
            return self._steps.postpone(step, error, granted)
        return self._send(step, component, granted) if found is None else self._adopt(step, found)

    def resolve(self, step: Step) -> Step:
        """From starting: no clear answer to the start is saved. The job is looked for before it is started again."""
        reaction, action, now = step.reaction, action_of(step.reaction), self._clock.now()
        intent = reaction.intent or Intent(since=now, deadline=now)
        name = job_name(reaction)
        try:
            found = self._workspace.job(name)
            component = self._workspace.component(action.component)
        except (TargetBusy, TargetUnavailable, TargetRefused) as error:
            if isinstance(error, TargetRefused) and reaction.cancel is not None and now >= intent.since + SHOWN_BY:
                return self._steps.cancelled(step, f"it is unclear whether job {name} was started: {error}")
            return self._doubt(step, f"the workspace cannot be asked: {error}", advised_wait(error, reaction))
        if found is not None:
            return self._adopt(step, found)
        return self._not_there(step, component, intent)

    def _not_there(self, step: Step, component: Component | None, intent: Intent) -> Step:
        reaction, action, now = step.reaction, action_of(step.reaction), self._clock.now()
        name = job_name(reaction)
        if now >= intent.since + SHOWN_BY:
            if reaction.cancel is not None:
                why = f"it is unclear whether job {name} was started; it is not to be seen"
                return self._steps.cancelled(step, why)
            if component is None:  # nothing to send, and nothing to wait for
                return self._steps.end(step, State.FAILED, _unknown(action))
        why, until, probe = self._steps.may_post(reaction)
        if reaction.cancel is not None or until is not None or component is None:
            told = f", and {why}" if until is not None else ""
            return self._doubt(step, f"job {name} is not to be seen{told}", (until or now) - now)
        again = replace(intent, deadline=now + CALL_DEADLINE, posted=intent.posted + 1, probe=probe)
        sending = reaction.moved_to(
            State.STARTING,
            f"job {name} is not to be seen: sending the start again ({again.posted}), same name",
            now,
            intent=again,
            next_look=again.deadline,
        )
        return self._send(self._steps.save(step, sending), component)

    def _send(self, step: Step, component: Component, granted: Granted | None = None) -> Step:
        reaction, name = step.reaction, job_name(step.reaction)
        intent = intent_in_time(reaction, self._clock.now())
        try:
            self._workspace.start_job(_wanted(reaction, action_of(reaction), component))
        except TargetRefused as error:
            self._steps.answered(reaction)
            return self._refused(step, error)
        except TargetBusy as error:
            if intent.posted == 1:
                return self._steps.postpone(step, error, granted)
            self._steps.doubtful(reaction, error)  # an earlier start may have had its effect
            return self._doubt(step, str(error))
        except InDoubt as error:
            self._steps.doubtful(reaction, error)
            return self._doubt(step, str(error))
        return self._accepted(step, f"job {name} started", FIRST_LOOK)

    def _refused(self, step: Step, error: TargetRefused) -> Step:
        """A no may be that the name is taken: by our own start, whose answer was lost, or one that came meanwhile."""
        name = job_name(step.reaction)
        try:
            found = self._workspace.job(name)
        except (TargetBusy, TargetUnavailable, TargetRefused) as unknown:
            return self._doubt(step, f"{error}; and the job cannot be asked for: {unknown}")
        if found is not None:
            return self._adopt(step, found)
        if error.status == 409:
            return self._doubt(step, f"{error}; and job {name} is not to be seen yet")
        return self._steps.end(step, State.FAILED, f"the workspace refused job {name}: {error}")

    def _doubt(self, step: Step, why: str, at_least: timedelta = timedelta(0)) -> Step:
        """The job is looked for again, soon at first and then less and less often. A wait is no end."""
        now = self._clock.now()
        intent = step.reaction.intent or Intent(since=now, deadline=now)
        wait = max(at_least, min(max((now - intent.since) / 4, SHORTLY), LONGEST_DOUBT_WAIT))
        doubting = step.reaction.moved_to(
            State.STARTING, f"in doubt: {why}", now, intent=replace(intent, probe=False), next_look=now + wait
        )
        return self._steps.save(step, doubting)

    def _adopt(self, step: Step, found: WorkspaceJob) -> Step:
        if found.reaction != step.reaction.id:
            why = f"there is a job {found.name} that Relearn did not start: it is left alone"
            return self._steps.try_again(step, why)
        return self._accepted(step, f"job {found.name} adopted: it carries our tag", timedelta(0))

    def _accepted(self, step: Step, why: str, first_look: timedelta) -> Step:
        reaction, now = step.reaction, self._clock.now()
        self._steps.answered(reaction)
        running = reaction.moved_to(
            State.RUNNING, why, now, run_id=job_name(reaction), accepted=now, next_look=now + first_look
        )
        return self._steps.save(step, running)


def _unknown(action: JobAction) -> str:
    return f"there is no component {action.component}: register it, or correct the rule"


def _objection(action: JobAction, component: Component) -> str | None:
    """Why AML would not take such a job, said before it is asked."""
    unknown = sorted(set(action.parameters) - set(component.inputs))
    if unknown:
        known = ", ".join(sorted(component.inputs)) or "none"
        return f"component {action.component} has no input {', '.join(unknown)}; it has {known}"
    missing = sorted(component.required - set(action.parameters) - STAMPS)
    if missing:
        return f"component {action.component} needs the input(s) {', '.join(missing)}: add them to `with`"
    return None


def _wanted(reaction: Reaction, action: JobAction, component: Component) -> NewJob:
    """The stamp is a literal input where the component declares it, so that its steps can tag what they make."""
    stamp = {"reaction_id": reaction.id, "attempt": str(reaction.attempt)}
    return NewJob(
        name=job_name(reaction),
        component=component,
        inputs={**action.parameters, **{name: text for name, text in stamp.items() if name in component.inputs}},
        compute=action.compute,
        experiment=action.experiment,
        tags={REACTION_TAG: reaction.id, ATTEMPT_TAG: str(reaction.attempt)},
    )
