"""After the resources are there: the assets of the machine learning workspace."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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
    "RELEARN_PREP_ENDPOINT",
    "RELEARN_SCORE_ENDPOINT",
    "RELEARN_TRAIN_ENDPOINT",
    "RELEARN_LAKE_CONTAINER_URL",
    "DIABETES_ENDPOINT",
)
"""Outputs of main.bicep that this hook reads."""


def run(environment: Mapping[str, str], pause: float = PAUSE_SECONDS, publish: Callable[..., None] = python) -> None:
    """`publish` runs a module of this project, here that of the assets."""
    missing = [name for name in NEEDED if not environment.get(name)]
    if missing:
        raise HookFailed(f"azd has no {', '.join(missing)}: provision first")
    endpoint = f"{environment['RELEARN_WORKSPACE_ID']}/{endpoints.ONLINE}/{environment['DIABETES_ENDPOINT']}"
    if get(endpoint, endpoints.API_VERSION) is None:
        raise HookFailed(f"there is no endpoint {environment['DIABETES_ENDPOINT']}: run `azd provision` again")
    # From here on a PUT would take what they serve away, whatever the next run's preprovision finds out.
    azd_set({"RELEARN_CREATE_ENDPOINTS": "false"}, environment)
    _publish(environment, pause, publish)


def _publish(environment: Mapping[str, str], pause: float, publish: Callable[..., None]) -> None:
    """A role that was just assigned may take a while to count; everything else is an error at once."""
    for attempt in range(1, TRIES + 1):
        try:
            publish(*command(environment))
        except CommandFailed as error:
            if attempt == TRIES or not forbidden(error.output):
                raise
            say(f"the roles do not count yet (try {attempt} of {TRIES}); again in {pause:.0f} s")
            time.sleep(pause)
        else:
            return


def command(environment: Mapping[str, str]) -> list[str]:
    """The batch endpoints have this environment's names; monitors are made for the batches that were asked for."""
    batches = environment.get("RELEARN_MONITORED_BATCHES", "").replace(",", " ").split()
    return [
        *("-m", "ml.publish"),
        *("--subscription", environment["AZURE_SUBSCRIPTION_ID"]),
        *("--resource-group", environment["RELEARN_WORKSPACE_RESOURCE_GROUP"]),
        *("--workspace", environment["RELEARN_WORKSPACE_NAME"]),
        *(
            argument
            for step in ("prep", "score", "train")
            for argument in ("--endpoint", f"{step}={environment[f'RELEARN_{step.upper()}_ENDPOINT']}")
        ),
        *(argument for batch in batches for argument in ("--monitor", batch)),
        *(("--lake", environment["RELEARN_LAKE_CONTAINER_URL"]) if batches else ()),
    ]


def forbidden(output: str) -> bool:
    return any(
        word in output for word in ("AuthorizationFailed", "AuthorizationPermissionMismatch", "Forbidden", "403")
    )
