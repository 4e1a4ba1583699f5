"""What must have come of the demo: each expectation is held against a fact, and the first that fails ends the demo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

Json = Mapping[str, Any]
FIGURES: Final = ("Accuracy", "AUC", "live.Accuracy", "live.AUC")


class DemoFailed(RuntimeError):
    """Something did not turn out as it must; says what was expected and what was found."""


class Expected(NamedTuple):
    what: str
    expected: object
    found: object


def check(result: Json, batches: Sequence[Json]) -> None:
    """Holds the demo's facts against what was landed.

    Raises:
        DemoFailed: names the first that is not as it must be.
    """
    for parts in (_reactions, _overnight, _scoring, _drift, _models, _endpoint, _chain, _told, _again):
        for what, expected, found in parts(result, batches):
            if expected != found:
                raise DemoFailed(f"{what}: expected {expected}, found {found}")


def _reactions(result: Json, batches: Sequence[Json]) -> Iterator[Expected]:
    scored = [(batch["rule"], batch["batch"], "succeeded", batch["files"]) for batch in batches]
    rollout = ("deploy-registered", result["endpoint"]["name"])
    expected = [
        (*rollout, "succeeded", 1),
        *scored,
        ("retrain-on-drift", result["endpoint"]["monitored_batch"], "succeeded", 1),
        (*rollout, "succeeded", 1),
        (*rollout, "refused", 1),
    ]
    daily = [r for r in result["reactions"] if r["rule"] != result["overnight"]["rule"]]
    found = [(r["rule"], r["key"], r["state"], r["events"]) for r in daily]
    yield Expected("reactions", expected, found)
    first = daily[0]
    yield Expected("the gate of the first model", True, any("first-model" in why for why in first["reasons"]))


def _overnight(result: Json, batches: Sequence[Json]) -> Iterator[Expected]:
    """Its time is the clock's: it may have come before or after any other, and either model may have been live."""
    night = result["overnight"]
    mine = [r for r in result["reactions"] if r["rule"] == night["rule"]]
    found = [(r["key"], r["state"], r["events"], len(r["run_ids"])) for r in mine]
    yield Expected("the night's reactions", [(night["batch"], "succeeded", night["files"], 1)], found)
    yield Expected("the night's scored rows", night["rows"], night["scored_rows"])
    lived = [result[live]["version"] for live in ("live_before", "live_after")]
    used = [m["version"] for chain in result["lineage"] if chain["rule"] == night["rule"] for m in chain["models_used"]]
    yield Expected("one of the live models scored the night's files", [True], [version in lived for version in used])


def _scoring(result: Json, batches: Sequence[Json]) -> Iterator[Expected]:
    yield Expected("scored rows", [b["rows"] for b in batches], [b["scored_rows"] for b in batches])
    before = {"name": result["live_before"]["model"], "version": result["live_before"]["version"]}
    by = [
        {name: model[name] for name in before}
        for chain in result["lineage"]
        if chain.get("silver") and chain["rule"] != result["overnight"]["rule"]
        for model in chain["models_used"]
    ]
    yield Expected("the models that scored", [before] * len(batches), by)


def _drift(result: Json, batches: Sequence[Json]) -> Iterator[Expected]:
    drift = result["drift"]
    yield Expected("the monitor's verdict", True, any(feature["breached"] for feature in drift["features"]))
    over = {f["name"]: f["value"] > drift["threshold"] for f in drift["features"]}
    yield Expected("the drifted features", over, {f["name"]: f["breached"] for f in drift["features"]})


def _models(result: Json, batches: Sequence[Json]) -> Iterator[Expected]:
    model, refused = result["model"], result["refused_model"]
    for each in (model, refused):
        name = f"the figures of {each['name']}:{each['version']}"
        yield Expected(name, list(FIGURES), [figure for figure in FIGURES if figure in each["metrics"]])
    better = model["metrics"]["Accuracy"] > model["metrics"]["live.Accuracy"]
    yield Expected("the new model is better than the one before", True, better)
    yield Expected("it was the gate that refused it", "gate: ", refused["reason"][:6])
    worse = refused["metrics"]["Accuracy"] < refused["metrics"]["live.Accuracy"]
    yield Expected("the refused model is worse than the live one", True, worse)


def _endpoint(result: Json, batches: Sequence[Json]) -> Iterator[Expected]:
    model, before, after = result["model"], result["live_before"], result["live_after"]
    yield Expected("what is live at the end", (model["name"], model["version"]), (after["model"], after["version"]))
    yield Expected("a model was replaced", True, before["version"] != after["version"])
    yield Expected("who answered", after["deployment"], result["answer"]["deployment"])
    made = result["endpoint"]["deployments_made"]
    yield Expected("deployments made", sorted([before["deployment"], after["deployment"]]), made)
    yield Expected("deployments at the end", [after["deployment"]], result["endpoint"]["deployments"])
    calls = result["calls"]
    yield Expected("failed requests", (0, []), (calls["failed"], calls["failures"]))
    answered = sorted(calls["answered_by"])
    yield Expected("who answered all the time", sorted([before["deployment"], after["deployment"]]), answered)
    refused_by_front = {status: n for status, n in result["endpoint"]["answered"].items() if status != "200"}
    yield Expected("answers of the endpoint but 200, by its own record", {}, refused_by_front)


def _chain(result: Json, batches: Sequence[Json]) -> Iterator[Expected]:
    yield Expected("links that the chain lacks", [], [name for name, link in result["chain"].items() if not link])


def _told(result: Json, batches: Sequence[Json]) -> Iterator[Expected]:
    """An event may be published more than once, always with the same id."""
    first, second, third = (r["id"] for r in result["reactions"] if r["rule"] == "deploy-registered")
    expected = {
        ("Relearn.ModelPromoted", first),
        ("Relearn.ModelPromoted", second),
        ("Relearn.ReactionRefused", third),
    }
    found = {(event["type"], event["reaction"]) for event in result["published"]}
    yield Expected("lifecycle events", expected, found)


def _again(result: Json, batches: Sequence[Json]) -> Iterator[Expected]:
    yield Expected("runs started twice for the same decision", 0, result["duplicate_starts"])
    again = result["delivered_again"]
    yield Expected("what there was before the second deliveries, and after", again["before"], again["after"])
    landed = sum(batch["files"] for batch in (*batches, result["overnight"]))
    enough = result["duplicates_delivered"] >= landed
    yield Expected(f"{result['duplicates_delivered']} events delivered twice is all of them", True, enough)
