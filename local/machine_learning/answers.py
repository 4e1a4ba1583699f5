"""What all answers of the workspace share, after what its own client was recorded to receive."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

from local.service import REGION, TENANT, workspace_id

# Clients ask without a token, in Azure at a host of its own; what is open to all stands below /_local here.
DISCOVERY: Final = "/_local/discovery"
PROVIDER: Final = "Microsoft.MachineLearningServices/workspaces"


class Refused(RuntimeError):
    """A request that is answered with an error in AML's shape."""

    def __init__(self, status: int, code: str, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = tuple(details)

    def answer(self) -> JSONResponse:
        return refusal(self.status, self.code, str(self), self.details)


def missing(what: str) -> Refused:
    return Refused(404, "ResourceNotFound", f"There is no {what}.")


def refusal(status: int, code: str, message: str, details: Sequence[str] = ()) -> JSONResponse:
    """AML's error answer."""
    content = {
        "code": code,
        "message": message,
        "details": [{"code": code, "message": detail, "details": [], "additionalInfo": []} for detail in details],
        "additionalInfo": [{"type": "ComponentName", "info": {"value": "managementfrontend"}}],
    }
    return JSONResponse({"error": content}, status_code=status)


def system_data(created: datetime, modified: datetime | None = None) -> dict[str, str]:
    return {
        "createdAt": created.isoformat(),
        "createdBy": "local",
        "createdByType": "User",
        "lastModifiedAt": (modified or created).isoformat(),
    }


def guid(text: str) -> str:
    """A GUID that is always the same for the same text."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, text))


class Answers:
    """The workspace itself. `url` is the listener: what several Azure host names serve, it serves alone."""

    def __init__(self, workspace: str, url: str) -> None:
        self.workspace_name = workspace
        self.id = workspace_id(workspace)
        self.url = url.rstrip("/")

    def tracking_uri(self) -> str:
        return f"azureml://{urlsplit(self.url).netloc}/mlflow/v1.0{self.id}"

    def discovery(self) -> dict[str, str]:
        return {"api": self.url}

    def workspace(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.workspace_name,
            "type": PROVIDER,
            "location": REGION,
            "tags": {},
            "sku": {"name": "Basic", "tier": "Basic"},
            "identity": {"type": "SystemAssigned", "principalId": guid(self.id), "tenantId": TENANT},
            "properties": {
                "friendlyName": self.workspace_name,
                "description": "",
                "workspaceId": guid(self.id),
                "tenantId": TENANT,
                "provisioningState": "Succeeded",
                "hbiWorkspace": False,
                "publicNetworkAccess": "Enabled",
                "discoveryUrl": self.url + DISCOVERY,
                "mlFlowTrackingUri": self.tracking_uri(),
            },
        }
