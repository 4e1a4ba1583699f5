"""Who may do what, as it is deployed from infra/roles.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tests.infra.bicep import Deployment, Resource
from tests.infra.checks.repo import Repo, differences
from tests.infra.checks.settings import delivery
from tests.infra.checks.variants import USER, VARIANTS

ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
DEFINITION = "Microsoft.Authorization/roleDefinitions"
TOO_WIDE = {
    "Owner": "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    "Contributor": "b24988ac-6180-42a0-ab88-20f7382dd24c",
    "User Access Administrator": "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
    "Role Based Access Control Administrator": "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
}
CREDENTIALS = {"AADToken": "aadEndpoint", "Key": "keyEndpoint", "AMLToken": "amlTokenEndpoint"}
# A workspace that was made without a registry has none that an identity could pull from.
WITHOUT = {"existing-bare-workspace": {"registry"}}


def table(repo: Repo) -> Mapping[str, Any]:
    found: Mapping[str, Any] = repo.json("infra/roles.json")
    return found


def conditions(deployment: Deployment, parameters: Mapping[str, Any]) -> set[str]:
    isolated = {"networkIsolation"} if parameters.get("networkIsolation") else set()
    return {"always", delivery(deployment), CREDENTIALS[parameters.get("endpointAuthMode", "AADToken")], *isolated}


def rows(repo: Repo, variant: str) -> list[Mapping[str, Any]]:
    """The table's rows that this deployment must have."""
    parameters = VARIANTS[variant].parameters
    holding = conditions(repo.deployed(variant), parameters)
    custom = table(repo)["customRoles"]
    return [
        row
        for row in table(repo)["assignments"]
        if row["when"] in holding
        and (row["principal"] != "user" or parameters["principalId"])
        and row["scope"] not in WITHOUT.get(variant, set())
        and not (parameters.get("useBuiltInRoles") and row["role"] in custom and not custom[row["role"]]["builtIn"])
    ]


def each_row_is_one_assignment(repo: Repo) -> Iterator[str]:
    """With its reason, to a principal and on a scope; a wrong name of either would leave the row out."""
    for variant in VARIANTS:
        found = Counter(each.properties["description"] for each in repo.deployed(variant).of_type(ASSIGNMENT))
        wanted = Counter(row["why"] for row in rows(repo, variant))
        yield from differences(f"assignments ({variant})", dict(found), dict(wanted))


def assignments_are_unique(repo: Repo) -> Iterator[str]:
    """Azure refuses a second assignment of one role to one principal on one scope."""
    for variant in VARIANTS:
        counts = Counter(
            (each.scope.lower(), each.properties["principalId"], each.properties["roleDefinitionId"])
            for each in repo.deployed(variant).of_type(ASSIGNMENT)
        )
        yield from (
            f"{who} has one role twice on {where} ({variant})" for (where, who, _), n in counts.items() if n > 1
        )


def roles_exist(repo: Repo) -> Iterator[str]:
    built_in = set(table(repo)["builtInRoles"].values())
    for variant in ("default", "keys", "tokens", "queue", "built-in-roles", "existing"):
        deployment = repo.deployed(variant)
        custom = {each.short_name for each in deployment.of_type(DEFINITION)}
        for each in deployment.of_type(ASSIGNMENT):
            role = each.properties["roleDefinitionId"].rpartition("/")[2]
            if role not in built_in | custom:
                yield f"{role} of {each.properties['description']!r} does not exist ({variant})"
            if role in TOO_WIDE.values():
                yield f"{each.properties['description']!r} gets a role that is too wide ({variant})"
        if variant == "built-in-roles" and custom:
            yield "custom roles are made though they may not be"


