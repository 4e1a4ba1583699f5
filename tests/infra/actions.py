"""Which Azure actions a request needs: one row per route, from Microsoft's reference of permissions.

Storage: "Authorize with Microsoft Entra ID", permissions for calling data operations. The rest: the providers' lists of
operations, and for online and batch endpoints the pages on authorising them. An operation may be allowed in several
ways; each way is a set of actions that must all be there. A data action is written with a leading "data:".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from local.accesses import Access

_BLOBS = "data:Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
_MESSAGES = "data:Microsoft.Storage/storageAccounts/queueServices/queues/messages"
_ENTITIES = "data:Microsoft.Storage/storageAccounts/tableServices/tables/entities"
_FACTORY = "Microsoft.DataFactory/factories"
_AML = "Microsoft.MachineLearningServices/workspaces"

Ways = tuple[frozenset[str], ...]


class NoAction(LookupError):
    """A request that no row knows: whoever adds a call says here which action allows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """`scope` is the narrowest of roles.json's scopes that holds what was asked of."""

    scope: str
    ways: Ways


def _row(
    service: str, methods: str, path: str, scope: str, *ways: str | set[str]
) -> tuple[str, str, re.Pattern[str], Need]:
    sets = tuple(frozenset({way} if isinstance(way, str) else way) for way in ways)
    return service, methods, re.compile(path), Need(scope=scope, ways=sets)


_FACTORY_PATH = r"/subscriptions/[^/]+/resourcegroups/[^/]+/providers/microsoft\.datafactory/factories/[^/]+"
_PIPELINE = _FACTORY_PATH + "/pipelines/[^/]+"
_RUN = _FACTORY_PATH + "/pipelineruns/[^/]+"
_AML_PATH = r"/subscriptions/[^/]+/resourcegroups/[^/]+/providers/microsoft\.machinelearningservices/workspaces/[^/]+"
_ENDPOINT = _AML_PATH + "/onlineendpoints/[^/]+"
_DEPLOYMENT = _ENDPOINT + "/deployments/[^/]+"
_CHANGED = (f"{_ENTITIES}/write", f"{_ENTITIES}/update/action")
_INSERTED = (f"{_ENTITIES}/write", f"{_ENTITIES}/add/action")
_EITHER = (f"{_ENTITIES}/write", {f"{_ENTITIES}/add/action", f"{_ENTITIES}/update/action"})

