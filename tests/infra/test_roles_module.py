"""modules/roles.bicep is the loop over the table: what it would assign is the table's rows, and nothing else."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.infra import bicep, roles

MODULES = roles.ROOT / "infra" / "modules"
TABLE = roles.table()
GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-relearn"
PRINCIPALS = {name: f"id-of-{name}" for name in roles.PRINCIPALS}
SCOPES = {row["scope"]: f"{GROUP}/providers/Microsoft.Any/things/{row['scope']}" for row in TABLE["assignments"]}
DEFAULTS = ["always", "webhook", "aadEndpoint"]
Given = set[tuple[str, str, str]]


def deployed(folder: Path = MODULES, **changed: Any) -> Any:
    parameters = {
        "principals": PRINCIPALS,
        "scopes": SCOPES,
        "conditions": DEFAULTS,
        "userPrincipalType": "User",
        "useBuiltInRoles": False,
        "assignableScopes": [GROUP],
    }
    return bicep.deploy(folder / "roles.bicep", {**parameters, **changed})


def assigned(deployment: Any) -> Given:
    """Who gets which role where, by the words of the table; a custom role by its title."""
    names = {guid: name for name, guid in TABLE["builtInRoles"].items()}
    names |= {role.name: title(role) for role in definitions(deployment)}
    found = deployment.of_type("Microsoft.Authorization/roleAssignments")
    properties = [each.body["properties"] for each in found]
    whom = [str(each["principalId"]).removeprefix("id-of-") for each in properties]
    what = [names[str(each["roleDefinitionId"]).rpartition("/")[2]] for each in properties]
    where = [each.scope.rpartition("/")[2] for each in found]
    given = list(zip(whom, where, what, strict=True))
    assert len(set(given)) == len(given), "Azure refuses to assign a role twice"
    return set(given)


def title(role: Any) -> str:
    """Its name without the guid at the end, which must be its own."""
    name = str(role.body["properties"]["roleName"])
    assert name.endswith(role.name)
    return name.removesuffix(role.name).strip()


def definitions(deployment: Any) -> list[Any]:
    return list(deployment.of_type("Microsoft.Authorization/roleDefinitions"))


def expected(table: Any, conditions: list[str], *, built_in: bool = False, without: str = "") -> Given:
    rows = [row for row in table["assignments"] if row["when"] in conditions and without not in row.values()]
    custom = table["customRoles"]
    called = {name: role["builtIn"] if built_in else role["title"] for name, role in custom.items()}
    named = [(row["principal"], row["scope"], called.get(row["role"], row["role"])) for row in rows]
    return {each for each in named if each[2]}


CASES = {
    "as it comes": DEFAULTS,
    "by a queue, with a key": ["always", "queue", "keyEndpoint"],
    "isolated, with a token": ["always", "queue", "amlTokenEndpoint", "networkIsolation"],
}


@pytest.mark.parametrize("built_in", [False, True], ids=["custom roles", "built-in roles"])
@pytest.mark.parametrize("conditions", CASES.values(), ids=CASES.keys())
def test_the_rows_that_hold_are_assigned(conditions: list[str], built_in: bool) -> None:
    deployment = deployed(conditions=conditions, useBuiltInRoles=built_in)
    assert assigned(deployment) == expected(TABLE, conditions, built_in=built_in)
    assert len(definitions(deployment)) == (0 if built_in else len(TABLE["customRoles"]))


def test_nobody_may_be_named_as_the_user() -> None:
    found = assigned(deployed(principals={**PRINCIPALS, "user": ""}))
    assert found == expected(TABLE, DEFAULTS, without="user")


def test_a_custom_role_is_what_the_table_says_and_has_the_guid_in_its_name() -> None:
    found = definitions(deployed())
    said = {role["title"]: (role["actions"], role["dataActions"]) for role in TABLE["customRoles"].values()}
    for role in found:
        properties = role.body["properties"]
        [permission] = properties["permissions"]
        assert (permission["actions"], permission["dataActions"]) == said[title(role)]
        assert (permission["notActions"], permission["notDataActions"]) == ([], [])
        assert properties["assignableScopes"] == [GROUP]


def test_another_table_is_assigned_differently(tmp_path: Path) -> None:
    changed = copy.deepcopy(TABLE)
    del changed["assignments"][0]
    shutil.copytree(MODULES, tmp_path / "modules")
    (tmp_path / "roles.json").write_text(json.dumps(changed))
    found = assigned(deployed(tmp_path / "modules"))
    assert found == expected(changed, DEFAULTS)
    assert found != expected(TABLE, DEFAULTS)
