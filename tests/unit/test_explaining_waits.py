"""What a pending event is said to wait for is what the next look decides: no more is held by a pause than starts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from shared.controls import Pause
from shared.explaining import Explaining
from shared.memory import DEFAULT_RETENTION, Remembered
from tests.fakes import T0, delivery, landed
from tests.world import RULES, World, rules_of

WAITING = RULES.replace('collect: {by: "{batch}"}', 'collect: {by: "{batch}", all-of: [a.csv, b.csv]}')


def explained(world: World) -> Explaining:
    return Explaining(
        rules=rules_of(world.rules),
        lanes=world.lanes,
        controls=world.controls,
        workspace=world.workspace,
        lake=world.lake,
        accounts=frozenset({"acc"}),
        workspace_id=None,
        clock=world.clock,
        remembered=Remembered(archive=world.archive, clock=world.clock, retention=DEFAULT_RETENTION),
    )


def waits(world: World, path: str, time: datetime = T0) -> dict[str, Any]:
    told: Any = explained(world).delivered(delivery(landed(path, time=time)))["rules"]
    [found] = told
    return dict(found)


def paused(rules: str = RULES) -> World:
    world = World(rules=rules, inline=False)
    world.controls.pause("score", Pause(by="ada", at=T0, reason="why"))
    return world


def test_a_start_is_held() -> None:
    world = paused()
    world.deliver(landed("in/b1/a.csv"))
    assert waits(world, "in/b1/a.csv")["waits"].startswith("rule score is paused by ada")


def test_what_is_not_complete_waits_for_both() -> None:
    world = paused(WAITING)
    world.deliver(landed("in/b1/a.csv"))
    told = waits(world, "in/b1/a.csv")["waits"]
    assert told.startswith("waiting for b.csv; and rule score is paused by ada")


def test_what_will_be_skipped_is_skipped_in_a_pause_too() -> None:
    world = paused()
    old = T0 - DEFAULT_RETENTION - timedelta(days=2)
    world.deliver(landed("in/b1/a.csv", time=old))
    told = waits(world, "in/b1/a.csv", time=old)
    assert told["waits"] == "for the next look, which would skip it: too-old"
    world.settle()
    assert waits(world, "in/b1/a.csv", time=old)["state"] == "skipped"


def test_what_other_rules_made_of_an_event_is_not_denied() -> None:
    world = World()
    world.deliver(landed("in/b1/a.csv"))
    world.restart(RULES.replace("lake/in/", "lake/out/"))
    assert len(world.reactions()) == 1
    told = explained(world).delivered(delivery(landed("in/b1/a.csv")))
    assert told["outcome"] == (
        "no rule waits for it now: were it to come in, it would be counted as unmatched, and nothing be kept"
    )


def test_what_is_not_to_be_replaced_is_not_said_to_be() -> None:
    world = World(rules=RULES + "    limits: {while-running: replace}\n")
    world.deliver(landed("in/b1/a.csv"))
    world.look_when_due(timedelta(minutes=1))
    assert world.states() == ["running"]
    world.restart(world.rules.replace("run-pipeline", "mode: observe\n    run-pipeline"))
    world.deliver(landed("in/b1/b.csv"))
    told = waits(world, "in/b1/b.csv")
    assert told["waits"] == "what was started before the rule was only observed goes on to its end"
    assert world.states() == ["running"]
