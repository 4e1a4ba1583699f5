"""The stories in which faults are played: files that start pipelines and jobs, and the sweep."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from local.progress import ByHand, Immediately
from shared.settings import POISON_QUEUE
from tests.faults.playing import Play, Story
from tests.scenarios.stage import RULES as SCORE_RULES
from tests.scenarios.stage import Stage
from tests.scenarios.test_renames import renamed
from tests.scenarios.workspace_jobs import RULES as JOB_RULES
from tests.scenarios.workspace_jobs import Training

PIPELINE_RULES = f"resources: {{pool: 1}}\n{SCORE_RULES}    limits: {{resources: [pool]}}\n"
CREATE_RUN = "adf POST pipelines/{}/createrun"
PUT_JOB = "aml PUT jobs/{}"

TRIES = 5

Make = Callable[..., Stage]


class Landed:
    """A file lands, and a pipeline runs: the base of the stories about files."""

    name = ""
    effect = CREATE_RUN
    ends: tuple[str, ...] = ("succeeded",)
    sends = 1
    rules = SCORE_RULES

    def begin(self, make: Make) -> Stage:
        self.stage = make(rules=self.rules)
        self.event = self.stage.land("in/b1/a.csv")
        return self.stage

    def happen(self, play: Play) -> None:
        play.deliver(self.event)

    def effects(self) -> int:
        return len(self.stage.factory.runs())


class Pipeline(Landed):
    """With a manifest, and a resource of its own."""

    name = "pipeline"
    rules = PIPELINE_RULES


class TooLong(Landed):
    """A run that takes too long is cancelled."""

    name = "too long"
    ends = ("timed-out",)
    rules = SCORE_RULES + "    timeout: 20s\n"

    def begin(self, make: Make) -> Stage:
        stage = super().begin(make)
        stage.factory.progress.set(ByHand(), "score")
        return stage


class Renamed(Landed):
    """The file got its name by a rename."""

    name = "renamed"

    def begin(self, make: Make) -> Stage:
        stage = super().begin(make)
        self.event = renamed(stage, "in/b1/a.csv")
        return stage


class Unwanted(Landed):
    """No rule waits for the file."""

    name = "unwanted"
    ends = ()
    sends = 0

    def begin(self, make: Make) -> Stage:
        stage = super().begin(make)
        self.event = stage.land("elsewhere/a.csv")
        return stage


class JobRuns(Landed):
    """A file lands, and a job of the workspace runs."""

    name = "job"
    effect = PUT_JOB
    rules = JOB_RULES

    def begin(self, make: Make) -> Stage:
        self.stage = make(rules=self.rules, extra_settings={"COMPONENT": f"train_{uuid.uuid4().hex}"})
        self.stage.cloud.machine_learning.reset()
        self.training = Training(self.stage)
        self.training.workspace.progress.set(Immediately(), self.training.component)
        self.event = self.stage.land("in/b1/a.csv")
        return self.stage

    def effects(self) -> int:
        return len(self.training.jobs)


class JobTooLong(JobRuns):
    """A job that takes too long is cancelled."""

    name = "job too long"
    ends = ("timed-out",)
    rules = JOB_RULES + "    timeout: 20s\n"

    def begin(self, make: Make) -> Stage:
        stage = super().begin(make)
        self.training.workspace.progress.set(ByHand(), self.training.component)
        return stage


class Poisoned(Landed):
    """A wake-up was poisoned: the sweep makes its key due again, and the message is gone."""

    name = "poisoned"
    ends = ()
    sends = 0

    def begin(self, make: Make) -> Stage:
        self.stage = make()
        with self._queue() as poison:
            poison.send_message(json.dumps({"look": f"factory:{self.stage.factory_name}"}))
        return self.stage

    def _queue(self) -> QueueClient:
        address, coded = self.stage.account.queue, TextBase64EncodePolicy()
        return QueueClient(
            address, POISON_QUEUE, credential=self.stage.credential, message_encode_policy=coded, retry_total=0
        )

    def happen(self, play: Play) -> None:
        for _ in range(TRIES):
            if play.survive(self.stage.sweep):
                return

    def effects(self) -> int:
        """1 if nothing is left of it: neither the message nor a look that is due."""
        with self._queue() as poison:
            return int(poison.get_queue_properties().approximate_message_count == 0)


_ALL: tuple[type[Any], ...] = (Pipeline, TooLong, Renamed, Unwanted, JobRuns, JobTooLong, Poisoned)
STORIES: Mapping[str, Callable[[], Story]] = {story.name: story for story in _ALL}
