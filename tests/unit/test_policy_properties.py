"""Property: however policies are, change, pause and go on, no event is lost, merged or doubled."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from shared import chains
from shared.controls import Pause
from shared.reactions import PipelineAction, Reaction
from tests.fakes import T0, FakeLanes
from tests.unit.test_engine_properties import BATCHES, FILES, Deliveries
from tests.world import RULES, World

EACH = '{by: "{batch}"}'
COLLECT = st.sampled_from(
    [
        EACH,
        '{by: "{batch}", quiet: 30s, max-wait: 2m}',
        '{by: "{batch}", quiet: 30s, max-wait: 2m, max-events: 3}',
        '{by: "{batch}", all-of: [0.csv, 1.csv], give-up-after: 1h}',
        '{by: "{batch}", all-of: [0.csv, 1.csv], give-up-after: 1h, max-events: 3}',
        '{by: "{batch}", until: "*/10 * * * *"}',
        '{by: "{batch}", until: "*/10 * * * *", max-events: 3}',
    ]
)
LIMITS = [
    "{while-running: coalesce}",
    "{cooldown: 10m, during-cooldown: skip}",
    "{while-running: queue}",
    "{while-running: queue, cooldown: 10m}",
    "{while-running: replace}",
    "{while-running: replace, cooldown: 10m, during-cooldown: skip}",
]
QUEUES = [limits for limits in LIMITS if "queue" in limits]
REPLACES = [limits for limits in LIMITS if "replace" in limits]
PAUSE = Pause(by="ann", at=T0, reason="a while")
STOPPABLE = st.sampled_from(["score", None])


class Policies(Deliveries):
    """As Deliveries, with people who stop and change the rule."""

    @initialize(
        collect=COLLECT, among=st.sampled_from([REPLACES, QUEUES, LIMITS]), attempts=st.integers(1, 2), data=st.data()
    )
    def start(self, collect: str, among: list[str], attempts: int, data: st.DataObject) -> None:  # type: ignore[override]
        self.limits = ""
        self.collect, self.among, self.attempts = collect, among, attempts
        self.world = World(rules=self._rules(data.draw(st.sampled_from(among))))
        self.accepted: set[tuple[str, str]] = set()

    def _rules(self, limits: str) -> str:
        rules = RULES.replace(EACH, self.collect).replace('batch: "{batch}"}', 'batch: "{count}", files: "{manifest}"}')
        rules += f"    limits: {limits}\n    timeout: 3h\n"
        return rules + (f"    retry: {{attempts: {self.attempts}, backoff: 1m}}\n" if self.attempts > 1 else "")

    @rule(batch=BATCHES, files=st.lists(FILES, min_size=2, max_size=4), seconds=st.sampled_from([1, 40, 130]))
    def files_follow_each_other(self, batch: str, files: list[int], seconds: int) -> None:
        for file in files:
            self.deliver(batch, file, 9, 1)
            self.time_passes(seconds)
            self.looks_are_made(2)

    @rule(what=STOPPABLE)
    def somebody_pauses(self, what: str | None) -> None:
        self.world.survive(lambda: self.world.controls.pause(what, PAUSE))

    @rule(what=STOPPABLE)
    def somebody_resumes(self, what: str | None) -> None:
        self.world.survive(lambda: self.world.controls.resume(what))
        self.world.survive(lambda: self.world.upkeep.make_due("resume"))

    @rule(data=st.data())
    def the_rule_changes(self, data: st.DataObject) -> None:
        self.world.clock.advance(timedelta(seconds=1))
        limits = data.draw(st.sampled_from(self.among))
        self.world.restart(rules=self._rules(limits), modified=self.world.clock.now())

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.nothing_breaks()
            self.world.controls.pauses.clear()
            self.world.upkeep.make_due("resume")
        super().teardown()

    def _everything_is_accounted_for(self) -> None:
        super()._everything_is_accounted_for()
        for lane, partition in self.world.lanes.partitions.items():
            self._whoever_gave_way_has_a_successor(partition.reactions)
            if self.among is QUEUES and "all-of" not in self.collect:
                self._in_order(self.world.lanes, lane)

    def _whoever_gave_way_has_a_successor(self, reactions: Mapping[int, Reaction]) -> None:
        """And each has the events of all whose place it took in its manifest and its count."""
        lanes = self.world.lanes
        followed = sorted(r.replaces for r in reactions.values() if r.replaces is not None)
        assert followed == sorted(r.seq for r in reactions.values() if str(r.state) == "superseded")
        for reaction in reactions.values():
            whole = [taken.pending.id for taken in chains.events_of(lanes, reaction)]
            assert isinstance(reaction.action, PipelineAction)
            assert reaction.action.parameters["batch"] == str(len(whole))
            if reaction.manifest_written:
                assert [taken.pending.id for taken in self.world.manifests.written[reaction.id]] == whole

    def _in_order(self, lanes: FakeLanes, lane: str) -> None:
        """Batches of a queue are neither merged nor overtaken."""
        partition = lanes.partitions[lane]
        took = [
            [taken.pending.accepted for taken in partition.taken.values() if taken.reaction == seq]
            for seq in sorted(partition.reactions)
        ]
        assert all(max(before) <= min(after) for before, after in itertools.pairwise(took))
        if self.collect == EACH:
            assert all(len(batch) == 1 for batch in took)


Policies.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestPolicies = Policies.TestCase
