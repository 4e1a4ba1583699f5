"""`python -m infra.pipelines.health`: whether the app that was just deployed has sound settings and rules."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from azure.identity import DefaultAzureCredential

from infra.hooks.tools import run
from infra.pipelines import report
from infra.pipelines.rest import WEB, PipelineFailed, Rest, arm

SHOWN: Final = (
    "RELEARN_APP_URL",
    "RELEARN_API_AUDIENCE",
    "RELEARN_WORKSPACE_ID",
    "RELEARN_TRAIN_ENDPOINT",
    "DIABETES_ENDPOINT",
)
"""Outputs of main.bicep that the model pipelines need as variables of their environments."""
TRIES: Final = 20


def judge(status: int, told: Mapping[str, Any] | None) -> str | None:
    """None for an app in order; else what is wrong, with every problem the app names."""
    if status == 200:
        return None
    problems = (told or {}).get("problems") or []
    named = "; ".join(f"{each['where']}: {each['message']}" for each in problems)
    return named or f"/api/health answers {status}"


def ask(host: str, *, tries: int = TRIES, pause: float = 15) -> str | None:
    """The first start of an app may take a minute."""
    wrong: str | None = None
    with Rest(f"https://{host}", None, None) as app:
        for attempt in range(tries):
            if attempt:
                time.sleep(pause)
            try:
                status, told = app.status("/api/health")
            except PipelineFailed as error:
                wrong = str(error)
                continue
            wrong = judge(status, told)
            if wrong is None:
                return None
    return wrong


def health() -> None:
    values: dict[str, str] = json.loads(run(["azd", "env", "get-values", "--output", "json"]))
    report.summary(
        "Deployed", {name: values.get(name, "") for name in SHOWN}, "The model pipelines need these variables."
    )
    if values.get("RELEARN_NETWORK_ISOLATION") == "true":
        report.say("the app is not asked: it answers inside its network only")
        return
    group = f"/subscriptions/{values['AZURE_SUBSCRIPTION_ID']}/resourceGroups/{values['AZURE_RESOURCE_GROUP']}"
    app_id = f"{group}/providers/Microsoft.Web/sites/{values['AZURE_FUNCTION_APP_NAME']}"
    with DefaultAzureCredential() as credential, arm(credential) as resources:
        host = resources.get(app_id, **{"api-version": WEB})["properties"]["defaultHostName"]
    wrong = ask(str(host))
    if wrong is not None:
        raise PipelineFailed(f"the app is deployed and not in order: {wrong}")
    report.say("the app is in order")


if __name__ == "__main__":
    sys.exit(report.run(health))
