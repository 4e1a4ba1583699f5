"""Monitor schedules as AML writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.machine_learning.answers import PROVIDER, Answers, system_data
from local.machine_learning.monitoring.definitions import Monitor, Signal


class MonitoringAnswers:
    """Renders what stands below /schedules."""

    def __init__(self, workspace: Answers) -> None:
        self._workspace = workspace

    def schedule(self, monitor: Monitor) -> dict[str, Any]:
        return {
            "id": f"{self._workspace.id}/schedules/{monitor.name}",
            "name": monitor.name,
            "type": f"{PROVIDER}/schedules",
            "systemData": system_data(monitor.created),
            "properties": {
                "displayName": monitor.display_name or None,
                "description": monitor.description,
                "tags": dict(monitor.tags),
                "properties": {},
                "isEnabled": True,
                "provisioningState": "Succeeded",
                "trigger": _trigger(monitor.trigger),
                "action": {
                    "actionType": "CreateMonitor",
                    "monitorDefinition": {
                        "computeConfiguration": {
                            "computeType": "ServerlessSpark",
                            "computeIdentity": {"computeIdentityType": "AmlToken"},
                            "instanceType": monitor.compute.get("instance_type", "standard_e4s_v3"),
                            "runtimeVersion": monitor.compute.get("runtime_version", "3.4"),
                        },
                        "monitoringTarget": None,
                        "alertNotificationSetting": None,
                        "signals": {monitor.signal.name: self._signal(monitor.signal)},
                    },
                },
            },
        }

    def _signal(self, signal: Signal) -> dict[str, Any]:
        component = signal.component
        return {
            "signalType": "Custom",
            "mode": "Enabled",
            "properties": {},
            "componentId": f"{self._workspace.id}/components/{component.name}/versions/{component.version}",
            "inputs": {},
            "inputAssets": {
                name: {
                    "inputDataType": "Fixed",
                    "dataContext": signal.contexts.get(name) or None,
                    "jobInputType": data.type,
                    "uri": data.uri,
                }
                for name, data in signal.data.items()
            },
            "metricThresholds": [
                {"metric": metric, "threshold": {"value": value}} for metric, value in signal.thresholds.items()
            ],
        }


def _trigger(given: Mapping[str, Any]) -> dict[str, Any]:
    common = {"startTime": given.get("start_time"), "endTime": None, "timeZone": given.get("time_zone", "UTC")}
    if given.get("type") == "cron":
        return {"triggerType": "Cron", "expression": str(given.get("expression", "")), **common}
    return {
        "triggerType": "Recurrence",
        "frequency": str(given.get("frequency", "day")).capitalize(),
        "interval": given.get("interval", 1),
        "schedule": _schedule(given.get("schedule") or given.get("pattern") or {}),
        **common,
    }


def _schedule(given: Mapping[str, Any]) -> dict[str, Any]:
    days = given.get("week_days")
    return {
        "hours": _list(given.get("hours", 0)),
        "minutes": _list(given.get("minutes", 0)),
        "weekDays": None if days is None else [str(day).capitalize() for day in _list(days)],
    }


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
