"""The register step, with the real client, against a stand-in registry: what it registers, how often, what it says."""

from __future__ import annotations

import json

import pytest

from tests.ml.registry import Registry, serving

pytestmark = pytest.mark.ml

URI = "azureml://datastores/lake/paths/models/diabetes-classifier/r-1-1/"
NAME = "diabetes-classifier"


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def job(registry, tmp_path):
    with serving(registry, tmp_path) as environment:
        yield environment


def register(run_step, trained, folder, environment):
    made = trained
    return run_step(
        "register",
        data=made.data,
        metrics=made.metrics_folder,
        model=made.model,
        model_uri=URI,
        algorithm="logistic",
        regularisation=0.1,
        report=folder / "report",
        extra=environment,
    )


def test_a_model_is_registered_once_per_job_with_its_metrics_and_its_lineage(
    run_step, trained, registry, job, tmp_path
):
    done = register(run_step, trained, tmp_path, job)

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"register: {NAME} 1\n"
    versions = f"/models/{NAME}/versions"
    assert registry.calls == [f"GET {versions}", f"GET {versions}", f"GET /models/{NAME}", f"PUT {versions}/1"]
    assert set(registry.clients) == {job["DEFAULT_IDENTITY_CLIENT_ID"]}
    registered = registry.versions[NAME]["1"]["properties"]
    metrics = trained.metrics
    assert registered["modelType"] == "mlflow_model"
    assert registered["modelUri"].endswith(URI.removeprefix("azureml://"))
    assert registered["tags"] == {
        "stage": "candidate",
        "relearn_reaction": "r-1",
        "relearn_attempt": "1",
        "relearn_job": "job-1",
        "baseline": "diabetes.csv",
    }
    assert registered["properties"] == {
        "Accuracy": str(metrics["Accuracy"]),
        "AUC": str(metrics["AUC"]),
        "algorithm": "logistic",
        "regularisation": "0.1",
        "train_rows": "1400",
        "test_rows": "600",
    }
    assert json.loads((tmp_path / "report" / "metrics.json").read_text()) == metrics
    lineage = json.loads((tmp_path / "report" / "_lineage.json").read_text())
    assert (lineage["job"], lineage["model"]) == ("job-1", {"name": NAME, "version": "1", "uri": URI})
    assert (lineage["reaction_id"], lineage["baseline"]["files"]) == ("r-1", ["diabetes.csv"])

    registry.calls.clear()
    again = register(run_step, trained, tmp_path, job)

    assert again.returncode == 0, again.stderr
    assert again.stdout == f"register: {NAME} 1, which this job had registered before\n"
    assert registry.calls == [f"GET {versions}"]
    assert json.loads((tmp_path / "report" / "_lineage.json").read_text())["model"]["version"] == "1"

    other = register(run_step, trained, tmp_path, {**job, "AZUREML_ROOT_RUN_ID": "job-2"})

    assert other.stdout == f"register: {NAME} 2\n"
    assert [version["properties"]["tags"]["relearn_job"] for version in registry.versions[NAME].values()] == [
        "job-1",
        "job-2",
    ]


def test_a_registry_that_refuses_fails_the_step_and_is_quoted(run_step, trained, registry, job, tmp_path):
    registry.refuse = 403

    done = register(run_step, trained, tmp_path, job)

    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("register: ")]
    assert "AuthorizationFailed, says the registry." in line
    assert not (tmp_path / "report").exists()
