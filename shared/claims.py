"""Claiming a batch: events leave their lane and become a reaction, in one transaction or in several."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from shared import chains, telemetry
from shared.errors import Stale
from shared.events import FileLanded
from shared.lanes import Claim, Head, Lane, PendingEvent, Start, TakenEvent
from shared.models import deployment_name
from shared.observing import MANIFEST
from shared.ports import Clock, LaneChange, Lanes, Manifests, Recent
from shared.quality import Requirement
from shared.reactions import (
    TEXT,
    Action,
    DeployAction,
    JobAction,
    NotifyAction,
    PipelineAction,
    Reaction,
    RenderedAction,
    StartLimits,
    State,
    entry_of,
    live_mark,
    reaction_id,
)
from shared.rollouts.candidates import Standing
from shared.rules import DeployModel, FileLandedTrigger, Mode, Notify, Revision, Rule, Rules, RunJob, RunPipeline, loops
from shared.steps import Step

logger = logging.getLogger(__name__)

_COUNT: Final = "\N{SYMBOL FOR NULL}count\N{SYMBOL FOR NULL}"


class Claims:
    """Makes reactions of what was decided to be started."""

    def __init__(
        self,
        *,
        lanes: Lanes,
        recent: Recent,
        manifests: Manifests,
        clock: Clock,
        rules: Rules,
        numbers: Callable[[], int],
    ) -> None:
        """`numbers`: after which a new lane's begin."""
        self._resources = rules.resources
        self._lanes = lanes
        self._recent = recent
        self._manifests = manifests
        self._clock = clock
        self._revision = rules.revision
        self._mode = rules.mode
        self._numbers = numbers

    def claim(self, lane: Lane, rule: Rule, decision: Start, standing: Standing | None = None) -> Step:
        """Takes the events out of the lane, into a new reaction.

        Raises:
            Stale: somebody else changed the lane.
        """
        now = self._clock.now()
        head = lane.head or new_head(decision.events[0], self._revision, after=self._numbers())
        seq = head.seq + 1
        whole = replace(decision, events=(*self._inherited(lane.id, head), *decision.events))
        reaction = self._new_reaction(reaction_id(lane.id, seq), rule, whole, standing, now)
        reaction = replace(reaction, replaces=head.inherits)
        head = replace(head, seq=seq, claimed=now, ended=None, inherits=None, revision=self._revision)
        change = LaneChange(head=head, reaction=reaction, history=(entry_of(reaction),))
        if len(decision.events) <= change.capacity():
            head = replace(head, running=seq)
            return self._close_claim(lane.id, head, reaction, decision.events, now, opening=True)
        first = decision.events[: change.capacity()]
        room = rule.collect.max_events
        until = max(event.accepted for event in decision.events)
        claim = Claim(seq=seq, room=None if room is None else room - len(first), until=until)
        opened_reaction = replace(reaction, events=len(first))
        opened = replace(
            change,
            head=replace(head, claim=claim),
            reaction=opened_reaction,
            take=first,
            taken_by=seq,
            at=now,
        )
        saved = self._lanes.commit(lane.id, opened)
        rest = replace(lane, head=saved.head, pending=decision.events[len(first) :])
        return self.go_on(rest, saved.head or head, claim, saved.reaction or opened_reaction)

    def _inherited(self, lane: str, head: Head) -> list[PendingEvent]:
        """The events of reactions whose place the next one takes."""
        before = chains.replaced(self._lanes, lane, head.inherits)
        return [taken.pending for each in before for taken in self._lanes.events_of(each.id)]

    def go_on(self, lane: Lane, head: Head, claim: Claim, reaction: Reaction) -> Step:
        """Moves the rest of a batch that one transaction does not hold. Whoever looks at the lane goes on with it."""
        self._recent.put(reaction)
        now = self._clock.now()
        # What came after the batch is for the next decision, which may be to skip it.
        until = claim.until or head.claimed
        of_batch = [e for e in lane.pending if until is None or e.accepted <= until]
        pending = sorted(of_batch, key=lambda e: (e.accepted, e.id))[: claim.room]
        *parts, last = chunks(pending, LaneChange(head=head, reaction=reaction).capacity())
        for part in parts:
            room = None if claim.room is None else claim.room - len(part)
            claim = replace(claim, room=room)
            change = LaneChange(
                head=replace(head, claim=claim),
                reaction=replace(reaction, events=reaction.events + len(part)),
                take=part,
                taken_by=claim.seq,
                at=now,
            )
            saved = self._lanes.commit(lane.id, change)
            head, reaction = saved.head or head, saved.reaction or reaction
        return self._close_claim(lane.id, replace(head, claim=None, running=claim.seq), reaction, last, now)

    def _close_claim(
        self,
        lane: str,
        head: Head,
        reaction: Reaction,
        events: Sequence[PendingEvent],
        now: datetime,
        *,
        opening: bool = False,
    ) -> Step:
        count = len(events) if opening else reaction.events + len(events)
        before = chains.replaced(self._lanes, lane, reaction.replaces)
        of_all = count + sum(each.events for each in before)
        reaction = replace(reaction, events=count, action=_counted(reaction.action, of_all))
        change = LaneChange(
            head=head,
            reaction=reaction,
            history=(entry_of(reaction),) if opening else (),
            take=events,
            taken_by=reaction.seq,
            at=now,
        )
        saved = self._lanes.commit(lane, change)
        whole = opening and reaction.replaces is None
        # Of a batch that took several transactions only the last events are at hand: no figure rather than a wrong one.
        waited = int((now - min(event.accepted for event in events)).total_seconds()) if opening and events else None
        facts = {"reason": reaction.reason, "events": count, "waited": waited, **reaction.log_context()}
        telemetry.record(logger, "reaction_pending", facts)
        return Step(
            head=saved.head or head,
            reaction=saved.reaction or reaction,
            taken=_taken(events, now, reaction.seq) if whole else None,
            listed=not opening,
        )

    def _new_reaction(
        self, new_id: str, rule: Rule, decision: Start, standing: Standing | None, now: datetime
    ) -> Reaction:
        observe = Mode.OBSERVE in (self._mode, rule.mode)
        url = MANIFEST if observe else self._manifests.url(new_id)
        known = {"manifest": url, "reaction_id": new_id}
        action = _action(rule, decision, standing, known)
        action = replace(action, limits=_start_limits(rule, self._resources))
        needs_manifest = isinstance(action, RenderedAction) and action.needs_manifest and not observe
        return Reaction(
            id=new_id,
            rule=rule.name,
            key=decision.events[0].key,
            revision=self._revision.to_text(),
            state=State.PENDING,
            reason=decision.reason,
            action=action,
            created=now,
            changed=now,
            events=0,
            manifest_url=url if needs_manifest else None,
            require=_requirement(rule, decision.events),
            observe=observe,
            objection=_objection(rule, action, decision.events, known),
        )


