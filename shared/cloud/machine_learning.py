"""One machine learning workspace: read over ARM, changed through azure-ai-ml, scored over HTTP.

Reading is plain ARM REST, because azure-ai-ml costs 1.2 s and 100 MB where only a rollout needs it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeVar
from urllib.parse import quote, urlencode

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, HeadersPolicy
from azure.core.rest import HttpRequest, HttpResponse

from shared.cloud.online_deployments import OnlineDeployments
from shared.cloud.patience import PATIENCE, Patience
from shared.cloud.targets import asked, sought
from shared.cloud.transport import transport_to
from shared.cloud.workspace_jobs import WorkspaceJobs
from shared.cloud.workspace_lists import Json, breached_runs, model_version, models_created, segment, texts
from shared.errors import TargetBusy, TargetRefused, TargetUnavailable
from shared.models import BreachedRun, Deployment, Endpoint, ModelRef, ModelVersion, Provisioning
from shared.ports import Component, NewDeployment, NewJob, WorkspaceJob
from shared.rollouts.smoke import Answer
from shared.settings import ArmResource

API_VERSION: Final = "2024-04-01"
DEPLOYMENT_HEADER: Final = "azureml-model-deployment"
SCORING_SCOPE: Final = "https://ml.azure.com/.default"
_BUSY: Final = frozenset({408, 409, 429})
"""409: another update is under way. (That AML says so with this status is not documented.)"""
NO_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType({})
_LOG_LINES: Final = 20
_LOG_CHARACTERS: Final = 1500

_PROVISIONING: Final = {
    "succeeded": Provisioning.SUCCEEDED,
    "failed": Provisioning.FAILED,
    "canceled": Provisioning.FAILED,
    "deleting": Provisioning.DELETING,
}

T = TypeVar("T")


class WorkspaceClient:
    """Implements the port Workspace."""

    def __init__(
        self, settings: ArmResource, arm_endpoint: str, credential: TokenCredential, patience: Patience = PATIENCE
    ) -> None:
        self._base = arm_endpoint
        self._path = settings.resource_id.rstrip("/")
        self._credential = credential
        # One request a call: what fails is asked again by the next look. Nothing here outlasts a delivery's patience.
        transport = transport_to(arm_endpoint, connect=patience.connect, read=patience.read)
        bearer = BearerTokenCredentialPolicy(credential, f"{arm_endpoint}/.default")
        self._arm: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(
            arm_endpoint, policies=[HeadersPolicy(), bearer], transport=transport
        )
        self._scoring: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(
            arm_endpoint,
            policies=[HeadersPolicy()],
            transport=transport_to(arm_endpoint, connect=patience.connect, read=patience.scoring),
        )
        self._data_plane: str | None = None
        self._deployments = OnlineDeployments(settings, arm_endpoint, credential, patience)
        self._jobs = WorkspaceJobs(self._path, url=self._url, read=self._json, send=self._send)

    def close(self) -> None:
        self._arm.close()
        self._scoring.close()
        self._deployments.close()

    # --- as it is -----------------------------------------------------------------------------------------------------

    def endpoint(self, name: str) -> Endpoint | None:
        path = f"onlineEndpoints/{segment(name)}"
        return _found(lambda: _endpoint(self._get(path), self._all(f"{path}/deployments"), self._path))

    def model(self, ref: ModelRef) -> ModelVersion | None:
        path = f"models/{segment(ref.name)}/versions/{segment(ref.version)}"
        return _found(lambda: model_version(ref, self._path, self._get(path)))

    def models_created(self, after: datetime, named: Callable[[str], bool]) -> list[ModelVersion]:
        return asked("workspace", lambda: models_created(self._pages, self._path, after, named), busy=_BUSY)

    def breached_runs(self, after: datetime) -> list[BreachedRun]:
        return asked("workspace", lambda: breached_runs(self._pages, self._children, after), busy=_BUSY)

    def live_model(self, endpoint: str) -> ModelVersion | None:
        found = self.endpoint(endpoint)
        if found is None:
            raise TargetRefused(f"there is no online endpoint {endpoint}", status=404)
        live = found.live
        return self.model(live.model) if live is not None and live.model is not None else None

    def failure(self, endpoint: str, deployment: str) -> str:
        path = f"onlineEndpoints/{segment(endpoint)}/deployments/{segment(deployment)}"
        properties = asked("workspace", lambda: self._get(path), busy=_BUSY)["properties"]
        # Where the answer to the start named the operation; in a later read this is not documented, only recorded.
        operation = (properties.get("properties") or {}).get("AzureAsyncOperationUri")
        told = self._operation_error(operation) if isinstance(operation, str) else None
        log = self._log(path)
        return " - ".join(part for part in (told or "AML gave no reason", log) if part)

    def _operation_error(self, url: str) -> str | None:
        """Not everybody may read operations, and they are not kept for ever."""
        try:
            error = asked("workspace", lambda: self._json(self._named(url)), busy=_BUSY).get("error") or {}
        except TargetRefused:
            return None
        text = ": ".join(str(error[key]) for key in ("code", "message") if error.get(key))
        return text or None

    def _log(self, path: str) -> str:
        """The end of the container's log. That there is none, or that it cannot be had, is no reason to fail."""
        request = HttpRequest("POST", self._url(f"{path}/getLogs"), json={"tail": _LOG_LINES})
        try:
            content = str(asked("workspace", lambda: self._json(request), busy=_BUSY).get("content") or "")
        except (TargetBusy, TargetRefused, TargetUnavailable):
            return ""
        return f"the end of its log: {content.strip()[-_LOG_CHARACTERS:]}" if content.strip() else ""

    # --- changed ------------------------------------------------------------------------------------------------------

    def create_deployment(self, wanted: NewDeployment) -> None:
        self._deployments.create(wanted)

    def set_traffic(self, endpoint: str, traffic: Mapping[str, int]) -> None:
        self._deployments.set_traffic(endpoint, traffic)

    def delete_deployment(self, endpoint: str, deployment: str) -> None:
        self._deployments.delete(endpoint, deployment)

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def component(self, reference: str) -> Component | None:
        return self._jobs.component(reference)

    def job(self, name: str) -> WorkspaceJob | None:
        return self._jobs.job(name)

    def start_job(self, wanted: NewJob) -> None:
        self._jobs.start(wanted)

    def cancel_job(self, name: str) -> None:
        self._jobs.cancel(name)

    # --- scored -------------------------------------------------------------------------------------------------------

    def score(self, endpoint: Endpoint, deployment: str, request: str) -> Answer:
        """Our own request: azure-ai-ml's invoke goes on naming the deployment in every later call of the process."""
        if endpoint.scoring_uri is None:
            raise TargetRefused(f"endpoint {endpoint.name} has no scoring address")
        headers = {
            "Authorization": f"Bearer {self._secret(endpoint)}",
            "Content-Type": "application/json",
            DEPLOYMENT_HEADER: deployment,
        }
        began = time.monotonic()
        sent = HttpRequest("POST", endpoint.scoring_uri, headers=headers, content=request)
        answer = asked("endpoint", lambda: self._scoring.send_request(sent))
        return Answer(
            status=answer.status_code,
            deployment=answer.headers.get(DEPLOYMENT_HEADER),
            body=asked("endpoint", answer.text),
            seconds=time.monotonic() - began,
        )

    def _secret(self, endpoint: Endpoint) -> str:
        """Whatever the endpoint asks its callers for: one of its keys, its own token, or one of the workspace's."""
        if endpoint.auth_mode.lower() == "aadtoken":
            return asked("identity", lambda: self._credential.get_token(SCORING_SCOPE).token)
        action, name = ("listKeys", "primaryKey") if endpoint.auth_mode.lower() == "key" else ("token", "accessToken")
        url = self._url(f"onlineEndpoints/{segment(endpoint.name)}/{action}")
        return str(asked("workspace", lambda: self._json(HttpRequest("POST", url))[name], busy=_BUSY))

    # --- requests -----------------------------------------------------------------------------------------------------

    def _url(self, path: str, parameters: Mapping[str, str] = NO_PARAMETERS) -> str:
        query = urlencode({"api-version": API_VERSION, **parameters}, safe="$", quote_via=quote)
        return f"{self._base}{self._path}/{path}?{query}"

    def _get(self, path: str) -> Json:
        return self._json(HttpRequest("GET", self._url(path)))

    def _all(self, path: str) -> list[Json]:
        """Every page of a list."""
        return [each for page in self._pages(path) for each in page]

    def _pages(self, path: str, parameters: Mapping[str, str] = NO_PARAMETERS) -> Iterator[list[Json]]:
        page = self._json(HttpRequest("GET", self._url(path, parameters)))
        yield page["value"]
        while page.get("nextLink"):
            page = self._json(self._named(page["nextLink"]))
            yield page["value"]

    def _children(self, run_id: str) -> Iterator[Json]:
        """The runs of a job's steps, none where the job is gone. Only the run history tells them, at an own address."""
        url = f"{self._history()}/history/v1.0{self._path}/runs/{segment(run_id)}/children"
        query: dict[str, str] = {}
        while True:
            try:
                page = self._json(HttpRequest("GET", f"{url}?{urlencode(query, safe='$')}".rstrip("?")))
            except HttpResponseError as error:
                if error.status_code == 404:
                    return
                raise
            yield from page["value"]
            if not page.get("continuationToken"):
                return
            query = {"$continuationtoken": page["continuationToken"]}

    def _history(self) -> str:
        """Where the workspace's data plane is, by its own word: the one other address that gets our token."""
        if self._data_plane is None:
            workspace = self._json(HttpRequest("GET", f"{self._base}{self._path}?api-version={API_VERSION}"))
            answer = self._scoring.send_request(HttpRequest("GET", str(workspace["properties"]["discoveryUrl"])))
            address = str(_object(answer)["api"]).rstrip("/")
            if not address.startswith("https://"):
                raise TargetRefused(f"{address} is no https address, where no token goes")
            self._data_plane = address
        return self._data_plane

    def _named(self, url: str) -> HttpRequest:
        """A question to an address that an answer named. Our token goes to nobody but ARM."""
        if not url.lower().startswith(f"{self._base.lower()}/"):
            raise TargetRefused(f"{url} is no address of {self._base}")
        return HttpRequest("GET", url)

    def _json(self, request: HttpRequest) -> Json:
        return _object(self._send(request))

    def _send(self, request: HttpRequest) -> HttpResponse:
        answer = self._arm.send_request(request)
        if answer.status_code >= 400:
            raise HttpResponseError(response=answer)
        return answer


