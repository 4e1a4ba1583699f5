"""The pure decision about registered models that wait for their endpoint: which is next, and which never will be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.lanes import Decision, PendingEvent, Replace, Skip, SkipReason, Start, Wait
from shared.models import ModelRef, ModelVersion
from shared.reactions import DeployAction, Reaction, State
from shared.rollouts import gate
from shared.rules import DeployModel

ASK_AGAIN: Final = timedelta(seconds=30)
KNOWN_WITHIN: Final = timedelta(minutes=5)
"""A version that the workspace has announced and does not know after this long is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How things stand in the workspace, as far as a lane's events are concerned.

    Attributes:
        versions: what is registered now, by event id; None for a version that the workspace does not know.
        live: what is live on the endpoint, and when that was registered, where that is known.
        rollout: when the version was registered whose rollout is running and may still be replaced.
    """

    versions: Mapping[str, ModelVersion | None]
    live: ModelRef | None = None
    live_created: datetime | None = None
    rollout: datetime | None = None


def replaceable(reaction: Reaction) -> datetime | None:
    """When the version of a rollout was registered, where a newer one may still take its place.

    Not while its start may be out: what that makes could not be removed yet.
    """
    action, rollout = reaction.action, reaction.rollout
    if not isinstance(action, DeployAction):
        return None
    early = reaction.state is State.PENDING or (
        reaction.state is State.RUNNING and rollout is not None and rollout.replaceable
    )
    return action.model_created if early else None


def judged(pending: Sequence[PendingEvent], standing: Standing, action: DeployModel, now: datetime) -> Decision:
    """The newest version is next. The others wait for its end: if it is refused, their turn comes."""
    skip = _skip(pending, standing, now)
    if skip is not None:
        return skip
    known = [(event, found) for event in pending if (found := standing.versions.get(event.id)) is not None]
    if not known:
        return Wait(until=now + ASK_AGAIN, reason="the workspace does not know them yet")
    newest, version = max(known, key=lambda pair: (pair[1].created, pair[0].accepted, pair[0].id))
    if standing.rollout is None:
        return Start(events=(newest,), reason=f"{version.ref} was registered at {version.created.isoformat()}")
    if version.created <= standing.rollout:
        return Wait(until=None, reason="a rollout of a newer version is running")
    verdict = gate.judge(action.gate, version.properties, standing.live)
    if not verdict.passed:
        return Wait(until=None, reason=f"{version.ref} would not pass the gate: {verdict.reason}")
    return Replace(events=(newest,), reason=f"{version.ref} is newer and passes the gate ({verdict.reason})")


def _skip(pending: Sequence[PendingEvent], standing: Standing, now: datetime) -> Skip | None:
    found = {event.id: _never(standing.versions.get(event.id), event, standing, now) for event in pending}
    for reason in SkipReason:
        events = tuple(event for event in pending if found[event.id] is reason)
        if events:
            return Skip(events=events, reason=reason)
    return None


def _never(version: ModelVersion | None, event: PendingEvent, standing: Standing, now: datetime) -> SkipReason | None:
    if version is None:
        # The event may be quicker than what the workspace answers to everybody.
        return SkipReason.MODEL_GONE if now >= event.accepted + KNOWN_WITHIN else None
    if version.archived:
        return SkipReason.MODEL_GONE
    if version.ref == standing.live:
        return SkipReason.ALREADY_LIVE
    if standing.live_created is not None and version.created <= standing.live_created:
        return SkipReason.OLDER_THAN_LIVE
    return None
