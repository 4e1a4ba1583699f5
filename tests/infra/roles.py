"""The table of roles, and what is wrong with it: in its form, and with what it allows the recorded calls."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.infra.actions import Need, need_of
from tests.infra.story import Recording

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
Table = dict[str, Any]

PRINCIPALS = {"app", "factory", "compute", "endpoint", "workspace", "lakeTopic", "workspaceTopic", "user"}
CONDITIONS = {"always", "webhook", "queue", "aadEndpoint", "keyEndpoint", "amlTokenEndpoint", "networkIsolation"}
SURENESS = {"recorded", "documented", "inferred"}
WITHIN = {
    "manifests": "appStorage",
    "deadLetters": "appStorage",
    "deployments": "appStorage",
    "eventQueue": "appStorage",
}
WITHIN |= {"lakeContainer": "lake", "endpoint": "workspace"}
"""Scope -> the scope it lies in: a role there counts here, too."""


def table() -> Table:
    found: Table = json.loads((ROOT / "infra" / "roles.json").read_text())
    return found


def facts(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / name).read_text())
    return found


BUILT_IN: Mapping[str, Any] = facts("built-in-roles.json")["roles"]
DEMANDED: Mapping[str, Any] = facts("demanded.json")


# --- copies with one thing changed ------------------------------------------------------------------------------------


def custom_actions(of: Table) -> list[tuple[str, str]]:
    """Every action of every custom role, data actions with their prefix."""
    return [
        (key, action)
        for key, role in of["customRoles"].items()
        for action in [*role["actions"], *(f"data:{each}" for each in role["dataActions"])]
    ]


def without_action(of: Table, role: str, action: str) -> Table:
    changed = copy.deepcopy(of)
    name, plain = ("dataActions", action.removeprefix("data:")) if action.startswith("data:") else ("actions", action)
    changed["customRoles"][role][name].remove(plain)
    return changed


def without_row(of: Table, list_: str, place: int) -> Table:
    changed = copy.deepcopy(of)
    del changed[list_][place]
    return changed


# --- what the calls need ----------------------------------------------------------------------------------------------


def problems(of: Table, recordings: Iterable[Recording], *, built_in: bool = False) -> list[str]:
    """Calls that no role allows, and actions that Microsoft demands and no role has."""
    found = [] if built_in else _missing_demands(of)
    for recording in recordings:
        holding = frozenset({"always", "webhook", recording.condition})
        for principal in sorted(PRINCIPALS):
            for access in recording.of(principal):
                need = need_of(access)
                if _allowed(of, principal, need, holding, built_in) or _withheld(of, principal, need):
                    continue
                ways = " or ".join(" and ".join(sorted(way)) for way in need.ways)
                found.append(f"{principal}: {access.method} {access.path} needs {ways} on {need.scope}")
    return found


def _allowed(of: Table, principal: str, need: Need, conditions: frozenset[str], built_in: bool) -> bool:
    scopes = {need.scope, WITHIN.get(need.scope, need.scope)}
    counting = [row for row in of["assignments"] if row["principal"] == principal and row["when"] in conditions]
    # What is given for Azure's own purposes (the Functions host's, say) is no excuse for a call of ours.
    roles = [row["role"] for row in counting if row["sure"] == "recorded" and row["scope"] in scopes]
    return any(all(any(_grants(of, role, action, built_in) for role in roles) for action in way) for way in need.ways)


def _withheld(of: Table, principal: str, need: Need) -> bool:
    actions = {row["action"] for row in of["withheld"] if row["principal"] == principal}
    return any(way <= actions for way in need.ways)


def _grants(of: Table, role: str, action: str, built_in: bool) -> bool:
    custom = of["customRoles"].get(role)
    if custom is not None and not built_in:
        held = [*custom["actions"], *(f"data:{each}" for each in custom["dataActions"])]
        return action.lower() in map(str.lower, held)
    name = custom["builtIn"] if custom is not None else role
    return bool(name) and _built_in_grants(name, action)


@cache
def _built_in_grants(role: str, action: str) -> bool:
    if role not in BUILT_IN:
        raise LookupError(f"tests/infra/built-in-roles.json does not say what {role!r} allows")
    kind = "dataActions" if action.startswith("data:") else "actions"
    plain = action.removeprefix("data:")
    excluded = BUILT_IN[role]["notActions"] if kind == "actions" else []
    return _matches(BUILT_IN[role][kind], plain) and not _matches(excluded, plain)


def _matches(patterns: Iterable[str], action: str) -> bool:
    return any(re.fullmatch(re.escape(each).replace(r"\*", ".*"), action, re.IGNORECASE) for each in patterns)


def _missing_demands(of: Table) -> list[str]:
    held = set(custom_actions(of))
    withheld = {row["action"] for row in of["withheld"]}
    return [
        f"{role}: {demand['source']} asks for {action}"
        for role, demand in DEMANDED.items()
        for action in demand["actions"]
        if (role, action) not in held and action not in withheld
    ]


# --- its form ---------------------------------------------------------------------------------------------------------


def malformed(of: Table) -> list[str]:
    """What is wrong with the table, whatever is called."""
    return [*_roles_malformed(of), *_rows_malformed(of), *_assigned_twice(of)]


def _roles_malformed(of: Table) -> list[str]:
    found = [f"{key}: {action} has a wildcard" for key, action in custom_actions(of) if "*" in action]
    found += [f"{name}: {guid} is no guid" for name, guid in of["builtInRoles"].items() if not _is_guid(guid)]
    for key, role in of["customRoles"].items():
        # Empty: another built-in role of the same principal brings it along.
        if role["builtIn"] and role["builtIn"] not in of["builtInRoles"]:
            found.append(f"{key}: {role['builtIn']!r} is none of the table's built-in roles")
        held = {action.removeprefix("data:") for name, action in custom_actions(of) if name == key}
        for reason in role["unrecorded"]:
            if not (
                reason["why"] and reason["source"] and reason["sure"] in SURENESS and set(reason["actions"]) <= held
            ):
                found.append(f"{key}: {reason['actions']} has no reason, no source, or is not the role's")
    used = {row["role"] for row in of["assignments"]} | {role["builtIn"] for role in of["customRoles"].values()}
    found += [f"{name}: nobody has this role" for name in {*of["builtInRoles"], *of["customRoles"]} - used]
    return found


def _is_guid(text: str) -> bool:
    return re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) is not None


def _rows_malformed(of: Table) -> list[str]:
    known = {*of["builtInRoles"], *of["customRoles"]}
    found = []
    for row in of["assignments"]:
        name = f"{row['principal']} {row['role']} on {row['scope']}"
        if row["principal"] not in PRINCIPALS or row["when"] not in CONDITIONS or row["sure"] not in SURENESS:
            found.append(f"{name}: a word that nobody knows")
        if row["role"] not in known:
            found.append(f"{name}: there is no such role")
        if len(row["why"]) < 20:
            found.append(f"{name}: it does not say what needs it")
    found += [f"{row['action']} is withheld without a reason" for row in of["withheld"] if len(row["why"]) < 20]
    given = {
        (row["principal"], action)
        for row in of["assignments"]
        for key, action in custom_actions(of)
        if key == row["role"]
    }
    found += [f"{w['action']} is withheld and given" for w in of["withheld"] if (w["principal"], w["action"]) in given]
    return found


def _assigned_twice(of: Table) -> list[str]:
    """Azure refuses a second assignment of one role to one principal on one scope."""
    found = []
    modes = {"aadEndpoint", "keyEndpoint", "amlTokenEndpoint"}
    for built_in in (False, True):
        for mode in modes:
            seen: set[tuple[str, str, str]] = set()
            for row in of["assignments"]:
                custom = of["customRoles"].get(row["role"])
                role = custom["builtIn"] if custom is not None and built_in else row["role"]
                key = (row["principal"], row["scope"], role)
                if row["when"] in modes - {mode} or not role:
                    continue
                if key in seen:
                    found.append(f"{' '.join(key)} is assigned twice")
                seen.add(key)
    return found
