"""A burst comes by many threads at once, a fifth of it twice: every event ends in exactly one manifest."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.scenarios.stage import RULES, Stage

THREADS = 64
EVENTS = 160
QUIET = RULES.replace('collect: {by: "{batch}"}', 'collect: {by: "{batch}", quiet: 30s}')

pytestmark = pytest.mark.cloud


def burst(stage: Stage, lanes: int = 1, events: int = EVENTS) -> list[str]:
    """Events of files that need not be there: nobody opens them."""
    like = json.loads(stage.land("in/b0/like.csv"))
    made = []
    for n in range(events):
        path = f"in/b{n % lanes}/{n:04}.csv"
        data = {**like["data"], "eTag": f"0x{n:08}", "url": f"{stage.lake.blob}/lake/{path}"}
        subject = like["subject"].replace("in/b0/like.csv", path)
        made.append(json.dumps({**like, "id": f"id-{n}", "subject": subject, "data": data}))
    return made


def deliver(stage: Stage, events: list[str]) -> int:
    """Delivers them all by 64 threads that begin together, and gives how many storage calls that took."""
    gate, before = Barrier(THREADS), calls(stage)

    def share(part: list[str]) -> None:
        gate.wait(30)
        stage.deliver(*part)

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(share, events[n::THREADS]) for n in range(THREADS)]:
            done.result(120)
    return calls(stage) - before


def calls(stage: Stage) -> int:
    counted = stage.cloud.storage.calls.snapshot().items()
    return sum(count for call, count in counted if call.account == stage.account.name)


def in_manifests(stage: Stage) -> Counter[str]:
    return Counter(each["path"] for found in stage.reactions() for each in stage.manifest(found["id"]))


@pytest.mark.parametrize(
    ("rules", "lanes"), [(QUIET, 1), (QUIET, 10), (RULES, 1)], ids=["1 lane", "10 lanes", "inline"]
)
def test_every_event_of_a_burst_is_in_exactly_one_manifest(
    stage_with: Callable[..., Stage], rules: str, lanes: int
) -> None:
    stage = stage_with(rules=rules)
    events = burst(stage, lanes)
    twice = [*events, *events[::5]]
    random.Random(6).shuffle(twice)
    deliver(stage, twice)
    stage.settle()
    assert stage.all_final()
    assert set(stage.states()) == {"succeeded"}
    assert in_manifests(stage) == {f"in/b{n % lanes}/{n:04}.csv": 1 for n in range(EVENTS)}


def test_further_events_of_a_burst_cost_a_fifth_of_a_storage_call(stage_with: Callable[..., Stage]) -> None:
    stage = stage_with(rules=QUIET)
    lone, *others = burst(stage, events=EVENTS + 1)
    stage.deliver(lone)
    assert deliver(stage, others) <= 0.2 * EVENTS
