"""`python -m infra.pipelines.tear_down`: deletes what a deployment has made, and nothing else.

`azd down` deletes whole resource groups, also that of a lake that was there before, as the deployment has put its topic
there; and it leaves the custom roles. This finds both kinds by tag and by name, shows them with --plan, and deletes
them in the order in which they can go: what points at the environment from elsewhere, its workspace for good, its
roles, its group.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from infra.hooks.endpoints import TAG
from infra.hooks.resources import ARM, get, group_name, listing, missing
from infra.hooks.tools import ROOT, CommandFailed, HookFailed, az

WORKSPACES: Final = "Microsoft.MachineLearningServices/workspaces"
VAULTS: Final = "Microsoft.KeyVault/vaults"
WORKSPACE_API: Final = "2025-06-01"
WAITS: Final = 90
WAIT_SECONDS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What there is of one environment, by resource id.

    Attributes:
        elsewhere: resources with its tag in the groups of others: topics, endpoints.
        subscriptions: of topics that are not its own, to its app or its queue.
        assignments: of roles to its identities in the groups of others, and all of its custom roles.
    """

    group: str
    elsewhere: Sequence[str] = ()
    subscriptions: Sequence[str] = ()
    assignments: Sequence[str] = ()
    roles: Sequence[str] = ()
    workspaces: Sequence[str] = ()
    vaults: Sequence[str] = ()
    inside: Sequence[str] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command of az, what it is about, and the resource that must be gone before the next."""

    what: str
    command: tuple[str, ...]
    awaited: str | None = None


def steps(found: Found) -> list[Step]:
    """In the order in which they can go. A step that has been taken before finds nothing to do."""
    name = found.group.rsplit("/", 1)[-1]
    return [
        *(_delete(f"event subscription {each}", each, "2025-02-15") for each in found.subscriptions),
        *(Step(what=each, command=("resource", "delete", "--ids", each)) for each in _leaves_first(found.elsewhere)),
        # Else it is kept for 14 days and its name with it.
        *(_delete(f"{each}, for good", each, WORKSPACE_API, purge=True) for each in found.workspaces),
        *(_delete(f"role assignment {each}", each, "2022-04-01") for each in found.assignments),
        *(_delete(f"custom role {each}", each, "2022-04-01") for each in found.roles),
        Step(
            what=f"resource group {name}, with everything in it", command=("group", "delete", "--yes", "--name", name)
        ),
    ]


def _delete(what: str, resource_id: str, api_version: str, *, purge: bool = False) -> Step:
    url = f"{ARM}{resource_id}?api-version={api_version}{'&forceToPurge=true' if purge else ''}"
    command = ("rest", "--method", "delete", "--url", url)
    return Step(what=what, command=command, awaited=resource_id if purge else None)


def _leaves_first(ids: Iterable[str]) -> list[str]:
    return sorted(ids, key=lambda each: (-each.count("/"), each))


# --- finding --------------------------------------------------------------------------------------------------------


def find(environment: str, subscription: str) -> Found:
    """Asks Azure; raises HookFailed where the group is not this environment's."""
    group = f"/subscriptions/{subscription}/resourceGroups/{group_name(environment)}"
    there = get(group, "2024-11-01")
    if there is None or (there.get("tags") or {}).get(TAG) != environment:
        raise HookFailed(f"{group_name(environment)} is not there, or is not the group of environment {environment!r}")
    where = ["--subscription", subscription]
    inside = az("resource", "list", "--resource-group", group_name(environment), *where) or []
    tagged = az("resource", "list", "--tag", f"{TAG}={environment}", *where) or []
    elsewhere = [each for each in tagged if not within(each["id"], group)]
    roles = az("role", "definition", "list", "--custom-role-only", "true", "--scope", group) or []
    return Found(
        group=group,
        elsewhere=[each["id"] for each in elsewhere],
        subscriptions=_subscriptions(subscription, group, {each["id"].lower() for each in [*inside, *elsewhere]}),
        roles=own_roles(roles, group, titles()),
        assignments=assignments_to_delete(
            az("role", "assignment", "list", "--all", *where) or [],
            group,
            principals([*inside, *elsewhere]) | _identities(environment, where),
            set(own_roles(roles, group, titles())),
        ),
        workspaces=[each["id"] for each in inside if each["type"].lower() == WORKSPACES.lower()],
        vaults=[each["name"] for each in inside if each["type"].lower() == VAULTS.lower()],
        inside=[each["id"] for each in inside],
    )


