"""The facts of a demo in which everything turned out as it must: what pictures are drawn of, and expectations hold."""

from __future__ import annotations

import copy
from typing import Any

BATCHES = [
    {"batch": "monday", "rule": "score-patients", "files": 2, "rows": 20, "scored_rows": 20},
    {"batch": "tuesday", "rule": "score-patients-in-parts", "files": 4, "rows": 20, "scored_rows": 20},
]
NIGHT = {"batch": "wednesday", "rule": "score-overnight", "files": 5, "rows": 5, "scored_rows": 5}
ENDPOINT, MODEL = "relearn-here", "some-classifier"
LANE = "cb8d1f83edf28712f4fe784f"


def good() -> dict[str, Any]:
    """A new copy each time, to be spoiled."""
    return copy.deepcopy(_GOOD)


def feature(name: str, value: float, *, threshold: float = 0.1) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "threshold": threshold,
        "breached": value > threshold,
        "edges": [20 + 2.5 * edge for edge in range(21)],
        "baseline": [0.5, 0.25, 0.25, *[0.0] * 17],
        "target": [0.0, 0.0, 0.25, 0.75, *[0.0] * 16],
    }


def _scored(rule: str, batch: str, number: int, files: list[str]) -> dict[str, Any]:
    reaction = f"{number:024d}-1"
    return {
        "files": [{"path": f"0-raw/{batch}/{file}", "etag": "0x1", "event_id": file} for file in files],
        "monitor_runs": [],
        "reaction": reaction,
        "rule": rule,
        "state": "succeeded",
        "pipeline_run": {"pipeline": "score-diabetes", "run_id": f"run-{batch}"},
        "jobs": [{"endpoint": "diabetes-score", "job": f"job-{batch}", "status": "Completed", "steps": []}],
        "models_used": [{"name": MODEL, "version": "1"}],
        "models_registered": [],
        "silver": [f"2-silver/{batch}/{reaction}-1/diabetes.csv"],
    }


_TRAINED: dict[str, Any] = {
    "files": [],
    "monitor_runs": [
        {
            "monitor": "drift-watch",
            "signal": "data_drift",
            "monitor_run": "evaluate-run-7",
            "breaches": [{"feature": "Age", "metric": "D", "value": 0.6719, "threshold": 0.1}],
        }
    ],
    "reaction": "training-reaction-1",
    "rule": "retrain-on-drift",
    "state": "succeeded",
    "pipeline_run": {"pipeline": "train-diabetes", "run_id": "pipeline-run-9"},
    "jobs": [{"endpoint": "diabetes-train", "job": "train-job-2", "status": "Completed", "steps": []}],
    "models_used": [{"name": MODEL, "version": "1"}],
    "models_registered": [{"name": MODEL, "version": "2"}],
    "silver": [],
}


def _rollout(number: int, state: str) -> dict[str, Any]:
    return {
        "files": [],
        "monitor_runs": [],
        "reaction": f"{LANE}-{number}",
        "rule": "deploy-registered",
        "state": state,
        "model": {"name": MODEL, "version": str(number)},
        "deployment": {"endpoint": ENDPOINT, "deployment": f"deployment-{number}"},
    }


def _model(
    number: int, state: str, tags: dict[str, str], figures: dict[str, float], traffic: int = 0
) -> dict[str, Any]:
    properties = {name: str(value) for name, value in figures.items()}
    more = {"algorithm": "logistic", "regularisation": "100000.0", "train_rows": "7000", "test_rows": "30"}
    return {
        "name": MODEL,
        "version": str(number),
        "metrics": figures,
        "tags": {"relearn_job": f"train-job-{number}", "baseline": "baseline.csv", **tags},
        "properties": {**properties, **more, "live.version": str(number - 1)},
        "jobs": [{"endpoint": "diabetes-train", "job": f"train-job-{number}", "steps": [{"name": "split"}]}],
        "rollouts": [
            {"rule": "deploy-registered", "reaction": f"{LANE}-{number}", "state": state, "reason": "because"}
        ],
        "traffic": traffic,
    }


def _reaction(rule: str, key: str, state: str, events: int, name: str, *reasons: str) -> dict[str, Any]:
    told = {"id": name, "rule": rule, "key": key, "state": state, "events": events, "reasons": list(reasons)}
    return {**told, "run_ids": [f"run-{name}"]}


