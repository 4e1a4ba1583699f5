"""What people and tools may ask: reactions as lists, one with its whole story, a model's, and what was refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from shared import chains, lineage
from shared.controls import ControlState, Pause
from shared.errors import UnreadableRow
from shared.events import model_key
from shared.lanes import PendingEvent, TakenEvent, lane_id
from shared.lineage import EVENTS_SHOWN, Json
from shared.models import REACTION_TAG, ModelRef
from shared.ports import Act, Lanes, Recent, Workspace
from shared.reactions import (
    Action,
    DeployAction,
    HistoryEntry,
    JobAction,
    PipelineAction,
    Reaction,
    State,
    reaction_id,
)
from shared.rules import DeployModel, Rules

DAYS_AT_MOST: Final = 30
LOOKED_AT: Final = 5000
"""Reactions that one call reads, whether or not they are asked for: seconds, where an HTTP call has less than four
minutes."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The time of an event that never was: of a question about a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Some reactions. Not `complete`: there were more to be looked at than one call does."""

    reactions: list[Json]
    complete: bool


class Queries:
    def __init__(
        self,
        *,
        lanes: Lanes,
        recent: Recent,
        workspace: Workspace,
        rules: Rules,
        factory_id: str,
        workspace_id: str,
    ) -> None:
        self._lanes = lanes
        self._recent = recent
        self._workspace = workspace
        self._factory_id = factory_id
        self._workspace_id = workspace_id
        actions = [(rule.name, rule.action) for rule in rules.rules.values()]
        self._deploying = [(name, action.endpoint) for name, action in actions if isinstance(action, DeployModel)]

    def reactions(
        self,
        *,
        now: datetime,
        days: int = 1,
        rule: str | None = None,
        state: State | None = None,
        top: int = 100,
    ) -> Listed:
        """Reactions created in the last days, newest first, each as it is now: the list itself may lag behind."""
        listed: list[Json] = []
        for number, listed_id in enumerate(self._listed(now, days)):
            if len(listed) >= top:
                break
            if number == LOOKED_AT:
                return Listed(reactions=listed, complete=False)
            try:
                reaction = self._lanes.reaction(listed_id)
            except UnreadableRow:
                continue  # asked for by itself, it says why it cannot be shown
            if reaction is None or (rule or reaction.rule) != reaction.rule:
                continue
            if state in (None, reaction.state):
                listed.append(summary(reaction))
        return Listed(reactions=listed, complete=True)

    def _listed(self, now: datetime, days: int) -> Iterator[str]:
        for back in range(days):
            yield from self._recent.reactions(now - timedelta(days=back))

    def reaction(self, reaction_id: str) -> Json | None:
        """One reaction with its history, events, run and lineage; None if there is no such reaction."""
        reaction = self._lanes.reaction(reaction_id)
        if reaction is None:
            return None
        events = chains.events_of(self._lanes, reaction)
        history = self._lanes.history(reaction_id)
        return {
            **summary(reaction),
            "revision": reaction.revision,
            "replaces": _replaced(reaction),
            "history": [_history(entry) for entry in history],
            "events": [_event(taken) for taken in events[:EVENTS_SHOWN]],
            "events_left_out": max(0, len(events) - EVENTS_SHOWN),
            "manifest": reaction.manifest_url,
            "run": self._run(reaction),
            "lineage": lineage.of_reaction(reaction, events, history),
        }

    def model(self, name: str, version: str) -> Json | None:
        """A registered model: where it comes from, what was decided about it, where it is live. None if there is none.

        Raises:
            TargetBusy, TargetUnavailable, TargetRefused: the workspace does not tell.
        """
        found = self._workspace.model(ModelRef(name=name, version=version))
        if found is None:
            return None
        training = self._lanes.reaction(found.tags.get(REACTION_TAG, ""))
        trained = self._chain(training) if training is not None else None
        rollouts, live_on = list(self._rollouts(found.ref)), list(self._live_on(found.ref))
        return {
            "name": name,
            "version": version,
            "created": text(found.created),
            "archived": found.archived,
            "tags": dict(found.tags),
            "properties": dict(found.properties),
            "lineage": lineage.of_model(found, trained, rollouts, live_on),
        }

    def _chain(self, reaction: Reaction) -> Json:
        return lineage.of_reaction(reaction, chains.events_of(self._lanes, reaction), self._lanes.history(reaction.id))

    def _rollouts(self, ref: ModelRef) -> Iterator[Json]:
        """What each rule that deploys models has made of this one."""
        key = model_key(self._workspace_id, ref.name, ref.version)
        for rule, endpoint in self._deploying:
            lane = lane_id(rule, endpoint)
            event = self._lanes.find_event(lane, key)
            if event is not None:
                yield {"rule": rule, "endpoint": endpoint, **self._fate(lane, event)}

    def _fate(self, lane: str, event: PendingEvent | TakenEvent) -> Json:
        if isinstance(event, PendingEvent):
            return {"state": "waiting", "since": text(event.accepted)}
        if event.reaction is None:
            return {"state": "skipped", "reason": str(event.skipped), "at": text(event.at)}
        reaction = self._lanes.reaction(reaction_id(lane, event.reaction))
        return {"reaction": reaction_id(lane, event.reaction)} if reaction is None else _brief(reaction)

    def _live_on(self, ref: ModelRef) -> Iterator[Json]:
        for endpoint in dict.fromkeys(endpoint for _, endpoint in self._deploying):
            found = self._workspace.endpoint(endpoint)
            for deployment in found.deployments if found is not None else ():
                if found is not None and deployment.model == ref:
                    yield {
                        "endpoint": endpoint,
                        "deployment": deployment.name,
                        "traffic": found.share(deployment.name),
                        "reaction": deployment.reaction,
                    }

    def refused(self) -> Json:
        counts, last = self._recent.refused()
        return {
            "counts": counts,
            "last": [
                {
                    "at": text(event.at),
                    "reason": event.reason,
                    "detail": event.detail,
                    "event_id": event.event_id,
                    "subject": event.subject,
                }
                for event in last[:100]
            ],
        }

    def _run(self, reaction: Reaction) -> Json:
        action = reaction.action
        return {
            **self._target(action, reaction),
            "id": reaction.run_id,
            "attempt": reaction.attempt,
            "attempts": action.attempts,
            "accepted": text(reaction.accepted),
            "timeout_seconds": action.timeout.total_seconds(),
        }

    def _target(self, action: Action, reaction: Reaction) -> Json:
        if isinstance(action, DeployAction):
            return self._rollout(action, reaction)
        if isinstance(action, PipelineAction):
            return {
                "kind": "pipeline",
                "factory": self._factory_id,
                "pipeline": action.pipeline,
                "parameters": dict(action.parameters),
                "jobs": lineage.jobs(reaction),
            }
        if isinstance(action, JobAction):
            return {
                "kind": "job",
                "workspace": self._workspace_id,
                "name": reaction.run_id,
                "component": action.component,
                "compute": action.compute,
                "experiment": action.experiment,
                "inputs": dict(action.parameters),
                "jobs": lineage.jobs(reaction),
            }
        return {"kind": "notice", "text": action.text}

    def _rollout(self, action: DeployAction, reaction: Reaction) -> Json:
        rollout = reaction.rollout
        previous = rollout.previous_model if rollout is not None else None
        return {
            "kind": "rollout",
            "workspace": self._workspace_id,
            "endpoint": action.endpoint,
            "deployment": action.deployment,
            "model": lineage.of_ref(action.model),
            "phase": str(rollout.phase) if rollout is not None else None,
            "previous_deployment": rollout.previous if rollout is not None else None,
            "previous_model": lineage.of_ref(previous) if previous is not None else None,
            "promoted": text(rollout.promoted) if rollout is not None else None,
        }


