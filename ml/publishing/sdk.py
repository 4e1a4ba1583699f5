"""The one place that takes from azure-ai-ml what it does not offer in public, and makes its client.

The loader of a pipeline component's deployment and the one that knows monitor schedules stand in
`azure.ai.ml.entities._load_functions` and are exported nowhere (1.35.2); `load_batch_deployment` of the package makes
something else of the same file. Code as an asset of its own, which an online deployment refers to, has an entity and
operations that the client uses for components, and no public name either.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from azure.core.credentials import TokenCredential
from ruamel.yaml import YAML

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from azure.ai.ml import MLClient
    from azure.ai.ml._utils._asset_utils import get_content_hash_version
    from azure.ai.ml.entities._assets._artifacts.code import Code
    from azure.ai.ml.entities._load_functions import load_pipeline_component_batch_deployment, load_schedule

load_deployment = load_pipeline_component_batch_deployment
load_monitor = load_schedule


def connect(
    credential: TokenCredential, *, subscription: str, group: str, workspace: str, arm_endpoint: str | None
) -> MLClient:
    """The workspace's client. `arm_endpoint`: another Resource Manager than the public cloud's, over https."""
    elsewhere: dict[str, Any] = {}
    if arm_endpoint is not None:
        base = arm_endpoint.rstrip("/") + "/"
        # The client drops base_url; a cloud of our own is the public way to another Resource Manager.
        elsewhere = {
            "cloud": "relearn",
            "cloud_metadata": {
                "azure_portal": "https://portal.azure.com/",
                "resource_manager": base,
                "active_directory": "https://login.microsoftonline.com/",
                "aml_resource_id": "https://ml.azure.com",
                "storage_endpoint": "core.windows.net",
                "registry_discovery_endpoint": base,
            },
        }
    return MLClient(
        credential, subscription, group, workspace, show_progress=False, enable_telemetry=False, **elsewhere
    )


def source(body: dict[str, Any]) -> io.StringIO:
    """YAML in memory, as the loaders take it."""
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(body, text)
    text.seek(0)
    return text


def put_code(client: MLClient, code: Code) -> str:
    """Uploads and registers it; answers the version that has its content, which may be an older one."""
    return str(client._code.create_or_update(code).version)


def code_versions(client: MLClient, code: Code) -> set[str]:
    """The registered versions with this very content: what the client itself asks before it uploads."""
    found = client._code._version_operation.list(
        resource_group_name=client.resource_group_name,
        workspace_name=client.workspace_name,
        name=code.name,
        hash=code._hash_sha256,
        hash_version=str(get_content_hash_version()),
    )
    return {str(version.name) for version in found}


def get_code(client: MLClient, name: str, version: str) -> Code:
    return client._code.get(name, version)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the client's own words: dots while it waits, lines after an upload, and that it is experimental."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
