"""The AML files: Azure's own loaders take them, our check passes on them and sees the faults those loaders do not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ml import check
from tests.ml.conftest import ROOT

ML = ROOT / "ml"
COMMANDS = sorted(ML.glob("components/*/component.yml"))
PIPELINES = sorted(ML.glob("pipelines/*.yml"))

# azure-ai-ml builds its schemas the marshmallow 3 way, on import and on use.
pytestmark = [
    pytest.mark.filterwarnings("ignore::marshmallow.warnings.RemovedInMarshmallow4Warning"),
    pytest.mark.filterwarnings("ignore::marshmallow.warnings.ChangedInMarshmallow4Warning"),
]


@pytest.mark.parametrize("file", COMMANDS + PIPELINES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_azures_loader_takes_every_component(file):
    from azure.ai.ml import load_component

    body = _yaml(file)

    component = load_component(file)

    assert (component.name, component.version, component.type) == (body["name"], body["version"], body["type"])
    assert {name: port.type for name, port in component.inputs.items()} == _types(body["inputs"])
    assert {name: port.type for name, port in component.outputs.items()} == _types(body["outputs"])
    assert component._validate().passed


STAMPS = {"reaction_id": "string", "attempt": "string"}
TRAIN = {
    "baseline": "uri_folder",
    "target": "uri_folder",
    "live": "mlflow_model",
    **dict.fromkeys(("live_name", "live_version", "algorithm", "reason", "monitor_run"), "string"),
    **dict.fromkeys(("model_name", "model_uri"), "string"),
    "regularisation": "number",
    **STAMPS,
}


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [
        ("prep", {"raw": "uri_folder", "manifest": "uri_file", **STAMPS}, {"bronze": "uri_folder"}),
        ("score", {"bronze": "uri_folder", "model": "mlflow_model", **STAMPS}, {"silver": "uri_folder"}),
        ("train", TRAIN, {"model": "uri_folder", "report": "uri_folder"}),
    ],
)
def test_a_pipeline_has_the_ports_its_callers_name(name, inputs, outputs):
    body = _yaml(ML / "pipelines" / f"{name}.yml")

    assert (_types(body["inputs"]), _types(body["outputs"])) == (inputs, outputs)


def test_training_needs_a_baseline_and_where_its_model_goes_and_nothing_else():
    body = _yaml(ML / "pipelines" / "train.yml")

    needed = {name for name, port in body["inputs"].items() if not port.get("optional") and "default" not in port}

    assert needed == {"baseline", "model_uri", *STAMPS}
    defaults = {name: port["default"] for name, port in body["inputs"].items() if "default" in port}
    assert defaults == {"algorithm": "logistic", "regularisation": 0.1, "model_name": "diabetes-classifier"}


@pytest.mark.parametrize("component", ["split", "register", "drift"])
def test_what_looks_at_or_changes_the_outside_is_never_taken_from_an_earlier_job(component):
    assert _yaml(ML / "components" / component / "component.yml")["is_deterministic"] is False


def test_azures_loader_takes_the_monitor_and_our_component_is_its_signal():
    from azure.ai.ml.entities._load_functions import load_schedule

    monitor = load_schedule(ML / "monitors" / "diabetes-drift.yml")

    component = _yaml(ML / "components" / "drift" / "component.yml")
    assert monitor.name == "diabetes-BATCH"
    monitor.tags = {}  # the client needs them, a file need not have them
    definition = monitor._to_rest_object().as_dict()["properties"]["action"]["monitorDefinition"]
    assert list(definition["signals"]) == ["data_drift"]
    signal = definition["signals"]["data_drift"]
    assert (signal["signalType"], signal["componentId"]) == ("Custom", f"{component['name']}:{component['version']}")
    assert signal["metricThresholds"] == [{"metric": "JensenShannonDistance", "threshold": {"value": 0.1}}]
    assert {name: (asset["jobInputType"], asset["uri"]) for name, asset in signal["inputAssets"].items()} == {
        role: ("uri_folder", f"azureml://datastores/lake/paths/0-raw/diabetes/BATCH/{role}/")
        for role in ("baseline", "target")
    }


def test_azures_loader_takes_the_environment_and_it_pins_what_runs_here():
    from azure.ai.ml import load_environment

    environment = load_environment(ML / "environments" / "relearn-sklearn.yml")

    assert (environment.name, environment.version) == ("relearn-sklearn", "1")
    assert re.search(r":\d{8}\.v\d+$", environment.image)
    (pip,) = [part["pip"] for part in environment.conda_file["dependencies"] if isinstance(part, dict)]
    lines = (ML / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert pip == [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", line) for line in pip)


@pytest.mark.parametrize("file", sorted((ML / "data").glob("*.yml")), ids=lambda file: file.stem)
def test_azures_loader_takes_the_data(file):
    from azure.ai.ml import load_data

    data = load_data(file)

    assert (data.name, data.version, data.type) == (file.stem, "1", "uri_folder")
    assert data.path == _yaml(file)["path"]


def test_azures_loader_takes_the_code_and_the_rules_refer_to_what_is_published():
    from azure.ai.ml.entities._load_functions import load_code

    code = load_code(ML / "codes" / "diabetes-serving.yml")
    rules = _yaml(ROOT / "reactions.yaml")["reactions"]

    assert (Path(code.path) / "score.py").is_file()
    serving = [rule["deploy-model"]["serving"] for rule in rules.values() if "deploy-model" in rule]
    assert {part["code"] for part in serving} == {f"azureml:{code.name}:{code.version}"}
    assert {part["environment"] for part in serving} == {"azureml:relearn-sklearn:1"}


@pytest.mark.parametrize("step", ["prep", "score", "train"])
def test_azures_loaders_take_the_batch_endpoints_and_their_deployments(step):
    from azure.ai.ml import load_batch_endpoint
    from azure.ai.ml.entities._load_functions import load_pipeline_component_batch_deployment

    endpoint = load_batch_endpoint(ML / "batch" / f"{step}-endpoint.yml")
    deployment = load_pipeline_component_batch_deployment(ML / "batch" / f"{step}-deployment.yml")

    assert endpoint.name == deployment.endpoint_name == f"diabetes-{step}"
    assert endpoint.auth_mode == "aad_token"
    assert list(deployment.component.inputs) == list(_yaml(ML / "pipelines" / f"{step}.yml")["inputs"])


def test_our_check_passes_on_ours():
    assert check.problems(ML) == []


FAULTS = {
    "a step binds an input its component does not have": (
        "pipelines/prep.yml",
        "      raw: ${{parent.inputs.raw}}",
        "      rawe: ${{parent.inputs.raw}}",
        ["jobs.prep.inputs.rawe: the component has nothing", "jobs.prep.inputs.raw: the component needs it"],
    ),
    "an input was renamed in the component": (
        "components/score/component.yml",
        "  bronze:",
        "  patients:",
        [
            "component.yml: command: inputs.bronze is not declared",
            "component.yml: inputs.patients: the command does not use it",
            "jobs.score.inputs.bronze: the component has nothing of that name",
            "jobs.score.inputs.patients: the component needs it",
        ],
    ),
    "a required input is not bound": (
        "pipelines/score.yml",
        "      attempt: ${{parent.inputs.attempt}}\n",
        "",
        ["jobs.score.inputs.attempt: the component needs it", "score.yml: inputs.attempt: no step refers to it"],
    ),
    "a step refers to an input the pipeline does not have": (
        "pipelines/prep.yml",
        "${{parent.inputs.manifest}}",
        "${{parent.inputs.manifesto}}",
        [
            "jobs.prep.inputs.manifest: parent.inputs.manifesto refers to nothing",
            "inputs.manifest: no step refers to it",
        ],
    ),
    "a step refers to a step there is not": (
        "pipelines/score.yml",
        "${{parent.inputs.bronze}}",
        "${{parent.jobs.prep.outputs.bronze}}",
        ["jobs.score.inputs.bronze: parent.jobs.prep.outputs.bronze refers to nothing", "inputs.bronze: no step"],
    ),
    "a step binds an output its component does not have": (
        "pipelines/score.yml",
        "      silver: ${{parent.outputs.silver}}",
        "      gold: ${{parent.outputs.silver}}",
        ["jobs.score.outputs.gold: the component has nothing of that name"],
    ),
    "no step writes an output of the pipeline": (
        "pipelines/score.yml",
        "    outputs:\n      silver: ${{parent.outputs.silver}}\n",
        "",
        ["score.yml: outputs.silver: no step refers to it"],
    ),
    "the types of an input differ": (
        "pipelines/prep.yml",
        "  manifest:\n    type: uri_file",
        "  manifest:\n    type: uri_folder",
        ["jobs.prep.inputs.manifest: it is given uri_folder, the component declares uri_file"],
    ),
    "a literal of the wrong type": (
        "pipelines/prep.yml",
        "      attempt: ${{parent.inputs.attempt}}",
        "      attempt: 1",
        ["jobs.prep.inputs.attempt: it is given integer, the component declares string", "inputs.attempt: no step"],
    ),
    "the environment is not one of ours": (
        "components/train/component.yml",
        "azureml:relearn-sklearn:1",
        "azureml:relearn-sklearn:2",
        ["component.yml: environment: azureml:relearn-sklearn:2 is none of azureml:relearn-sklearn:1"],
    ),
    "a command refers to an output it does not declare": (
        "components/evaluate/component.yml",
        "${{outputs.metrics}}",
        "${{outputs.numbers}}",
        ["command: outputs.numbers is not declared", "outputs.metrics: the command does not use it"],
    ),
    "a model is handed over as a folder": (
        "pipelines/score.yml",
        "  model:\n    type: mlflow_model",
        "  model:\n    type: uri_folder",
        ["jobs.score.inputs.model: it is given uri_folder, the component declares mlflow_model"],
    ),
    "a command cannot do without an optional input": (
        "components/split/component.yml",
        "$[[--target ${{inputs.target}}]]",
        "--target ${{inputs.target}}",
        ["split/component.yml: command: inputs.target may be missing: write $[[--option ${{inputs.target}}]]"],
    ),
    "a step needs what the pipeline may not have": (
        "components/evaluate/component.yml",
        "  live:\n    type: mlflow_model\n    optional: true",
        "  live:\n    type: mlflow_model",
        ["train.yml: jobs.evaluate.inputs.live: the component needs it, but the pipeline may have no value for it"],
    ),
    "a type that there is not": (
        "components/drift/component.yml",
        "type: mltable",
        "type: ml_table",
        [
            "drift/component.yml: outputs.signal_metrics.type: ml_table is none of",
            "drift/component.yml: outputs: a custom signal needs signal_metrics, an mltable",
        ],
    ),
    "a deployment of a pipeline that there is not": (
        "batch/train-deployment.yml",
        "../pipelines/train.yml",
        "../pipelines/retrain.yml",
        ["train-deployment.yml: component: ../pipelines/retrain.yml is no pipeline of ours"],
    ),
    "a deployment at an endpoint that there is not": (
        "batch/score-deployment.yml",
        "endpoint_name: diabetes-score",
        "endpoint_name: diabetes-scores",
        [
            "score-deployment.yml: endpoint_name: diabetes-scores is none of diabetes-prep, diabetes-score",
            "score-endpoint.yml: name: nothing is deployed there",
        ],
    ),
    "a monitor of a component that there is not": (
        "monitors/diabetes-drift.yml",
        "azureml:diabetes_drift:2",
        "azureml:diabetes_drift:9",
        ["monitoring_signals.data_drift.component_id: azureml:diabetes_drift:9 is no component of ours"],
    ),
    "a monitor with a signal of AML's own": (
        "monitors/diabetes-drift.yml",
        "type: custom",
        "type: data_drift",
        ["monitoring_signals.data_drift.type: data_drift, only custom signals can be checked"],
    ),
    "a monitor without signals": (
        "monitors/diabetes-drift.yml",
        "monitoring_signals:",
        "signals:",
        ["diabetes-drift.yml: create_monitor.monitoring_signals: there is none"],
    ),
    "a monitor names an input that the component does not have": (
        "monitors/diabetes-drift.yml",
        "        target:\n",
        "        production:\n",
        [
            "data_drift.input_data.production: the component has nothing of that name",
            "data_drift.input_data.target: the component needs it, the monitor does not give it",
        ],
    ),
    "a monitor hands a file over as a folder": (
        "monitors/diabetes-drift.yml",
        "            type: uri_folder",
        "            type: uri_file",
        ["data_drift.input_data.baseline: it is given uri_file, the component declares uri_folder"],
    ),
    "a monitor of a metric that the component does not have": (
        "monitors/diabetes-drift.yml",
        "metric_name: JensenShannonDistance",
        "metric_name: jensen_shannon_distance",
        ["data_drift.metric_thresholds: the component has no input jensen_shannon_distance_threshold"],
    ),
    "a monitor that nothing could breach": (
        "monitors/diabetes-drift.yml",
        "      metric_thresholds:\n        - metric_name: JensenShannonDistance\n          threshold: 0.1\n",
        "",
        ["data_drift.metric_thresholds: there is none, so nothing could ever be breached"],
    ),
    "data that is not in the lake": (
        "data/diabetes-raw.yml",
        "azureml://datastores/lake/paths/0-raw/diabetes/",
        "azureml://datastores/workspaceblobstore/paths/0-raw/diabetes/",
        ["diabetes-raw.yml: path: azureml://datastores/workspaceblobstore/paths/0-raw/diabetes/ is no folder in the"],
    ),
    "data whose version is a number": (
        "data/diabetes-raw.yml",
        'version: "1"',
        "version: 1",
        ["diabetes-raw.yml: version: 1 is no text"],
    ),
    "a file where there are folders": (
        "data/diabetes-silver.yml",
        "uri_folder",
        "uri_file",
        ["diabetes-silver.yml: type: uri_file, but in the lake there are folders"],
    ),
    "code without a scoring script": (
        "codes/diabetes-serving.yml",
        "../serving",
        "../samples",
        ["diabetes-serving.yml: path: there is no score.py in ../samples"],
    ),
}
# The loader of a type sees what is no type.
NOT_LOADED = {"a type that there is not"}
# Loading never fails; of these the SDK's own validation, a step further, sees something.
SEEN_BY_VALIDATION = {
    "a step binds an input its component does not have",  # only that the right one is missing
    "an input was renamed in the component",
    "a required input is not bound",
    "a command refers to an output it does not declare",
    "a step needs what the pipeline may not have",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_our_check_sees_a_fault_that_azures_loaders_take(fault, tmp_path):
    from azure.ai.ml import load_component

    name, old, new, expected = FAULTS[fault]
    file = _faulty_copy(tmp_path, name, old, new)

    found = [str(problem) for problem in check.problems(tmp_path)]

    assert len(found) == len(expected), found
    assert all(any(part in problem for problem in found) for part in expected), found
    if file.parent.name in ("batch", "monitors", "codes", "data"):
        return  # what those refer to is not read before it is there
    if fault in NOT_LOADED:
        with pytest.raises(Exception, match="'ml_table' passed"):
            load_component(file)
        return
    loaded = [load_component(changed) for changed in {file, *(tmp_path / "pipelines").glob("*.yml")}]
    assert all(component._validate().passed for component in loaded) is (fault not in SEEN_BY_VALIDATION)


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("pipelines/prep.yml", "../components/prep/component.yml", "../components/pre/component.yml", "No such file"),
        ("pipelines/prep.yml", "../components/prep/component.yml", "azureml:diabetes_prep:1", "is not a file of ours"),
        ("pipelines/prep.yml", "inputs:\n  raw", "inputs: [\n  raw", "(file): while parsing"),
        ("pipelines/prep.yml", "    type: command", "    type: pipeline", "jobs.prep.type: pipeline"),
    ],
)
def test_a_pipeline_that_cannot_be_followed_is_a_problem(tmp_path, name, old, new, expected):
    _faulty_copy(tmp_path, name, old, new)

    assert expected in " ".join(map(str, check.problems(tmp_path)))


def test_an_empty_folder_is_a_problem_not_a_pass(tmp_path):
    found = [str(problem.file.relative_to(tmp_path)) for problem in check.problems(tmp_path)]

    assert found == list(check.FOLDERS.values())


def test_the_command_line_prints_each_problem_and_fails(tmp_path):
    _faulty_copy(tmp_path, "pipelines/prep.yml", "${{parent.inputs.raw}}", "${{parent.inputs.row}}")

    good, bad = (_run_check(*arguments) for arguments in ([], [str(tmp_path)]))

    assert (good.returncode, good.stderr) == (0, "")
    assert bad.returncode == 1
    assert f"{tmp_path / 'pipelines' / 'prep.yml'}: jobs.prep.inputs.raw: parent.inputs.row refers" in bad.stderr


def _run_check(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ml.check", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )


def _faulty_copy(folder: Path, name: str, old: str, new: str) -> Path:
    for part in ("components", "pipelines", "environments", "batch", "monitors", "codes", "data", "serving"):
        shutil.copytree(ML / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / name
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    return file


def _yaml(file: Path) -> dict:
    return YAML(typ="safe", pure=True).load(file)


def _types(ports: dict) -> dict[str, str]:
    return {name: port["type"] for name, port in ports.items()}
