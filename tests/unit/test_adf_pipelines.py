"""The pipelines in infra/adf keep the rules that make a run of theirs findable, single, and honest about its end."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from local.data_factory.definitions import every, parse, read_global_parameters
from local.data_factory.expressions import resolve
from local.data_factory.functions import TABLE
from local.data_factory.functions import named as functions_named

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "infra" / "adf"
FILES = sorted((FOLDER / "pipeline").glob("*.json"))
CONTEXT = {"activity", "pipeline", "variables", "item", "utcnow"}
FINAL = {"Completed", "Failed", "Canceled"}  # of an AML job, in AML's spelling
STAMPS = ("reaction_id", "attempt")
# The data plane's spellings of the types of a component's inputs and outputs; whatever else there is, is a literal.
SPELLINGS = {"uri_folder": "UriFolder", "uri_file": "UriFile", "mlflow_model": "MLFlowModel"}


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def expressions(value):
    return [text for text in strings(value) if text.startswith("@") or "@{" in text]


def problems(document):
    """What is wrong with a pipeline document, in words."""
    properties = document["properties"]
    activities = list(every(properties["activities"]))
    return [
        *stamp_problems(properties),
        *name_problems(properties, activities),
        *(problem for activity in activities for problem in web_problems(activity)),
        *(problem for activity in activities for problem in loop_problems(activity, activities)),
        *size_problems(document, activities),
    ]


def stamp_problems(properties):
    for name in STAMPS:
        if properties["parameters"].get(name) != {"type": "String"}:
            yield f"{name} must be a String parameter without a default"


def name_problems(properties, activities):
    """Names used in expressions that nothing has."""
    known = {
        r"variables\('([^']+)'\)": set(properties.get("variables", {})),
        r"activity\('([^']+)'\)": {activity["name"] for activity in activities},
        r"pipeline\(\)\.parameters\.(\w+)": set(properties["parameters"]),
        r"pipeline\(\)\.globalParameters\.(\w+)": set(read_global_parameters(FOLDER)),
    }
    for text in expressions(properties["activities"]):
        for pattern, names in known.items():
            yield from (f"unknown name {name} in {text}" for name in re.findall(pattern, text) if name not in names)
        called = {name.lower() for name in re.findall(r"([A-Za-z_]\w*)\(", re.sub(r"'[^']*'", "''", text))}
        yield from (f"unknown function {name} in {text}" for name in called - CONTEXT - TABLE.keys())


def web_problems(activity):
    if activity["type"] != "WebActivity":
        return
    properties, name = activity["typeProperties"], activity["name"]
    if properties.get("authentication") != {"type": "MSI", "resource": "https://ml.azure.com"}:
        yield f"{name} must call with the managed identity"
    if properties.get("disableCertValidation"):
        yield f"{name} must check the certificate"
    if properties["method"] == "POST":
        yield from start_problems(activity, name)


def start_problems(activity, name):
    if activity.get("policy", {}).get("retry") != 0:
        yield f"{name} must not be retried: it would start a second job"
    if activity["typeProperties"].get("turnOffAsync") is not True:
        yield f"{name} must not poll by itself"
    body = activity["typeProperties"]["body"]["properties"]
    for stamp in STAMPS:
        if body["InputData"].get(stamp) != {"JobInputType": "Literal", "Value": f"@pipeline().parameters.{stamp}"}:
            yield f"{name} must pass {stamp} on as a literal input"
    yield from output_problems(body, name)
    yield from port_problems(activity["typeProperties"]["url"]["value"], body, name)


def output_problems(body, name):
    for output, port in body["OutputData"].items():
        if not all(f"pipeline().parameters.{stamp}" in port["Uri"] for stamp in STAMPS):
            yield f"{name} must write to a folder of its own"
        told = body["InputData"].get(f"{output}_uri")
        if told is not None and told["Value"] != port["Uri"]:
            yield f"{name} tells the job another place than its output {output} has"


def port_problems(url, body, name):
    """Whether what is sent fits the component behind the endpoint: the service says so only when a run has begun."""
    endpoint = url.removeprefix("@pipeline().globalParameters.").removesuffix("EndpointUri")
    component = YAML(typ="safe", pure=True).load(ROOT / "ml" / "pipelines" / f"{endpoint}.yml")
    for sent, kind, ports in (
        (body["InputData"], "JobInputType", component["inputs"]),
        (body["OutputData"], "JobOutputType", component["outputs"]),
    ):
        yield from (f"{name} sends {port}, which the component has not" for port in sent.keys() - ports.keys())
        for port, declared in ports.items():
            if port in sent and sent[port][kind] != (spelling := SPELLINGS.get(declared["type"], "Literal")):
                yield f"{name} must send {port} as {spelling}"
            if port not in sent and not declared.get("optional") and "default" not in declared:
                yield f"{name} does not send {port}"


def loop_problems(activity, activities):
    if activity["type"] != "Until":
        return
    name, properties = activity["name"], activity["typeProperties"]
    expression = properties["expression"]["value"]
    yield from (f"{name} does not end on {state}" for state in FINAL if f"'{state}'" not in expression)
    if "timeout" not in properties:
        yield f"{name} has no timeout"
    polls = [f"@activity('{each['name']}').output.properties.status" for each in properties["activities"]]
    kept = [each["typeProperties"] for each in properties["activities"] if each["type"] == "SetVariable"]
    if not any(
        each["value"]["value"] in polls and f"variables('{each['variableName']}')" in expression for each in kept
    ):
        yield f"{name} does not look at what its poll answers"
    guards = [
        other
        for other in activities
        if {"activity": name, "dependencyConditions": ["Completed"]} in other.get("dependsOn", [])
        and other["type"] == "IfCondition"
        and "Completed" in other["typeProperties"]["expression"]["value"]
        and [inner["type"] for inner in other["typeProperties"].get("ifTrueActivities", [])] == ["Fail"]
    ]
    if not guards:
        yield f"{name} has no Fail behind it for a job that is not Completed"


def size_problems(document, activities):
    """Azure's documented limits."""
    if len(activities) > 80:
        yield "more than 80 activities"
    if len(document["properties"]["parameters"]) > 50:
        yield "more than 50 parameters"
    if len(json.dumps(document)) > 200 * 1024:
        yield "larger than 200 KB"
    yield from (f"{text[:40]}… is too long" for text in expressions(document) if len(text) > 8192)
    yield from (f"{each['name']} is too long a name" for each in activities if len(each["name"]) > 55)


