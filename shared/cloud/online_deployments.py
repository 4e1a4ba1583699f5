"""What a rollout changes in the workspace, through azure-ai-ml, which is imported when the first rollout needs it."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy

from shared.cloud.patience import PATIENCE, Patience
from shared.cloud.targets import started
from shared.errors import InDoubt, TargetRefused
from shared.ports import NewDeployment
from shared.settings import ArmResource

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

REQUEST_TIMEOUT_MS: Final = 5000
"""How long a deployment may take to answer: what a previous deployment is kept for must be longer."""
_BUSY: Final = frozenset({409, 429})
_COLOURS: Final = re.compile("\x1b\\[[0-9;]*m")


class _NotFollowed(HttpResponseError):
    """Raised in place of a poller's first question."""


class _NoPolling(SansIOHTTPPolicy[Any, Any]):
    """The SDK follows every change in a thread of its own, which would outlive the look that asked for it.

    The next look reads how far AML is; so a poller's first question is not sent, and its thread ends.
    """

    def on_request(self, request: PipelineRequest[Any]) -> None:
        url = request.http_request.url.lower()
        if "/mfeoperationsstatus/" in url or "/mfeoperationresults/" in url:
            raise _NotFollowed("this operation is followed by looks")


class OnlineDeployments:
    """The writing half of the port Workspace. Its client is made once, by whichever thread needs it first."""

    def __init__(
        self, settings: ArmResource, arm_endpoint: str, credential: TokenCredential, patience: Patience = PATIENCE
    ) -> None:
        self._settings = settings
        self._arm_endpoint = arm_endpoint
        self._credential = credential
        self._patience = patience
        self._lock = threading.Lock()
        self._made: MLClient | None = None

    def close(self) -> None:
        """The SDK's client cannot be closed; it is only let go."""
        with self._lock:
            self._made = None

    def create(self, wanted: NewDeployment) -> None:
        from azure.ai.ml.entities import CodeConfiguration, ManagedOnlineDeployment, OnlineRequestSettings

        serving = wanted.serving
        deployment = ManagedOnlineDeployment(
            name=wanted.name,
            endpoint_name=wanted.endpoint,
            model=f"azureml:{wanted.model.name}:{wanted.model.version}",
            environment=serving.environment,
            code_configuration=CodeConfiguration(code=serving.code, scoring_script=serving.script),
            instance_type=serving.instance_type,
            instance_count=serving.instances,
            request_settings=OnlineRequestSettings(request_timeout_ms=REQUEST_TIMEOUT_MS),
            tags=dict(wanted.tags),
        )
        self._started(lambda client: client.online_deployments.begin_create_or_update(deployment))

    def set_traffic(self, endpoint: str, traffic: Mapping[str, int]) -> None:
        def change(client: MLClient) -> None:
            found = client.online_endpoints.get(endpoint)
            found.traffic = dict(traffic)  # what else the endpoint has is sent back as it is
            client.online_endpoints.begin_create_or_update(found)

        self._started(change)

    def delete(self, endpoint: str, deployment: str) -> None:
        try:
            self._started(
                lambda client: client.online_deployments.begin_delete(name=deployment, endpoint_name=endpoint)
            )
        except TargetRefused as error:
            if error.status != 404:
                raise

    def _started(self, change: Callable[[MLClient], object]) -> None:
        """Whatever poller the SDK gives is let go."""
        client = self._client()
        from azure.ai.ml.exceptions import MlException

        try:
            started(lambda: change(client), busy=_BUSY)
        except InDoubt as error:
            if isinstance(error.__cause__, MlException):  # the SDK itself finds it wrong, and has sent nothing
                raise TargetRefused(_plain(error.__cause__)) from error.__cause__
            raise

    def _client(self) -> MLClient:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> MLClient:
        from azure.ai.ml import MLClient

        logging.getLogger("azure.ai.ml").setLevel(logging.WARNING)  # it sets a level of its own as it is imported
        # The public cloud's addresses, except where requests go. A cloud is known by its name for the whole process.
        metadata = {
            "azure_portal": "https://portal.azure.com/",
            "resource_manager": f"{self._arm_endpoint}/",
            "active_directory": "https://login.microsoftonline.com/",
            "aml_resource_id": "https://ml.azure.com/",
            "storage_endpoint": "core.windows.net",
            "registry_discovery_endpoint": f"{self._arm_endpoint}/",
        }
        return MLClient(
            self._credential,
            self._settings.subscription_id,
            self._settings.resource_group,
            self._settings.name,
            cloud=self._arm_endpoint,
            cloud_metadata=metadata,
            enable_telemetry=False,
            show_progress=False,
            per_call_policies=[_NoPolling()],
            connection_timeout=self._patience.connect,
            read_timeout=self._patience.read,
            retry_total=0,
        )


def _plain(error: BaseException) -> str:
    """The SDK's own objection: it is coloured for a terminal, and the outermost error may say nothing."""
    within = error.__cause__ or error.__context__
    text = " ".join(_COLOURS.sub("", str(error)).split())
    return text[:500] if text or within is None else _plain(within)
