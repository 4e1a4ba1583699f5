"""What the machine has found and what is not mended yet. Each is to fail: when it passes, it is time to remove it."""

from __future__ import annotations

import pytest

from tests.fakes import landed
from tests.promises.calls import Trouble
from tests.promises.ledgers import fake_ledger
from tests.promises.machine import calm_down
from tests.promises.rules import RulesText, RuleText
from tests.promises.world import World


def rules(lanes: str) -> RulesText:
    rule = RuleText(
        name="a", action="run-pipeline: score", lanes=lanes, batches="", policy="cooldown: 10m", starts="", attempts=1
    )
    return RulesText(factory="", rules=(rule,))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param('by: "{batch}"', id="the same rules"),
        pytest.param("", id="other lanes", marks=pytest.mark.xfail(reason="nobody looks at it again", strict=True)),
    ],
)
def test_what_was_begun_by_a_delivery_that_failed_goes_on_whatever_the_rules_are_then(other: str) -> None:
    """Intake looks before it makes sure of another look: the process dies after the claim, and then the rules change.

    The event comes again, and the new rules have it in another lane. The reaction in the first one is found by nobody.
    """
    world = World(text=rules('by: "{batch}"'), ledger=fake_ledger())
    event = landed("in/b1/0.csv", time=world.clock.now())
    for call in range(1, 20):
        if not world.reactions():
            world.calls.plan(call, Trouble.DEATH_AFTER)
            world.deliver(0, event)
    [begun] = world.reactions()
    assert not begun.final
    if other != world.text.rules[0].lanes:
        world.deploy(rules(other))
    calm_down(world)
    assert all(reaction.final for reaction in world.reactions())
