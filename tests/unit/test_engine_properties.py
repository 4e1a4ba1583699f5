"""Property: whatever happens, every accepted event ends in exactly one reaction, or skipped with a reason."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shared.ports import RunStatus
from tests.fakes import accept_then_lose, busy, landed, lose
from tests.world import RULES, World

COLLECT = st.sampled_from(
    [
        '{by: "{batch}"}',
        '{by: "{batch}", quiet: 30s, max-wait: 2m}',
        '{by: "{batch}", quiet: 30s, max-wait: 2m, max-events: 3}',
        '{by: "{batch}", all-of: [0.csv, 1.csv], give-up-after: 1h}',
        '{by: "{batch}", all-of: [0.csv, 1.csv], give-up-after: 1h, max-events: 3}',
    ]
)
LIMITS = st.sampled_from(
    [
        "{while-running: coalesce}",
        "{while-running: skip}",
        "{cooldown: 10m}",
        "{cooldown: 10m, while-running: skip}",
        "{concurrency: 1}",
        "{concurrency: 1, resources: [pool], start-rate: 4/h}",
        "{resources: [pool], start-rate: unlimited}",
    ]
)
HOLDING = {"starting", "running"}
BATCHES = st.sampled_from(["b1", "b2", "b3"])
FILES = st.integers(0, 5)
VERSIONS = st.integers(1, 3)


class Deliveries(RuleBasedStateMachine):
    """Deliveries, duplicates, reorderings, crashes, lost answers, failing runs and clock jumps, in any order."""

    @initialize(collect=COLLECT, limits=LIMITS, attempts=st.integers(1, 2))
    def start(self, collect: str, limits: str, attempts: int) -> None:
        rules = RULES.replace('{by: "{batch}"}', collect)
        self.limits = limits
        rules = "resources: {pool: 1}\n" + rules if "pool" in limits else rules
        rules += f"    limits: {limits}\n    timeout: 3h\n"
        rules += f"    retry: {{attempts: {attempts}, backoff: 1m}}\n" if attempts > 1 else ""
        self.world = World(rules=rules)
        self.accepted: set[tuple[str, str]] = set()

    @rule(batch=BATCHES, file=FILES, version=VERSIONS, times=st.integers(1, 3))
    def deliver(self, batch: str, file: int, version: int, times: int) -> None:
        event = landed(f"in/{batch}/{file}.csv", etag=f"0x{version}", time=self.world.clock.now())
        for _ in range(times):
            self.world.survive(lambda: self.world.deliver(event))
        self.accepted.add((event.path, event.etag or ""))

    @rule(calls=st.integers(1, 25), die=st.booleans())
    def next_call_breaks(self, calls: int, die: bool) -> None:
        self.world.break_call(calls, die=die)

    @rule(kind=st.sampled_from(["lose", "accept and lose", "busy", "well"]))
    def the_factory_answers(self, kind: str) -> None:
        handlers = {"lose": lose, "accept and lose": accept_then_lose, "busy": busy, "well": lambda accept: accept()}
        self.world.factory.on_start = handlers[kind]

    @rule(seconds=st.sampled_from([1, 20, 45, 130, 700, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.world.clock.advance(timedelta(seconds=seconds))

    @rule(looks=st.integers(1, 6))
    def looks_are_made(self, looks: int) -> None:
        for _ in range(looks):
            self.world.survive(lambda: self.world.look_when_due(timedelta(0)))

    @rule()
    def the_sweep_runs(self) -> None:
        self.world.survive(self.world.scheduler.sweep)

    @rule(status=st.sampled_from([RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED]))
    def runs_end(self, status: RunStatus) -> None:
        self.world.factory.end_all(status)

    @invariant()
    def a_lane_runs_one_reaction_at_most(self) -> None:
        for partition in self.world.lanes.partitions.values():
            assert sum(not r.final for r in partition.reactions.values()) <= 1

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        if "concurrency" in self.limits or "pool" in self.limits:
            assert sum(str(r.state) in HOLDING for r in self.world.reactions()) <= 1

    @invariant()
    def no_event_is_in_two_places(self) -> None:
        for partition in self.world.lanes.partitions.values():
            for taken in partition.taken.values():
                assert (taken.reaction is None) != (taken.skipped is None)

    @invariant()
    def no_reaction_has_more_than_one_run_going_for_long(self) -> None:
        stamps = Counter(r.stamp for r in self.world.factory.running)
        assert all(n <= 2 for n in stamps.values())

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        world.nothing_breaks()
        world.factory.on_start = lambda accept: accept()
        # Each wake-up that was sent comes in the end: an event may rely on one, where a look has moved the row.
        for key in sorted({key for key, _ in world.wake_ups.sent}):
            world.engine.look(key)
        for _ in range(600):
            world.factory.end_all()
            if not world.look_when_due():
                break
        else:
            raise AssertionError(f"never settled: {world.due.rows}")
        self._everything_is_accounted_for()

    def _everything_is_accounted_for(self) -> None:
        world = self.world
        partitions = world.lanes.partitions.values()
        places: Counter[tuple[str, str]] = Counter()
        waiting = set()
        for partition in partitions:
            for taken in partition.taken.values():
                event = taken.pending.event
                places[event.path, event.etag] += 1
            waiting |= {(e.event.path, e.event.etag) for e in partition.pending.values()}
        assert not waiting
        assert set(places) == self.accepted
        assert all(n == 1 for n in places.values())
        for reaction in world.reactions():
            assert reaction.final
            took = [t for p in partitions for t in p.taken.values() if t.reaction == reaction.seq]
            assert sum(t.pending.key == reaction.key for t in took) == reaction.events
        assert world.permits.held.get("factory:adf", {}) == {}
        # What a dead process left behind is found by whoever wants it next: nobody does.
        final = {reaction.id for reaction in world.reactions() if reaction.final}
        assert all(held.keys() <= final for held in world.permits.held.values())
        assert all(waiter.name in final for queue in world.permits.queues.values() for waiter in queue.values())
        assert world.factory.running == []
        succeeded = [r for r in world.reactions() if str(r.state) == "succeeded"]
        stamps = Counter(s.run.stamp for s in world.factory.started if s.run.status is RunStatus.SUCCEEDED)
        assert all(stamps[r.id, str(r.attempt)] >= 1 for r in succeeded)


Deliveries.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestDeliveries = Deliveries.TestCase
