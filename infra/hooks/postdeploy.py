"""After the app is there: the webhook's event subscriptions, which need a function to point at."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from infra.hooks.resources import get
from infra.hooks.tools import CommandFailed, HookFailed, az, say

FUNCTION: Final = "receive_event"
TRIES: Final = 30
PAUSE_SECONDS: Final = 10
NEEDED: Final = (
    "AZURE_SUBSCRIPTION_ID",
    "AZURE_RESOURCE_GROUP",
    "AZURE_FUNCTION_APP_NAME",
    "RELEARN_APP_STORAGE_ACCOUNT",
    "RELEARN_LAKE_TOPIC_ID",
    "RELEARN_WORKSPACE_TOPIC_ID",
    "RELEARN_EVENT_DELIVERY",
)
"""Outputs of main.bicep that this hook reads."""
PARAMETERS: Final[Mapping[str, str]] = {
    "functionAppName": "AZURE_FUNCTION_APP_NAME",
    "appStorageAccountName": "RELEARN_APP_STORAGE_ACCOUNT",
    "lakeTopicId": "RELEARN_LAKE_TOPIC_ID",
    "workspaceTopicId": "RELEARN_WORKSPACE_TOPIC_ID",
}
"""Of infra/events.bicep, and which output each is."""


def run(environment: Mapping[str, str], pause: float = PAUSE_SECONDS, tries: int = TRIES) -> None:
    missing = [name for name in NEEDED if not environment.get(name)]
    if missing:
        raise HookFailed(f"azd has no {', '.join(missing)}: provision first")
    if environment["RELEARN_EVENT_DELIVERY"] == "queue":
        say("events come through the queue: main.bicep has made the subscriptions")
        return
    _until_indexed(environment, pause, tries)
    say("making the event subscriptions (Event Grid calls the function to see that it is there)")
    for attempt in (1, 2, 3):  # an app that is just starting may not answer Event Grid's call in time
        try:
            az(*command(environment))
        except CommandFailed as error:
            if attempt == 3 or "validation" not in error.output.lower():
                raise
            say(f"Event Grid could not reach the function (try {attempt} of 3)")
            time.sleep(3 * pause)
        else:
            say("the event subscriptions are there")
            return


def command(environment: Mapping[str, str]) -> list[str]:
    """Incremental, and the same again: a subscription that is as it should be stays."""
    return [
        *("deployment", "group", "create", "--name", "relearn-events", "--mode", "Incremental"),
        *("--subscription", environment["AZURE_SUBSCRIPTION_ID"]),
        *("--resource-group", environment["AZURE_RESOURCE_GROUP"]),
        *("--template-file", "infra/events.bicep"),
        *("--parameters", *(f"{name}={environment[output]}" for name, output in PARAMETERS.items())),
    ]


def _until_indexed(environment: Mapping[str, str], pause: float, tries: int) -> None:
    """A deployment that succeeded says nothing of the functions: an import that fails leaves an app without any."""
    app = (
        f"/subscriptions/{environment['AZURE_SUBSCRIPTION_ID']}/resourceGroups/{environment['AZURE_RESOURCE_GROUP']}"
        f"/providers/Microsoft.Web/sites/{environment['AZURE_FUNCTION_APP_NAME']}"
    )
    for _ in range(tries):
        found: Any = get(f"{app}/functions/{FUNCTION}", "2024-11-01")
        if found is not None:
            return
        say(f"waiting for the app to show its function {FUNCTION}")
        time.sleep(pause)
    raise HookFailed(
        f"the app shows no function {FUNCTION} after {tries * pause:.0f} s: look at its log stream, and at /api/health"
    )