def scopes_and_principals_are_deployed(repo: Repo) -> Iterator[str]:
    """A scope is a resource that this deployment makes or was told of; a principal the identity of one."""
    for variant in ("first", "isolated-first", "queue", "existing", "existing-isolated"):
        deployment = repo.deployed(variant)
        told = [*deployment.resources, *deployment.existing]
        scopes = {each.id.lower() for each in told} | _told_of(VARIANTS[variant].existing)
        principals = {principal for each in told for principal in _principals(each)}
        for each in deployment.of_type(ASSIGNMENT):
            who, why = each.properties["principalId"], each.properties["description"]
            if not _lies_in(each.scope.lower(), scopes, existing=variant.startswith("existing")):
                yield f"{each.scope} of {why!r} is not deployed ({variant})"
            if who not in principals | {USER}:
                yield f"{who} of {why!r} is no identity that is deployed ({variant})"


def _told_of(existing: Mapping[str, Mapping[str, Any]]) -> set[str]:
    ids = {identifier.lower() for identifier in existing}
    return ids | {str(value).lower() for body in existing.values() for value in body.get("properties", {}).values()}


def _lies_in(scope: str, scopes: set[str], *, existing: bool) -> bool:
    """Of an existing lake or workspace, the parts are not known: its container, its endpoint."""
    return scope in scopes or (existing and any(scope.startswith(f"{each}/") for each in scopes))


def _principals(resource: Resource) -> set[str]:
    identity = resource.body.get("identity", {})
    own = {f"${{{resource.id}.identity.principalId}}"} if "SystemAssigned" in identity.get("type", "") else set()
    if resource.type == "Microsoft.ManagedIdentity/userAssignedIdentities":
        own.add(f"${{{resource.id}.properties.principalId}}")
    return own | ({identity["principalId"]} if "principalId" in identity else set())


def principals_are_told_apart(repo: Repo) -> Iterator[str]:
    """An identity made a moment ago is only found if it is said to be one; the user is what was said."""
    for each in repo.deployed().of_type(ASSIGNMENT):
        wanted = "User" if each.properties["principalId"] == USER else "ServicePrincipal"
        if each.properties["principalType"] != wanted:
            yield f"{each.properties['description']!r} is for a {each.properties['principalType']}"


def custom_roles_are_narrow(repo: Repo) -> Iterator[str]:
    for variant in ("default", "existing"):
        for role in repo.deployed(variant).of_type(DEFINITION):
            name = role.properties["roleName"]
            for permission in role.properties["permissions"]:
                actions = permission["actions"] + permission["dataActions"]
                yield from (f"{name} allows {action}" for action in actions if "*" in action)
                if not actions:
                    yield f"{name} allows nothing"
            if not name.endswith(role.short_name):
                yield f"{name} does not carry its guid {role.short_name}"
            for scope in role.properties["assignableScopes"]:
                if len(scope.split("/")) != 5 or "/resourceGroups/" not in scope:
                    yield f"{name} can be assigned in {scope}"


def custom_roles_can_be_assigned_where_they_are(repo: Repo) -> Iterator[str]:
    for variant in ("default", "existing", "existing-topics", "existing-isolated"):
        deployment = repo.deployed(variant)
        custom = {each.short_name: each.properties["assignableScopes"] for each in deployment.of_type(DEFINITION)}
        for each in deployment.of_type(ASSIGNMENT):
            role = each.properties["roleDefinitionId"].rpartition("/")[2]
            if role in custom and not any(each.scope.lower().startswith(f"{g.lower()}/") for g in custom[role]):
                yield f"{each.properties['description']!r} cannot be assigned on {each.scope} ({variant})"


def every_custom_role_is_used(repo: Repo) -> Iterator[str]:
    used = {row["role"] for row in table(repo)["assignments"]}
    yield from (f"nobody has the role {name}" for name in sorted(table(repo)["customRoles"].keys() - used))
    known = table(repo)["customRoles"].keys() | table(repo)["builtInRoles"].keys()
    yield from (f"there is no role {name}" for name in sorted(used - known))


CHECKS = (
    each_row_is_one_assignment,
    assignments_are_unique,
    roles_exist,
    scopes_and_principals_are_deployed,
    principals_are_told_apart,
    custom_roles_are_narrow,
    custom_roles_can_be_assigned_where_they_are,
    every_custom_role_is_used,
)
