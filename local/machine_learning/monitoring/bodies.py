"""Reads monitor schedules as clients send them, into what stands in their YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.machine_learning.monitoring.definitions import MonitorError


class OtherSchedule(RuntimeError):
    """A schedule that is not one of a monitor."""


def definition(name: str, body: object) -> tuple[dict[str, Any], str]:
    """The monitor as its YAML would have it, and the reference to its signal's component.

    Raises:
        OtherSchedule: it starts jobs, not a monitor.
        MonitorError: it is no schedule.
    """
    properties = body.get("properties") if isinstance(body, Mapping) else None
    if not isinstance(properties, Mapping):
        raise MonitorError("the body has no 'properties' object")
    action = properties.get("action") or {}
    if action.get("actionType") != "CreateMonitor":
        raise OtherSchedule(f"schedules with {action.get('actionType')!r}")
    monitor = action.get("monitorDefinition") or {}
    compute = monitor.get("computeConfiguration") or {}
    signals = monitor.get("signals") or {}
    references = [str(signal.get("componentId")) for signal in signals.values()]
    if len(references) != 1:
        raise MonitorError(f"one signal per monitor is imitated, this has {len(references)}")
    content = {
        "name": name,
        "display_name": properties.get("displayName") or "",
        "description": properties.get("description") or "",
        "tags": properties.get("tags") or {},
        "trigger": _trigger(properties.get("trigger") or {}),
        "create_monitor": {
            "compute": {
                "instance_type": compute.get("instanceType"),
                "runtime_version": compute.get("runtimeVersion"),
            },
            "monitoring_signals": {name: _signal(signal) for name, signal in signals.items()},
        },
    }
    return content, references[0]


def _signal(signal: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": str(signal.get("signalType")).lower(),
        "component_id": signal.get("componentId"),
        "inputs": {name: value.get("value") for name, value in (signal.get("inputs") or {}).items()},
        "input_data": {
            name: {
                "input_data": {"type": data.get("jobInputType"), "path": data.get("uri")},
                "data_context": data.get("dataContext") or "",
            }
            for name, data in (signal.get("inputAssets") or {}).items()
        },
        "metric_thresholds": [
            {"metric_name": each.get("metric"), "threshold": (each.get("threshold") or {}).get("value")}
            for each in signal.get("metricThresholds") or []
        ],
    }


def _trigger(trigger: Mapping[str, Any]) -> dict[str, Any]:
    common = {"start_time": trigger.get("startTime"), "time_zone": trigger.get("timeZone") or "UTC"}
    if trigger.get("triggerType") == "Cron":
        return {"type": "cron", "expression": trigger.get("expression"), **common}
    schedule = trigger.get("schedule") or {}
    return {
        "type": "recurrence",
        "frequency": trigger.get("frequency"),
        "interval": trigger.get("interval"),
        "schedule": {
            "hours": schedule.get("hours") or 0,
            "minutes": schedule.get("minutes") or 0,
            "week_days": schedule.get("weekDays"),
        },
        **common,
    }
