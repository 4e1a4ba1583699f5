"""Before anything is made: what would fail half-way is refused here, and what Bicep cannot find out is found out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.hooks import endpoints, parameters, registration
from infra.hooks.resources import get, group_name, listing
from infra.hooks.tools import HookFailed, az, azd_set, python, say

RULES = ("-m", "shared.rules", "check", "reactions.yaml", "--settings", "local.settings.sample.json")


def run(environment: Mapping[str, str]) -> None:
    python(*RULES)
    wrong = parameters.problems(environment)
    if wrong:
        raise HookFailed("\n".join(wrong))
    subscription = environment.get("AZURE_SUBSCRIPTION_ID", "")
    if not subscription:
        raise HookFailed("azd has no subscription yet: run `azd up`, or `azd env set AZURE_SUBSCRIPTION_ID …` first")
    _signed_in(subscription)
    _no_topic_in_the_way(environment, subscription)
    plan = endpoints.plan(_endpoints(environment, subscription), environment["AZURE_ENV_NAME"], _online(environment))
    say(f"the endpoints are {'made' if plan.create else 'left alone'}: {plan.why}")
    recover = deleted_vault(environment, az("keyvault", "list-deleted", "--resource-type", "vault") or [])
    api = registration.client_id(environment)
    azd_set(
        {
            **({"RELEARN_API_CLIENT_ID": api} if api is not None else {}),
            "RELEARN_CREATE_ENDPOINTS": _flag(plan.create),
            "RELEARN_RECOVER_VAULT": _flag(recover is not None),
        },
        environment,
    )


def deleted_vault(environment: Mapping[str, str], deleted: list[Mapping[str, Any]]) -> str | None:
    """The vault that an earlier deployment of this environment has left: its name cannot be taken, only recovered."""
    for vault in deleted:
        properties = vault.get("properties") or {}
        same = (properties.get("tags") or {}).get(endpoints.TAG) == environment["AZURE_ENV_NAME"]
        place = str(properties.get("location", "")).replace(" ", "").lower()
        if same and place == environment.get("AZURE_LOCATION", "").lower():
            return str(vault["name"])
    return None


def _signed_in(subscription: str) -> None:
    try:
        az("account", "set", "--subscription", subscription)
    except HookFailed as error:
        raise HookFailed(f"the hooks use the Azure CLI as well: run `az login`. {error}") from error


def _no_topic_in_the_way(environment: Mapping[str, str], subscription: str) -> None:
    if not any(environment.get(source) for source in parameters.TOPICS.values()):
        return
    path = f"/subscriptions/{subscription}/providers/Microsoft.EventGrid/systemTopics"
    wrong = parameters.topics_in_the_way(environment, listing(path, "2025-02-15"))
    if wrong:
        raise HookFailed("\n".join(wrong))


def _endpoints(environment: Mapping[str, str], subscription: str) -> list[endpoints.Found]:
    given = environment.get("RELEARN_EXISTING_WORKSPACE_ID", "")
    group = f"/subscriptions/{subscription}/resourceGroups/{group_name(environment['AZURE_ENV_NAME'])}"
    path = f"{group}/providers/Microsoft.MachineLearningServices/workspaces"
    there = get(group, "2024-11-01") is not None
    own = [each["id"] for each in listing(path, endpoints.API_VERSION)] if there and not given else []
    return [
        endpoints.Found.read(kind, endpoint)
        for workspace in ([given] if given else own)
        for kind in (endpoints.ONLINE, endpoints.BATCH)
        for endpoint in listing(f"{workspace}/{kind}", endpoints.API_VERSION)
    ]


def _online(environment: Mapping[str, str]) -> str:
    return environment.get("RELEARN_DIABETES_ENDPOINT", "")


def _flag(value: bool) -> str:
    return "true" if value else "false"
