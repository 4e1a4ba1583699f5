"""The stories in which faults are played: files that start pipelines and jobs, and the sweep."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from local.event_grid import topic_id
from local.progress import ByHand, Immediately
from shared.dead_letters import CHORE as DEAD_LETTERS
from shared.looks import upkeep_key
from shared.settings import POISON_QUEUE
from shared.sources import MODELS, MONITORS
from tests.faults.playing import Play, Story
from tests.scenarios.lost import RULES as LOST_RULES
from tests.scenarios.lost import SEE, DeadLetters, Workspace
from tests.scenarios.serving import BETTER, Serving
from tests.scenarios.serving import RULES as DEPLOY_RULES
from tests.scenarios.stage import RULES as SCORE_RULES
from tests.scenarios.stage import Stage
from tests.scenarios.test_notify import RULES as TELL_RULES
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


class Deployed(Landed):
    """A better model is registered, and goes live."""

    name = "rollout"
    effect = "aml PUT onlineendpoints/{}/deployments/{}"
    rules = DEPLOY_RULES

    def begin(self, make: Make) -> Stage:
        unique = uuid.uuid4().hex[:12]
        names = {"ENDPOINT": f"ep-{unique}", "MODEL": f"clf-{unique}"}
        self.stage = make(rules=self.rules, extra_settings=names)
        self.serving = Serving(self.stage, endpoint=names["ENDPOINT"], model=names["MODEL"])
        self.serving.already_live("1")
        self.serving.online.scoring = lambda *_: (200, {"result": [0, 1, 0]}, 0.01)
        self.event = self.serving.register("2", BETTER)
        return self.stage

    def effects(self) -> int:
        """1 if version 2, and nothing else, is live."""
        return int(self.serving.standing() == (["2"], {"2": 100}))


class Hidden(Landed):
    """The factory's list does not show the run at first, so that it is asked for by its id."""

    name = "hidden"

    def begin(self, make: Make) -> Stage:
        stage = super().begin(make)
        stage.factory.hide(polls=4)
        return stage


class Told(Landed):
    """A file lands, and subscribers are told."""

    name = "told"
    effect = "topic POST api/events"
    rules = TELL_RULES

    def begin(self, make: Make) -> Stage:
        stage = super().begin(make)
        self.topic = f"faults-{uuid.uuid4().hex[:12]}"
        address = f"{stage.cloud.arm_url}/topics/{self.topic}/api/events"
        stage.extra_settings = {**stage.extra_settings, "RELEARN_EVENTS_TOPIC_ENDPOINT": address}
        stage.restart()
        return stage

    def effects(self) -> int:
        """How many different things they were told: one that comes twice has the id of the first."""
        told = self.stage.cloud.event_grid.published(topic_id(self.topic))
        return len({published.event.id for published in told})


class Lost(Landed):
    """Nobody told of a model: the hourly list finds it."""

    name = "lost model"
    chore = MODELS

    def begin(self, make: Make) -> Stage:
        unique = uuid.uuid4().hex[:12]
        names = {"MODEL": f"clf-{unique}", "MONITOR": f"drift-{unique}"}
        self.stage = make(rules=LOST_RULES, extra_settings=names, pipelines=(SEE,))
        self.stage.cloud.machine_learning.reset()
        self.workspace = Workspace(self.stage, names["MODEL"], names["MONITOR"])
        self.lose()
        return self.stage

    def lose(self) -> None:
        self.workspace.register("1")

    def happen(self, play: Play) -> None:
        key = upkeep_key(self.chore)
        for _ in range(TRIES):
            if play.survive(self.stage.sweep):
                break
        for _ in range(TRIES):
            due = self.stage.due.get(key)
            if due is not None:
                self.stage.clock.advance_to(max(due.at, self.stage.clock.now()))
            if play.survive(lambda: self.stage.look(key)) and self.stage.posts():
                return


class LostBreach(Lost):
    """Nobody told of a breach."""

    name = "lost breach"
    chore = MONITORS

    def lose(self) -> None:
        self.workspace.breach()


class GivenUp(Lost):
    """Event Grid gave up an event, and wrote it into a blob."""

    name = "given up"
    chore = DEAD_LETTERS

    def lose(self) -> None:
        event = self.workspace.register("1", age=timedelta(hours=3))
        self.letters = DeadLetters(self.stage)
        self.letters.put(json.dumps([json.loads(event)]))

    def effects(self) -> int:
        """Runs, and none at all as long as the dead letter is there."""
        left = self.letters.there()
        self.letters.close()
        return super().effects() if not left else 0


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


_ALL: tuple[type[Any], ...] = (
    Pipeline,
    TooLong,
    Hidden,
    Renamed,
    Unwanted,
    JobRuns,
    JobTooLong,
    Told,
    Deployed,
    Lost,
    LostBreach,
    GivenUp,
    Poisoned,
)
STORIES: Mapping[str, Callable[[], Story]] = {story.name: story for story in _ALL}
