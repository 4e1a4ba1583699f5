"""The tables of docs/security.md, out of roles.json: `python -m infra.security` writes them anew."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
TABLE: Final = ROOT / "infra" / "roles.json"
PAGE: Final = ROOT / "docs" / "security.md"
BEGIN: Final = "<!-- from infra/roles.json, by python -m infra.security: begin -->\n"
END: Final = "<!-- from infra/roles.json: end -->\n"

_WHO: Final = {
    "app": "the function app",
    "factory": "the data factory",
    "compute": "AML's jobs",
    "endpoint": "the online endpoint",
    "workspace": "the AML workspace",
    "lakeTopic": "the lake's Event Grid topic",
    "workspaceTopic": "the workspace's Event Grid topic",
    "user": "you, who deploy",
}
_WHERE: Final = {
    "appStorage": "the app's storage account",
    "manifests": "the app's container `manifests`",
    "deadLetters": "the app's container `dead-letters`",
    "deployments": "the app's container `deployments`",
    "eventQueue": "the app's queue `events`",
    "lake": "the lake's storage account",
    "lakeContainer": "the lake's container `lake`",
    "factory": "the data factory",
    "workspace": "the AML workspace",
    "endpoint": "the online endpoint",
    "endpointIdentity": "the endpoint's identity",
    "eventsTopic": "the topic of lifecycle events",
    "registry": "the container registry",
    "vault": "the key vault",
    "workspaceStorage": "the workspace's storage account",
    "applicationInsights": "Application Insights",
}
_WHEN: Final = {
    "always": "",
    "webhook": "with the webhook",
    "queue": "with events by a queue",
    "aadEndpoint": "endpoint with Entra tokens",
    "keyEndpoint": "endpoint with keys",
    "amlTokenEndpoint": "endpoint with AML tokens",
    "networkIsolation": "with network isolation",
}
"""What the table's words are for a reader; an unknown one is an error."""

Json = Mapping[str, Any]


def tables(table: Json) -> str:
    parts = [_assignments(table), *(_custom_role(role) for role in table["customRoles"].values()), _withheld(table)]
    return "\n".join(parts)


def written(page: str, table: Json) -> str:
    """The page with its tables as roles.json is now."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    if not rest or not tail:
        raise ValueError(f"{PAGE.name} has no place for the tables: the lines {BEGIN.strip()} and {END.strip()}")
    return f"{head}{BEGIN}\n{tables(table)}\n{END}{tail}"


def _assignments(table: Json) -> str:
    lines = []
    for who, title in _WHO.items():
        lines += [
            f"### {title[0].upper()}{title[1:]}",
            "",
            "| role | on | if | known from | what needs it |",
            "|---|---|---|---|---|",
        ]
        lines += [_line(table, row) for row in table["assignments"] if row["principal"] == who]
        lines += [""]
    return "\n".join(lines)


def _line(table: Json, row: Json) -> str:
    custom = table["customRoles"].get(row["role"])
    role = f"*{custom['title']}*" if custom is not None else row["role"]
    return f"| {role} | {_WHERE[row['scope']]} | {_WHEN[row['when']]} | {row['sure']} | {row['why']} |"


def _custom_role(role: Json) -> str:
    instead = f" Stands in for *{role['builtIn']}*." if role["builtIn"] else ""
    lines = [f"### {role['title']}", "", f"{role['description']}{instead}", ""]
    silent = {action: reason for reason in role["unrecorded"] for action in reason["actions"]}
    for action in [*role["actions"], *role["dataActions"]]:
        data = " (data)" if action in role["dataActions"] else ""
        known = silent[action]["sure"] if action in silent else "recorded"
        lines.append(f"- `{action}`{data}: {known}")
    lines += [""]
    for reason in role["unrecorded"]:
        lines += [f"Not seen in any call: {reason['why']} ({reason['source']}).", ""]
    return "\n".join(lines)


def _withheld(table: Json) -> str:
    lines = ["### Withheld", "", "| who | action | why not |", "|---|---|---|"]
    lines += [f"| {_WHO[row['principal']]} | `{row['action']}` | {row['why']} |" for row in table["withheld"]]
    return "\n".join([*lines, ""])


def main() -> int:
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
