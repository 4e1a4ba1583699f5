"""All jobs of a workspace: who may run now, and how they are cancelled, polled, waited for and forgotten."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from local.machine_learning.batch.records import Job, Status, Submission, Told
from local.progress import Clock, Interpret, Outcome, Policy

logger = logging.getLogger(__name__)

AT_ONCE = 2  # a step may well use a core of its own
KEPT_FOLDERS = 50
_OUTCOMES = {
    Outcome.SUCCEEDED: Status.COMPLETED,
    Outcome.FAILED: Status.FAILED,
    Outcome.CANCELLED: Status.CANCELED,
}


def _nobody(job: Job) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What the execution of one job reads, and how it reports: `change` replaces the job's record."""

    job: Job
    policy: Interpret
    cancelled: threading.Event
    change: Callable[[Callable[[Job], Job]], None]


@dataclass(slots=True, kw_only=True)
class _Entry:
    job: Job
    policy: Policy
    cancelled: threading.Event = field(default_factory=threading.Event)
    polls: int = 0
    silent: bool = False
    future: Future[None] | None = None


class Jobs:
    """All jobs of a workspace, safe from any thread; at most two run at once, in the order they came.

    Args:
        folder: each job gets a folder of its name in it.
        execute: really runs a job, in a thread of ours, and leaves it in a final state.
        told: gets every job that has come to another status. It is called under our lock, so it must not wait.
    """

    def __init__(self, folder: Path, execute: Callable[[Control], None], clock: Clock, told: Told = _nobody) -> None:
        self._folder = folder
        self._execute = execute
        self._clock = clock
        self._watching = [told]
        self._lock = threading.Condition()
        self._entries: dict[str, _Entry] = {}
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="job")

    def submit(self, submission: Submission, policy: Policy) -> Job:
        """Take a job in; it starts as soon as a place is free."""
        job = Job(submission=submission, folder=self._folder / submission.name, created=self._clock.now())
        entry = _Entry(job=job, policy=policy)
        with self._lock:
            self._tell(job)
            if isinstance(policy, Interpret):
                if (
                    sum(other.future is not None and not other.future.done() for other in self._entries.values())
                    >= AT_ONCE
                ):
                    self._change(entry, replace(job, status=Status.QUEUED))
                entry.future = self._pool.submit(self._run, entry, policy)
            else:
                self._settle(entry, policy)
            self._entries[submission.name] = entry
            return entry.job

    def rename(self, name: str, *, tags: Mapping[str, str], display_name: str) -> Job:
        """Changes what a job is called and its tags; whatever else it is stays.

        Raises:
            KeyError: there is no such job.
        """
        with self._lock:
            entry = self._entries[name]
            submission = replace(entry.job.submission, tags=dict(tags), display_name=display_name)
            entry.job = replace(entry.job, submission=submission)
            return entry.job

    def finish(self, name: str, outcome: Outcome, message: str = "") -> Job:
        """Ends, by hand, a job that does not really run.

        Raises:
            KeyError: there is no such job.
        """
        with self._lock:
            entry = self._entries[name]
            if entry.future is None and not entry.job.status.is_final:
                self._change(entry, self._ended(entry.job, _OUTCOMES[outcome], message))
            return entry.job

    def watch(self, told: Told) -> None:
        """From now on, also tell this one of every job that comes to another status; it must not wait either."""
        self._watching.append(told)

    def wait(self, name: str, seconds: float) -> Job:
        """The job when it is over.

        Raises:
            KeyError: there is no such job.
            TimeoutError: it is not over after so long.
        """
        with self._lock:
            entry = self._entries[name]
            if not self._lock.wait_for(lambda: entry.job.status.is_final, seconds):
                raise TimeoutError(f"job {name} is {entry.job.status} after {seconds} s")
            return entry.job

    def get(self, name: str) -> Job | None:
        with self._lock:
            entry = self._entries.get(name)
            return None if entry is None else entry.job

    def poll(self, name: str) -> Job | None:
        """As get(), and counted: a policy may let a job end after so many questions."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is None:
                return None
            entry.polls += 1
            if not isinstance(entry.policy, Interpret):
                self._settle(entry, entry.policy)
            return entry.job

    def all(self) -> list[Job]:
        """In the order they were submitted."""
        with self._lock:
            return [entry.job for entry in self._entries.values()]

    def cancel(self, name: str) -> Job | None:
        """Ask a job to end; one that is over stays as it is."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is None:
                return None
            self._cancel(entry)
            return entry.job

    def forget(self) -> None:
        """Cancel every job and forget it, and tell nobody; does not wait for the processes to be gone."""
        with self._lock:
            self._silence()
            for entry in self._entries.values():
                self._cancel(entry)
            self._entries.clear()

    def close(self) -> None:
        """Cancel every job and wait until the last process is gone. Call it while the storage still answers."""
        with self._lock:
            self._silence()
            for entry in self._entries.values():
                self._cancel(entry)
        self._pool.shutdown(wait=True)

    def _cancel(self, entry: _Entry) -> None:
        if entry.job.status.is_final:
            return
        entry.cancelled.set()
        waiting = entry.future is None or entry.future.cancel()
        if waiting:
            self._change(entry, self._ended(entry.job, Status.CANCELED, "The job was cancelled before it began."))
        else:
            self._change(entry, replace(entry.job, status=Status.CANCEL_REQUESTED))

    def _settle(self, entry: _Entry, policy: Policy) -> None:
        if entry.job.status.is_final:
            return
        elapsed = (self._clock.now() - entry.job.created).total_seconds()
        outcome = policy.verdict(polls=entry.polls, elapsed=elapsed)
        if outcome is None:
            started = entry.job.started or entry.job.created
            self._change(entry, replace(entry.job, status=Status.RUNNING, started=started))
        else:
            self._change(entry, self._ended(entry.job, _OUTCOMES[outcome], policy.message))

    def _change(self, entry: _Entry, job: Job) -> None:
        before, entry.job = entry.job, job
        if job.status is not before.status:
            self._lock.notify_all()
            if not entry.silent:
                self._tell(job)

    def _tell(self, job: Job) -> None:
        for told in self._watching:
            told(job)

    def _silence(self) -> None:
        for entry in self._entries.values():
            entry.silent = True

    def _ended(self, job: Job, status: Status, message: str) -> Job:
        return replace(job, status=status, message=message, ended=self._clock.now())

    def _run(self, entry: _Entry, policy: Interpret) -> None:
        def change(function: Callable[[Job], Job]) -> None:
            with self._lock:
                self._change(entry, function(entry.job))

        try:
            self._execute(Control(job=entry.job, policy=policy, cancelled=entry.cancelled, change=change))
        except Exception as problem:
            # A defect of ours: nobody reads the future, and without this the job would run for ever.
            logger.exception("a job could not be executed: %s", entry.job.name)
            message = f"The local cloud failed to execute this job: {problem!r}"
            change(lambda job: self._ended(job, Status.FAILED, message))
            raise
        finally:
            self._prune()

    def _prune(self) -> None:
        with self._lock:
            active = {entry.job.name for entry in self._entries.values() if not entry.job.status.is_final}
        folders = sorted(self._folder.glob("*/"), key=_age, reverse=True)
        for folder in folders[KEPT_FOLDERS:]:
            if folder.name not in active:
                shutil.rmtree(folder, ignore_errors=True)


def _age(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:  # pruned by the other job's thread meanwhile
        return 0.0
