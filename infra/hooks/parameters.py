"""Whether the parameters that azd hands to main.bicep can go together: before a deployment fails on them half-way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

_ID: Final = (
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/{provider}/(?P<name>[^/]+)"
)
EXISTING: Final[Mapping[str, str]] = {
    "RELEARN_EXISTING_LAKE_ID": "Microsoft.Storage/storageAccounts",
    "RELEARN_EXISTING_WORKSPACE_ID": "Microsoft.MachineLearningServices/workspaces",
    "RELEARN_EXISTING_DATA_FACTORY_ID": "Microsoft.DataFactory/factories",
    "RELEARN_EXISTING_LAKE_TOPIC_ID": "Microsoft.EventGrid/systemTopics",
    "RELEARN_EXISTING_WORKSPACE_TOPIC_ID": "Microsoft.EventGrid/systemTopics",
}
"""Parameters that name something that is there already, and of what type it is."""
TOPICS: Final[Mapping[str, str]] = {
    "RELEARN_EXISTING_LAKE_TOPIC_ID": "RELEARN_EXISTING_LAKE_ID",
    "RELEARN_EXISTING_WORKSPACE_TOPIC_ID": "RELEARN_EXISTING_WORKSPACE_ID",
}
"""A topic that is there belongs to a source that is there."""


def _one_of(*allowed: str) -> Callable[[str], str | None]:
    return lambda value: None if value in allowed else f"must be one of {', '.join(allowed)}, not {value!r}"


def _matches(pattern: str, what: str) -> Callable[[str], str | None]:
    return lambda value: None if re.fullmatch(pattern, value) else f"must be {what}, not {value!r}"


def _whole(least: int, most: int) -> Callable[[str], str | None]:
    def check(value: str) -> str | None:
        fine = value.isascii() and value.isdecimal() and least <= int(value) <= most
        return None if fine else f"must be a whole number from {least} to {most}, not {value!r}"

    return check


_FLAG: Final = _one_of("true", "false")
FORMS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "AZURE_ENV_NAME": _matches(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", "at most 64 letters, digits and hyphens"),
    "AZURE_PRINCIPAL_TYPE": _one_of("User", "Group", "ServicePrincipal"),
    "RELEARN_NETWORK_ISOLATION": _FLAG,
    "RELEARN_EVENT_DELIVERY_WANTED": _one_of("webhook", "queue"),
    "RELEARN_USE_BUILT_IN_ROLES": _FLAG,
    "RELEARN_ENDPOINT_AUTH_MODE": _one_of("AADToken", "Key", "AMLToken"),
    "RELEARN_LOW_PRIORITY_COMPUTE": _FLAG,
    "RELEARN_COMPUTE_SIZE": _matches(r"Standard_\w+", "the size of a machine, such as Standard_DS2_v2"),
    "RELEARN_MAXIMUM_INSTANCES": _whole(1, 1000),
    "RELEARN_RETENTION_DAYS": _whole(7, 365),
    "RELEARN_PYTHON_VERSION": _one_of("3.11", "3.12", "3.13"),
    "RELEARN_ALERT_EMAIL": _matches(r"[^@\s]+@[^@\s]+", "an e-mail address"),
    "RELEARN_API_CLIENT_ID": _matches(
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "the client id of an app registration"
    ),
    "RELEARN_DIABETES_ENDPOINT": _matches(
        r"(?=.{3,32}$)[a-z](?:-?[a-z0-9])*", "3 to 32 small letters, digits and single hyphens, a letter first"
    ),
}
"""What a parameter that is set must look like; one that is empty has its default."""


def parts(resource_id: str, provider: str) -> Mapping[str, str] | None:
    """subscription, group and name of a resource id; None for an id of something else."""
    found = re.fullmatch(_ID.format(provider=re.escape(provider)), resource_id, re.IGNORECASE)
    return found.groupdict() if found is not None else None


def problems(environment: Mapping[str, str]) -> list[str]:
    """Everything that is wrong at once, each with the name to set."""
    return [*_forms(environment), *_existing(environment), *_together(environment)]


def _forms(environment: Mapping[str, str]) -> Iterator[str]:
    for name, check in FORMS.items():
        value = environment.get(name, "")
        problem = check(value) if value else None
        if problem is not None:
            yield f"{name} {problem}"


def _existing(environment: Mapping[str, str]) -> Iterator[str]:
    subscription = environment.get("AZURE_SUBSCRIPTION_ID", "")
    for name, provider in EXISTING.items():
        value = environment.get(name, "")
        if not value:
            continue
        found = parts(value, provider)
        if found is None:
            yield f"{name} must be the resource id of a {provider}, not {value!r}"
        elif subscription and found["subscription"].lower() != subscription.lower():
            yield f"{name} is in subscription {found['subscription']}, and the deployment in {subscription}"


def _together(environment: Mapping[str, str]) -> Iterator[str]:
    isolated = environment.get("RELEARN_NETWORK_ISOLATION") == "true"
    if isolated and environment.get("RELEARN_EVENT_DELIVERY_WANTED") == "webhook":
        yield (
            "RELEARN_EVENT_DELIVERY_WANTED webhook and RELEARN_NETWORK_ISOLATION true exclude each other: "
            "Event Grid's webhook comes from the internet. Leave the delivery empty, or say queue"
        )
    for topic, source in TOPICS.items():
        if environment.get(topic) and not environment.get(source):
            yield f"{topic} is set and {source} is not: a topic that is there has a source that is there"


def topics_in_the_way(environment: Mapping[str, str], system_topics: list[Mapping[str, Any]]) -> list[str]:
    """Sources that are there and have a topic that was not named. A source can have only one.

    Args:
        system_topics: all of the subscription, as ARM lists them.
    """
    told: list[str] = []
    for topic, source in TOPICS.items():
        source_id = environment.get(source, "").lower()
        if not source_id or environment.get(topic):
            continue
        for found in system_topics:
            of_it = str(found.get("properties", {}).get("source", "")).lower() == source_id
            ours = found.get("tags", {}) or {}
            if of_it and ours.get("azd-env-name") != environment.get("AZURE_ENV_NAME"):
                told.append(f"{source} has the system topic {found['id']}, and can have only one: set {topic} to it")
    return told