def within(resource_id: str, group: str) -> bool:
    return resource_id.lower() == group.lower() or resource_id.lower().startswith(f"{group.lower()}/")


def titles() -> list[str]:
    table = json.loads((ROOT / "infra" / "roles.json").read_text(encoding="utf-8"))
    return [role["title"] for role in table["customRoles"].values()]


def own_roles(roles: Sequence[Mapping[str, Any]], group: str, names: Sequence[str]) -> list[str]:
    """Those that infra/roles.json makes, and that may be assigned in this group."""
    return [
        role["id"]
        for role in roles
        if any(str(role["roleName"]).startswith(f"{name} ") for name in names)
        and any(scope.lower() == group.lower() for scope in role["assignableScopes"])
    ]


def principals(resources: Iterable[Mapping[str, Any]]) -> set[str]:
    found = ((each.get("identity") or {}).get("principalId") for each in resources)
    return {each for each in found if each}


def assignments_to_delete(
    assignments: Iterable[Mapping[str, Any]], group: str, identities: set[str], roles: set[str]
) -> list[str]:
    """A role cannot go while it is assigned; what is assigned inside the group otherwise goes with the group."""
    names = {role.rsplit("/", 1)[-1].lower() for role in roles}
    return [
        each["id"]
        for each in assignments
        if each["roleDefinitionId"].rsplit("/", 1)[-1].lower() in names
        or (each["principalId"] in identities and not within(each["scope"], group))
    ]


def subscription_points_at(event_subscription: Mapping[str, Any], group: str) -> bool:
    properties = event_subscription.get("properties") or {}
    told = properties.get("destination") or (properties.get("deliveryWithResourceIdentity") or {}).get("destination")
    return within(str(((told or {}).get("properties") or {}).get("resourceId", "")), group)


def _subscriptions(subscription: str, group: str, own: set[str]) -> list[str]:
    """Of the topics that are others': theirs stay, what points at us goes."""
    api = "2025-02-15"
    path = f"/subscriptions/{subscription}/providers/Microsoft.EventGrid/systemTopics"
    return [
        each["id"]
        for topic in listing(path, api)
        if topic["id"].lower() not in own
        for each in listing(f"{topic['id']}/eventSubscriptions", api)
        if subscription_points_at(each, group)
    ]


def _identities(environment: str, where: Sequence[str]) -> set[str]:
    found = az("identity", "list", "--resource-group", group_name(environment), *where) or []
    return {each["principalId"] for each in found}


# --- running --------------------------------------------------------------------------------------------------------


def tear_down(environment: str, subscription: str, *, confirmed: bool) -> None:
    found = find(environment, subscription)
    planned = steps(found)
    for number, step in enumerate(planned, start=1):
        print(f"{number}. {'deleting' if confirmed else 'would delete'} {step.what}", flush=True)
        if confirmed:
            _take(step, subscription)
    for each in found.inside:
        print(f"   in the group: {each}")
    for vault in found.vaults:
        print(f"The key vault {vault} cannot be purged: its name is free after seven days, or recovered by `azd up`.")


def _take(step: Step, subscription: str) -> None:
    try:
        az(*step.command, *(["--subscription", subscription] if step.command[0] != "rest" else []))
    except CommandFailed as error:
        if not missing(error):
            raise
    if step.awaited is None:
        return
    for _ in range(WAITS):  # its deletion goes on after the answer, and its group must not go before it has
        if get(step.awaited, WORKSPACE_API) is None:
            return
        time.sleep(WAIT_SECONDS)
    raise HookFailed(f"{step.awaited} is still there: start again")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.pipelines.tear_down", description=__doc__)
    parser.add_argument("--environment", required=True, help="azd's name of it")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--plan", action="store_true", help="show what would be deleted")
    what.add_argument("--confirm", metavar="NAME", help="the environment's name once more; deletes")
    arguments = parser.parse_args(argv)
    subscription = os.environ.get("AZURE_SUBSCRIPTION_ID", "")
    if not subscription:
        parser.error("AZURE_SUBSCRIPTION_ID is not set")
    if not arguments.plan and arguments.confirm != arguments.environment:
        parser.error(f"{arguments.confirm!r} is not {arguments.environment!r}: nothing is deleted")
    try:
        tear_down(arguments.environment, subscription, confirmed=not arguments.plan)
    except HookFailed as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
