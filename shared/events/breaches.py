"""What the tag of a model monitor's breached signal says: which signal, of which monitor, because of what."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import islice

from shared.events.envelopes import as_number, as_text, storable

TAG = "azureml_modelmonitor_threshold_breached"

_SIGNAL = re.compile(r"signal\s+'([^'\n]{1,512})'", re.IGNORECASE)
_ROW = re.compile(r"\{[^{}]*\}")
_MAX_BREACHES = 50
_MAX_NAME = 200
# Azure's own kinds of signals. A quoted name `<monitor>_<signal>` is taken apart at one of them only, because
# both halves may hold underscores.
_KINDS = (
    "feature_attribution_drift",
    "generation_safety_quality",
    "generation_token_statistics",
    "model_performance",
    "prediction_drift",
    "data_quality",
    "data_drift",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """One feature or metric beyond its threshold."""

    feature: str
    metric: str
    value: float | None
    threshold: float | None


def signal_and_monitor(text: str, experiment: str | None) -> tuple[str | None, str | None]:
    """The signal's name and the monitor's, each None when the text does not tell."""
    found = _SIGNAL.search(text)
    quoted = found.group(1) if found else None
    if quoted is None:
        return None, experiment
    if experiment is not None:
        prefix = f"{experiment}_"
        tail = quoted[len(prefix) :] if quoted.startswith(prefix) else ""
        return tail or quoted, experiment
    for kind in _KINDS:
        if quoted.endswith(f"_{kind}") and len(quoted) > len(kind) + 1:
            return kind, quoted[: -len(kind) - 1]
    return quoted, None


def breaches(text: str) -> tuple[Breach, ...]:
    """The rows at the end of the text, as far as they can be read: their format is nobody's promise."""
    rows = (_breach(found.group()) for found in _ROW.finditer(text))
    return tuple(islice(filter(None, rows), _MAX_BREACHES))


def _breach(row: str) -> Breach | None:
    try:
        values = json.loads(row)
    except (ValueError, RecursionError):
        return None
    if not values.keys() & {"group", "metric_name"}:
        return None
    return Breach(
        feature=storable(as_text(values.get("group")))[:_MAX_NAME],
        metric=storable(as_text(values.get("metric_name")))[:_MAX_NAME],
        value=as_number(values.get("metric_value")),
        threshold=as_number(values.get("threshold_value")),
    )
