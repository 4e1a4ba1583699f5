"""The runs of monitors: their records, and what Event Grid is told of them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from local.machine_learning.batch.announcements import PIPELINE_RUN
from local.machine_learning.events import Publish, Run
from local.machine_learning.monitoring.definitions import Monitor
from local.machine_learning.monitoring.evaluation import ROOT_TAG, TAG, Metric, breach_text
from local.progress import Clock

STEP_RUN: Final = "azureml.StepRun"


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorRun:
    """One run of a monitor.

    Attributes:
        id: the root run, which is also the job's name.
        evaluate_run: the evaluate step's own run: a breach is told as its events.
        status: AML's word for the job's status.
        text: what the tag says; empty without a breach.
        report_uri: the folder with report.json and signal_output/; None where the component was not run.
    """

    id: str
    monitor: str
    signal: str
    evaluate_run: str
    started: datetime
    status: str = "NotStarted"
    ended: datetime | None = None
    metrics: tuple[Metric, ...] = ()
    text: str = ""
    report_uri: str | None = None
    message: str = ""

    @property
    def breached(self) -> bool:
        return bool(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcer:
    """Tells Event Grid of a run's evaluation, as the statuses of the evaluate step's run follow each other."""

    publish: Publish
    clock: Clock

    def evaluated(self, run: MonitorRun, metrics: Sequence[Metric]) -> str:
        """The step reads the metrics while it is Running and tags its run then: every later status carries the tag.

        A breach does not fail the step. Several events for one breach are what Azure sends, too.
        """
        text = breach_text(run.signal, metrics)
        self._tell(run, "Running", {})
        tags = {TAG: text} if text else {}
        for status in ("Finalizing", "Completed"):
            self._tell(run, status, tags)
        self.publish(step_of(run, tags).completed(self.clock.now()))
        return text

    def failed(self, run: MonitorRun) -> None:
        for status in ("Running", "Failed"):
            self._tell(run, status, {})

    def root(self, run: MonitorRun, status: str, tags: Mapping[str, str]) -> None:
        """The root run of an evaluation without a job, whose own events there are none of."""
        root = Run(
            id=run.id,
            experiment=run.monitor,
            type=PIPELINE_RUN,
            tags=tags,
            properties={"azureml.runsource": PIPELINE_RUN},
        )
        self.publish(root.status_changed(status, self.clock.now()))
        if status == "Completed":
            self.publish(root.completed(self.clock.now()))

    def _tell(self, run: MonitorRun, status: str, tags: Mapping[str, str]) -> None:
        self.publish(step_of(run, tags).status_changed(status, self.clock.now()))


def step_of(run: MonitorRun, tags: Mapping[str, str]) -> Run:
    """The evaluate step's own run, with these tags."""
    return Run(
        id=run.evaluate_run,
        experiment=run.monitor,
        type=STEP_RUN,
        tags=tags,
        properties={
            "azureml.runsource": STEP_RUN,
            "azureml.pipelinerunid": run.id,
            "azureml.rootpipelinerunid": run.id,
        },
    )


def new_run(monitor: Monitor, at: datetime, report_uri: str | None) -> MonitorRun:
    run_id = str(uuid.uuid4())
    return MonitorRun(
        id=run_id,
        monitor=monitor.name,
        signal=monitor.signal.name,
        evaluate_run=str(uuid.uuid4()),
        started=at,
        report_uri=report_uri and report_uri.format(run=run_id),
    )


def root_tags(run: MonitorRun, text: str) -> dict[str, str]:
    """On the root run the tag has another name, with the signal's in it."""
    return {ROOT_TAG.format(signal=run.signal): text} if text else {}


def run_from(saved: Mapping[str, Any]) -> MonitorRun:
    ended = saved["ended"]
    return MonitorRun(
        **{
            **saved,
            "started": datetime.fromisoformat(saved["started"]),
            "ended": datetime.fromisoformat(ended) if ended else None,
            "metrics": tuple(Metric(**metric) for metric in saved["metrics"]),
        }
    )
