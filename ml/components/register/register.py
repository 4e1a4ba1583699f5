"""What is said of a model in the registry, and its registration: once per job, without an upload."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import ResourceNotFoundError

if TYPE_CHECKING:  # the SDK takes a second and more to import
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import Model

LONGEST = 256  # characters of a tag's value
METRICS = ("Accuracy", "AUC", "live.Accuracy", "live.AUC", "live.name", "live.version")
WORKSPACE = {
    "subscription_id": "AZUREML_ARM_SUBSCRIPTION",
    "resource_group_name": "AZUREML_ARM_RESOURCEGROUP",
    "workspace_name": "AZUREML_ARM_WORKSPACE_NAME",
}
JOB = "AZUREML_ROOT_RUN_ID"  # the whole pipeline job, not this step of it


class DataError(ValueError):
    """The model cannot be registered; the message says what is missing and what to do."""


def setting(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name)
    if not value:
        raise DataError(f"{name} is not set: AML sets it in a job's environment. Run this step in a job.")
    return value


def require_model(folder: Path) -> None:
    """The registry takes any address; what deploys such a model would be the first to notice."""
    if not (folder / "MLmodel").is_file():
        raise DataError(f"{folder}: there is no model in MLflow's format. Run the train step again.")


def tags(lineage: Mapping[str, Any], job: str) -> dict[str, str]:
    """By these the model is found, and told where it comes from; what is not known has no tag."""
    said = {
        "stage": "candidate",
        "relearn_reaction": lineage["reaction_id"],
        "relearn_attempt": lineage["attempt"],
        "relearn_job": job,
        "relearn_reason": lineage.get("reason"),
        "monitor_run": lineage.get("monitor_run"),
        **{role: ",".join((lineage.get(role) or {}).get("files", [])) for role in ("baseline", "target")},
    }
    return {name: str(value)[:LONGEST] for name, value in said.items() if value}


def properties(
    lineage: Mapping[str, Any], metrics: Mapping[str, Any], algorithm: str, regularisation: float
) -> dict[str, str]:
    """What a gate compares. The registry never lets a property change."""
    return {
        **{name: str(metrics[name]) for name in METRICS if name in metrics},
        "algorithm": algorithm,
        "regularisation": str(regularisation),
        "train_rows": str(lineage["train_rows"]),
        "test_rows": str(lineage["test_rows"]),
    }


def connect(environment: Mapping[str, str]) -> MLClient:
    """The workspace the job runs in, with the job's identity.

    AML names that identity in DEFAULT_IDENTITY_CLIENT_ID, a variable azure-identity does not look at.
    """
    where = {name: setting(environment, variable) for name, variable in WORKSPACE.items()}
    from azure.ai.ml import MLClient  # noqa: PLC0415
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415

    client_id = environment.get("DEFAULT_IDENTITY_CLIENT_ID") or environment.get("AZURE_CLIENT_ID")
    credential = DefaultAzureCredential(managed_identity_client_id=client_id)
    return MLClient(credential, **where, enable_telemetry=False, show_progress=False)


def registered(client: MLClient, name: str, job: str) -> Model | None:
    """The version this job has registered before, if it has: AML may run a step again.

    One call per page of versions; a model that has none yet is not found, which is no error.
    """
    try:
        return next(
            (model for model in client.models.list(name=name) if (model.tags or {}).get("relearn_job") == job), None
        )
    except ResourceNotFoundError:
        return None


def register(
    client: MLClient, *, name: str, uri: str, tags: dict[str, str], properties: dict[str, str]
) -> tuple[str, bool]:
    """The version, and whether it is new."""
    from azure.ai.ml.entities import Model  # noqa: PLC0415

    known = registered(client, name, tags["relearn_job"])
    if known is not None:
        return str(known.version), False
    model = Model(path=uri, type="mlflow_model", name=name, tags=tags, properties=properties)
    return str(client.models.create_or_update(model).version), True
