"""The app registration of the API: what its tokens are for, and the roles that people and programs can have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from infra.hooks.tools import ROOT, CommandFailed, HookFailed, az, say

GRAPH: Final = "https://graph.microsoft.com/v1.0/applications"
SCOPE_ID: Final = "6f0b8c1e-2a4d-4f7e-9b53-1c8f0d6a7e00"
THE_CLI: Final = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
"""The Azure CLI's own registration, the same everywhere: with its sign-in people get tokens for the API."""
NOT_MADE: Final = (
    "no app registration for the API: its routes answer 401 to everybody, while health and events work. "
    "docs/operations.md, 'The app registration', is for somebody who may make one; then set RELEARN_API_CLIENT_ID"
)


def client_id(environment: Mapping[str, str]) -> str | None:
    """Of the registration that was named, or that is there under this environment's name, or that is made now.

    None where the directory does not let this sign-in make one.

    Raises:
        HookFailed: there are several of that name.
    """
    given = environment.get("RELEARN_API_CLIENT_ID", "")
    if given:
        return given
    try:
        return _made(f"relearn-{environment['AZURE_ENV_NAME']}")
    except CommandFailed as error:
        say(f"{NOT_MADE} (the directory said: {error.output[-300:]})")
        return None


def _made(name: str) -> str:
    listed = az("ad", "app", "list", "--display-name", name) or []
    there = [each for each in listed if each.get("displayName") == name]  # az finds names that begin like it, too
    if len(there) > 1:
        raise HookFailed(f"there are {len(there)} app registrations {name}: set RELEARN_API_CLIENT_ID to the right one")
    found = there[0] if there else _new(name)
    client = str(found["appId"])
    url = f"{GRAPH}/{found['id']}"
    for body in changes(client):
        az("rest", "--method", "PATCH", "--url", url, "--headers", "Content-Type=application/json", "--body", body)
    if not az("ad", "sp", "list", "--filter", f"appId eq '{client}'"):
        az("ad", "sp", "create", "--id", client)
    say(f"the API's app registration is {name} ({client})")
    return client


def _new(name: str) -> Any:  # noqa: ANN401 - as az tells it
    return az("ad", "app", "create", "--display-name", name, "--sign-in-audience", "AzureADMyOrg")


def changes(client: str) -> list[str]:
    """What it must be like, as bodies for Microsoft Graph. A scope must be there before a client is let in by it."""
    scope: dict[str, Any] = {
        "id": SCOPE_ID,
        "value": "access",
        "type": "User",
        "isEnabled": True,
        "adminConsentDisplayName": "Access Relearn",
        "adminConsentDescription": "Calls Relearn as whoever is signed in; what they may is told by roles.",
        "userConsentDisplayName": "Access Relearn",
        "userConsentDescription": "Calls Relearn as you; what you may is told by roles.",
    }
    api: dict[str, Any] = {"requestedAccessTokenVersion": 2, "oauth2PermissionScopes": [scope]}
    let_in = [{"appId": THE_CLI, "delegatedPermissionIds": [SCOPE_ID]}]
    roles = json.loads((ROOT / "infra" / "app-roles.json").read_text(encoding="utf-8"))
    first = {"identifierUris": [f"api://{client}"], "appRoles": roles, "api": api}
    return [json.dumps(first), json.dumps({"api": {**api, "preAuthorizedApplications": let_in}})]
