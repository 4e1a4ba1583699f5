"""A small soak for every run of the tests; the large one is `make test-soak`. The same code plays both."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import TokenCredential

from local.cloud import LocalCloud
from tests.processes.evidence import most_at_once
from tests.soak.account import Account
from tests.soak.plan import FOLDERS, SHARES, Plan, full, pipelines, rules_of, small
from tests.soak.soak import soak

SEED = 20261126
KEYS = ("events", "duplicates_delivered", "kills", "reactions", "manifest_events", "lost", "duplicate_starts")
SECOND = timedelta(seconds=1)
T0 = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def played(cloud: LocalCloud, credential: TokenCredential, tmp_path_factory: pytest.TempPathFactory) -> Any:
    said: list[str] = []
    return soak(small(SEED), cloud, credential, tmp_path_factory.mktemp("soak"), said.append), said


@pytest.mark.cloud
@pytest.mark.timeout(300)
def test_whatever_dies_and_fails_everything_is_done_once(played: Any) -> None:
    result, said = played
    plan = small(SEED)
    assert tuple(result)[: len(KEYS)] == KEYS
    assert (result["events"], result["lost"], result["duplicate_starts"]) == (plan.files, 0, 0)
    assert result["in_two_batches"] == 0
    assert result["manifest_events"] + result["skipped"] > plan.files, "some files are for two rules"
    assert len(set(result["kills"])) == plan.kills
    assert result["duplicates_delivered"] > plan.files * plan.duplicates / 2
    assert result["faults_fired"] > 0
    assert result["states"] == {"succeeded": result["reactions"]}
    assert str(SEED) in said[0]


# --- the account can be bad -------------------------------------------------------------------------------------------

GOOD: dict[str, Any] = {
    "lost": (),
    "twice": (),
    "unknown": (),
    "manifest_events": 1,
    "skipped": 0,
    "skipped_wrongly": 0,
    "reactions": Counter(succeeded=1),
    "runs": 1,
    "duplicate_starts": 0,
    "pending_events": 0,
    "runs_not_over": 0,
    "most_of_pool": 3,
    "most_of_a_lane": 1,
}
DUE = ("prompt", ("prompt/b0/1.csv", "0x1"))


def test_a_good_account_has_no_problems() -> None:
    assert Account(**GOOD).problems() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lost": (DUE,)}, "1 lost"),
        ({"twice": (DUE, DUE)}, "2 in two batches"),
        ({"unknown": (DUE,)}, "1 in no lake"),
        ({"duplicate_starts": 1}, "1 started twice"),
        ({"pending_events": 2}, "2 still pending"),
        ({"runs_not_over": 1}, "1 runs that are not over"),
        ({"reactions": Counter(succeeded=1, starting=4)}, "4 reactions that have not succeeded"),
        ({"reactions": Counter(succeeded=1, failed=162)}, "162 reactions that have not succeeded"),
        ({"skipped": 3, "skipped_wrongly": 2}, "2 skipped for no good reason"),
        ({"most_of_pool": 4}, "1 runs beyond the 3 permits of the pool"),
        ({"most_of_a_lane": 2}, "1 runs beyond the one of a lane"),
    ],
)
def test_whatever_is_wrong_is_a_problem(change: dict[str, Any], said: str) -> None:
    assert Account(**{**GOOD, **change}).problems() == [said]


@pytest.mark.parametrize(
    ("spans", "most"),
    [
        ([], 0),
        ([(0, 2), (2, 4)], 1),
        ([(0, 3), (2, 4), (3, 5)], 2),
        ([(0, None), (5, 6), (5, None)], 3),
    ],
)
def test_how_many_ran_at_once(spans: list[tuple[int, int | None]], most: int) -> None:
    times = [(T0 + begin * SECOND, None if end is None else T0 + end * SECOND) for begin, end in spans]
    assert most_at_once(times) == most


# --- the plan ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [small(1), full(1)], ids=["small", "full"])
def test_every_file_of_a_plan_is_its_own_and_some_rule_waits_for_it(plan: Plan) -> None:
    import random

    bursts = plan.paths(random.Random(plan.seed))
    paths = [path for burst in bursts for path in burst]
    assert (len(set(paths)), len(bursts)) == (plan.files, plan.bursts)
    assert {path.partition("/")[0] for path in paths} == FOLDERS.keys() == SHARES.keys()
    assert {rule for path in paths for rule in rules_of(path)} == {each["name"] for each in pipelines()}


def test_the_rules_of_a_plan_are_rules(tmp_path: Path) -> None:
    from shared import wiring

    for plan in (small(1), full(1)):
        file = tmp_path / "reactions.yaml"
        file.write_text(plan.rules)
        assert set(wiring.load_rules(file, {}).rules) == {each["name"] for each in pipelines()}
