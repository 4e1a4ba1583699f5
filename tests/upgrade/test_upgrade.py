"""A release's ledger, recorded in the middle of everything, comes to its end under this version as it was promised."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import TokenCredential

from local.cloud import LocalCloud
from local.event_grid import topic_id
from local.progress import Immediately
from shared.cloud import storage
from shared.lanes import lane_id
from shared.settings import TABLES, from_environment
from tests.scenarios.stage import Stage
from tests.upgrade import ledger
from tests.upgrade.ledger import Loaded, Recording

pytestmark = pytest.mark.cloud
RELEASES = ["e35fc8f"]
TOPIC = "lifecycle-upgrade"


@contextmanager
def a_stage(cloud: LocalCloud, credential: TokenCredential, folder: Path, recording: Recording) -> Iterator[Stage]:
    topic = {"RELEARN_EVENTS_TOPIC_ENDPOINT": f"{cloud.arm_url}/topics/{TOPIC}/api/events"}
    stage = Stage(
        cloud=cloud,
        credential=credential,
        folder=folder,
        rules=recording.rules,
        pipelines=recording.pipelines,
        extra_settings=topic,
    )
    try:
        yield stage
    finally:
        stage.close()
        # The names are those of the recording, whichever test it is: they are in the lanes' ids.
        cloud.machine_learning.online.forget()
        cloud.machine_learning.registry.forget()
        cloud.machine_learning.reset()


@pytest.fixture(params=RELEASES)
def load(
    request: pytest.FixtureRequest, cloud: LocalCloud, credential: TokenCredential, tmp_path: Path
) -> Iterator[Callable[[], Loaded]]:
    recording = ledger.read(request.param)
    with a_stage(cloud, credential, tmp_path, recording) as stage:
        yield lambda: ledger.load(recording, stage)


# --- what happens, and what can be seen -------------------------------------------------------------------------------


def to_the_end(loaded: Loaded) -> None:
    """What went on outside ends well; then everything that is due is looked at, days from now too."""
    stage = loaded.stage
    stage.sweep()
    looks(stage, timedelta(seconds=20))  # until the start in doubt is clear
    stage.factory.progress.set(Immediately())
    for run in stage.running():
        stage.factory.finish(run.id)
    for serving in loaded.serving.values():
        serving.goes()
        for deployment in serving.online.directory.deployments(serving.endpoint):
            serving.online.end(serving.endpoint, deployment.name)
        serving.online.end(serving.endpoint)
    looks(stage, timedelta(days=4))


def looks(stage: Stage, within: timedelta, until: Callable[[], bool] = lambda: False) -> None:
    last = stage.clock.now() + within
    for _ in range(400):
        if until():
            return
        found = sorted((d for d in stage.due.due(last) if not d.key.startswith("upkeep:")), key=lambda d: d.at)
        if not found:
            return
        stage.clock.advance_to(found[0].at)
        stage.look(found[0].key)
    raise AssertionError(f"it does not settle: {stage.reactions()}")


def deliver_again(loaded: Loaded) -> None:
    for name, events in loaded.events.items():
        if name not in {"unmatched", "malformed"}:
            loaded.stage.deliver(*([events] if isinstance(events, str) else events))


def outcome(loaded: Loaded) -> dict[str, list[tuple[str, int]]]:
    """What became of each rule's reactions, oldest first: their states, and how many events each took."""
    found: dict[str, list[tuple[str, int]]] = {}
    _, body = loaded.stage.get("reactions", days="9")
    for each in sorted(body["reactions"], key=lambda r: (r["created"], r["id"])):
        found.setdefault(each["rule"], []).append((each["state"], each["event_count"]))
    return found


def rows(stage: Stage) -> list[dict[str, Any]]:
    with storage.tables(from_environment(stage.settings).storage, stage.credential) as tables:
        return [{"table": t, **row} for t in TABLES for row in tables.get_table_client(t).list_entities()]


