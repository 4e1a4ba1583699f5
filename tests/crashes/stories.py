"""The stories that are told with deaths."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

from local.event_grid import topic_id
from local.progress import Immediately, Outcome
from shared.cloud.storage import MOST_OPERATIONS
from shared.notifications import Kind
from shared.reactions import State
from tests.crashes.matrix import (
    SWEEP,
    Case,
    Death,
    DryRun,
    Lot,
    Story,
    assert_started,
    new_factory,
    reactions,
    started,
    the_manifest,
    the_reaction,
)
from tests.scenarios.lost import RULES as LOST
from tests.scenarios.lost import SEE, Workspace
from tests.scenarios.serving import BETTER, Serving, breaches
from tests.scenarios.serving import RULES as DEPLOY
from tests.scenarios.stage import RULES as SCORE
from tests.scenarios.test_notify import RULES as TELL
from tests.scenarios.workspace_jobs import Training


class LoneFile(Story):
    """One file, one run, with all that a start may need: a manifest and permits of rule, factory and resource."""

    name = "a lone file"
    rules = f"resources: {{spark-pool: 1}}\n{SCORE}    limits: {{concurrency: 1, resources: [spark-pool]}}\n"

    def begin(self, lot: Lot, unique: str) -> Case:
        event = lot.stage.land(f"in/{unique}/a.csv")
        return Case(unique=unique, factory=new_factory(lot, unique), now=datetime.now(UTC), events=[event])

    def next_event(self, lot: Lot, case: Case) -> str:
        return lot.stage.land(f"in/{case.unique}-next/a.csv")

    def check_death(self, lot: Lot, case: Case, death: Death) -> None:
        if death.call.endswith("/createRun"):
            [reaction] = reactions(lot)
            assert (reaction.state, reaction.run_id) == (State.STARTING, None)
            assert len(started(lot, case)) == (1 if death.made else 0)

    def check(self, lot: Lot, case: Case, death: Death | None) -> None:
        reaction = the_reaction(lot, State.SUCCEEDED, 1)
        assert_started(lot, case, reaction)
        [event] = the_manifest(lot, reaction)
        assert event["path"] == f"in/{case.unique}/a.csv"
        if death is not None and death.call.endswith("/createRun"):
            told = "adopted" if death.made else "sending the start again"
            assert any(told in entry.reason for entry in lot.ground.lanes.history(reaction.id))


class HiddenRun(LoneFile):
    """The same, and the factory's list does not show the run the first times it is asked."""

    name = "a lone file whose run is hidden at first"

    def begin(self, lot: Lot, unique: str) -> Case:
        case = super().begin(lot, unique)
        case.factory.hide(polls=2)
        return case

    def moments(self, dry: DryRun) -> Iterable[int]:
        """Around the start: before and after that it is the story of a lone file."""
        start = dry.first("/createRun")
        return 2 * start - 1, 2 * start


class Burst(Story):
    """More files than one transaction takes are gathered, and one run gets them all."""

    name = "a burst"
    before = MOST_OPERATIONS // 2 - 1
    """So many were delivered before the story begins: a delivery is like any other. Moving one takes two operations."""
    rules = """\
version: 1
reactions:
  score:
    when: {file-landed: {path: "lake/in/{batch}/*.csv"}}
    collect: {by: "{batch}", quiet: 30s}
    run-pipeline: score
    with: {batch: "{batch}", files: "{manifest}"}
"""

    def __init__(self) -> None:
        self._first: Case | None = None
        self._lock = threading.Lock()

    def begin(self, lot: Lot, unique: str) -> Case:
        with self._lock:
            if self._first is None:
                self._first = self._gathered(lot, unique)
            return replace(self._first, unique=unique, factory=new_factory(lot, unique))

    def _gathered(self, lot: Lot, unique: str) -> Case:
        """What is there when the last two files land."""
        events = [lot.stage.land(f"in/b1/{number:02}.csv") for number in range(self.before + 2)]
        lake = {"RELEARN_LAKE_BLOB_SERVICE_URIS": lot.stage.lake.blob}
        case = Case(
            unique=unique, factory=new_factory(lot, unique), now=datetime.now(UTC), events=events[-2:], settings=lake
        )
        process = lot.process(case, case.now)
        for event in events[:-2]:
            process.deliver(event, case.now)
        process.end()
        return replace(case, rows=lot.ground.all_rows())

    def moments(self, dry: DryRun) -> Iterable[int]:
        """Until the run is started. From then on it is the story of a lone file."""
        start = dry.first("/createRun")
        return range(1, 2 * start + 1)

    def check(self, lot: Lot, case: Case, death: Death | None) -> None:
        reaction = the_reaction(lot, State.SUCCEEDED, self.before + 2)
        assert_started(lot, case, reaction)
        paths = [event["path"] for event in the_manifest(lot, reaction)]
        assert sorted(paths) == [f"in/b1/{number:02}.csv" for number in range(self.before + 2)]


