"""What the outside is told of: reactions that ended badly, models that went live or did not, second starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from shared.reactions import Action, DeployAction, JobAction, NotifyAction, PipelineAction, Reaction, State


class Kind(StrEnum):
    """Event types on the topic."""

    REACTION_FAILED = "Relearn.ReactionFailed"
    REACTION_REFUSED = "Relearn.ReactionRefused"
    ROLLED_BACK = "Relearn.ModelRolledBack"
    MODEL_PROMOTED = "Relearn.ModelPromoted"
    DUPLICATE_START = "Relearn.DuplicateStart"
    NOTICE = "Relearn.Notice"
    """What a rule's `notify` tells."""


_LONGEST_TEXT: Final = 8000

_OF_STATE: Final = {
    State.FAILED: Kind.REACTION_FAILED,
    State.TIMED_OUT: Kind.REACTION_FAILED,
    State.REFUSED: Kind.REACTION_REFUSED,
    State.ROLLED_BACK: Kind.ROLLED_BACK,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One fact for subscribers. It may be published more than once, always with the same id."""

    id: str
    kind: Kind
    subject: str
    time: datetime
    data: Mapping[str, str]


def of_end(reaction: Reaction) -> tuple[Notification, ...]:
    """What a reaction's final state is told with: at most one notification."""
    action = reaction.action
    if isinstance(action, NotifyAction) and reaction.state is State.SUCCEEDED:
        return (_of(Kind.NOTICE, reaction, reaction.changed, {"text": action.text[:_LONGEST_TEXT]}),)
    kind = _OF_STATE.get(reaction.state)
    return () if kind is None else (_of(kind, reaction, reaction.changed, {}),)


def of_promotion(reaction: Reaction) -> tuple[Notification, ...]:
    return (_of(Kind.MODEL_PROMOTED, reaction, reaction.changed, {}),)


def of_duplicate(reaction: Reaction, run_id: str, at: datetime) -> tuple[Notification, ...]:
    return (_of(Kind.DUPLICATE_START, reaction, at, {"duplicate": run_id}, suffix=run_id),)


def _of(kind: Kind, reaction: Reaction, at: datetime, more: Mapping[str, str], suffix: str = "") -> Notification:
    parts = (reaction.id, kind.rpartition(".")[2], str(reaction.attempt), suffix)
    return Notification(
        id="-".join(part for part in parts if part),
        kind=kind,
        subject=f"reactions/{reaction.id}",
        time=at,
        data={
            "reaction": reaction.id,
            "rule": reaction.rule,
            "key": reaction.key,
            "state": str(reaction.state),
            "reason": reaction.reason[:2000],
            **({"run": reaction.run_id} if reaction.run_id else {}),
            **_subject_of(reaction.action),
            **more,
        },
    )


def _subject_of(action: Action) -> dict[str, str]:
    match action:
        case DeployAction():
            return {
                "endpoint": action.endpoint,
                "model": action.model.name,
                "version": action.model.version,
                "deployment": action.deployment,
            }
        case PipelineAction():
            return {"pipeline": action.pipeline}
        case JobAction():
            return {"component": action.component}
        case NotifyAction():
            return {}
