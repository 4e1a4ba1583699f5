"""Tells Event Grid how jobs go: every change of status, and the end of those that end well."""

from __future__ import annotations

from local.machine_learning.batch.records import Job, Status, Told
from local.machine_learning.events import Publish, Run
from local.progress import Clock

PIPELINE_RUN = "azureml.PipelineRun"


def announcing(publish: Publish, clock: Clock) -> Told:
    """What Jobs calls at each change of a job's status."""

    def told(job: Job) -> None:
        run = run_of(job)
        publish(run.status_changed(job.status, clock.now()))
        if job.status is Status.COMPLETED:
            publish(run.completed(clock.now()))

    return told


def run_of(job: Job) -> Run:
    return Run(
        id=job.name,
        experiment=job.submission.experiment,
        type=PIPELINE_RUN,
        tags={**job.submission.tags, **job.tags},
        properties={"azureml.runsource": PIPELINE_RUN, **job.submission.properties},
    )
