"""Whether a model may be rolled out now, by what the workspace says: the gate's answer, and what makes it pointless."""

from __future__ import annotations

from shared.models import Endpoint, ModelVersion
from shared.ports import Workspace
from shared.reactions import DeployAction
from shared.rollouts import gate
from shared.rollouts.gate import Verdict


def seen(
    workspace: Workspace, action: DeployAction
) -> tuple[Endpoint | None, ModelVersion | None, ModelVersion | None]:
    """The endpoint, the candidate, and the model that is live, each as far as it is there.

    Raises:
        TargetBusy, TargetUnavailable, TargetRefused: the workspace does not tell.
    """
    endpoint = workspace.endpoint(action.endpoint)
    candidate = workspace.model(action.model)
    current = endpoint.live if endpoint is not None else None
    live = workspace.model(current.model) if current is not None and current.model is not None else None
    return endpoint, candidate, live


def judge(
    action: DeployAction, endpoint: Endpoint, candidate: ModelVersion | None, live: ModelVersion | None
) -> Verdict:
    """Whether the candidate may take the live model's place. Pure."""
    current = endpoint.live
    if candidate is None or candidate.archived:
        return _no(f"{action.model} is no longer registered")
    if current is not None and current.model == action.model:
        return _no(f"{action.model} is live already, as {current.name}")
    if live is not None and candidate.created <= live.created:
        return _no(f"{action.model} is older than {live.ref}, which is live")
    if current is not None and current.model is None and action.gate is not None:
        return _no(f"deployment {current.name} is live and serves no model of this workspace: nothing to compare with")
    verdict = gate.judge(action.gate, candidate.properties, current.model if current is not None else None)
    return verdict if verdict.passed else _no(f"gate: {verdict.reason}")


def _no(reason: str) -> Verdict:
    return Verdict(passed=False, reason=reason)
