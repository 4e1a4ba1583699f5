"""Reactions that took each other's place: the last of them has the events of all."""

from __future__ import annotations

from shared.lanes import TakenEvent
from shared.ports import Lanes
from shared.reactions import Reaction, reaction_id


def replaced(lanes: Lanes, lane: str, seq: int | None) -> list[Reaction]:
    """The reaction of that number and those whose place it took, oldest first; none without a number.

    One that is no longer kept ends the chain.
    """
    found: list[Reaction] = []
    while seq is not None:
        reaction = lanes.reaction(reaction_id(lane, seq))
        if reaction is None:
            break
        found.append(reaction)
        seq = reaction.replaces
    return found[::-1]


def events_of(lanes: Lanes, reaction: Reaction) -> list[TakenEvent]:
    """The reaction's events and those of the reactions whose place it took, in the order they were accepted."""
    before = replaced(lanes, reaction.lane, reaction.replaces)
    found = [taken for each in (*before, reaction) for taken in lanes.events_of(each.id)]
    return sorted(found, key=lambda taken: (taken.pending.accepted, taken.pending.id)) if before else found
