"""The monitors of a workspace: added from their definitions, run by hand or by the clock, kept with their runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from local.machine_learning.batch.jobs import Jobs
from local.machine_learning.batch.records import Job, ReviewFailed
from local.machine_learning.datastores import DataError, Datastores
from local.machine_learning.monitoring.definitions import Monitor, MonitorError, Source
from local.machine_learning.monitoring.evaluation import BadSignal, Metric, read_signal
from local.machine_learning.monitoring.runs import Announcer, MonitorRun, new_run, root_tags, run_from
from local.machine_learning.monitoring.submissions import report_uri, signal_uri, submission
from local.machine_learning.store import Store
from local.progress import Clock, Progress

logger = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.5
_KEPT_RUNS: Final = 100
_FINAL: Final = ("Completed", "Failed", "Canceled")


@dataclass(slots=True, kw_only=True)
class _Held:
    monitor: Monitor
    source: Source
    due: datetime | None


class Monitoring:
    """Safe from any thread. Never calls Jobs under its own lock: Jobs calls it under theirs."""

    def __init__(
        self, jobs: Jobs, datastores: Datastores, progress: Progress, *, announcer: Announcer, store: Store
    ) -> None:
        self._jobs = jobs
        self._datastores = datastores
        self._progress = progress
        self._announcer = announcer
        self._clock: Clock = announcer.clock
        self._store = store
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._runs: dict[str, MonitorRun] = {}
        self._stopped = threading.Event()
        self._ticking: threading.Thread | None = None
        self._restore()
        jobs.watch(self._job_changed)

    # Monitors

    def add(self, source: Source) -> Monitor:
        """Add a monitor, in place of one of the same name; with `every` in its source it runs by itself from then on.

        Raises:
            MonitorError: the definition is wrong.
        """
        monitor = source.read(self._clock.now())
        with self._lock:
            self._hold(source, monitor)
            self._save()
        return monitor

    def monitors(self) -> list[Monitor]:
        with self._lock:
            return [held.monitor for held in self._held.values()]

    def monitor(self, name: str) -> Monitor | None:
        with self._lock:
            held = self._held.get(name.lower())
            return held.monitor if held else None

    # Runs

    def start(self, name: str) -> MonitorRun:
        """Run the monitor's component as a job, and then its evaluation. Raises KeyError."""
        monitor = self._require(name)
        run = new_run(monitor, self._clock.now(), report_uri(monitor))
        self._keep(run)
        self._jobs.submit(submission(monitor, run, self._review), self._progress.take(monitor.name))
        return self.run(run.id)

    def wait(self, run_id: str, seconds: float) -> MonitorRun:
        """Raises TimeoutError: the run is not over after so long."""
        self._jobs.wait(run_id, seconds)
        return self.run(run_id)

    def evaluate(self, name: str, metrics: Sequence[Metric]) -> MonitorRun:
        """A run whose metrics are given: no component runs and no report is written, the events are the same.

        Raises:
            KeyError: there is no monitor of this name.
        """
        run = new_run(self._require(name), self._clock.now(), None)
        self._announcer.root(run, "Running", {})
        text = self._announcer.evaluated(run, metrics)
        self._announcer.root(run, "Completed", root_tags(run, text))
        done = replace(run, status="Completed", ended=self._clock.now(), metrics=tuple(metrics), text=text)
        self._keep(done)
        return done

    def run(self, run_id: str) -> MonitorRun:
        """Raises KeyError."""
        with self._lock:
            return self._runs[run_id]

    def find(self, run_id: str) -> MonitorRun | None:
        with self._lock:
            return self._runs.get(run_id)

    def runs(self, name: str | None = None) -> list[MonitorRun]:
        """The newest runs (of one monitor), oldest first."""
        with self._lock:
            return [run for run in self._runs.values() if name is None or run.monitor.lower() == name.lower()]

    def tick(self) -> list[MonitorRun]:
        """Start every monitor that is due; one whose last run is not over yet is left out."""
        at = self._clock.now()
        with self._lock:
            busy = {run.monitor for run in self._runs.values() if run.status not in _FINAL}
            due = [held for held in self._held.values() if held.due is not None and held.due <= at]
            for held in due:
                held.due = at + (held.monitor.every or timedelta())
            names = [held.monitor.name for held in due if held.monitor.name not in busy]
        return [self.start(name) for name in names]

    def reset(self) -> None:
        """Forget the runs; the monitors stay."""
        with self._lock:
            self._runs.clear()
            self._save()

    def close(self) -> None:
        self._stopped.set()
        if self._ticking is not None:
            self._ticking.join()

    # Within

    def _require(self, name: str) -> Monitor:
        monitor = self.monitor(name)
        if monitor is None:
            raise KeyError(f"there is no monitor {name!r}")
        return monitor

    def _hold(self, source: Source, monitor: Monitor) -> None:
        due = None if monitor.every is None else self._clock.now() + monitor.every
        self._held[monitor.name.lower()] = _Held(monitor=monitor, source=source, due=due)
        if due is not None and self._ticking is None:
            self._ticking = threading.Thread(target=self._keep_time, name="monitors", daemon=True)
            self._ticking.start()

    def _keep_time(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            self.tick()

    def _review(self, job: Job, cancelled: threading.Event) -> Mapping[str, str]:
        """The evaluate step: reads what the component put out, and tells Event Grid."""
        with self._lock:
            run = self._runs.get(job.name)
        if run is None:
            raise ReviewFailed("the run was forgotten")
        try:
            uri = signal_uri(run)
            metrics = read_signal(self._datastores.download_file(uri, job.folder / "review", cancelled))
        except (BadSignal, DataError) as problem:
            self._announcer.failed(run)
            raise ReviewFailed(f"The evaluation of signal {run.signal!r} failed: {problem}") from problem
        text = self._announcer.evaluated(run, metrics)
        with self._lock:
            if run.id in self._runs:
                self._runs[run.id] = replace(self._runs[run.id], metrics=tuple(metrics), text=text)
        return root_tags(run, text)

    def _job_changed(self, job: Job) -> None:
        with self._lock:
            run = self._runs.get(job.name)
            if run is not None:
                self._runs[run.id] = replace(run, status=job.status, ended=job.ended, message=job.message)
                if job.status.is_final:
                    self._save()

    def _keep(self, run: MonitorRun) -> None:
        with self._lock:
            self._runs[run.id] = run
            while len(self._runs) > _KEPT_RUNS:
                del self._runs[next(iter(self._runs))]
            self._save()

    def _save(self) -> None:
        monitors = [asdict(held.source) | {"created": held.monitor.created} for held in self._held.values()]
        self._store.save({"monitors": monitors, "runs": [asdict(run) for run in self._runs.values()]})

    def _restore(self) -> None:
        saved: Mapping[str, Any] = self._store.load()
        for known in saved.get("monitors", ()):
            created = datetime.fromisoformat(known["created"])
            source = Source(**{name: value for name, value in known.items() if name != "created"})
            try:
                self._hold(source, source.read(created))
            except MonitorError as problem:  # its component is gone, say: add it again
                logger.warning("a monitor of an earlier start is left out: %s", problem)
        for known in saved.get("runs", ()):
            run = run_from(known)
            if run.status not in _FINAL:
                run = replace(run, status="Canceled", message="The local cloud ended before it did.")
            self._runs[run.id] = run