class FailingRun(Story):
    """The run of the first attempt fails, that of the second does not."""

    name = "a run that fails and is tried again"
    rules = SCORE + "    retry: {attempts: 2, backoff: 10s}\n"

    def begin(self, lot: Lot, unique: str) -> Case:
        factory = new_factory(lot, unique)
        factory.progress.once(Immediately(Outcome.FAILED, "by hand"))
        event = lot.stage.land(f"in/{unique}/a.csv")
        return Case(unique=unique, factory=factory, now=datetime.now(UTC), events=[event])

    def moments(self, dry: DryRun) -> Iterable[int]:
        """From the call on by which the failure is seen. Until then it is the story of a lone file."""
        return dry.moments(dry.first("/queryPipelineRuns"))

    def check(self, lot: Lot, case: Case, death: Death | None) -> None:
        reaction = the_reaction(lot, State.SUCCEEDED, 1)
        assert_started(lot, case, reaction, attempts=2)
        assert len(the_manifest(lot, reaction)) == 1


class DriftJob(Story):
    """A monitor trips, and a job of the workspace is put under our name."""

    name = "drift, and a job"
    rules = """\
version: 1
reactions:
  retrain:
    when: {drift-detected: {monitor: "diabetes-{batch}", signals: [data_drift]}}
    collect: {by: "{batch}"}
    run-job: {component: "azureml:${COMPONENT}:1", compute: cpu-cluster, experiment: retrain}
    with: {batch: "{batch}"}
"""
    settings: ClassVar[Mapping[str, str]] = {"COMPONENT": "train_crash_matrix"}

    def open(self, lot: Lot) -> None:
        training = Training(lot.stage)
        training.workspace.progress.set(Immediately(), training.component)

    def begin(self, lot: Lot, unique: str) -> Case:
        now = datetime.now(UTC)
        event = breaches(f"diabetes-{unique}", f"run-{unique}", now)[0]
        return Case(unique=unique, factory=new_factory(lot, unique), now=now, events=[event])

    def check_death(self, lot: Lot, case: Case, death: Death) -> None:
        if self._is_start(death):
            [reaction] = reactions(lot)
            assert (reaction.state, reaction.run_id) == (State.STARTING, None)
            assert len(self._jobs(lot, reaction.id)) == (1 if death.made else 0)

    def check(self, lot: Lot, case: Case, death: Death | None) -> None:
        reaction = the_reaction(lot, State.SUCCEEDED, 1)
        assert self._jobs(lot, reaction.id) == [reaction.run_id]
        puts = lot.stage.cloud.machine_learning.requests.writes(f"/jobs/{reaction.run_id}")
        assert [call.status for call in puts] == [201]
        if death is not None and self._is_start(death):
            adopted = [entry for entry in lot.ground.lanes.history(reaction.id) if "adopted" in entry.reason]
            assert bool(adopted) == death.made

    @staticmethod
    def _is_start(death: Death) -> bool:
        return death.call.startswith("PUT ") and "/jobs/" in death.call

    @staticmethod
    def _jobs(lot: Lot, reaction: str) -> list[str]:
        """By name, those that carry the reaction's tag."""
        jobs = lot.stage.cloud.machine_learning.jobs()
        return [job.name for job in jobs if job.submission.tags.get("relearn_reaction") == reaction]