_FIRST = _model(1, "succeeded", {"relearn_reaction": "by-hand", "relearn_reason": "the first"}, {"Accuracy": 0.79})
_SECOND = _model(
    2,
    "succeeded",
    {"relearn_reaction": "training-reaction-1", "relearn_reason": "data_drift", "target": "target.csv"},
    {"Accuracy": 0.784, "AUC": 0.86, "live.Accuracy": 0.7753, "live.AUC": 0.85},
    traffic=100,
)
_THIRD = _model(
    3,
    "refused",
    {"relearn_reaction": "by-hand", "relearn_reason": "tried", "target": "target.csv"},
    {"Accuracy": 0.678, "AUC": 0.7, "live.Accuracy": 0.784, "live.AUC": 0.86},
)
_REFUSAL = "gate: Accuracy 0.6780 against 0.7840"
_THERE = {"reactions": 7, "models": 3}
_GOOD: dict[str, Any] = {
    "reactions": [
        _reaction(
            "deploy-registered", ENDPOINT, "succeeded", 1, f"{LANE}-1", "gate passed: first-model: nothing; about to"
        ),
        _reaction("score-patients", "monday", "succeeded", 2, "m"),
        _reaction("score-patients-in-parts", "tuesday", "succeeded", 4, "t"),
        _reaction("score-overnight", "wednesday", "succeeded", 5, "w"),
        _reaction("retrain-on-drift", "clinic", "succeeded", 1, "training-reaction-1"),
        _reaction("deploy-registered", ENDPOINT, "succeeded", 1, f"{LANE}-2", "gate passed: +0.0087; about to make it"),
        _reaction("deploy-registered", ENDPOINT, "refused", 1, f"{LANE}-3", _REFUSAL),
    ],
    "lineage": [
        _rollout(1, "succeeded"),
        _scored("score-patients", "monday", 1, ["patient-age.csv", "patient-levels.csv"]),
        _scored("score-patients-in-parts", "tuesday", 2, ["a-1.csv", "a-2.csv", "b-1.csv", "b-2.csv"]),
        _scored("score-overnight", "wednesday", 3, [f"measurements-{number}.csv" for number in range(5)]),
        _TRAINED,
        _rollout(2, "succeeded"),
        _rollout(3, "refused"),
    ],
    "overnight": NIGHT,
    "drift": {
        "monitor": "drift-watch",
        "run_id": "monitor-run-7",
        "signal": "data_drift",
        "metric": "JensenShannonDistance",
        "threshold": 0.1,
        "baseline": {"files": ["baseline.csv"], "rows": 5000, "day": "2022-01-01"},
        "target": {"files": ["target.csv"], "rows": 4999, "day": None},
        "features": [feature("Age", 0.6719), feature("BMI", 0.0412)],
    },
    "models": [_FIRST, _SECOND, _THIRD],
    "model": _SECOND,
    "refused_model": {**_THIRD, "reason": _REFUSAL},
    "live_before": {"deployment": "deployment-1", "model": MODEL, "version": "1"},
    "live_after": {"deployment": "deployment-2", "model": MODEL, "version": "2"},
    "answer": {"deployment": "deployment-2"},
    "calls": {
        "sent": 1412,
        "failed": 0,
        "failures": [],
        "answered_by": {"deployment-1": 1000, "deployment-2": 412},
    },
    "endpoint": {
        "name": ENDPOINT,
        "monitored_batch": "clinic",
        "traffic": {"deployment-2": 100},
        "deployments": ["deployment-2"],
        "deployments_made": ["deployment-1", "deployment-2"],
        "answered": {"200": 1415},
    },
    "published": [
        {"type": "Relearn.ModelPromoted", "reaction": f"{LANE}-1"},
        {"type": "Relearn.ModelPromoted", "reaction": f"{LANE}-2"},
        {"type": "Relearn.ReactionRefused", "reaction": f"{LANE}-3"},
    ],
    "chain": {"file": {"path": "target.csv"}, "monitor_run": "monitor-run-7", "jobs": ["train-job-2"]},
    "duplicates_delivered": 12,
    "duplicate_starts": 0,
    "delivered_again": {"events": 12, "before": _THERE, "after": _THERE},
}
