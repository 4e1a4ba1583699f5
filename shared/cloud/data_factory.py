"""One data factory through its own SDK client, with our own rules for repeating calls.

The SDK by itself repeats createRun, which is not idempotent, on 500, 503 and 504 and on every answer with Retry-After:
one call could become four runs. So a start is sent exactly once here, and what its answer means is told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, NoReturn, TypeVar

from azure.core import MatchConditions
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, HttpResponseError
from azure.mgmt.datafactory import DataFactoryManagementClient
from azure.mgmt.datafactory.models import PipelineRun, RunFilterParameters, RunQueryFilter

from shared.errors import InDoubt, TargetBusy, TargetRefused, TargetUnavailable
from shared.ports import Run, RunStatus
from shared.settings import FactorySettings

T = TypeVar("T")
_NEVER_REPEATED: Final = 0


class DataFactoryClient:
    """Implements the port DataFactory."""

    def __init__(self, settings: FactorySettings, arm_endpoint: str, credential: TokenCredential) -> None:
        self.name = settings.name
        self._group = settings.resource_group
        self._client = DataFactoryManagementClient(
            credential,
            settings.subscription_id,
            base_url=arm_endpoint,
            credential_scopes=[f"{arm_endpoint}/.default"],
            connection_timeout=5,
            read_timeout=10,
            retry_total=_NEVER_REPEATED,
        )
        self._declared: dict[str, tuple[str | None, frozenset[str]]] = {}

    def close(self) -> None:
        self._client.close()

    def declared_parameters(self, pipeline: str) -> frozenset[str]:
        """Read before every start, so that a changed pipeline is seen; unchanged ones cost a 304."""
        etag, known = self._declared.get(pipeline, (None, frozenset()))
        condition = MatchConditions.IfModified if etag is not None else None
        found = _asked(
            lambda: self._client.pipelines.get(self._group, self.name, pipeline, etag=etag, match_condition=condition)
        )
        if found is None:  # 304
            return known
        declared = frozenset(found.parameters or ())
        self._declared[pipeline] = (found.etag, declared)
        return declared

    def create_run(self, pipeline: str, parameters: dict[str, str]) -> str:
        try:
            answer = self._client.pipelines.create_run(
                self._group, self.name, pipeline, parameters=parameters, retry_total=_NEVER_REPEATED
            )
        except HttpResponseError as error:
            if error.status_code is not None and error.status_code < 500 and error.status_code != 408:
                _no(error)
            raise InDoubt(f"the answer to the start was {_told(error)}") from error
        except AzureError as error:  # reset, timed out, cut off: the request may have arrived
            raise InDoubt(f"no answer to the start: {type(error).__name__}") from error
        return str(answer.run_id)

    def run(self, run_id: str) -> Run | None:
        try:
            return _run(_asked(lambda: self._client.pipeline_runs.get(self._group, self.name, run_id)))
        except TargetRefused as error:
            if error.status == 404:
                return None
            raise

    def runs_updated(self, after: datetime, before: datetime, pipeline: str | None = None) -> list[Run]:
        filters = None
        if pipeline is not None:
            filters = [RunQueryFilter(operand="PipelineName", operator="Equals", values_property=[pipeline])]
        runs: list[Run] = []
        token: str | None = None
        while True:
            query = RunFilterParameters(
                last_updated_after=after.astimezone(UTC),
                last_updated_before=before.astimezone(UTC),
                continuation_token=token,
                filters=filters,
            )
            page = _asked(partial(self._client.pipeline_runs.query_by_factory, self._group, self.name, query))
            runs += [_run(found) for found in page.value]
            token = page.continuation_token
            if not token:
                return runs

    def cancel(self, run_id: str) -> None:
        _asked(lambda: self._client.pipeline_runs.cancel(self._group, self.name, run_id, is_recursive=True))


def _run(found: PipelineRun) -> Run:
    return Run(
        id=str(found.run_id),
        pipeline=str(found.pipeline_name),
        status=RunStatus(str(found.status)),
        parameters={str(k): str(v) for k, v in (found.parameters or {}).items()},
        started=found.run_start,
        message=found.message or "",
    )


def _asked(call: Callable[[], T]) -> T:
    """A question, or a cancellation: repeating it later is harmless, so every failure is one of three errors."""
    try:
        return call()
    except HttpResponseError as error:
        if error.status_code is not None and error.status_code < 500:
            _no(error)
        raise TargetUnavailable(f"the factory answered {_told(error)}") from error
    except AzureError as error:
        raise TargetUnavailable(f"the factory did not answer: {type(error).__name__}") from error


def _no(error: HttpResponseError) -> NoReturn:
    """A clear no. 429 and 408 ask for patience; every other 4xx stays a no however often it is asked."""
    if error.status_code in (408, 429):
        raise TargetBusy(_told(error), retry_after=_retry_after(error)) from error
    code = error.error.code if error.error is not None else None
    raise TargetRefused(_told(error), status=error.status_code, code=code) from error


def _told(error: HttpResponseError) -> str:
    message = error.error.message if error.error is not None else error.reason
    code = error.error.code if error.error is not None else None
    return " ".join(str(part) for part in (error.status_code, code, message) if part)


def _retry_after(error: HttpResponseError) -> timedelta | None:
    headers: Mapping[str, str] = getattr(error.response, "headers", {})
    seconds = headers.get("Retry-After", "")
    return timedelta(seconds=int(seconds)) if seconds.isdecimal() else None