class Rollout(Story):
    """A better model is registered, and goes live."""

    name = "a rollout"
    rules = DEPLOY
    settings: ClassVar[Mapping[str, str]] = {"ENDPOINT": "ep-none", "MODEL": "clf-none"}  # each case has its own
    answer: object = {"result": [0, 1, 0]}
    """What the new model's deployment answers."""
    end = State.SUCCEEDED
    live = "2"

    def begin(self, lot: Lot, unique: str) -> Case:
        names = {"ENDPOINT": f"ep-{unique}", "MODEL": f"clf-{unique}"}
        serving = self._serving(lot, unique)
        serving.already_live("1")
        serving.online.scoring = lambda *_: (200, self.answer, 0.01)
        event = serving.register("2", BETTER)
        now = lot.stage.clock.now()
        return Case(unique=unique, factory=new_factory(lot, unique), now=now, events=[event], settings=names)

    def moments(self, dry: DryRun) -> Iterable[int]:
        return dry.changes()

    def next_event(self, lot: Lot, case: Case) -> str:
        return self._serving(lot, case.unique).register("3", {**BETTER, "live.version": self.live})

    def check(self, lot: Lot, case: Case, death: Death | None) -> None:
        the_reaction(lot, self.end, 1)
        serving = self._serving(lot, case.unique)
        assert serving.standing() == ([self.live], {self.live: 100})
        assert serving.made("2") == 1

    @staticmethod
    def _serving(lot: Lot, unique: str) -> Serving:
        return Serving(lot.stage, endpoint=f"ep-{unique}", model=f"clf-{unique}")


class RolloutBack(Rollout):
    """A model that answers nonsense goes back."""

    name = "a rollout that goes back"
    answer = {"result": "no list"}  # noqa: RUF012 - not changed
    end = State.ROLLED_BACK
    live = "1"

    def moments(self, dry: DryRun) -> Iterable[int]:
        """As of any rollout, from the smoke test on: until then it is the story of one."""
        tested = dry.first("/score")
        return [moment for moment in super().moments(dry) if moment >= 2 * tested]


class LostModel(Story):
    """Nobody told of a model; the sweep has the hour's chores done, and one of them finds it."""

    name = "a model nobody told of"
    rules = LOST
    pipelines = (SEE,)
    settings: ClassVar[Mapping[str, str]] = {"MODEL": "clf-none", "MONITOR": "drift-none"}  # each case has its own
    alone = True  # all models are listed, a page at a time

    def begin(self, lot: Lot, unique: str) -> Case:
        lot.stage.cloud.machine_learning.registry.forget()
        names = {"MODEL": f"clf-{unique}", "MONITOR": f"drift-{unique}"}
        Workspace(lot.stage, names["MODEL"], names["MONITOR"]).register("1")
        factory = new_factory(lot, unique, self.pipelines)
        return Case(unique=unique, factory=factory, now=datetime.now(UTC), events=[SWEEP], settings=names)

    def moments(self, dry: DryRun) -> Iterable[int]:
        return dry.changes()

    def check(self, lot: Lot, case: Case, death: Death | None) -> None:
        assert_started(lot, case, the_reaction(lot, State.SUCCEEDED, 1))


class Refused(Story):
    """An event that no rule waits for is recorded as such, and nothing else."""

    name = "a refused event"
    rules = LoneFile.rules

    def begin(self, lot: Lot, unique: str) -> Case:
        event = lot.stage.land(f"elsewhere/{unique}.csv")
        return Case(unique=unique, factory=new_factory(lot, unique), now=datetime.now(UTC), events=[event])

    def check(self, lot: Lot, case: Case, death: Death | None) -> None:
        assert reactions(lot) == []
        assert lot.ground.rows("lanes") == []
        counts, _ = lot.ground.recent.refused()
        assert list(counts) == ["unmatched"]
        # It is counted as often as it was delivered: a figure for people, on which nothing depends.
        assert counts["unmatched"] == 1 or (death is not None and counts["unmatched"] == 2)


class Notice(Story):
    """A rule tells: subscribers are told one thing."""

    name = "a notification"
    rules = TELL

    def begin(self, lot: Lot, unique: str) -> Case:
        topic = {"RELEARN_EVENTS_TOPIC_ENDPOINT": f"{lot.stage.cloud.arm_url}/topics/{unique}/api/events"}
        event = lot.stage.land(f"in/{unique}/a.csv")
        now = datetime.now(UTC)
        return Case(unique=unique, factory=new_factory(lot, unique), now=now, events=[event], settings=topic)

    def check(self, lot: Lot, case: Case, death: Death | None) -> None:
        reaction = the_reaction(lot, State.SUCCEEDED, 1)
        told = [published.event for published in lot.stage.cloud.event_grid.published(topic_id(case.unique))]
        assert {(event.type, event.subject) for event in told} == {(Kind.NOTICE, f"reactions/{reaction.id}")}
        # A second time only where nobody can know whether the first arrived, and always under the same id.
        assert len({event.id for event in told}) == 1
        assert len(told) == 1 or (death is not None and len(told) == 2)
