"""The stories in which faults are played: between them they reach every route that the product asks while it works."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.faults.playing import Play, Story
from tests.scenarios.stage import Stage

PIPELINE_RULES = """\
version: 1
resources: {pool: 1}
reactions:
  score:
    when: {file-landed: {path: "lake/in/{batch}/*.csv"}}
    collect: {by: "{batch}"}
    run-pipeline: score
    with: {batch: "{batch}", files: "{manifest}"}
    limits: {resources: [pool]}
"""
CREATE_RUN = "adf POST pipelines/{}/createrun"


class Pipeline:
    """A file lands, a pipeline runs, with a manifest and a resource of its own."""

    name = "pipeline"
    effect = CREATE_RUN
    ends: tuple[str, ...] = ("succeeded",)
    sends = 1

    def begin(self, make: Callable[..., Stage]) -> Stage:
        self.stage = make(rules=PIPELINE_RULES)
        self.event = self.stage.land("in/b1/a.csv")
        return self.stage

    def happen(self, play: Play) -> None:
        play.deliver(self.event)

    def effects(self, stage: Stage) -> int:
        return len(stage.factory.runs())


STORIES: Mapping[str, Callable[[], Story]] = {story.name: story for story in (Pipeline,)}