_ROWS = [
    # The app's own storage.
    _row("table", "GET", r"/app\d+/(lanes|due|permits|recent)\(.*\)", "appStorage", f"{_ENTITIES}/read"),
    _row("table", "POST", r"/app\d+/(lanes|due|permits|recent)", "appStorage", *_INSERTED),
    _row("table", "PUT PATCH MERGE", r"/app\d+/(lanes|due|permits|recent)\(.*\)", "appStorage", *_EITHER),
    _row("table", "DELETE", r"/app\d+/(lanes|due|permits|recent)\(.*\)", "appStorage", f"{_ENTITIES}/delete"),
    # A transaction's parts are authorised one by one: ours insert, replace and delete.
    _row(
        "table",
        "POST",
        r"/app\d+/\$batch",
        "appStorage",
        {f"{_ENTITIES}/write", f"{_ENTITIES}/delete"},
        {f"{_ENTITIES}/add/action", f"{_ENTITIES}/update/action", f"{_ENTITIES}/delete"},
    ),
    _row("queue", "POST", r"/app\d+/[^/]+/messages", "appStorage", f"{_MESSAGES}/write", f"{_MESSAGES}/add/action"),
    _row(
        "queue",
        "GET",
        r"/app\d+/[^/]+/messages",
        "appStorage",
        f"{_MESSAGES}/process/action",
        {f"{_MESSAGES}/read", f"{_MESSAGES}/delete"},
    ),
    _row("queue", "PUT", r"/app\d+/[^/]+/messages/.+", "appStorage", f"{_MESSAGES}/write"),
    _row(
        "queue",
        "DELETE",
        r"/app\d+/[^/]+/messages/.+",
        "appStorage",
        f"{_MESSAGES}/process/action",
        f"{_MESSAGES}/delete",
    ),
    _row("blob", "PUT", r"/app\d+/manifests/.+", "manifests", f"{_BLOBS}/write", f"{_BLOBS}/add/action"),
    _row("blob", "GET HEAD", r"/app\d+/manifests/.+", "manifests", f"{_BLOBS}/read"),
    _row("blob", "GET", r"/app\d+/dead-letters\?comp=list", "deadLetters", f"{_BLOBS}/read"),
    _row("blob", "GET", r"/app\d+/dead-letters/.+", "deadLetters", f"{_BLOBS}/read"),
    _row("blob", "PUT", r"/app\d+/dead-letters/.+", "deadLetters", f"{_BLOBS}/write"),
    _row("blob", "DELETE", r"/app\d+/dead-letters/.+", "deadLetters", f"{_BLOBS}/delete"),
    # The lake.
    _row("blob", "GET HEAD", r"/lake\d+/lake/.+", "lakeContainer", f"{_BLOBS}/read"),
    _row("blob", "GET", r"/lake\d+/lake\?comp=list", "lakeContainer", f"{_BLOBS}/read"),
    _row("blob", "PUT", r"/lake\d+/lake/.+", "lakeContainer", f"{_BLOBS}/write"),
    # The data factory.
    _row("arm", "GET", _PIPELINE, "factory", f"{_FACTORY}/pipelines/read"),
    _row(
        "arm",
        "POST",
        rf"{_FACTORY_PATH}/pipelines/[^/]+/createrun",
        "factory",
        f"{_FACTORY}/pipelines/createrun/action",
    ),
    _row("arm", "GET", rf"{_FACTORY_PATH}/pipelineruns/[^/]+", "factory", f"{_FACTORY}/pipelineruns/read"),
    _row(
        "arm",
        "POST",
        rf"{_FACTORY_PATH}/pipelineruns/[^/]+/cancel",
        "factory",
        f"{_FACTORY}/pipelineruns/cancel/action",
    ),
    _row(
        "arm",
        "POST",
        f"{_RUN}/queryactivityruns",
        "factory",
        f"{_FACTORY}/pipelineruns/queryactivityruns/action",
    ),
    _row("arm", "POST", rf"{_FACTORY_PATH}/querypipelineruns", "factory", f"{_FACTORY}/querypipelineruns/action"),
    # The machine learning workspace.
    _row("arm", "GET", _AML_PATH, "workspace", f"{_AML}/read"),
    _row("arm", "GET", rf"{_AML_PATH}/models(/[^/]+)?", "workspace", f"{_AML}/models/read"),
    _row("arm", "GET", rf"{_AML_PATH}/models/[^/]+/versions(/[^/]+)?", "workspace", f"{_AML}/models/versions/read"),
    _row("arm", "PUT", rf"{_AML_PATH}/models/[^/]+/versions/[^/]+", "workspace", f"{_AML}/models/versions/write"),
    _row(
        "arm",
        "GET",
        rf"{_AML_PATH}/components/[^/]+/versions/[^/]+",
        "workspace",
        f"{_AML}/components/versions/read",
    ),
    _row("arm", "GET", rf"{_AML_PATH}/jobs(/[^/]+)?", "workspace", f"{_AML}/jobs/read"),
    _row("arm", "PUT", rf"{_AML_PATH}/jobs/[^/]+", "workspace", f"{_AML}/jobs/write"),
    _row("arm", "POST", rf"{_AML_PATH}/jobs/[^/]+/cancel", "workspace", f"{_AML}/jobs/cancel/action"),
    # The run history, in Azure at https://REGION.api.azureml.ms.
    _row(
        "arm",
        "GET",
        rf"/history/v1\.0{_AML_PATH}/runs/[^/]+/children",
        "workspace",
        f"{_AML}/experiments/runs/read",
    ),
    _row("arm", "GET", _ENDPOINT, "endpoint", f"{_AML}/onlineEndpoints/read"),
    _row("arm", "PUT", _ENDPOINT, "endpoint", f"{_AML}/onlineEndpoints/write"),
    _row("arm", "POST", f"{_ENDPOINT}/listkeys", "endpoint", f"{_AML}/onlineEndpoints/listkeys/action"),
    _row("arm", "POST", f"{_ENDPOINT}/token", "endpoint", f"{_AML}/onlineEndpoints/token/action"),
    _row("arm", "GET", f"{_ENDPOINT}/deployments(/[^/]+)?", "endpoint", f"{_AML}/onlineEndpoints/deployments/read"),
    _row("arm", "PUT", _DEPLOYMENT, "endpoint", f"{_AML}/onlineEndpoints/deployments/write"),
    _row("arm", "DELETE", _DEPLOYMENT, "endpoint", f"{_AML}/onlineEndpoints/deployments/delete"),
    _row("arm", "POST", f"{_DEPLOYMENT}/getlogs", "endpoint", f"{_AML}/onlineEndpoints/deployments/getlogs/action"),
    _row(
        "arm",
        "GET",
        r"/subscriptions/[^/]+/providers/microsoft\.machinelearningservices/locations/[^/]+/mfeoperationsstatus/[^/]+",
        "subscription",
        "Microsoft.MachineLearningServices/locations/mfeOperationsStatus/read",
    ),
    # The data plane: in Azure at https://ENDPOINT.REGION.inference.ml.azure.com and at the topic's own address.
    _row("arm", "POST", "/online/[^/]+/score", "endpoint", f"{_AML}/onlineEndpoints/score/action"),
    _row("arm", "POST", "/batch/[^/]+/jobs", "workspace", f"{_AML}/batchEndpoints/jobs/write"),
    _row("arm", "GET", "/batch/[^/]+/jobs/[^/]+", "workspace", f"{_AML}/batchEndpoints/jobs/read"),
    _row("arm", "POST", "/topics/[^/]+/api/events", "eventsTopic", "data:Microsoft.EventGrid/events/send/action"),
]


def need_of(access: Access) -> Need:
    """What the request needs.

    Raises:
        NoAction: no row has this route.
    """
    path = access.path if access.service != "arm" else access.path.lower()
    for service, methods, pattern, need in _ROWS:
        if access.service == service and access.method in methods.split() and pattern.fullmatch(path):
            return need
    raise NoAction(
        f"{access.method} {access.path} ({access.service}) is called, and tests/infra/actions.py does not say which"
        " action of Azure's it needs: add its row, and the action to infra/roles.json"
    )
