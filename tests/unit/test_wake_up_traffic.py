"""The product driven by its wake-ups alone, as in Azure: nothing waits for the sweep, and wake-ups do not multiply."""

from __future__ import annotations

import heapq
import itertools
import math
from datetime import datetime, timedelta

import pytest

from shared.looks import SWEEP_EVERY
from tests.fakes import T0, landed
from tests.world import RULES, World

MINUTE = timedelta(minutes=1)
WINDOW = RULES.replace('{by: "{batch}"}', '{by: "{batch}", quiet: 5s, max-wait: 2m}')


class Traffic:
    """A queue: messages become visible after whole seconds, `skew` early. Those visible together are looked at at once.

    At once: each look has read the due row before any of them writes it.
    """

    def __init__(self, world: World, skew: timedelta = timedelta()) -> None:
        self.world, self.skew = world, skew
        self.messages: list[tuple[datetime, int, str]] = []
        self.looks: list[datetime] = []
        self._numbers = itertools.count()
        self._next_sweep = T0 + SWEEP_EVERY

    def _collect(self) -> None:
        for key, delay in self.world.wake_ups.sent:
            visible = (
                self.world.clock.now() + timedelta(seconds=math.ceil(delay)) - (self.skew if delay else timedelta())
            )
            heapq.heappush(self.messages, (visible, next(self._numbers), key))
        self.world.wake_ups.sent.clear()

    def run(self, until: datetime, *, sweeps: bool = True) -> None:
        self._collect()
        while True:
            sweep_first = sweeps and (not self.messages or self._next_sweep <= self.messages[0][0])
            at = self._next_sweep if sweep_first else self.messages[0][0] if self.messages else None
            if at is None or at > until:
                self.world.clock.advance_to(until)
                return
            self.world.clock.advance_to(at)
            if sweep_first:
                self._next_sweep += SWEEP_EVERY
                self.world.scheduler.sweep()
            else:
                self._look_together()
            self._collect()

    def _look_together(self) -> None:
        together = []
        while self.messages and self.messages[0][0] <= self.world.clock.now() + timedelta(milliseconds=500):
            together.append(heapq.heappop(self.messages)[2])
        read_before = {key: self.world.due.rows.get(key) for key in together}
        for key in together:
            self.looks.append(self.world.clock.now())
            self.world.due.next_get = {key: read_before[key]}
            self.world.engine.look(key)


@pytest.mark.parametrize("skew", [0.0, 0.4, 1.5])
@pytest.mark.parametrize("apart", [0.01, 0.31, 1.7])
def test_a_burst_is_over_soon_after_it_is_quiet_without_any_sweep(skew: float, apart: float) -> None:
    world = World(rules=WINDOW, inline=False)
    traffic = Traffic(world, timedelta(seconds=skew))
    for number in range(40):
        world.deliver(landed(f"in/b1/{number}.csv", time=world.clock.now()))
        traffic.run(world.clock.now() + timedelta(seconds=apart), sweeps=False)
    last = world.clock.now()
    traffic.run(last + timedelta(seconds=12), sweeps=False)
    assert [r.events for r in world.reactions()] == [40]
    assert world.reactions()[0].created - last <= timedelta(seconds=10)


@pytest.mark.parametrize("skew", [0.0, 0.4, 1.5])
def test_a_run_of_a_day_is_looked_at_once_a_minute_to_its_end(skew: float) -> None:
    world = World(rules=RULES + "    timeout: 30h\n")
    traffic = Traffic(world, timedelta(seconds=skew))
    world.deliver(landed("in/b1/a.csv"))
    for _ in range(3):  # wake-ups that somebody sent besides: they must die out, not settle
        world.wake_ups.send("factory:adf", 5)
    traffic.run(T0 + timedelta(hours=24))
    hours = [
        sum(T0 + timedelta(hours=h) < at <= T0 + timedelta(hours=h + 1) for at in traffic.looks) for h in range(24)
    ]
    most = 130 if skew else 75  # with a clock that is ahead, every look is preceded by one that finds nothing due yet
    assert 55 <= hours[23] <= most
    assert hours[23] <= hours[2] + 5
    world.factory.end_all()
    traffic.run(T0 + timedelta(hours=24, minutes=2))
    assert world.states() == ["succeeded"]