def _requirement(rule: Rule, events: Sequence[PendingEvent]) -> Requirement | None:
    """Of several breaches the last one's report counts: it is about all that has come by then."""
    if rule.require is None:
        return None
    last = max(events, key=lambda event: (event.event.time, event.id))
    match = rule.match(last.event)
    return Requirement(
        report=rule.require.report.render(match.captures if match is not None else {}),
        min_rows=rule.require.min_rows,
        max_missing=rule.require.max_missing,
    )


def _action(rule: Rule, decision: Start, standing: Standing | None, known: Mapping[str, str]) -> Action:
    if isinstance(rule.action, DeployModel):
        return _deploy_action(rule, rule.action, decision, standing)
    return _rendered_action(rule, rule.action, decision, known)


def _rendered_action(
    rule: Rule, action: RunPipeline | RunJob | Notify, decision: Start, known: Mapping[str, str]
) -> PipelineAction | JobAction | NotifyAction:
    templates = {TEXT: action.text} if isinstance(action, Notify) else action.with_
    live = {f"live:{name}": live_mark(name) for template in templates.values() for name in template.live}
    values = {**_captures(rule, decision.events), **known, **live, "count": _COUNT}
    rendered: dict[str, Any] = {
        "parameters": {name: template.render(values) for name, template in templates.items()},
        "timeout": rule.timeout,
        "attempts": rule.retry.attempts,
        "backoff": rule.retry.backoff,
        "needs_manifest": any("manifest" in template.placeholders for template in templates.values()),
    }
    match action:
        case RunPipeline():
            return PipelineAction(pipeline=action.pipeline, **rendered)
        case RunJob():
            experiment = action.experiment or rule.name
            return JobAction(component=action.component, compute=action.compute, experiment=experiment, **rendered)
        case Notify():
            return NotifyAction(**rendered)


