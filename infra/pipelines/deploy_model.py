"""`python -m infra.pipelines.deploy_model`: asks that a registered version go live, and follows what comes of it.

Azure tells Relearn of a model once, when it is registered; a tag that is changed later is told to nobody. So a version
that Relearn has not taken, or has refused, is registered again: the same files and figures under the next version, as a
candidate, with who asked, why and when. Gate and smoke test decide as they do for every other: the figures are compared
with the model that was live when they were measured, and count only while that one is.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from azure.core.credentials import TokenCredential
from azure.identity import DefaultAzureCredential

from infra.pipelines import report
from infra.pipelines.rest import AML, PipelineFailed, Rest, arm, required, segment

MOVING: Final = frozenset({"waiting", "pending", "starting", "running", "awaiting-approval"})
LONGEST: Final = 256  # characters of a tag's value


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What Relearn tells of a version. `fates`: state and reason of each rule that deploys it."""

    live: bool
    fates: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Standing:
        lineage = told["lineage"]
        return cls(
            live=any(each.get("traffic") for each in lineage["live_on"]),
            fates=tuple(
                (str(each.get("state", "pending")), str(each.get("reason", ""))) for each in lineage["rollouts"]
            ),
        )

    @property
    def moving(self) -> bool:
        return any(state in MOVING for state, _ in self.fates)

    @property
    def ended(self) -> bool:
        return bool(self.fates) and not self.moving

    def text(self) -> str:
        return "; ".join(f"{state}: {reason}" if reason else state for state, reason in self.fates) or "not seen yet"


def to_register(source: Mapping[str, Any], *, version: str, by: str, reason: str, at: datetime) -> dict[str, Any]:
    """The body that registers a version again. Its properties are its figures, which nobody can change."""
    properties = source["properties"]
    said = {
        "stage": "candidate",
        "promoted_from": version,
        "promoted_by": by,
        "promoted_because": reason,
        "promoted_at": at.isoformat(timespec="seconds"),
    }
    return {
        "properties": {
            "modelUri": properties["modelUri"],
            "modelType": properties.get("modelType") or "mlflow_model",
            "description": properties.get("description") or "",
            "tags": {**(properties.get("tags") or {}), **{name: text[:LONGEST] for name, text in said.items()}},
            "properties": dict(properties.get("properties") or {}),
        }
    }


def next_version(versions: Sequence[str]) -> str:
    """One more than the highest number; versions that are no numbers order nothing."""
    return str(max((int(each) for each in versions if each.isascii() and each.isdecimal()), default=0) + 1)


def register_again(workspace: Rest, path: str, source: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    """The new version. A PUT of one that is there would change it, so it is looked for first."""
    api = {"api-version": AML}
    version = next_version([str(each["name"]) for each in workspace.all(path, **api, listViewType="All")])
    if workspace.find(f"{path}/{version}", **api) is not None:
        raise PipelineFailed(f"version {version} has just been registered by somebody else: start again")
    workspace.change("PUT", f"{path}/{version}", to_register(source, **said), **api)
    return version


def standing(app: Rest, model: str, version: str) -> Standing | None:
    told = app.find(f"/api/models/{segment(model)}/{segment(version)}")
    return Standing.read(told) if told is not None else None


def follow(app: Rest, model: str, version: str, *, minutes: float, pause: float) -> Standing:
    """Until every rule has come to an end with it.

    Raises:
        PipelineFailed: not in time.
    """
    deadline, last = time.monotonic() + 60 * minutes, ""
    while True:
        found = standing(app, model, version)
        if found is not None and found.text() != last:
            last = found.text()
            report.say(f"{model}:{version}: {last}")
        if found is not None and (found.ended or (found.live and not found.moving)):
            return found
        if time.monotonic() > deadline:
            raise PipelineFailed(f"{model}:{version} is neither live nor refused after {minutes:.0f} minutes: {last}")
        time.sleep(pause)


def deploy(credential: TokenCredential, arguments: argparse.Namespace) -> None:
    workspace_id, model, version = required("RELEARN_WORKSPACE_ID"), arguments.model, arguments.version
    path = f"{workspace_id}/models/{segment(model)}/versions"
    url, scope = required("RELEARN_APP_URL"), f"{required('RELEARN_API_AUDIENCE')}/.default"
    with arm(credential) as workspace, Rest(url, credential, scope) as app:
        source = workspace.find(f"{path}/{segment(version)}", **{"api-version": AML})
        if source is None or source["properties"].get("isArchived"):
            raise PipelineFailed(f"there is no {model}:{version}, or it is archived")
        before = standing(app, model, version)
        asked = version
        if before is None or not (before.live or before.moving):
            said = {"version": version, "by": arguments.by, "reason": arguments.reason, "at": datetime.now(UTC)}
            asked = register_again(workspace, path, source, said)
            report.say(f"{model}:{version} is registered again as {model}:{asked}, by {arguments.by}")
        after = follow(app, model, asked, minutes=arguments.minutes, pause=arguments.pause)
    rows = {
        "model": f"{model}:{asked}",
        "asked for": f"{model}:{version}",
        "by": arguments.by,
        "because": arguments.reason,
    }
    report.summary("Live model" if after.live else "Model not deployed", {**rows, "came of it": after.text()})
    if not after.live:
        raise PipelineFailed(f"{model}:{asked} is not live: {after.text()}")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.pipelines.deploy_model", description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--reason", required=True, help="why, for the model's tags")
    parser.add_argument("--by", required=True, help="who asks, for the model's tags")
    parser.add_argument("--minutes", type=float, default=50, help="to wait for the end; the run's token lasts an hour")
    parser.add_argument("--pause", type=float, default=15, help="seconds between two questions")
    arguments = parser.parse_args(argv)
    with DefaultAzureCredential() as credential:
        return report.run(lambda: deploy(credential, arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
