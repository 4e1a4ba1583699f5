"""The hourly lists: what nobody told of is taken in once, what is old is no news, and an idle hour costs little."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared.errors import StorageUnavailable, TargetBusy, TargetRefused, TargetUnavailable
from shared.models import BreachedRun, ModelRef
from shared.sources import AGAIN, AT_MOST, EVERY, Sources
from tests.fakes import T0, WORKSPACE, breached, registered
from tests.world import World

RULES = """\
version: 1
reactions:
  note:
    when: {model-registered: {model: "clf-*", tags: {stage: candidate}}}
    collect: {by: "{model}"}
    run-pipeline: score
    with: {batch: "{version}"}
  retrain:
    when: {drift-detected: {monitor: "diabetes-{batch}", signals: [data_drift]}}
    collect: {by: "{batch}"}
    run-pipeline: score
    with: {batch: "{batch}"}
"""
FILES_ONLY = """\
version: 1
reactions:
  score:
    when: {file-landed: {path: "lake/in/*.csv"}}
    run-pipeline: score
    with: {batch: "all"}
"""
HOUR = timedelta(hours=1)
TEXT = "The signal '{}' has failed due to one or more features violating metric thresholds.\n"


class Desk(World):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.lists()

    def lists(self) -> Sources:
        return Sources(
            rules=self.engine._rules,
            workspace=self.workspace,
            workspace_id=WORKSPACE,
            permits=self.permits,
            intake=self.intake,
            clock=self.clock,
        )

    def register(self, version: str, at: datetime, name: str = "clf-a", stage: str = "candidate") -> None:
        made = self.workspace.register(name, version, at)
        self.workspace.models[made.ref] = replace(made, tags={"stage": stage})

    def breach(self, run: str, at: datetime, monitor: str = "diabetes-clinic", signal: str = "data_drift") -> None:
        self.workspace.breached.append(BreachedRun(id=run, experiment=monitor, ended=at, text=TEXT.format(signal)))

    def hour(self) -> None:
        self.clock.advance(EVERY)

    def batches(self) -> list[tuple[str, int]]:
        """The lanes' keys, and how many events each reaction took."""
        taken = [t for p in self.lanes.partitions.values() for t in p.taken.values()]
        return [(r.key, sum((t.pending.key, t.reaction) == (r.key, r.seq) for t in taken)) for r in self.reactions()]

    def end(self) -> None:
        """Every run ends, and what follows from that happens."""
        self.factory.end_all()
        while self.look_when_due(timedelta(minutes=20)):
            self.factory.end_all()


def desk() -> Desk:
    return Desk(rules=RULES)


def reports(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, object]]:
    found = [r.message for r in caplog.records if r.message.startswith(f"{name} ")]
    return [json.loads(message.partition(" ")[2]) for message in found]


def test_a_model_that_nobody_told_of_is_found(caplog: pytest.LogCaptureFixture) -> None:
    at = desk()
    at.register("1", T0 - timedelta(minutes=10))
    assert at.lists().models() == T0 + EVERY
    assert at.batches() == [("clf-a", 1)]
    assert reports(caplog, "source_found") == [{"source": "models", "events": 1, "first": ["listed:models/clf-a:1"]}]


def test_a_breach_that_nobody_told_of_is_found() -> None:
    at = desk()
    at.breach("run-1", T0 - timedelta(minutes=10))
    assert at.lists().monitors() == T0 + EVERY
    assert at.batches() == [("clinic", 1)]


@pytest.mark.parametrize("found_first", [True, False], ids=["found, then delivered", "delivered, then found"])
def test_found_and_delivered_is_once(found_first: bool) -> None:
    at = desk()
    at.register("1", T0)
    at.breach("run-1", T0)
    steps: list[Callable[[], object]] = [
        lambda: (at.lists().models(), at.lists().monitors()),
        lambda: at.deliver(registered("clf-a", "1"), breached("diabetes-clinic", "run-1")),
    ]
    for step in steps if found_first else reversed(steps):
        step()
        at.end()
    at.lists().models()
    at.end()
    assert sorted(at.batches()) == [("clf-a", 1), ("clinic", 1)]
    assert at.recent.counts == {}


def test_what_was_there_an_hour_before_the_first_look_is_no_news() -> None:
    at = desk()
    at.register("1", T0 - HOUR - timedelta(seconds=1))
    at.breach("run-1", T0 - HOUR - timedelta(seconds=1))
    for _ in range(3):
        at.lists().models()
        at.lists().monitors()
        at.hour()
    assert at.batches() == []


def test_a_monitor_that_began_long_ago_and_breaches_now_is_found() -> None:
    at = desk()
    at.lists().monitors()
    at.hour()
    at.breach("run-1", T0 + timedelta(minutes=50))
    at.workspace.began["run-1"] = T0 - timedelta(hours=20)
    at.lists().monitors()
    assert at.batches() == [("clinic", 1)]


def test_a_breach_of_a_job_that_tells_only_when_it_began_is_found() -> None:
    at = desk()
    at.lists().monitors()
    at.hour()
    at.breach("run-1", T0 - timedelta(hours=20))
    at.workspace.breached[0] = replace(at.workspace.breached[0], end_told=False)
    at.lists().monitors()
    at.lists().monitors()
    assert at.batches() == [("clinic", 1)]


