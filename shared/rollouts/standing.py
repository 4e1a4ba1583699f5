"""Asks the workspace how things stand for the models that wait in a lane."""

from __future__ import annotations

import logging
from datetime import datetime

from shared import telemetry
from shared.errors import TargetBusy, TargetRefused, TargetUnavailable
from shared.events import ModelRegistered
from shared.lanes import Lane
from shared.models import ModelRef, ModelVersion
from shared.ports import Workspace
from shared.reactions import Reaction
from shared.rollouts.candidates import Standing, replaceable
from shared.rules import DeployModel, Rule

logger = logging.getLogger(__name__)


def standing_of(workspace: Workspace, rule: Rule | None, lane: Lane, running: Reaction | None) -> Standing | None:
    """What is registered of the models that wait, and what is live. None where it cannot be asked, or need not be.

    Nothing is asked while a rollout runs that cannot give way any more: they wait for its end in any case.
    """
    if rule is None or not isinstance(rule.action, DeployModel) or not lane.pending:
        return None
    rollout = replaceable(running) if running is not None else None
    if running is not None and rollout is None:
        return None
    try:
        return _ask(workspace, rule.action, lane, rollout)
    except (TargetBusy, TargetUnavailable, TargetRefused) as error:
        facts = {"lane": lane.id, "rule": rule.name, "error": str(error)}
        telemetry.record(logger, "models_unknown", facts, logging.WARNING)
        return None


def _ask(workspace: Workspace, action: DeployModel, lane: Lane, rollout: datetime | None) -> Standing:
    endpoint = workspace.endpoint(action.endpoint)
    live = endpoint.live if endpoint is not None else None
    known = workspace.model(live.model) if live is not None and live.model is not None else None
    return Standing(
        versions={
            event.id: _registered(workspace, event.event)
            for event in lane.pending
            if isinstance(event.event, ModelRegistered)
        },
        live=live.model if live is not None else None,
        live_created=known.created if known is not None else None,
        rollout=rollout,
    )


def _registered(workspace: Workspace, event: ModelRegistered) -> ModelVersion | None:
    return workspace.model(ModelRef(name=event.name, version=event.version))
