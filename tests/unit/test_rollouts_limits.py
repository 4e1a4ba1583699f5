"""Rollouts keep to limits as runs do, and leave a workspace alone that is too busy."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import InDoubt, TargetBusy, TargetUnavailable
from tests.endpoint import RULES, failing, world
from tests.fakes import T0, registered
from tests.world import World

OTHER = RULES.split("reactions:\n", 1)[1].replace("  deploy:", "  deploy-other:").replace("model: clf", "model: other")
TWO_ENDPOINTS = RULES + OTHER.replace("endpoint: ep1", "endpoint: ep2")
SHARED = TWO_ENDPOINTS.replace("version: 1\n", "version: 1\nresources: {gpu: 1}\n").replace(
    "    when:", "    limits: {resources: [gpu]}\n    when:"
)


def two(rules: str) -> World:
    """Both models are registered a second apart, each for an endpoint of its own."""
    made = world(rules)
    made.workspace.endpoints["ep2"] = {}
    for name in ("clf", "other"):
        made.workspace.register(name, "1", Accuracy="0.7")
    return made


def register_both(made: World) -> None:
    for name in ("clf", "other"):
        made.deliver(registered(name, "1", time=made.clock.now()))
        made.clock.advance(timedelta(seconds=1))


def test_a_named_resource_is_held_by_one_rollout_after_the_other() -> None:
    made = two(SHARED)
    register_both(made)
    assert made.states() == ["running", "pending"]
    assert "resource:gpu is held by reaction" in made.reactions()[1].reason
    at_once = []
    while made.look_when_due():
        at_once.append(sum(str(r.state) in {"starting", "running"} for r in made.reactions()))
    assert (made.states(), max(at_once)) == (["succeeded"] * 2, 1)
    assert not any(made.permits.held.values())


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("get endpoint", TargetBusy("429", status=429)),
        ("get endpoint", TargetUnavailable("503")),
        ("create deployment", TargetBusy("429", status=429)),
        ("create deployment", InDoubt("504")),
    ],
    ids=["429 to a question", "503 to a question", "429 to the start", "504 to the start"],
)
def test_a_workspace_that_is_too_busy_is_left_alone_by_the_others_too(call: str, error: Exception) -> None:
    made = two(TWO_ENDPOINTS)
    fail = failing(1, error)
    # Before a reaction is made the workspace is asked how things stand, which is no start.
    made.workspace.hooks[call] = lambda: fail() if made.reactions() else None
    register_both(made)
    assert made.permits.heads["workspace"].failures == 1
    assert made.reactions()[1].reason == "workspace takes no starts now"
    assert made.workspace.writes == []
    made.settle()
    assert made.states() == ["succeeded"] * 2
    assert made.permits.heads["workspace"].failures == 0
    assert {reaction.attempt for reaction in made.reactions()} == {1}


def test_an_endpoint_that_is_being_changed_holds_up_its_own_rollout_only() -> None:
    made = two(TWO_ENDPOINTS)
    made.workspace.hooks["create deployment"] = failing(1, TargetBusy("409 an update is under way", status=409))
    register_both(made)
    assert made.states() == ["pending", "running"]
    made.settle()
    assert made.states() == ["succeeded"] * 2
    assert made.reactions()[0].changed > T0
