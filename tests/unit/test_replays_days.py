"""A replay by filter: whatever zone its times are told in, and said once more with a later end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.replays import Filter
from tests.fakes import landed
from tests.unit.test_replays import HOUR, WHO, desk, ended, run_down
from tests.world import World


@pytest.mark.parametrize("hours", [-11, -5, 0, 2, 9])
@pytest.mark.parametrize("created", ["2026-11-25T22:45:00", "2026-11-26T00:15:00", "2026-11-26T12:00:00"])
def test_the_days_of_the_list_are_utcs_whatever_the_zone(hours: int, created: str) -> None:
    world = World()
    world.clock.advance_to(datetime.fromisoformat(created).replace(tzinfo=UTC))
    world.deliver(landed("in/b1/a.csv"))
    world.factory.end("run-1")
    world.settle()
    [reaction] = world.reactions()
    for before, after in ((1, 1), (1, 23), (23, 1), (23, 23)):
        zone = timezone(timedelta(hours=hours))
        since, until = reaction.created - before * HOUR, reaction.created + after * HOUR
        wanted = Filter(since=since.astimezone(zone), until=until.astimezone(UTC if before == 1 else zone))
        assert desk(world).page(wanted, None, None)["reactions"] == 1


def test_said_once_more_with_a_later_end_it_does_not_replay_what_it_brought_in() -> None:
    world = ended(2)
    since = world.clock.now() - 20 * HOUR
    assert desk(world).page(Filter(since=since, until=world.clock.now()), None, WHO)["new"] == 2
    run_down(world)
    world.clock.advance(timedelta(minutes=1))
    assert len(world.reactions()) == 4
    again = desk(world).page(Filter(since=since, until=world.clock.now()), None, WHO)
    assert (again["new"], again["reactions"]) == (0, 2)
    run_down(world)
    assert len(world.factory.started) == 4
