"""A monitor's run as a job: its component as the only step, its results in a folder of the run's own."""

from __future__ import annotations

from typing import Final

from local.machine_learning.batch.batch import DATASTORE
from local.machine_learning.batch.pipelines import PipelineComponent, PipelineValue, Step
from local.machine_learning.batch.records import Data, Literal, Review, Submission, Value
from local.machine_learning.monitoring.definitions import SIGNAL_OUTPUT, Monitor
from local.machine_learning.monitoring.runs import MonitorRun

_SIGNAL_FOLDER: Final = "signal_output/"
_REPORT_OUTPUT: Final = "report"


def report_uri(monitor: Monitor) -> str:
    """The folder of a run, with a place for the run's id."""
    return f"azureml://datastores/{DATASTORE}/paths/monitoring/{monitor.name}/{{run}}/"


def signal_uri(run: MonitorRun) -> str:
    return f"{run.report_uri}{_SIGNAL_FOLDER}signal.csv"


def submission(monitor: Monitor, run: MonitorRun, review: Review) -> Submission:
    signal = monitor.signal
    component = signal.component
    inputs: dict[str, Value] = {**signal.data}
    inputs |= {name: Literal(value=value) for name, value in signal.literals.items()}
    step = Step(
        name=signal.name,
        component=component,
        inputs={name: PipelineValue(name=name) for name in inputs},
        outputs={name: name for name in component.outputs},
    )
    return Submission(
        name=run.id,
        endpoint=monitor.name,
        deployment=signal.name,
        component=PipelineComponent(
            name=monitor.name,
            version="1",
            description=monitor.description,
            inputs={name: component.inputs[name] for name in inputs},
            outputs=component.outputs,
            steps=(step,),
        ),
        inputs=inputs,
        outputs={name: Data(type=port.type, uri=_place(run, name)) for name, port in component.outputs.items()},
        display_name=monitor.display_name or monitor.name,
        experiment=monitor.name,
        review=review,
    )


def _place(run: MonitorRun, output: str) -> str:
    """The report's files lie in the run's folder itself; every other output gets a folder in it."""
    below = {SIGNAL_OUTPUT: _SIGNAL_FOLDER, _REPORT_OUTPUT: ""}
    return f"{run.report_uri}{below.get(output, f'{output}/')}"
