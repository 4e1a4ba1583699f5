"""A registered model is joined to the reaction whose run registered it, and whatever its tags say, it is acted on."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.reactions import MODEL_REGISTERED, Reaction
from tests.fakes import T0, landed, registered
from tests.world import RULES, World

NOTE = """\
  note:
    when: {model-registered: {model: "*"}}
    run-pipeline: score
    with: {batch: "{model}"}
"""


def trained() -> tuple[World, Reaction]:
    """A world in which a run has started that may register a model."""
    world = World(rules=RULES + NOTE)
    world.deliver(landed("in/b1/a.csv"))
    [reaction] = world.reactions()
    return world, reaction


def lines(world: World, reaction: Reaction) -> list[tuple[int, str | None]]:
    return [(e.attempt, e.run_id) for e in world.lanes.history(reaction.id) if e.what == MODEL_REGISTERED]


def test_a_model_is_noted_with_the_attempt_that_registered_it() -> None:
    world, training = trained()
    tags = {"relearn_reaction": training.id, "relearn_attempt": "2"}
    world.deliver(registered("clf", "7", tags=tags))
    world.deliver(registered("clf", "7", tags=tags, time=T0 + timedelta(seconds=1)))  # announced twice
    [(attempt, run)] = lines(world, training)
    assert attempt == 2
    assert str(run).endswith("/workspaces/mlw/models/clf/versions/7")


@pytest.mark.parametrize("attempt", ["", "0", "-1", "two", "٣", "9" * 20, "9" * 5000, "1.5"])
def test_a_tag_that_is_no_attempt_stops_nothing(attempt: str) -> None:
    world, training = trained()
    world.deliver(registered("clf", "7", tags={"relearn_reaction": training.id, "relearn_attempt": attempt}))
    assert [number for number, _ in lines(world, training)] == [1]
    assert [run.parameters["batch"] for run in world.factory.running] == ["b1", "clf"]


@pytest.mark.parametrize(
    "tag", ["", "nobody", "' or true", "0123456789abcdef01234567-1", "0123456789abcdef01234567-99999999999999999999"]
)
def test_a_tag_that_names_no_reaction_is_believed_of_nothing(tag: str) -> None:
    world, training = trained()
    world.deliver(registered("clf", "7", tags={"relearn_reaction": tag}))
    assert lines(world, training) == []
    assert [run.parameters["batch"] for run in world.factory.running] == ["b1", "clf"]