def _objection(rule: Rule, action: Action, events: Sequence[PendingEvent], known: Mapping[str, str]) -> str | None:
    """What the loop guard has against a start, now that what the rule's texts stand for is known."""
    if not isinstance(action, PipelineAction | JobAction) or not isinstance(rule.trigger, FileLandedTrigger):
        return None
    values = {**_captures(rule, events), **known}
    landed = [f"{e.event.container}/{e.event.path}" for e in events if isinstance(e.event, FileLanded)]
    return loops.why_not(rule, [text.render(values) for text in rule.writes], action.parameters, landed)


def _start_limits(rule: Rule, sizes: Mapping[str, int]) -> StartLimits:
    """What a reaction's starts have to keep to, whatever becomes of the rule."""
    given = rule.limits
    return StartLimits(
        concurrency=given.concurrency,
        resources={name: sizes[name] for name in given.resources},
        rate=given.start_rate,
        priority=given.priority,
    )


def _captures(rule: Rule, events: Sequence[PendingEvent]) -> dict[str, str]:
    """What the batch's events captured. The rules see to it that files of one batch agree in what is used of them.

    Breaches and models of one batch may differ: then all that was captured is named, each once, in order.
    """
    asked = events[:1] if isinstance(rule.trigger, FileLandedTrigger) else events
    captured = [match.captures for event in asked if (match := rule.match(event.event)) is not None]
    names = dict.fromkeys(name for captures in captured for name in captures)
    return {name: ", ".join(dict.fromkeys(captures[name] for captures in captured)) for name in names}


def _deploy_action(rule: Rule, action: DeployModel, decision: Start, standing: Standing | None) -> DeployAction:
    version = standing.versions.get(decision.events[0].id) if standing is not None else None
    if version is None:
        raise Stale(f"rule {rule.name}: the model to deploy is not known any more")
    return DeployAction(
        endpoint=action.endpoint,
        model=version.ref,
        model_created=version.created,
        deployment=deployment_name(version.ref),
        smoke_test=action.smoke_test,
        serving=action.serving,
        gate=action.gate,
        keep_previous=action.keep_previous,
        timeout=rule.timeout,
        attempts=rule.retry.attempts,
        backoff=rule.retry.backoff,
    )


def _counted(action: Action, count: int) -> Action:
    if not isinstance(action, RenderedAction):
        return action
    return replace(action, parameters={k: v.replace(_COUNT, str(count)) for k, v in action.parameters.items()})


def _taken(events: Sequence[PendingEvent], at: datetime, by: int) -> tuple[TakenEvent, ...]:
    """As Lanes.events_of gives them."""
    in_order = sorted(events, key=lambda event: (event.accepted, event.id))
    return tuple(TakenEvent(pending=event, at=at, reaction=by) for event in in_order)


def new_head(event: PendingEvent, revision: Revision, *, after: int) -> Head:
    """Of a lane that has none. Its reactions are numbered after those of any lane that has been removed."""
    return Head(rule=event.rule, key=event.key, revision=revision, seq=after)


def chunks(events: Sequence[PendingEvent], size: int) -> list[tuple[PendingEvent, ...]]:
    """Parts of at most `size` events; one empty part where there are none."""
    return [tuple(events[i : i + size]) for i in range(0, max(len(events), 1), size)]