def read(path):
    return json.loads(path.read_text())


def test_there_are_pipelines():
    assert [path.stem for path in FILES] == ["score-diabetes", "train-diabetes"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_pipeline_could_be_published_under_its_files_name(path):
    assert parse(read(path)).name == path.stem


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_pipeline_keeps_the_rules(path):
    assert list(problems(read(path))) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_pipeline_holds_no_environment(path):
    text = path.read_text().replace("https://ml.azure.com", "")
    assert not re.search(r"https?://|[0-9a-f]{8}-[0-9a-f]{4}-|SharedKey|AccountKey", text)


DECLARED = {
    "score-diabetes": ("reaction_id", "attempt", "batch", "folder", "files", "model"),
    "train-diabetes": (
        "reaction_id", "attempt", "batch", "live", "reason", "monitor_run", "algorithm", "regularisation",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DECLARED)
def test_a_pipeline_declares_what_the_rules_give_it(name):
    declared = read(FOLDER / "pipeline" / f"{name}.json")["properties"]["parameters"]
    assert declared == {parameter: {"type": "String"} for parameter in DECLARED[name]}


def test_the_live_models_name_and_version_are_cut_out_of_its_address():
    given = {
        "live": "azureml:/subscriptions/s/resourceGroups/models/providers/Microsoft.MachineLearningServices"
        "/workspaces/w/models/diabetes-classifier/versions/12",
        **dict.fromkeys(("reason", "monitor_run", "algorithm", "batch"), "x"),
        "regularisation": "0.1",
        "reaction_id": "r-1",
        "attempt": "2",
    }
    body = named(read(FOLDER / "pipeline" / "train-diabetes.json"), "StartTrain")["typeProperties"]["body"]

    sent = resolve(body, functions_named([("pipeline", 0, 0, lambda: {"parameters": given})]))["properties"]

    values = {name: port.get("Value", port.get("Uri")) for name, port in sent["InputData"].items()}
    assert (values["live"], values["live_name"], values["live_version"]) == (given["live"], "diabetes-classifier", "12")
    assert values["model_uri"] == sent["OutputData"]["model"]["Uri"]
    assert values["model_uri"] == "azureml://datastores/lake/paths/models/diabetes-classifier/r-1-2/"
    assert values["baseline"] == "azureml://datastores/lake/paths/0-raw/diabetes/x/baseline/"
    assert sent["OutputData"]["report"]["Uri"] == "azureml://datastores/lake/paths/3-gold/diabetes/x/r-1-2/"
    assert all(isinstance(value, str) for value in values.values())


def test_the_second_job_never_starts_after_a_first_that_did_not_complete():
    activities = {
        each["name"]: each for each in read(FOLDER / "pipeline" / "score-diabetes.json")["properties"]["activities"]
    }
    (guard,) = activities["StartScore"]["dependsOn"]
    assert guard == {"activity": "RequirePrep", "dependencyConditions": ["Succeeded"]}


def named(document, name):
    return next(each for each in every(document["properties"]["activities"]) if each["name"] == name)


def change(path, *keys, to):
    def changed(document):
        target = named(document, path)
        for key in keys[:-1]:
            target = target[key]
        target[keys[-1]] = to

    return changed


def omit(activity, side, port):
    def changed(document):
        del named(document, activity)["typeProperties"]["body"]["properties"][side][port]

    return changed


def forget(*keys):
    def changed(document):
        target = document["properties"]
        for key in keys[:-1]:
            target = target[key]
        del target[keys[-1]]

    return changed


BROKEN_SCORE = {
    "reaction_id must be a String parameter": forget("parameters", "reaction_id"),
    "unknown name files": forget("parameters", "files"),
    "unknown name scoreStatus": forget("variables", "scoreStatus"),
    "unknown name Check": change("KeepPrepStatus", "typeProperties", "value", "value", to="@activity('Check').output"),
    "unknown name pollTime": change(
        "PausePrep", "typeProperties", "waitTimeInSeconds", "value", to="@pipeline().globalParameters.pollTime"
    ),
    "unknown function contain": change(
        "WaitForPrep", "typeProperties", "expression", "value", to="@contain('Completed', '')"
    ),
    "StartPrep must not be retried": change("StartPrep", "policy", "retry", to=1),
    "StartScore must not poll by itself": change("StartScore", "typeProperties", "turnOffAsync", to=False),
    "CheckPrep must call with the managed identity": change(
        "CheckPrep", "typeProperties", "authentication", "resource", to="https://management.azure.com"
    ),
    "StartScore must pass attempt on": change(
        "StartScore", "typeProperties", "body", "properties", "InputData", "attempt", "Value", to="1"
    ),
    "StartPrep must write to a folder of its own": change(
        "StartPrep", "typeProperties", "body", "properties", "OutputData", "bronze", "Uri", to="azureml://bronze"
    ),
    "WaitForScore does not end on Canceled": change(
        "WaitForScore", "typeProperties", "expression", "value",
        to="@contains(createArray('Completed', 'Failed', 'Cancelled'), variables('scoreStatus'))",
    ),
    "WaitForPrep does not look at what its poll answers": change(
        "KeepPrepStatus", "typeProperties", "value", "value", to="@activity('CheckPrep').output.properties.state"
    ),
    "WaitForScore does not look at what its poll answers": change(
        "KeepScoreStatus", "typeProperties", "variableName", to="prepStatus"
    ),
    "WaitForPrep has no Fail behind it": change("RequirePrep", "dependsOn", to=[]),
    "StartScore must send model as MLFlowModel": change(
        "StartScore", "typeProperties", "body", "properties", "InputData", "model", "JobInputType", to="UriFolder"
    ),
    "StartPrep does not send manifest": omit("StartPrep", "InputData", "manifest"),
}  # fmt: skip
BROKEN_TRAIN = {
    "attempt must be a String parameter": forget("parameters", "attempt"),
    "unknown name live": forget("parameters", "live"),
    "unknown name trainUri": change(
        "CheckTrain", "typeProperties", "url", "value", to="@concat(pipeline().globalParameters.trainUri, '/')"
    ),
    "unknown function first_of": change(
        "StartTrain", "typeProperties", "body", "properties", "InputData", "live_name", "Value", to="@first_of('a')"
    ),
    "StartTrain must not be retried": change("StartTrain", "policy", "retry", to=2),
    "StartTrain must pass reaction_id on": omit("StartTrain", "InputData", "reaction_id"),
    "StartTrain must write to a folder of its own": change(
        "StartTrain", "typeProperties", "body", "properties", "OutputData", "report", "Uri", to="azureml://3-gold/"
    ),
    "StartTrain tells the job another place than its output model has": change(
        "StartTrain", "typeProperties", "body", "properties", "InputData", "model_uri", "Value", to="azureml://models/"
    ),
    "StartTrain sends lives, which the component has not": change(
        "StartTrain", "typeProperties", "body", "properties", "InputData", "lives", to={"JobInputType": "Literal"}
    ),
    "StartTrain does not send model_uri": omit("StartTrain", "InputData", "model_uri"),
    "StartTrain must send live as MLFlowModel": change(
        "StartTrain", "typeProperties", "body", "properties", "InputData", "live", "JobInputType", to="UriFolder"
    ),
    "StartTrain must send report as UriFolder": change(
        "StartTrain", "typeProperties", "body", "properties", "OutputData", "report", "JobOutputType", to="UriFile"
    ),
    "WaitForTrain does not end on Failed": change(
        "WaitForTrain", "typeProperties", "expression", "value",
        to="@contains(createArray('Completed', 'Canceled'), variables('trainStatus'))",
    ),
    "WaitForTrain does not look at what its poll answers": change(
        "KeepTrainStatus", "typeProperties", "value", "value", to="@activity('CheckTrain').output.status"
    ),
    "WaitForTrain has no Fail behind it": change("RequireTrain", "typeProperties", "ifTrueActivities", to=[]),
}  # fmt: skip
BROKEN = {
    **{(said, "score-diabetes"): breaks for said, breaks in BROKEN_SCORE.items()},
    **{(said, "train-diabetes"): breaks for said, breaks in BROKEN_TRAIN.items()},
}


@pytest.mark.parametrize(("said", "pipeline"), BROKEN)
def test_a_broken_rule_is_noticed(said, pipeline):
    document = copy.deepcopy(read(FOLDER / "pipeline" / f"{pipeline}.json"))
    BROKEN[said, pipeline](document)
    assert any(said in problem for problem in problems(document))
