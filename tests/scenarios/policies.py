"""What the scenarios of policies share: runs that go on until the test ends them, manifests as they were written."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from azure.storage.blob import BlobClient

from local.progress import ByHand
from tests.scenarios.stage import RULES, Stage

ONCE_AND_TWICE = pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def rules(limits: str = "", collect: str = "") -> str:
    """The stage's rule with these limits, and with more in its `collect`."""
    text = RULES.replace('{by: "{batch}"}', f'{{by: "{{batch}}"{collect}}}')
    return text + (f"    limits: {{{limits}}}\n" if limits else "")


def by_hand(stage_with: Callable[..., Stage], text: str) -> Stage:
    stage = stage_with(rules=text)
    stage.factory.progress.set(ByHand(), "score")
    return stage


def land(stage: Stage, name: str, copies: int = 1, batch: str = "b1") -> str:
    """A file lands a second later than what came before, and its event is delivered."""
    stage.clock.advance(SECOND)
    event = stage.land(f"in/{batch}/{name}")
    stage.deliver(*[event] * copies)
    return event


def end_runs(stage: Stage) -> None:
    for run in stage.running():
        stage.factory.finish(run.id)


def to_the_end(stage: Stage, reactions: int) -> None:
    """Every run that starts succeeds, until so many reactions are final and nothing is left to do for minutes."""
    for _ in range(200):
        end_runs(stage)
        if len(stage.states()) == reactions and stage.all_final() and not stage.next_look():
            return
        stage.next_look()
    raise AssertionError(f"not at the end: {stage.reactions()}")


def batches(stage: Stage) -> list[list[str]]:
    """The files' names in the manifest of each start, in the order of the starts."""
    return [[file["path"].rpartition("/")[2] for file in manifest(stage, start)["events"]] for start in stage.starts()]


def manifest(stage: Stage, start: Any) -> dict[str, Any]:
    with BlobClient.from_blob_url(start["parameters"]["files"], credential=stage.credential) as blob:
        found: dict[str, Any] = json.loads(blob.download_blob().readall())
    return found


def fate(stage: Stage, path: str) -> tuple[str, str | None]:
    """What became of a file that landed, as `explain` tells it."""
    [told] = stage.get("explain", path=f"lake/{path}")[1]["rules"]
    return told["state"], told.get("reason")


def next_minute(stage: Stage) -> datetime:
    """The first full minute that is at least half a minute ahead."""
    ahead = stage.clock.now() + MINUTE / 2
    return ahead.replace(second=0, microsecond=0) + MINUTE
