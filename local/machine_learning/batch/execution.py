"""Really runs a job: its data comes, its steps run as processes one after the other, its results go to the lake."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from local.identity import COMPUTE_CLIENT
from local.machine_learning.batch.components import Scalar, Type
from local.machine_learning.batch.invocations import FindModel
from local.machine_learning.batch.jobs import Control
from local.machine_learning.batch.pipelines import FixedValue, PipelineValue, Step, StepValue
from local.machine_learning.batch.records import Data, Job, Literal, ReviewFailed, Status, StepRecord, Value
from local.machine_learning.datastores import DataError, Datastores, TransferStopped
from local.machine_learning.processes import Logs, Process
from local.machine_learning.references import BadReference, is_reference
from local.machine_learning.registry.registry import UnknownAsset
from local.progress import Clock
from local.service import RESOURCE_GROUP, SUBSCRIPTION

NO_CODE = shutil.ignore_patterns("__pycache__", ".git", ".relearn", ".venv")


class StepFailed(RuntimeError):
    """A step did not do its work; says which and how."""


class JobCancelled(RuntimeError):
    """Somebody asked for the job's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """Where and with what the jobs of a workspace run.

    Attributes:
        url: where the workspace's own client, in a step, finds the workspace.
        python: what `python` means in a command.
        environment: what a step's process may know beside AML's own variables; asked at each start.
        seconds: how long a step may take when its pipeline says nothing.
    """

    workspace: str
    url: str
    python: Path
    environment: Callable[[], Mapping[str, str]]
    datastores: Datastores
    find_model: FindModel
    clock: Clock
    seconds: float

    def __call__(self, control: Control) -> None:
        """Run a job to its final state."""
        try:
            _Execution(executor=self, control=control).run()
            status, message = Status.COMPLETED, ""
        except (JobCancelled, TransferStopped):
            status, message = Status.CANCELED, "The job was cancelled."
        except (StepFailed, DataError) as problem:
            status, message = Status.FAILED, str(problem)
        except OSError as problem:
            status, message = Status.FAILED, f"The job's folder could not be used: {problem}"
        ended = self.clock.now()
        control.change(lambda job: replace(job, status=status, message=message, ended=ended))


@dataclass(slots=True, kw_only=True)
class _Execution:
    """One job on its way. `values` are the pipeline's inputs as a command sees them, `produced` the steps' outputs."""

    executor: Executor
    control: Control
    values: dict[str, str] = field(default_factory=dict)
    produced: dict[tuple[str, str], Path] = field(default_factory=dict)

    def run(self) -> None:
        job = self.control.job
        steps = job.submission.component.steps
        started = self.executor.clock.now()
        self.control.change(lambda known: replace(known, started=started))
        self._enter(Status.STARTING)
        shutil.rmtree(job.folder, ignore_errors=True)
        job.folder.mkdir(parents=True)
        for output in job.submission.outputs.values():
            self.executor.datastores.require_free(output.uri)
        self._enter(Status.PREPARING)
        for name, value in job.submission.inputs.items():
            self.values[name] = self._local(value, job.folder / "inputs" / name)
        for place, step in enumerate(steps, start=1):
            self._enter(Status.RUNNING)
            self._run_step(step, place)
            self._enter(Status.FINALIZING if place == len(steps) else Status.RUNNING)
            self._put_out(step)
        self._review()

    def _enter(self, status: Status) -> None:
        if self.control.cancelled.is_set():
            raise JobCancelled

        def entered(job: Job) -> Job:
            return job if job.status is Status.CANCEL_REQUESTED else replace(job, status=status)

        self.control.change(entered)

    def _local(self, value: Value, folder: Path) -> str:
        """What a command is given for a value: the literal's text, or a path on this machine."""
        if isinstance(value, Literal):
            return str(value.value)
        fetch = self.executor.datastores.download_folder
        if value.type is Type.FILE:
            fetch = self.executor.datastores.download_file
        return str(fetch(self._address(value.uri), folder, self.control.cancelled))

    def _address(self, uri: str) -> str:
        """Where data lies; of a registered model, where its files do."""
        if not is_reference(uri):
            return uri
        try:
            return self.executor.find_model(uri).uri
        except (BadReference, UnknownAsset) as problem:
            raise DataError(f"{uri}: {problem}") from problem

    def _run_step(self, step: Step, place: int) -> None:
        folder = self.control.job.folder / "steps" / step.name
        record = StepRecord(name=step.name, run_id=str(uuid.uuid4()))
        if self.control.policy.fails(step.name, place):
            self._report(record)
            raise StepFailed(f"Step {step.name!r} failed: {self.control.policy.message}")
        record = replace(record, argv=self._argv(step, folder), started=self.executor.clock.now())
        logs = Logs(stdout=folder / "stdout.txt", stderr=folder / "stderr.txt")
        record = replace(record, stdout=logs.stdout, stderr=logs.stderr)
        code = _copy_of_code(step, folder)
        try:
            process = Process(record.argv, folder=code, environment=self._environment(record), logs=logs)
        except OSError as problem:
            self._report(record)
            raise StepFailed(f"Step {step.name!r} could not be started: {problem}") from problem
        record = replace(record, pid=process.pid)
        self._report(record)
        limit = step.seconds or self.executor.seconds
        end = process.follow(limit, self.control.cancelled)
        self._report(replace(record, exit_code=end.exit_code, ended=self.executor.clock.now()))
        if self.control.cancelled.is_set():
            raise JobCancelled
        if end.overdue:
            raise StepFailed(f"Step {step.name!r} took longer than its {limit:g} s and was ended. {logs.end()}")
        if end.exit_code != 0:
            raise StepFailed(f"Step {step.name!r} failed with exit code {end.exit_code}. {logs.end()}")

    def _argv(self, step: Step, folder: Path) -> tuple[str, ...]:
        inputs = {}
        for name, port in step.component.inputs.items():
            value = self._input(step, name, folder)
            if value is None and port.default is not None:
                value = str(port.default)
            if value is not None:
                inputs[name] = value
        outputs = {name: self._output(step, name, folder) for name in step.component.outputs}
        first, *rest = step.component.command.argv(inputs=inputs, outputs=outputs)
        return (str(self.executor.python) if first in {"python", "python3"} else first, *rest)

    def _input(self, step: Step, name: str, folder: Path) -> str | None:
        match step.inputs.get(name):
            case PipelineValue() as source:
                return self.values.get(source.name)
            case StepValue() as source:
                return str(self.produced[source.step, source.name])
            case FixedValue() as source:
                return self._fixed(source.value, step.component.inputs[name].type, folder / "inputs" / name)
            case _:
                return None

    def _fixed(self, value: Scalar, kind: Type, folder: Path) -> str:
        if kind.is_literal:
            return str(value)
        return self._local(Data(type=kind, uri=str(value)), folder)

    def _output(self, step: Step, name: str, folder: Path) -> str:
        path = folder / "outputs" / name
        if step.component.outputs[name].type is Type.FILE:
            path.mkdir(parents=True)
            target = step.outputs.get(name)
            uri = self.control.job.submission.outputs[target].uri if target else name
            path /= PurePosixPath(uri).name
        else:
            path.mkdir(parents=True)
        self.produced[step.name, name] = path
        return str(path)

    def _environment(self, record: StepRecord) -> dict[str, str]:
        given = dict(self.executor.environment())
        given["PATH"] = os.pathsep.join(filter(None, (str(self.executor.python.parent), given.get("PATH"))))
        submission = self.control.job.submission
        # What AML is known to set. In Azure each step is a child run; the root is the job.
        return given | {
            "AZUREML_RUN_ID": record.run_id,
            "AZUREML_ROOT_RUN_ID": submission.name,
            "AZUREML_EXPERIMENT_NAME": submission.experiment,
            "AZUREML_ARM_SUBSCRIPTION": SUBSCRIPTION,
            "AZUREML_ARM_RESOURCEGROUP": RESOURCE_GROUP,
            "AZUREML_ARM_WORKSPACE_NAME": self.executor.workspace,
            "AZUREML_ARM_PROJECT_NAME": submission.experiment,
            "DEFAULT_IDENTITY_CLIENT_ID": COMPUTE_CLIENT,
            # Of the public cloud all that is left is the tokens' audience, which our doors take.
            "AZUREML_DEV_URL_MFE": self.executor.url,
            "PYTHONUNBUFFERED": "1",
        }

    def _put_out(self, step: Step) -> None:
        for name, target in step.outputs.items():
            source = self.produced[step.name, name]
            if not source.exists():
                raise StepFailed(f"Step {step.name!r} ended well and did not write its output {name!r}")
            uri = self.control.job.submission.outputs[target].uri
            self.executor.datastores.upload(source, uri, self.control.cancelled)

    def _review(self) -> None:
        """What came out is looked at before the job counts as completed."""
        job = self.control.job
        if job.submission.review is None:
            return
        try:
            tags = job.submission.review(job, self.control.cancelled)
        except ReviewFailed as problem:
            raise StepFailed(str(problem)) from problem
        self.control.change(lambda known: replace(known, tags=tags))

    def _report(self, record: StepRecord) -> None:
        self.control.change(lambda job: job.with_step(record))


def _copy_of_code(step: Step, folder: Path) -> Path:
    """The code a step runs in: a copy, as in AML, so that a run leaves nothing in the source tree."""
    copy = folder / "code"
    if step.component.code is None:
        copy.mkdir(parents=True)
    else:
        shutil.copytree(step.component.code, copy, ignore=NO_CODE)
    return copy
