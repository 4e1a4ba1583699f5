"""One data factory through its own SDK client, with our own rules for repeating calls.

The SDK by itself repeats createRun, which is not idempotent, on 500, 503 and 504 and on every answer with Retry-After:
one call could become four runs. So a start is sent exactly once here, and what its answer means is told apart.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from azure.core import MatchConditions
from azure.core.credentials import TokenCredential

from shared.cloud.patience import PATIENCE, Patience
from shared.cloud.targets import asked, started
from shared.cloud.transport import transport_to
from shared.errors import TargetRefused
from shared.ports import Run, RunStatus
from shared.reactions import Job
from shared.settings import ArmResource

if TYPE_CHECKING:
    from azure.mgmt.datafactory import DataFactoryManagementClient
    from azure.mgmt.datafactory.models import (
        ActivityRun,
        PipelineResource,
        PipelineRun,
        RunFilterParameters,
        RunQueryFilter,
    )

T = TypeVar("T")
_NEVER_REPEATED: Final = 0


class DataFactoryClient:
    """Implements the port DataFactory. Its SDK takes half a second to import: not before the factory is asked."""

    def __init__(
        self, settings: ArmResource, arm_endpoint: str, credential: TokenCredential, patience: Patience = PATIENCE
    ) -> None:
        self.name = settings.name
        self._group = settings.resource_group
        self._connect = partial(_connected, settings.subscription_id, arm_endpoint, credential, patience)
        self._lock = threading.Lock()
        self._made: DataFactoryManagementClient | None = None
        self._briefly = patience.briefly
        self._declared: dict[str, tuple[str | None, frozenset[str]]] = {}

    @property
    def _client(self) -> DataFactoryManagementClient:
        with self._lock:
            if self._made is None:
                self._made = self._connect()
            return self._made

    def close(self) -> None:
        with self._lock:
            client, self._made = self._made, None
        if client is not None:
            client.close()

    def declared_parameters(self, pipeline: str) -> frozenset[str]:
        """Read before every start, so that a changed pipeline is seen; unchanged ones cost a 304."""
        etag, known = self._declared.get(pipeline, (None, frozenset()))
        condition = MatchConditions.IfModified if etag is not None else None
        get = partial(self._client.pipelines.get, self._group, self.name, pipeline)
        found = _asked(lambda: _declared(get(etag=etag, match_condition=condition), asked_for_change=etag is not None))
        if found is None:
            return known
        self._declared[pipeline] = found
        return found[1]

    def create_run(self, pipeline: str, parameters: dict[str, str]) -> str:
        def start() -> str:
            answer = self._client.pipelines.create_run(
                self._group, self.name, pipeline, parameters=parameters, retry_total=_NEVER_REPEATED
            )
            return _id(answer.run_id)

        return started(start)

    def run(self, run_id: str) -> Run | None:
        try:
            return _asked(lambda: _run(self._client.pipeline_runs.get(self._group, self.name, run_id)))
        except TargetRefused as error:
            if error.status == 404:
                return None
            raise

    def runs_updated(self, after: datetime, before: datetime, pipeline: str | None = None) -> list[Run]:
        filters = [_equals("PipelineName", pipeline)] if pipeline is not None else []
        ask = partial(self._client.pipeline_runs.query_by_factory, self._group, self.name)
        return _every(ask, _run, _query(after, before, filters))

    def cancel(self, run_id: str) -> None:
        _asked(lambda: self._client.pipeline_runs.cancel(self._group, self.name, run_id, is_recursive=True))

    def jobs_of(self, run_id: str, after: datetime, before: datetime) -> tuple[Job, ...]:
        """A job is what an answer to a Web activity describes as one: an id (or a name) and `properties.status`."""
        ask = partial(
            self._client.activity_runs.query_by_pipeline_run,
            self._group,
            self.name,
            run_id,
            connection_timeout=self._briefly,
            read_timeout=self._briefly,
        )
        query = _query(after, before, [_equals("ActivityType", "WebActivity")])
        jobs: dict[str, Job] = {}
        calls = _every(ask, lambda call: (call.activity_run_start or after, _job(run_id, call)), query)
        for _, job in sorted(calls, key=lambda call: call[0]):
            if job is not None and job.name is not None:
                jobs[job.name] = job  # a later call of the same job knows its later status
        return tuple(jobs.values())


def _connected(
    subscription: str, arm_endpoint: str, credential: TokenCredential, patience: Patience
) -> DataFactoryManagementClient:
    from azure.mgmt.datafactory import DataFactoryManagementClient

    return DataFactoryManagementClient(
        credential,
        subscription,
        base_url=arm_endpoint,
        credential_scopes=[f"{arm_endpoint}/.default"],
        transport=transport_to(arm_endpoint, connect=patience.connect, read=patience.read),
        retry_total=_NEVER_REPEATED,
    )


def _query(after: datetime, before: datetime, filters: list[RunQueryFilter]) -> RunFilterParameters:
    from azure.mgmt.datafactory.models import RunFilterParameters

    return RunFilterParameters(
        last_updated_after=after.astimezone(UTC), last_updated_before=before.astimezone(UTC), filters=filters or None
    )


def _equals(operand: str, value: str) -> RunQueryFilter:
    from azure.mgmt.datafactory.models import RunQueryFilter

    return RunQueryFilter(operand=operand, operator="Equals", values_property=[value])


def _every(ask: Callable[[RunFilterParameters], Any], read: Callable[[Any], T], query: RunFilterParameters) -> list[T]:
    """What a query finds, from all its pages."""

    def page() -> tuple[list[T], str | None]:
        answer = ask(query)
        return [read(each) for each in answer.value], answer.continuation_token

    found: list[T] = []
    while True:
        read_now, query.continuation_token = _asked(page)
        found += read_now
        if not query.continuation_token:
            return found


def _declared(found: PipelineResource | None, *, asked_for_change: bool) -> tuple[str | None, frozenset[str]] | None:
    """The ETag, and what the pipeline declares; None if it has not changed (a 304)."""
    if found is None and asked_for_change:
        return None
    if found is None or found.name is None:
        raise TypeError("it is no pipeline")
    return found.etag, frozenset(found.parameters or ())


def _run(found: PipelineRun) -> Run:
    return Run(
        id=_id(found.run_id),
        pipeline=str(found.pipeline_name),
        status=_status(str(found.status)),
        parameters={str(k): str(v) for k, v in (found.parameters or {}).items()},
        started=found.run_start,
        message=found.message or "",
        # A run started again in the factory joins the first one's group. (Seen in no recording: from the field's name.)
        rerun=bool(found.run_group_id) and found.run_group_id != found.run_id,
    )


def _id(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"a run's id is {value!r}")
    return value


def _status(text: str) -> RunStatus:
    """A status that is new to us is not taken for an end: the run is followed on, at most until its timeout.

    An error instead would end the following of every other run on the same page.
    """
    try:
        return RunStatus(text)
    except ValueError:
        return RunStatus.IN_PROGRESS


def _job(run_id: str, call: ActivityRun) -> Job | None:
    output, sent = _mapping(call.output), _mapping(call.input)
    status = _mapping(output.get("properties")).get("status")
    name = str(output.get("id") or output.get("name") or "").rstrip("/").rpartition("/")[2]
    if not name or not isinstance(status, str):
        return None
    url = str(sent.get("url") or "").partition("?")[0]  # a query may hold a key
    return Job(run_id=run_id, name=name, url=url or None, status=status)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _asked(call: Callable[[], T]) -> T:
    return asked("factory", call)
