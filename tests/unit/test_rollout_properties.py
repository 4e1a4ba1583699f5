"""Property: whatever happens around an endpoint, its traffic is whole, and what is live has passed its gate."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shared.errors import InDoubt, TargetBusy, TargetUnavailable
from shared.models import ModelRef
from shared.rollouts.smoke import Answer
from tests.endpoint import ENDPOINT, RULES
from tests.fakes import registered
from tests.world import World

CALLS = st.sampled_from(["get endpoint", "get model", "create deployment", "set traffic", "delete deployment", "score"])
WRITES = frozenset({"create deployment", "set traffic", "delete deployment"})
ACCURACY = st.sampled_from(["0.70", "0.7519", "0.80", "0.85", "0.90", "no number"])


class Registrations(RuleBasedStateMachine):
    """Versions in any order, duplicates, crashes, silent and lost answers, bad models, clock jumps."""

    @initialize(attempts=st.integers(1, 2), keep=st.sampled_from(["10s", "7m"]))
    def start(self, attempts: int, keep: str) -> None:
        rules = RULES.replace("10s", keep) + "    timeout: 30m\n"
        rules += "    retry: {attempts: 2, backoff: 1m}\n" if attempts > 1 else ""
        self.world = World(rules=rules)
        self.workspace = self.world.workspace
        self.workspace.endpoints[ENDPOINT] = {}
        self.live_before: ModelRef | None = None

    @rule(version=st.integers(1, 6), accuracy=ACCURACY, minutes=st.integers(-3, 3), times=st.integers(1, 2))
    def a_version_is_registered(self, version: int, accuracy: str, minutes: int, times: int) -> None:
        """Compared with what is live at this moment, as the training pipeline does."""
        ref = ModelRef(name="clf", version=str(version))
        if ref not in self.workspace.models:
            live = self._live()
            compared = {}
            if live is not None:
                theirs = self.workspace.models[live].properties["Accuracy"]
                compared = {"live__Accuracy": theirs, "live__version": live.version}
            created = self.world.clock.now() + timedelta(minutes=minutes)
            self.workspace.register("clf", ref.version, created, Accuracy=accuracy, **compared)
        event = registered("clf", ref.version, time=self.world.clock.now())
        for _ in range(times):
            self.world.survive(lambda: self.world.deliver(event))

    def _live(self) -> ModelRef | None:
        traffic = self.workspace.traffic.get(ENDPOINT, {})
        there = self.workspace.endpoints[ENDPOINT]
        served = [name for name, share in traffic.items() if share]
        return there[served[0]].deployment.model if served else None

    @rule(calls=st.integers(1, 40), die=st.booleans())
    def next_call_breaks(self, calls: int, die: bool) -> None:
        self.world.break_call(calls, die=die)

    @rule(call=CALLS, busy=st.booleans(), after=st.booleans())
    def the_workspace_has_a_bad_moment(self, call: str, busy: bool, after: bool) -> None:
        def once() -> None:
            hooks.pop(call, None)
            if call in WRITES and not busy:
                raise InDoubt("the connection was reset")
            raise TargetBusy("409") if busy and call != "score" else TargetUnavailable("500")

        hooks = self.workspace.after if after and call in WRITES and not busy else self.workspace.hooks
        hooks[call] = once

    @rule(kind=st.sampled_from(["raises", "silent"]), times=st.integers(1, 3))
    def models_answer_badly(self, kind: str, times: int) -> None:
        raised = Answer(status=424, deployment=None, body="raised", seconds=0.1)
        self.workspace.answers += [raised if kind == "raises" else TargetUnavailable("silent")] * times

    @rule(minutes=st.sampled_from([0, 3, 60]))
    def deployments_take(self, minutes: int) -> None:
        self.workspace.creation = timedelta(minutes=minutes)

    @rule(seconds=st.sampled_from([0, 8, 40]))
    def deployments_are_listed_late(self, seconds: int) -> None:
        self.workspace.lag = timedelta(seconds=seconds)

    @rule(seconds=st.sampled_from([1, 20, 45, 130, 700, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.world.clock.advance(timedelta(seconds=seconds))

    @rule(looks=st.integers(1, 12))
    def looks_are_made(self, looks: int) -> None:
        for _ in range(looks):
            self.world.survive(lambda: self.world.look_when_due(timedelta(minutes=1)))

    @rule()
    def the_sweep_runs(self) -> None:
        self.world.survive(self.world.scheduler.sweep)

    @invariant()
    def the_traffic_is_whole_and_goes_to_what_is_there(self) -> None:
        traffic = self.workspace.traffic.get(ENDPOINT, {})
        assert sum(traffic.values()) in (0, 100)
        there = self.workspace.endpoints[ENDPOINT]
        assert all(name in there and there[name].gone_at is None for name in traffic)

    @invariant()
    def what_goes_live_is_newer_and_better_than_what_was(self) -> None:
        live = self._live()
        if live == self.live_before:
            return
        assert live is not None, "once something is live, something stays live"
        if self.live_before is not None:
            new, old = self.workspace.models[live], self.workspace.models[self.live_before]
            assert new.created > old.created
            assert Decimal(new.properties["Accuracy"]) >= Decimal(old.properties["Accuracy"]) + Decimal("0.002")
        self.live_before = live

    @invariant()
    def there_are_two_deployments_at_most(self) -> None:
        there = [each for each in self.workspace.endpoints[ENDPOINT].values() if each.gone_at is None]
        assert len(there) <= 2

    @invariant()
    def one_rollout_at_a_time(self) -> None:
        assert sum(not reaction.final for reaction in self.world.reactions()) <= 1

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.nothing_breaks()
        self.workspace.hooks.clear()
        self.workspace.after.clear()
        self.workspace.answers.clear()
        self.workspace.creation = timedelta(minutes=1)
        self.world.settle(looks=600)
        self.what_goes_live_is_newer_and_better_than_what_was()
        live = self._live()
        self.workspace.endpoint(ENDPOINT)
        models = [each.deployment.model for each in self.workspace.endpoints[ENDPOINT].values()]
        assert models == ([live] if live is not None else [])
        [*partitions] = self.world.lanes.partitions.values()
        assert all(not partition.pending and not partition.outbox for partition in partitions)
        for partition in partitions:
            assert all((t.reaction is None) != (t.skipped is None) for t in partition.taken.values())
        assert all(reaction.final for reaction in self.world.reactions())


Registrations.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestRegistrations = Registrations.TestCase
