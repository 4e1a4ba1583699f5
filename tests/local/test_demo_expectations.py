"""What the demo holds its facts against: good facts pass, and each thing that went wrong is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from local.demo.expectations import DemoFailed, check
from tests.local.demo_facts import BATCHES, good

Facts = dict[str, Any]


def put(*path: str | int, value: object) -> Callable[[Facts], None]:
    """Spoils the fact at the end of the path."""

    def spoil(facts: Facts) -> None:
        found: Any = facts
        for step in path[:-1]:
            found = found[step]
        found[path[-1]] = value

    return spoil


def test_a_demo_in_which_all_went_well_passes() -> None:
    check(good(), BATCHES)


def test_without_the_burst_it_passes_too() -> None:
    facts = good()
    del facts["reactions"][2], facts["lineage"][2]
    check(facts, BATCHES[:1])


def test_the_night_may_come_at_any_time_and_find_either_model() -> None:
    for place, version in ((0, "1"), (6, "2")):
        facts = good()
        for name in ("reactions", "lineage"):
            facts[name].insert(place, facts[name].pop(3))
        facts["lineage"][place]["models_used"][0]["version"] = version
        check(facts, BATCHES)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (put("reactions", 1, "state", value="failed"), "reactions: expected"),
        (put("reactions", 2, "events", value=3), "reactions: expected"),
        (put("reactions", 0, "reasons", value=["gate passed"]), "the gate of the first model"),
        (
            put("lineage", 1, "models_used", value=[{"name": "some-classifier", "version": "2"}]),
            "the models that scored",
        ),
        (put("lineage", 1, "silver", value=[]), "the models that scored"),
        (put("reactions", 3, "events", value=4), "the night's reactions: expected"),
        (put("reactions", 3, "run_ids", value=["a", "b"]), "the night's reactions: expected"),
        (put("overnight", "scored_rows", value=4), "the night's scored rows: expected 5, found 4"),
        (
            put("lineage", 3, "models_used", value=[{"name": "some-classifier", "version": "3"}]),
            "one of the live models",
        ),
        (put("drift", "features", 0, "breached", value=False), "the monitor's verdict"),
        (put("drift", "features", 1, "value", value=0.2), "the drifted features"),
        (put("model", "metrics", value={"Accuracy": 0.9}), "the figures of some-classifier:2"),
        (put("model", "metrics", "Accuracy", value=0.7753), "the new model is better"),
        (put("refused_model", "metrics", "Accuracy", value=0.784), "the refused model is worse"),
        (put("refused_model", "reason", value="smoke test: answered 424"), "it was the gate that refused it"),
        (put("live_after", "version", value="1"), "what is live at the end"),
        (put("answer", "deployment", value="deployment-1"), "who answered"),
        (put("endpoint", "deployments", value=["deployment-1", "deployment-2"]), "deployments at the end"),
        (
            put("endpoint", "deployments_made", value=["deployment-1", "deployment-2", "deployment-3"]),
            "deployments made",
        ),
        (put("calls", "failed", value=1), "failed requests"),
        (put("calls", "answered_by", value={"deployment-1": 9}), "who answered all the time"),
        (put("endpoint", "answered", value={"200": 9, "503": 1}), "answers of the endpoint but 200"),
        (put("chain", "monitor_run", value=None), "links that the chain lacks: expected [], found ['monitor_run']"),
        (put("chain", "jobs", value=[]), "links that the chain lacks: expected [], found ['jobs']"),
        (put("published", 2, "type", value="Relearn.ReactionFailed"), "lifecycle events"),
        (put("duplicate_starts", value=1), "runs started twice for the same decision: expected 0, found 1"),
        (
            put("delivered_again", "after", value={"reactions": 8, "models": 3}),
            "before the second deliveries, and after",
        ),
        (put("duplicates_delivered", value=10), "10 events delivered twice is all of them"),
    ],
)
def test_what_went_wrong_is_named(spoil: Callable[[Facts], None], named: str) -> None:
    facts = good()
    spoil(facts)
    with pytest.raises(DemoFailed) as failed:
        check(facts, BATCHES)
    assert named in str(failed.value)


def test_rows_that_were_not_scored_are_missed() -> None:
    with pytest.raises(DemoFailed, match=r"scored rows: expected \[20, 20\], found \[20, 19\]"):
        check(good(), [BATCHES[0], BATCHES[1] | {"scored_rows": 19}])


def test_an_event_published_twice_is_one() -> None:
    facts = good()
    facts["published"].append(facts["published"][0])
    check(facts, BATCHES)
