"""A cancelled reaction ends, whatever it is doing, and what it has started outside ends with it."""

from __future__ import annotations

import pytest

from shared.acts import Request
from shared.cancelling import Cancelling
from shared.errors import InDoubt, NotPossible, NotThere, TargetBusy, TargetRefused, TargetUnavailable
from shared.ports import RunStatus
from shared.reactions import Phase, Reaction
from tests.endpoint import D1, D2, candidate, failing, in_phase, standing, with_live
from tests.endpoint import RULES as ROLLOUT_RULES
from tests.fakes import landed
from tests.world import RULES, World

KEPT = ROLLOUT_RULES.replace("keep-previous: 10s", "keep-previous: 5m")
RETRIED = RULES + "    retry: {attempts: 3, backoff: 1m}\n"
REQUEST = Request(id="request-1", by="ada@example.com", reason="wrong file")


def cancel(world: World, request: Request = REQUEST) -> Reaction:
    [*_, reaction] = world.reactions()
    Cancelling(lanes=world.lanes, scheduler=world.scheduler, clock=world.clock).cancel(reaction.id, request)
    return reaction


def told(world: World) -> list[str]:
    [*_, reaction] = world.reactions()
    return [entry.reason for entry in world.lanes.history(reaction.id)]


def running() -> World:
    world = World(rules=RETRIED)
    world.deliver(landed("in/b1/a.csv"))
    assert world.states() == ["running"]
    return world


def test_a_run_is_cancelled_in_the_factory_and_its_permit_is_let_go() -> None:
    world = running()
    cancel(world)
    world.look_when_due()
    assert world.states() == ["cancelled"]
    assert world.factory.cancelled == ["run-1"]
    assert told(world)[-2:] == [
        "ada@example.com: cancelled: wrong file",
        "cancelled by ada@example.com: wrong file; run run-1 cancelled",
    ]
    assert world.permits.held["factory:adf"] == {}


def test_asked_twice_by_two_the_first_is_told_and_one_line_written() -> None:
    world = running()
    cancel(world)
    cancel(world, Request(id="request-2", by="bob@example.com", reason="me too"))
    world.settle()
    assert sum("cancelled:" in line for line in told(world)) == 1
    assert world.factory.cancelled == ["run-1"]


def test_a_run_that_had_ended_by_then_ends_as_it_ended() -> None:
    world = running()
    world.factory.end("run-1")
    cancel(world)
    world.settle()
    assert (world.states(), world.factory.cancelled) == (["succeeded"], [])


def test_a_run_that_had_failed_by_then_gets_no_other_attempt() -> None:
    world = running()
    world.factory.end("run-1", RunStatus.FAILED, "no luck")
    cancel(world)
    world.settle()
    assert (world.states(), len(world.factory.started)) == (["cancelled"], 1)


@pytest.mark.parametrize("error", [TargetBusy("429"), TargetUnavailable("503")])
def test_a_factory_that_cannot_be_asked_is_asked_again(error: Exception) -> None:
    world = running()
    world.factory.on_cancel = [error]
    cancel(world)
    world.look_when_due()
    assert world.states() == ["running"]
    world.settle()
    assert (world.states(), world.factory.cancelled) == (["cancelled"], ["run-1"])


def test_a_factory_that_refuses_is_told_of() -> None:
    world = running()
    world.factory.on_cancel = [TargetRefused("409 no")]
    cancel(world)
    world.settle()
    assert world.states() == ["cancelled"]
    assert told(world)[-1].endswith("run run-1 not cancelled, the factory refused: 409 no")


def test_a_start_in_doubt_of_which_the_factory_refuses_to_tell_is_ended_all_the_same() -> None:
    world = World()

    def lost(_accept: object) -> str:
        raise InDoubt("no answer")

    def refused() -> None:
        raise TargetRefused("403 Forbidden", status=403)

    world.factory.on_start = lost
    world.factory.on_query = refused
    world.deliver(landed("in/b1/a.csv"))
    cancel(world)
    for _ in range(30):
        world.look_when_due()
    assert (world.states(), world.permits.held["factory:adf"]) == (["cancelled"], {})
    assert told(world)[-1].endswith("it is unclear whether a run was started: 403 Forbidden")


def test_a_start_in_doubt_is_settled_first_and_never_sent_again() -> None:
    world = World()

    def lost(_accept: object) -> str:
        raise InDoubt("no answer")

    world.factory.on_start = lost
    world.deliver(landed("in/b1/a.csv"))
    assert world.states() == ["starting"]
    cancel(world)
    assert world.states() == ["starting"]
    world.factory.on_start = lambda accept: accept()
    world.settle()
    assert (world.states(), world.factory.started) == (["cancelled"], [])


def test_a_start_that_turns_out_to_have_happened_is_cancelled() -> None:
    world = World()

    def unheard(accept: object) -> str:
        accept()  # type: ignore[operator]
        raise InDoubt("no answer")

    world.factory.on_start = unheard
    world.deliver(landed("in/b1/a.csv"))
    cancel(world)
    world.settle()
    assert (world.states(), world.factory.cancelled) == (["cancelled"], ["run-1"])


def test_what_has_ended_stays_as_it_is() -> None:
    world = running()
    world.factory.end("run-1")
    world.settle()
    with pytest.raises(NotPossible, match="is succeeded since"):
        cancel(world)
    with pytest.raises(NotThere):
        Cancelling(lanes=world.lanes, scheduler=world.scheduler, clock=world.clock).cancel("nonsense", REQUEST)


# --- rollouts ---------------------------------------------------------------------------------------------------------


def rolling(phase: Phase, hook: str = "") -> World:
    """A rollout that has come as far as that; the call named fails once."""
    world = with_live(KEPT)
    world.workspace.hooks[hook] = failing(1, TargetBusy("409"))
    candidate(world)
    while not in_phase(world, phase):
        assert world.look_when_due()
    return world


@pytest.mark.parametrize("phase", [Phase.CREATING, Phase.TRAFFIC])
def test_a_rollout_that_has_taken_nothing_live_is_taken_back(phase: Phase) -> None:
    world = rolling(phase, hook="set traffic")
    cancel(world)
    world.look_when_due()
    assert world.reactions()[-1].phase in {Phase.REMOVING, None}
    world.settle()
    assert str(world.reactions()[-1].state) == "cancelled"
    assert standing(world) == ([D1], {D1: 100})
    assert "production was not touched" in told(world)[-1]
    assert world.permits.held["endpoint:ep1"] == {}


def test_a_rollout_whose_traffic_is_moving_goes_on() -> None:
    world = rolling(Phase.TRAFFIC)
    world.workspace.traffic["ep1"] = {D2: 100}
    cancel(world)
    world.settle()
    assert str(world.reactions()[-1].state) == "succeeded"
    assert standing(world) == ([D2], {D2: 100})


def test_a_model_that_is_live_is_not_cancelled() -> None:
    world = rolling(Phase.RETIRING)
    with pytest.raises(NotPossible, match="has taken its model live"):
        cancel(world)


def test_a_deployment_that_may_have_been_asked_for_is_waited_for_then_removed() -> None:
    world = with_live(KEPT)
    world.workspace.after["create deployment"] = failing(1, InDoubt("no answer"))
    candidate(world)
    assert world.states()[-1] == "starting"
    cancel(world)
    at = world.reactions()[-1].next_look
    world.look_when_due()  # at once: but another process may still be sending the start
    assert (world.reactions()[-1].next_look, world.states()[-1]) == (at, "starting")

    world.settle()
    assert (world.states()[-1], standing(world)[0]) == ("cancelled", [D1])
