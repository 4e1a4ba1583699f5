"""After the resources are there: the assets of the machine learning workspace."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from infra.hooks import endpoints
from infra.hooks.resources import get
from infra.hooks.tools import CommandFailed, HookFailed, azd_set, python, say

TRIES: Final = 6
PAUSE_SECONDS: Final = 120
NEEDED: Final = (
    "AZURE_SUBSCRIPTION_ID",
    "RELEARN_WORKSPACE_ID",
    "RELEARN_WORKSPACE_NAME",
    "RELEARN_WORKSPACE_RESOURCE_GROUP",
    "DIABETES_ENDPOINT",
    "RELEARN_PREP_ENDPOINT",
    "RELEARN_SCORE_ENDPOINT",
    "RELEARN_TRAIN_ENDPOINT",
)
"""Outputs of main.bicep that this hook reads."""


def run(environment: Mapping[str, str], pause: float = PAUSE_SECONDS) -> None:
    missing = [name for name in NEEDED if not environment.get(name)]
    if missing:
        raise HookFailed(f"azd has no {', '.join(missing)}: provision first")
    endpoint = f"{environment['RELEARN_WORKSPACE_ID']}/{endpoints.ONLINE}/{environment['DIABETES_ENDPOINT']}"
    if get(endpoint, endpoints.API_VERSION) is None:
        raise HookFailed(f"there is no endpoint {environment['DIABETES_ENDPOINT']}: run `azd provision` again")
    # From here on a PUT would take what they serve away, whatever the next run's preprovision finds out.
    azd_set({"RELEARN_CREATE_ENDPOINTS": "false"}, environment)
    _publish(environment, pause)


def _publish(environment: Mapping[str, str], pause: float) -> None:
    """A role that was just assigned may take a while to count; everything else is an error at once."""
    for attempt in range(1, TRIES + 1):
        try:
            python("-m", "ml.publish", *where(environment))
        except CommandFailed as error:
            if attempt == TRIES or not forbidden(error.output):
                raise
            say(f"the roles do not count yet (try {attempt} of {TRIES}); again in {pause:.0f} s")
            time.sleep(pause)
        else:
            return


def where(environment: Mapping[str, str]) -> list[str]:
    """The workspace, and the names of its batch endpoints, which no other customer of the region has."""
    return [
        *("--subscription", environment["AZURE_SUBSCRIPTION_ID"]),
        *("--resource-group", environment["RELEARN_WORKSPACE_RESOURCE_GROUP"]),
        *("--workspace", environment["RELEARN_WORKSPACE_NAME"]),
        *("--endpoint", f"prep={environment['RELEARN_PREP_ENDPOINT']}"),
        *("--endpoint", f"score={environment['RELEARN_SCORE_ENDPOINT']}"),
        *("--endpoint", f"train={environment['RELEARN_TRAIN_ENDPOINT']}"),
    ]


def forbidden(output: str) -> bool:
    return any(
        word in output for word in ("AuthorizationFailed", "AuthorizationPermissionMismatch", "Forbidden", "403")
    )
