"""Around `azd down`: it deletes whole resource groups, all that the deployment has put something into."""

from __future__ import annotations

from collections.abc import Mapping

from infra.hooks import parameters
from infra.hooks.resources import group_name
from infra.hooks.tools import HookFailed, say

TEAR_DOWN = "python3 infra/start.py infra.pipelines.tear_down"


def before(environment: Mapping[str, str]) -> None:
    """Refuses where one of those groups is not ours: the lake that was there would go with its group."""
    foreign = foreign_groups(environment)
    name = environment.get("AZURE_ENV_NAME", "NAME")
    if foreign:
        raise HookFailed(
            f"`azd down` deletes whole resource groups, and this environment uses resources in {', '.join(foreign)}, "
            f"which are not its own. Use `{TEAR_DOWN} --environment {name} --plan`, and then `--confirm {name}`: "
            "it deletes what the deployment has made, and nothing else"
        )
    say("data, models, and the records of every reaction are in this resource group, and go with it")
    say(f"`{TEAR_DOWN} --environment {name} --plan` shows it all; it also removes the custom roles, which azd leaves")


def foreign_groups(environment: Mapping[str, str]) -> list[str]:
    own = group_name(environment.get("AZURE_ENV_NAME", "")).lower()
    groups: dict[str, None] = {}
    for name, provider in parameters.EXISTING.items():
        found = parameters.parts(environment.get(name, ""), provider)
        if found is not None and found["group"].lower() != own:
            groups[found["group"]] = None
    return list(groups)


def after(environment: Mapping[str, str]) -> None:
    say("the key vault keeps its name for seven days unless `azd down --purge` was said; the next `azd up` recovers it")
    say("a deleted workspace can be kept for 14 days: docs/deploy.md, 'Tear down', says how to purge it")