def _object(answer: HttpResponse) -> Json:
    if answer.status_code >= 400:
        raise HttpResponseError(response=answer)
    content = answer.json()
    if not isinstance(content, Mapping):
        raise TypeError("it is no JSON object")
    return content


def _found(read: Callable[[], T]) -> T | None:
    """What is read; None where AML says that there is no such thing."""
    return sought("workspace", read, busy=_BUSY)


def _endpoint(found: Json, deployments: list[Json], workspace: str) -> Endpoint:
    properties = found["properties"]
    return Endpoint(
        name=str(found["name"]),
        provisioning=_provisioning(properties),
        auth_mode=str(properties["authMode"]),
        scoring_uri=properties.get("scoringUri"),
        traffic={name: int(share) for name, share in (properties.get("traffic") or {}).items() if share},
        deployments=tuple(_deployment(each, workspace) for each in deployments),
    )


def _deployment(found: Json, workspace: str) -> Deployment:
    properties = found["properties"]
    return Deployment(
        name=str(found["name"]),
        model=_served(str(properties.get("model") or ""), workspace),
        provisioning=_provisioning(properties),
        tags=texts(found.get("tags")),
    )


def _served(text: str, workspace: str) -> ModelRef | None:
    """What is served, if it is the workspace's own: the same name and version elsewhere is another model."""
    address = text.lower().removeprefix("azureml:")
    elsewhere = address.startswith("/subscriptions/") and not address.startswith(f"{workspace.lower()}/")
    return None if elsewhere or address.startswith("//registries/") else ModelRef.parse(text)


def _provisioning(properties: Json) -> Provisioning:
    """What is new to us is not taken for an end: the rollout's timeout ends the waiting."""
    return _PROVISIONING.get(str(properties.get("provisioningState")).lower(), Provisioning.UNDER_WAY)