def summary(reaction: Reaction) -> Json:
    return {
        "id": reaction.id,
        "rule": reaction.rule,
        "key": reaction.key,
        "state": str(reaction.state),
        "reason": reaction.reason,
        "created": text(reaction.created),
        "changed": text(reaction.changed),
        "ended": text(reaction.ended),
        "event_count": reaction.events,
        "attempt": reaction.attempt,
        "run_id": reaction.run_id,
        "cancel": reaction.cancel,
    }


def _replaced(reaction: Reaction) -> str | None:
    return reaction_id(reaction.lane, reaction.replaces) if reaction.replaces is not None else None


def _brief(reaction: Reaction) -> Json:
    return {"reaction": reaction.id, "state": str(reaction.state), "reason": reaction.reason}


def _history(entry: HistoryEntry) -> Json:
    return {
        "at": text(entry.at),
        "what": entry.what,
        "reason": entry.reason,
        "attempt": entry.attempt,
        "run_id": entry.run_id,
    }


def _event(taken: TakenEvent) -> Json:
    event = taken.pending.event
    return {
        "key": taken.pending.id,
        "event_id": event.event_id,
        "subject": event.subject,
        "time": text(event.time),
        "accepted": text(taken.pending.accepted),
        "replay": taken.pending.replay,
        **lineage.details(event),
    }


def controls(state: ControlState) -> Json:
    """What is stopped, by whom and why."""
    return {
        "all_starts": _pause(state.stopped),
        "paused": [{"rule": rule, **(_pause(pause) or {})} for rule, pause in sorted(state.paused.items())],
    }


def _pause(pause: Pause | None) -> Json | None:
    return None if pause is None else {"by": pause.by, "at": text(pause.at), "reason": pause.reason}


def act(done: Act) -> Json:
    """What somebody had done."""
    return {"at": text(done.at), "by": done.by, "what": done.what, "reason": done.reason}


def text(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at is not None else None
