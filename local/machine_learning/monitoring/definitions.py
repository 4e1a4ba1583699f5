"""Reads AML's monitor schedules from their YAML: which component looks at which data, and what its thresholds are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from local.machine_learning.batch.components import CommandComponent, ComponentError, Node, Scalar, load_command
from local.machine_learning.batch.records import Data

# Fixed by AML for custom signals: the output with the metrics, and the input that takes a metric's threshold.
SIGNAL_OUTPUT: Final = "signal_metrics"
_THRESHOLD_INPUT: Final = "{metric}_threshold"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
_REGISTERED: Final = re.compile(r"azureml:(?P<name>[^/:@]+):(?P<version>[^/:@]+)")


class MonitorError(ValueError):
    """A monitor's definition is wrong, or uses something that is not imitated; says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A custom signal: a component, its data and literal inputs, and the threshold of each metric."""

    name: str
    component: CommandComponent
    data: Mapping[str, Data]
    contexts: Mapping[str, str]
    literals: Mapping[str, Scalar]
    thresholds: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """A monitor schedule. Without `every` it runs only when somebody says so, whatever its trigger says."""

    name: str
    signal: Signal
    created: datetime
    display_name: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    trigger: Mapping[str, Any] = field(default_factory=dict)
    compute: Mapping[str, Any] = field(default_factory=dict)
    every: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a definition comes from, and what is put in place of what it says; enough to read it again."""

    content: Mapping[str, Any]
    file: str
    name: str | None = None
    baseline: str | None = None
    target: str | None = None
    newest_report: str | None = None
    component: str | None = None
    every_seconds: float | None = None

    @classmethod
    def of(cls, definition: Path | Mapping[str, Any], **changes: Any) -> Source:  # noqa: ANN401  # this class's own
        """Raises MonitorError: the file cannot be read."""
        if isinstance(definition, Mapping):
            return cls(content=definition, file="the monitor's values", **changes)
        try:
            content = Node.load(definition).content
        except ComponentError as problem:
            raise MonitorError(str(problem)) from problem
        return cls(content=content, file=str(definition.absolute()), **changes)

    def read(self, created: datetime) -> Monitor:
        """Raises MonitorError."""
        root = Node(file=Path(self.file), place="", content=self.content)
        try:
            return self._read(root, created)
        except ComponentError as problem:
            raise MonitorError(str(problem)) from problem

    def _read(self, root: Node, created: datetime) -> Monitor:
        name = self.name or root.text("name")
        if _NAME.fullmatch(name) is None:
            raise root.error("name", f"{name!r} is no name of a schedule: letters, digits, '-' and '_'")
        monitor = root.child_of("create_monitor")
        signals = dict(monitor.children("monitoring_signals"))
        if len(signals) != 1:
            raise monitor.error("monitoring_signals", f"one signal per monitor is imitated, this has {len(signals)}")
        ((signal_name, signal),) = signals.items()
        return Monitor(
            name=name,
            signal=self._signal(signal, signal_name),
            created=created,
            display_name=root.text("display_name", ""),
            description=root.text("description", ""),
            tags={key: str(value) for key, value in root.mapping("tags").items()},
            trigger=root.mapping("trigger"),
            compute=monitor.mapping("compute"),
            every=None if self.every_seconds is None else timedelta(seconds=self.every_seconds),
        )

    def _signal(self, node: Node, name: str) -> Signal:
        if node.text("type") != "custom":
            raise node.error("type", f"{node.text('type')!r} is not imitated, only custom signals are")
        component = load_command(self._component(node))
        if SIGNAL_OUTPUT not in component.outputs:
            raise node.error("component_id", f"{component.name} has no output {SIGNAL_OUTPUT!r}, which AML asks for")
        thresholds = dict(_thresholds(node))
        literals: dict[str, Scalar] = {
            key: threshold
            for metric, threshold in thresholds.items()
            if (key := _THRESHOLD_INPUT.format(metric=metric)) in component.inputs
        }
        literals |= node.mapping("inputs")
        if self.newest_report is not None:
            literals["newest_report"] = self.newest_report
        inputs = dict(node.children("input_data"))
        signal = Signal(
            name=name,
            component=component,
            data={key: self._data(each, key, component) for key, each in inputs.items()},
            contexts={key: each.text("data_context", "") for key, each in inputs.items()},
            literals=literals,
            thresholds=thresholds,
        )
        for key, port in component.inputs.items():
            if port.required and key not in signal.data and key not in literals:
                raise node.error("input_data", f"lacks {key!r}, which {component.name} requires")
        return signal

    def _data(self, node: Node, name: str, component: CommandComponent) -> Data:
        for key in ("data_window", "pre_processing_component"):
            if key in node.content:
                raise node.error(key, "is not imitated")
        port = component.inputs.get(name)
        if port is None or port.type.is_literal:
            raise node.error("input_data", f"{component.name} has no data input {name!r}")
        given = {"baseline": self.baseline, "target": self.target}.get(name)
        return Data(type=port.type, uri=given or node.child_of("input_data").text("path"))

    def _component(self, node: Node) -> Path:
        """The component's file: as given, by its path, or by its name among the components beside the definition."""
        if self.component is not None:
            return Path(self.component)
        reference = node.text("component_id")
        match = _REGISTERED.fullmatch(reference)
        if match is None:
            return (node.file.parent / reference.removeprefix("file:")).resolve()
        for file in sorted((node.file.parent.parent / "components").glob("*/component.yml")):
            found = Node.load(file)
            if (found.text("name"), found.text("version", "1")) == (match["name"], match["version"]):
                return file
        raise node.error("component_id", f"there is no component {reference!r} in ../components/*/component.yml")


def _thresholds(node: Node) -> Iterator[tuple[str, float]]:
    given = node.content.get("metric_thresholds")
    for each in given if isinstance(given, list) else []:
        metric = each.get("metric_name") if isinstance(each, Mapping) else None
        threshold = each.get("threshold") if isinstance(each, Mapping) else None
        if not isinstance(metric, str) or isinstance(threshold, bool) or not isinstance(threshold, (int, float)):
            raise node.error("metric_thresholds", f"{each!r} must have a metric_name and a number as threshold")
        yield metric, float(threshold)