def test_after_days_of_silence_what_came_meanwhile_is_found() -> None:
    at = desk()
    at.lists().models()
    at.lists().monitors()
    at.clock.advance(timedelta(days=3))
    at.register("1", T0 + timedelta(hours=5))
    at.breach("run-1", T0 + timedelta(hours=5))
    at.lists().models()
    at.lists().monitors()
    assert sorted(at.batches()) == [("clf-a", 1), ("clinic", 1)]


def test_what_is_listed_late_is_found_by_the_overlap() -> None:
    at = desk()
    at.lists().models()
    at.register("1", T0 - timedelta(minutes=61))
    at.register("2", T0 - timedelta(minutes=59))
    at.hour()
    at.lists().models()
    assert at.batches() == [("clf-a", 1)]
    assert [e.event.version for p in at.lanes.partitions.values() for t in p.taken.values() for e in [t.pending]] == [
        "2"
    ]


def test_what_no_rule_waits_for_is_passed_over_without_a_record() -> None:
    at = desk()
    at.register("1", T0, name="other")
    at.register("1", T0, stage="draft")
    at.breach("run-1", T0, monitor="churn")
    at.breach("run-2", T0, signal="data_quality")
    at.lists().models()
    at.lists().monitors()
    assert (at.batches(), at.recent.counts) == ([], {})


def test_what_one_of_two_rules_has_not_had_yet_is_taken_in_for_it() -> None:
    at = desk()
    at.register("1", T0)
    at.lists().models()
    at.restart(RULES + RULES.partition("reactions:\n")[2].partition("  retrain:")[0].replace("note:", "second:"))
    at.lists().models()
    at.lists().models()
    assert sorted(r.rule for r in at.reactions()) == ["note", "second"]


def test_without_a_rule_for_it_nothing_is_listed() -> None:
    at = Desk(rules=FILES_ONLY)
    at.register("1", T0)
    assert at.lists().models() is None
    assert at.lists().monitors() is None
    assert at.storage.calls == 0


@pytest.mark.parametrize(
    "error", [TargetUnavailable("down"), TargetBusy("429"), TargetRefused("403 no role", status=403)]
)
def test_a_workspace_that_does_not_answer_is_asked_again_and_nothing_is_passed_over(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    at = desk()
    at.lists().models()
    at.clock.advance(timedelta(hours=5))
    at.register("1", T0 + timedelta(minutes=30))

    def fail() -> None:
        raise error

    at.workspace.hooks["list models"] = fail
    assert at.lists().models() == at.clock.now() + AGAIN
    [told] = reports(caplog, "source_not_listed")
    assert told["source"] == "models"
    assert {r.levelno for r in caplog.records if r.message.startswith("source_not_listed")} == {
        logging.ERROR if isinstance(error, TargetRefused) else logging.WARNING
    }
    at.workspace.hooks.clear()
    at.clock.advance(AGAIN)
    at.lists().models()
    assert at.batches() == [("clf-a", 1)]


@pytest.mark.parametrize("die", [True, False], ids=["process dies", "storage fails"])
@pytest.mark.parametrize("models", [1, 3])
def test_a_process_that_dies_in_the_middle_loses_none(die: bool, models: int) -> None:
    for call in range(1, 60):
        at = desk()
        at.lists().models()
        at.hour()
        for n in range(models):
            at.register(str(n), T0 + timedelta(minutes=30 + n))
        at.break_call(call, die=die)
        at.survive(lambda at=at: at.lists().models())
        at.nothing_breaks()
        at.end()
        assert sum(count for _, count in at.batches()) == models, f"call {call} failed"
        assert set(at.states()) == {"succeeded"}, f"after call {call} nobody saw to what was taken"


def test_many_new_models_are_taken_in_over_several_looks() -> None:
    at = Desk(rules=RULES, inline=False)
    at.lists().models()
    at.clock.advance(timedelta(days=3))
    for n in range(AT_MOST + 5):
        at.register(str(n), T0 + timedelta(minutes=n))
    assert at.lists().models() == at.clock.now()
    pending = [e for p in at.lanes.partitions.values() for e in p.pending]
    assert len(pending) == AT_MOST
    assert at.lists().models() == at.clock.now() + EVERY
    at.end()
    assert sum(count for _, count in at.batches()) == AT_MOST + 5


def test_an_idle_hour_is_cheap() -> None:
    at = desk()
    at.register("1", T0)
    at.lists().models()
    at.end()
    before = at.storage.calls
    at.lists().models()
    # its head twice, the list (none of storage's), whether the one that is there is known, and its lane at rest
    assert at.storage.calls - before == 5
    before = at.storage.calls
    at.clock.advance(2 * EVERY)
    at.lists().models()
    at.hour()
    at.lists().models()
    assert at.storage.calls - before == 2 * 3 + 2


def test_storage_that_is_down_leaves_the_list_where_it_was() -> None:
    at = desk()
    at.lists().models()
    at.hour()
    at.register("1", T0 + timedelta(minutes=1))
    at.break_call(3, die=False)
    with pytest.raises(StorageUnavailable):
        at.lists().models()
    at.nothing_breaks()
    assert at.permits.read("source:models").cursor == T0
    at.lists().models()
    assert at.batches() == [("clf-a", 1)]
    assert ModelRef(name="clf-a", version="1") in at.workspace.models
