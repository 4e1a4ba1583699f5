"""Checks who uses the components and pipelines: the deployments of batch endpoints, and the model monitors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ml.assets import Asset, Problem, mapping

LAKE = "azureml://datastores/lake/paths/"
SIGNAL = "signal_metrics"  # the output that AML wants of a custom signal, an mltable
REPORT = "newest_report"  # the input that publishing fills in: where the newest report goes


def batch_problems(
    endpoints: Sequence[Asset], deployments: Sequence[Asset], pipelines: Sequence[Asset]
) -> Iterator[Problem]:
    """Every deployment has a pipeline of ours and an endpoint, and every endpoint has a deployment."""
    known = {endpoint.body.get("name") for endpoint in endpoints}
    files = {pipeline.file.resolve() for pipeline in pipelines}
    for deployment in deployments:
        where = str(deployment.body.get("component"))
        if (deployment.file.parent / where).resolve() not in files:
            yield deployment.problem("component", f"{where} is no pipeline of ours")
        if (name := deployment.body.get("endpoint_name")) not in known:
            yield deployment.problem("endpoint_name", f"{name} is none of {', '.join(sorted(map(str, known)))}")
    used = {deployment.body.get("endpoint_name") for deployment in deployments}
    for endpoint in endpoints:
        if endpoint.body.get("name") not in used:
            yield endpoint.problem("name", "nothing is deployed there")


def code_problems(code: Asset) -> Iterator[Problem]:
    """A folder of ours that has a scoring script, under a name and a version to refer to."""
    yield from _unnamed(code)
    where = str(code.body.get("path"))
    if not (code.file.parent / where / "score.py").is_file():
        yield code.problem("path", f"there is no score.py in {where}")


def data_problems(data: Asset) -> Iterator[Problem]:
    """A folder of the lake, as jobs see it."""
    yield from _unnamed(data)
    path = str(data.body.get("path"))
    if data.body.get("type") != "uri_folder":
        yield data.problem("type", f"{data.body.get('type')}, but in the lake there are folders: uri_folder")
    if not path.startswith(LAKE) or not path.endswith("/") or path == LAKE:
        yield data.problem("path", f"{path} is no folder in the lake: {LAKE}…/")


def _unnamed(asset: Asset) -> Iterator[Problem]:
    for key in ("name", "version"):
        if not isinstance(asset.body.get(key), str):
            yield asset.problem(key, f'{asset.body.get(key)!r} is no text: write {key}: "…"')


def monitor_problems(monitor: Asset, components: Sequence[Asset]) -> Iterator[Problem]:
    """Every signal is a custom one, of a component of ours that takes what the monitor gives it."""
    by_reference = {component.reference: component for component in components}
    signals = mapping(monitor.section("create_monitor").get("monitoring_signals"))
    if not signals:
        yield monitor.problem("create_monitor.monitoring_signals", "there is none")
    for name, signal in signals.items():
        key = f"create_monitor.monitoring_signals.{name}"
        reference = mapping(signal).get("component_id")
        component = by_reference.get(str(reference))
        if mapping(signal).get("type") != "custom":
            yield monitor.problem(f"{key}.type", f"{mapping(signal).get('type')}, only custom signals can be checked")
        elif component is None:
            yield monitor.problem(f"{key}.component_id", f"{reference} is no component of ours")
        else:
            yield from _signal_problems(monitor, key, mapping(signal), component)


def _signal_problems(monitor: Asset, key: str, signal: dict[str, object], component: Asset) -> Iterator[Problem]:
    if component.type_of("outputs", SIGNAL) != "mltable":
        yield component.problem("outputs", f"a custom signal needs {SIGNAL}, an mltable")
    if component.type_of("inputs", REPORT) != "string":
        yield component.problem("inputs", f"a monitor's component needs {REPORT}, a string: publishing gives it")
    data = mapping(signal.get("input_data"))
    thresholds = signal.get("metric_thresholds")
    metrics = [str(mapping(each).get("metric_name")) for each in thresholds] if isinstance(thresholds, list) else []
    for port, message in (*_data_messages(data, component), *_threshold_messages(metrics, component)):
        yield monitor.problem(f"{key}.{port}", message)
    for name in component.required_inputs():
        if name not in data and name not in {f"{metric}_threshold" for metric in metrics}:
            yield monitor.problem(f"{key}.input_data.{name}", "the component needs it, the monitor does not give it")


def _data_messages(data: dict[str, object], component: Asset) -> Iterator[tuple[str, str]]:
    for name, given in data.items():
        wanted = component.type_of("inputs", name)
        kind = mapping(mapping(given).get("input_data")).get("type")
        if wanted is None:
            yield f"input_data.{name}", "the component has nothing of that name"
        elif kind != wanted:
            yield f"input_data.{name}", f"it is given {kind}, the component declares {wanted}"


def _threshold_messages(metrics: Sequence[str], component: Asset) -> Iterator[tuple[str, str]]:
    """AML gives a metric's threshold to the input `<metric>_threshold`."""
    if not metrics:
        yield "metric_thresholds", "there is none, so nothing could ever be breached"
    for metric in metrics:
        if component.type_of("inputs", f"{metric}_threshold") is None:
            yield "metric_thresholds", f"the component has no input {metric}_threshold"