def left(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What still waits or is held: pending events, notifications, permits and who stands in line for one."""
    waits = {"lanes": {"e!", "i!"}, "permits": {"p!", "w!"}}
    return [row for row in found if row["RowKey"][:2] in waits.get(row["table"], ())]


def skipped(found: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    return Counter((row["laneRule"], row["skipped"]) for row in found if row.get("skipped") is not None)


def starts(loaded: Loaded) -> Counter[str]:
    """How many runs there are of each stamp, those that the release before had started among them."""
    runs = loaded.stage.factory.runs()
    return Counter(f"{r.parameters['reaction_id']}/{r.parameters['attempt']}" for r in runs)


def of(rule: str, number: int = 1, attempt: int = 1) -> str:
    return f"{lane_id(rule, 'b1')}-{number}/{attempt}"


def told(cloud: LocalCloud) -> list[tuple[str, str]]:
    return [(t.event.type, t.event.data["rule"]) for t in cloud.event_grid.published(topic_id(TOPIC))]


# --- with the rules it was recorded with ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What a recorded ledger came to."""

    recording: Recording
    runs_before: Mapping[str, str]
    outcome: Mapping[str, list[tuple[str, int]]]
    standing: Mapping[str, Any]
    refused: Mapping[str, int]
    rows: list[dict[str, Any]]
    starts: Mapping[str, int]
    asked_for: Mapping[str, int]
    told: Mapping[tuple[str, str], int]
    run_of: Mapping[str, str]


@pytest.fixture(scope="module", params=RELEASES)
def ended(
    request: pytest.FixtureRequest,
    cloud: LocalCloud,
    credential: TokenCredential,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ended:
    recording = ledger.read(request.param)
    with a_stage(cloud, credential, tmp_path_factory.mktemp("upgrade"), recording) as stage:
        loaded = ledger.load(recording, stage)
        told_before = len(told(cloud))
        to_the_end(loaded)
        asked = [f"{p['parameters']['reaction_id']}/{p['parameters']['attempt']}" for p in stage.posts()]
        return Ended(
            recording=recording,
            runs_before=loaded.runs,
            outcome=outcome(loaded),
            standing={name: each.standing() for name, each in loaded.serving.items()},
            refused=stage.refused(),
            rows=rows(stage),
            starts=starts(loaded),
            asked_for=Counter(asked),
            told=Counter(told(cloud)[told_before:]),
            run_of={r["id"]: r["run_id"] for r in stage.get("reactions", days="9")[1]["reactions"]},
        )


PROMISED = {
    "window": [("succeeded", 3)],
    "burst": [("succeeded", 60)],
    "retried": [("succeeded", 1)],
    "doubtful": [("succeeded", 1)],
    "unheard": [("succeeded", 1)],
    "running": [("succeeded", 1), ("succeeded", 1)],
    "skipping": [("succeeded", 1)],
    "done": [("succeeded", 1)],
    "cooling": [("succeeded", 1), ("succeeded", 1)],
    "deploy-traffic": [("succeeded", 1)],
    "deploy-creating": [("succeeded", 1), ("refused", 1)],
    "deploy-refusing": [("refused", 1)],
}
STARTED = {
    *(of("window"), of("burst"), of("unheard")),
    *(of("retried", attempt=2), of("running", 2), of("cooling", 2)),
}


def test_everything_under_way_ends_as_it_was_promised(ended: Ended) -> None:
    assert ended.outcome == PROMISED
    assert skipped(ended.rows) == {
        ("skipping", "while-running"): 1,
        ("parts", "incomplete"): 1,
        ("retrain", "below-times"): 1,
    }
    assert ended.standing == {
        "traffic": (["2"], {"2": 100}),
        "creating": (["2"], {"2": 100}),
        "refusing": (["1"], {"1": 100}),
    }
    assert ended.refused == {"malformed": 1, "unmatched": 1}
    assert left(ended.rows) == []


def test_everything_under_way_ends_as_it_was_promised_delivered_twice(load: Callable[[], Loaded]) -> None:
    loaded = load()
    deliver_again(loaded)
    to_the_end(loaded)
    deliver_again(loaded)
    looks(loaded.stage, timedelta(hours=1))
    assert outcome(loaded) == PROMISED
    assert starts(loaded).keys() == loaded.runs.keys() | STARTED
    assert set(starts(loaded).values()) == {1}
    assert left(rows(loaded.stage)) == []


def test_nothing_is_started_twice(ended: Ended) -> None:
    assert set(ended.starts.values()) == {1}
    assert ended.starts.keys() == ended.runs_before.keys() | STARTED
    assert ended.asked_for.keys() == STARTED, "what was known to be started is not even asked for"
    assert set(ended.asked_for.values()) == {1}


@pytest.mark.parametrize("rule", ["doubtful", "running", "skipping", "done"])
def test_a_start_in_doubt_is_adopted_and_a_run_is_followed(ended: Ended, rule: str) -> None:
    first, _, attempt = of(rule).partition("/")
    assert ended.run_of[first] == ended.runs_before[f"{first}/{attempt}"]


def test_what_was_to_be_told_is_told_once(ended: Ended) -> None:
    assert ended.told == {
        ("Relearn.ReactionRefused", "deploy-refusing"): 1,
        ("Relearn.ModelPromoted", "deploy-traffic"): 1,
        ("Relearn.ModelPromoted", "deploy-creating"): 1,
        ("Relearn.ReactionRefused", "deploy-creating"): 1,
    }


# --- the rules changed with the release -------------------------------------------------------------------------------


def test_with_a_changed_rule_what_has_begun_goes_on_and_what_waits_is_judged_anew(load: Callable[[], Loaded]) -> None:
    loaded = load()
    rules = loaded.stage.rules.replace('"lake/window/{batch}/*.csv"', '"lake/elsewhere/{batch}/*.csv"')
    for rule, pipeline in (("retried", "failing"), ("running", "score"), ("unheard", "unheard")):
        start = rules.index(f"  {rule}:\n")
        rules = rules[:start] + rules[start:].replace(f"run-pipeline: {pipeline}", "run-pipeline: quick", 1)
    loaded.stage.restart(rules)
    to_the_end(loaded)
    assert "window" not in outcome(loaded)
    found = rows(loaded.stage)
    assert skipped(found)["window", "rule-changed"] == 3
    ran = {f"{r.parameters['reaction_id']}/{r.parameters['attempt']}": r.pipeline for r in loaded.stage.factory.runs()}
    assert ran[of("retried", attempt=2)] == "failing", "a reaction follows its snapshot"
    assert ran[of("unheard")] == "unheard"
    assert (ran[of("running")], ran[of("running", 2)]) == ("score", "quick")
    assert left(found) == []


@pytest.mark.parametrize("again", [False, True], ids=["once", "delivered_twice"])
def test_a_worker_with_older_rules_decides_nothing_and_follows_what_runs(
    load: Callable[[], Loaded], again: bool
) -> None:
    loaded = load()
    older = _without(loaded.stage.rules, {"window", "cooling"})
    loaded.stage.restart(older, modified=loaded.stage.clock.now() - timedelta(days=9))
    if again:
        deliver_again(loaded)
    loaded.stage.factory.progress.set(Immediately())
    for run in loaded.stage.running():
        loaded.stage.factory.finish(run.id)
    last = f"{lane_id('unheard', 'b1')}-1"
    looks(loaded.stage, timedelta(minutes=5), lambda: loaded.stage.get(f"reactions/{last}")[1]["state"] == "succeeded")
    reached, found = outcome(loaded), rows(loaded.stage)
    assert reached["running"] == reached["doubtful"] == reached["unheard"] == [("succeeded", 1)]
    assert skipped(found) == {("skipping", "while-running"): 1}, "nothing is skipped as of a rule that is gone"
    waiting = Counter(row["laneRule"] for row in left(found) if row["RowKey"].startswith("e!"))
    assert {rule: waiting[rule] for rule in ("window", "cooling", "running", "parts", "retrain")} == {
        "window": 3,
        "cooling": 1,
        "running": 1,
        "parts": 1,
        "retrain": 1,
    }


@pytest.mark.parametrize("again", [False, True], ids=["once", "delivered_twice"])
def test_with_the_rules_gone_what_has_begun_ends_and_what_waits_is_skipped(
    load: Callable[[], Loaded], again: bool
) -> None:
    loaded = load()
    gone = {"window", "burst", "retried", "doubtful", "running", "cooling", "deploy-traffic", "deploy-creating"}
    loaded.stage.restart(_without(loaded.stage.rules, gone))
    to_the_end(loaded)
    if again:
        deliver_again(loaded)
        looks(loaded.stage, timedelta(minutes=4))
    reached, found = outcome(loaded), rows(loaded.stage)
    assert "window" not in reached
    for rule in gone - {"window", "burst"}:
        assert reached[rule] == [("succeeded", 1)]
    assert reached["burst"] == [("succeeded", 60)], "a claim that was begun takes what it was to take"
    removed = {rule: count for (rule, reason), count in skipped(found).items() if reason == "rule-removed"}
    assert removed == {"window": 3, "running": 1, "cooling": 1, "deploy-creating": 1}
    assert loaded.serving["traffic"].standing() == (["2"], {"2": 100})
    assert left(found) == []


def _without(rules: str, names: set[str]) -> str:
    head, *entries = rules.rstrip("\n").split("\n  ")
    kept, keep = [head], True
    for line in entries:
        keep = line.partition(":")[0] not in names if not line.startswith(" ") else keep
        kept += [line] if keep else []
    return "\n  ".join(kept) + "\n"


# --- and back ---------------------------------------------------------------------------------------------------------


def test_the_release_before_can_read_what_this_version_writes(ended: Ended) -> None:
    """As long as nothing is used that is new: every property it needs is there, and no value it has never heard of."""
    seen: set[str] = set()
    for row in ended.rows:
        kind = _kind(row)
        if kind is None:
            continue
        seen.add(kind)
        needs = ended.recording.needs
        for name, needed in (needs.get(kind) or needs[kind.replace("lanes/d/", "lanes/e/")]).items():
            assert _type(row, name) in _types(name, needed), (kind, name, row)
        for name, values in _values(row).items():
            assert values <= set(ended.recording.knows[name]), (kind, name, row)
    assert seen >= {"lanes/l", "lanes/y", "lanes/d/file-landed", "lanes/r/run-pipeline/intentSince", "recent/day"}


def test_every_row_carries_its_schema(ended: Ended) -> None:
    assert {(row["table"], row["RowKey"]) for row in ended.rows if row.get("rowSchema") != 1} == set()


def _kind(row: dict[str, Any]) -> str | None:
    """As it was recorded. None for a row in a partition that the release before never reads."""
    table, start = row["table"], row["RowKey"][:1]
    if table == "permits" and not row["PartitionKey"].startswith(("factory:", "endpoint:")):
        return None
    if table == "permits":
        return "permits/h" if row["RowKey"] == "h" else "permits/p"  # it takes every other row for a permit
    if table == "due":
        return "due/row"
    if table == "recent" and row["PartitionKey"] != "refused":
        return "recent/day"
    more: list[str] = []
    if table == "lanes" and start in "de":
        more = [row["kind"]]
    if table == "lanes" and start == "r":
        more = [json.loads(row["action"])["kind"], *(n for n in ("intentSince", "rollout") if n in row)]
    return "/".join([table, start, *more])


def _type(row: dict[str, Any], name: str) -> str:
    outer, _, inner = name.partition(".")
    value = json.loads(row[outer])[inner] if inner else row[outer]
    return "time" if isinstance(value, datetime) else type(value).__name__


def _types(name: str, recorded: str) -> set[str]:
    """Within a rollout null is a value like any other."""
    if not name.startswith("rollout."):
        return {recorded}
    return {recorded, "NoneType"} if recorded != "NoneType" else {"NoneType", "str"}


def _values(row: dict[str, Any]) -> dict[str, set[str]]:
    found = {"State": {row["state"]}} if "state" in row else {}
    found |= {"SkipReason": {row["skipped"]}} if row.get("skipped") else {}
    found |= {"event": {row["kind"]}} if row["table"] == "lanes" and row["RowKey"][0] in "de" else {}
    return found | ({"Phase": {json.loads(row["rollout"])["phase"]}} if "rollout" in row else {})
