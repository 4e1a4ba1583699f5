"""The delivery pipelines of GitHub and Azure DevOps as files: least privilege, no secret, nothing that is not there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
ACTION = re.compile(r"[\w.-]+/[\w./-]+@(?P<ref>\S+)")
FOUR = ("deploy-infrastructure", "train-and-register-model", "deploy-model", "delete-infrastructure")
SECRETS = re.compile(
    r"secrets\.|client[-_ ]?secret|AZURE_CREDENTIALS|password|connection[-_ ]?string|account[-_ ]?key", re.I
)
MODULE = re.compile(r"python3? infra/start\.py (?P<module>[\w.]+)")
GIVEN = {"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID", "AZURE_ENV_NAME", "RELEARN_PARAMETERS"}
"""Variables of an environment that no deployment gives."""


def load(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    return found


def workflows(root: Path = ROOT) -> dict[str, dict[str, Any]]:
    return {file.stem: load(file) for file in sorted((root / ".github" / "workflows").glob("*.yml"))}


def devops(root: Path = ROOT) -> dict[str, dict[str, Any]]:
    return {file.stem: load(file) for file in sorted((root / "azure-pipelines").rglob("*.yml"))}


def texts(root: Path = ROOT) -> dict[str, str]:
    files = [*(root / ".github" / "workflows").glob("*.yml"), *(root / "azure-pipelines").rglob("*.yml")]
    return {file.relative_to(root).as_posix(): file.read_text(encoding="utf-8") for file in files}


# --- what is wrong with them, as lists that must be empty -------------------------------------------------------------


def problems(root: Path) -> list[str]:
    return [
        *github_problems(workflows(root)),
        *devops_problems(devops(root)),
        *(
            f"{file}: names a secret: {found.group()}"
            for file, text in texts(root).items()
            if (found := SECRETS.search(text))
        ),
        *named_problems(root),
    ]


def github_problems(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name, workflow in found.items():
        if workflow.get("permissions") != {"contents": "read"}:
            yield f"{name}: the workflow's own permissions are not contents: read"
        for job_name, job in workflow["jobs"].items():
            yield from (f"{name}.{job_name}: {problem}" for problem in job_problems(job))


def job_problems(job: dict[str, Any]) -> Iterator[str]:
    asks = job.get("permissions", {})
    if not set(asks.items()) <= {("contents", "read"), ("id-token", "write")}:
        yield f"asks for {asks}"
    if "uses" in job:
        return
    if "timeout-minutes" not in job:
        yield "has no timeout"
    signs_in = any("azure/login" in step.get("uses", "") for step in job["steps"])
    if signs_in and "environment" not in job:
        yield "signs in to Azure without an environment, so nobody can be asked to approve"
    if signs_in != ("id-token" in asks):
        yield "asks for a token and does not sign in, or the other way round"
    for step in job["steps"]:
        yield from step_problems(step)


def step_problems(step: dict[str, Any]) -> Iterator[str]:
    uses = step.get("uses", "")
    action = ACTION.fullmatch(uses)
    if action is not None and re.fullmatch("[0-9a-f]{40}", action["ref"]) is None:
        yield f"{uses} is not pinned to a commit"
    if "${{" in str(step.get("run", "")):
        yield "puts an expression into a command's text"
    if "checkout" in uses and step.get("with", {}).get("persist-credentials") is not False:
        yield "leaves the checkout's token on disk"


def devops_problems(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name, pipeline in found.items():
        for job in devops_jobs(pipeline):
            yield from (f"{name}: {problem}" for problem in devops_job_problems(job))


def devops_job_problems(job: dict[str, Any]) -> Iterator[str]:
    deploys = "deployment" in job
    steps = job["strategy"]["runOnce"]["deploy"]["steps"] if deploys else job["steps"]
    if "timeoutInMinutes" not in job:
        yield "has no timeout"
    if deploys and "environment" not in job:
        yield "a deployment has no environment"
    if not deploys and any("AzureCLI" in str(step.get("task")) for step in steps):
        yield "signs in to Azure outside a deployment job, which no approval stops"
    for step in steps:
        script = str((step.get("inputs") or {}).get("inlineScript", "")) + str(step.get("script", ""))
        if "${{" in script or "$(" in script:
            yield "puts an expression into a command's text"
        if step.get("checkout") and step.get("persistCredentials") is not False:
            yield "leaves the checkout's token on disk"


def devops_jobs(pipeline: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from pipeline.get("jobs", [])
    for stage in pipeline.get("stages", []):
        if isinstance(stage, dict):
            yield from stage.get("jobs", [])


def named_problems(root: Path) -> Iterator[str]:
    """Programs, make targets and templates that are named and are not there."""
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.M))
    for file, text in [*texts(root).items(), ("azure.yaml", (root / "azure.yaml").read_text())]:
        yield from (f"{file}: there is no program {name}" for name in MODULE.findall(text) if not runs(root, name))
        made = re.findall(r"(?:run|script): make ([a-z-]+)", text)
        yield from (f"{file}: there is no make target {name}" for name in made if name not in targets)
        named = [root / Path(file).parent / name for name in re.findall(r"- template: (\S+)", text)]
        named += [root / name for name in re.findall(r"uses: \./(\S+)", text)]
        yield from (f"{file}: there is no template {each.name}" for each in named if not each.is_file())


def runs(root: Path, module: str) -> bool:
    path = root / module.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


# --- and that they are empty ------------------------------------------------------------------------------------------


def test_nothing_is_wrong_with_them() -> None:
    assert problems(ROOT) == []


def test_both_services_have_the_four_and_the_checks() -> None:
    assert {*FOUR, "checks"} <= set(workflows())
    assert {*FOUR, "checks"} <= set(devops())


def test_a_pull_request_runs_check_and_test_without_an_identity() -> None:
    for text in (texts()[".github/workflows/checks.yml"], texts()["azure-pipelines/checks.yml"]):
        assert "make check" in text
        assert "make test" in text
        assert "id-token" not in text
        assert "AzureCLI" not in text
    assert "pull_request" in workflows()["checks"].get("on", workflows()["checks"].get(True, {}))


def test_both_services_run_the_same_programs() -> None:
    for name in FOUR:
        ours = [f".github/workflows/{name}.yml", f"azure-pipelines/{name}.yml"]
        if name == "deploy-infrastructure":
            ours = [".github/workflows/deploy-environment.yml", "azure-pipelines/stages/deploy-environment.yml"]
        github, azure = (set(MODULE.findall(texts()[file])) for file in ours)
        assert github == azure != set()


def test_only_one_deployment_of_an_environment_runs_and_none_is_cut_short() -> None:
    for name in (*FOUR[1:], "deploy-environment"):
        groups = [job["concurrency"] for job in workflows()[name]["jobs"].values() if "concurrency" in job]
        assert groups
        assert all(group["cancel-in-progress"] is False for group in groups)


def test_deleting_waits_for_an_environment_of_its_own() -> None:
    delete = workflows()["delete-infrastructure"]
    asked = delete.get("on", delete.get(True))["workflow_dispatch"]["inputs"]["environment"]["options"]
    assert asked == ["dev-delete", "prod-delete"]
    assert delete["jobs"]["delete"]["needs"] == "plan"
    assert devops()["delete-infrastructure"]["stages"][1]["jobs"][0]["environment"].endswith("-delete")


def test_the_variables_are_outputs_of_the_deployment() -> None:
    main = ROOT / "infra" / "main.bicep"
    outputs = set(re.findall(r"^output (\w+)", main.read_text(), re.M))
    assert "AZURE_LOCATION" in outputs
    for file, text in texts().items():
        named = set(re.findall(r"vars\.(\w+)|\$\((AZURE_\w+|RELEARN_\w+|DIABETES_\w+)\)", text))
        missing = {name for pair in named for name in pair if name} - outputs - GIVEN
        assert not missing, f"{file}: {missing}"


@pytest.mark.parametrize("module", ["postprovision", "postdeploy"])
def test_what_a_hook_reads_is_an_output_of_the_deployment(module: str) -> None:
    main = ROOT / "infra" / "main.bicep"
    from infra.hooks import postdeploy, postprovision

    outputs = set(re.findall(r"^output (\w+)", main.read_text(), re.M))
    needed = {"postprovision": postprovision, "postdeploy": postdeploy}[module].NEEDED
    assert set(needed) - {"AZURE_SUBSCRIPTION_ID"} <= outputs


def test_what_the_hook_passes_is_what_events_bicep_takes() -> None:
    events = ROOT / "infra" / "events.bicep"
    from infra.hooks import postdeploy

    assert set(re.findall(r"^param (\w+)", events.read_text(), re.M)) == set(postdeploy.PARAMETERS)


# --- each of these edits one side in a copy, and must be noticed ------------------------------------------------------

WORKFLOW = ".github/workflows/deploy-model.yml"
DEVOPS = "azure-pipelines/deploy-model.yml"


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (WORKFLOW, "permissions:\n  contents: read", "permissions: write-all", "permissions are not"),
        (WORKFLOW, "id-token: write", "id-token: write\n      packages: write", "asks for"),
        (WORKFLOW, "    environment: ${{ inputs.environment }}\n", "", "without an environment"),
        (WORKFLOW, "    timeout-minutes: 60", "    continue-on-error: false", "has no timeout"),
        (WORKFLOW, "azure/login@a457da9ea143d694b1b9c7c869ebb04ebe844ef5", "azure/login@v2", "is not pinned"),
        (WORKFLOW, '"$REASON"', '"${{ inputs.reason }}"', "expression into a command"),
        (WORKFLOW, "persist-credentials: false", "persist-credentials: true", "token on disk"),
        (WORKFLOW, "vars.AZURE_CLIENT_ID", "secrets.AZURE_CLIENT_ID", "names a secret"),
        (WORKFLOW, "infra.pipelines.deploy_model", "infra.pipelines.deploy_models", "there is no program"),
        (DEVOPS, "        environment: ${{ parameters.environment }}\n", "", "has no environment"),
        (DEVOPS, "        timeoutInMinutes: 60\n", "", "has no timeout"),
        (DEVOPS, '"$REASON"', '"${{ parameters.reason }}"', "expression into a command"),
        (
            "azure-pipelines/deploy-infrastructure.yml",
            "stages/deploy-environment.yml",
            "stages/other.yml",
            "no template",
        ),
        (".github/workflows/checks.yml", "run: make check", "run: make chek", "no make target chek"),
        ("azure.yaml", "infra.hooks preprovision", "infra.hook preprovision", "there is no program infra.hook"),
    ],
)
def test_an_edit_is_noticed(tmp_path: Path, file: str, old: str, new: str, said: str) -> None:
    for part in (".github", "azure-pipelines", "infra"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("azure.yaml", "Makefile"):
        shutil.copy(ROOT / part, tmp_path / part)
    text = (tmp_path / file).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new), encoding="utf-8")
    assert any(said in problem for problem in problems(tmp_path)), problems(tmp_path)
